// SPDX-License-Identifier: MIT
#include "config/file_state.h"

#include <array>
#include <deque>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>

#include "config/file.h"

namespace kportal::config {
namespace {

constexpr int kMaxSymlinks = 40;  // Linux gives up there too

std::int64_t nanoseconds(timespec const& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 14'695'981'039'346'656'037ULL;
  for (char const c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211ULL;
  }
  return hash;
}

using Names = std::deque<std::string>;

void put_first(Names& names, std::filesystem::path const& path) {
  Names parts;
  for (auto const& part : path.relative_path()) {
    if (!part.empty() && part != ".") parts.push_back(part.string());
  }
  names.insert(names.begin(), parts.begin(), parts.end());
}

}  // namespace

FileStat file_stat(std::string const& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {};
  FileStat out;
  out.device = status.st_dev;
  out.inode = status.st_ino;
  out.mode = status.st_mode;
  out.size = status.st_size;
#ifdef __APPLE__
  out.modified_ns = nanoseconds(status.st_mtimespec);
  out.changed_ns = nanoseconds(status.st_ctimespec);
#else
  out.modified_ns = nanoseconds(status.st_mtim);
  out.changed_ns = nanoseconds(status.st_ctim);
#endif
  return out;
}

FileState file_state(std::string const& path) {
  FileState out;
  out.stat = file_stat(path);
  auto const text = read_file(path);
  out.unread = text.has_error() && out.stat != FileStat();
  out.content_hash = fnv1a(text ? *text : text.error().text);
  return out;
}

std::vector<Lookup> lookups(std::string const& path) {
  std::vector<Lookup> out;
  Names names;
  put_first(names, path);
  std::filesystem::path directory = "/";
  int symlinks = 0;
  while (!names.empty()) {
    std::string const name = names.front();
    names.pop_front();
    if (name == "..") {
      directory = directory.parent_path();
      continue;
    }
    std::filesystem::path const here = directory / name;
    std::error_code error;
    auto const type = std::filesystem::symlink_status(here, error).type();
    bool const is_link = type == std::filesystem::file_type::symlink;
    bool const is_there = is_link || std::filesystem::exists(here, error);
    if (is_link || !is_there || names.empty()) out.push_back({directory.string(), name});
    if (!is_there) break;
    if (!is_link) {
      directory = here;
      continue;
    }
    std::filesystem::path const target = std::filesystem::read_symlink(here, error);
    if (error || ++symlinks > kMaxSymlinks) break;
    if (target.is_absolute()) directory = "/";
    put_first(names, target);
  }
  return out;
}

}  // namespace kportal::config
