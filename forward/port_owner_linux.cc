// SPDX-License-Identifier: MIT
#include <charconv>
#include <dirent.h>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <unistd.h>

#include <fmt/format.h>

#include "forward/port_owner.h"

namespace kportal::forward {
namespace {

// Processes looked at, so that a machine with very many does not stop the loop for long.
constexpr int kMaxProcesses = 20'000;
constexpr std::string_view kListening = "0A";  // TCP_LISTEN in /proc/net/tcp

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

// The socket inodes that listen on the port, from a table such as /proc/net/tcp.
void collect_inodes(char const* table, std::uint16_t port, std::set<std::string>& inodes) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // the head
  std::string const suffix = fmt::format(":{:04X}", port);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, skipped, inode;
    fields >> slot >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) fields >> skipped;
    fields >> inode;
    if (state == kListening && local.ends_with(suffix)) inodes.insert("socket:[" + inode + "]");
  }
}

bool holds_one_of(std::string const& process_dir, std::set<std::string> const& sockets) {
  std::string const fd_dir = process_dir + "/fd";
  Dir const dir(opendir(fd_dir.c_str()));
  if (!dir) return false;
  while (dirent const* const entry = readdir(dir.get())) {
    char target[64];
    std::string const link = fd_dir + "/" + entry->d_name;
    auto const length = readlink(link.c_str(), target, sizeof target);
    if (length > 0 && sockets.contains(std::string(target, static_cast<std::size_t>(length)))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<PortOwner> find_port_owner(std::uint16_t port) {
  std::set<std::string> sockets;
  collect_inodes("/proc/net/tcp", port, sockets);
  collect_inodes("/proc/net/tcp6", port, sockets);
  Dir const proc(opendir("/proc"));
  if (sockets.empty() || !proc) return std::nullopt;
  for (int seen = 0; seen < kMaxProcesses; ++seen) {
    dirent const* const entry = readdir(proc.get());
    if (entry == nullptr) break;
    std::string_view const name = entry->d_name;
    PortOwner owner;
    auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), owner.pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    std::string const process_dir = fmt::format("/proc/{}", owner.pid);
    if (!holds_one_of(process_dir, sockets)) continue;
    std::ifstream comm(process_dir + "/comm");
    std::getline(comm, owner.process);
    return owner;
  }
  return std::nullopt;
}

}  // namespace kportal::forward
