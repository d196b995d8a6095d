// SPDX-License-Identifier: MIT
#include "config/locate.h"

#include <filesystem>

#include <fmt/format.h>

namespace kportal::config {
namespace {

using std::filesystem::path;

constexpr std::string_view kProjectFiles[] = {".kportal.yaml", "forwards.yaml"};

// Empty without a home directory and without the variable. A relative $XDG_CONFIG_HOME does not
// count (XDG Base Directory Specification).
path user_file(Environment const& environment, path const& home) {
  path directory = environment("XDG_CONFIG_HOME").value_or("");
  if (!directory.is_absolute()) {
    if (home.empty()) return {};
    directory = home / ".config";
  }
  return directory / "kportal-cpp" / "forwards.yaml";
}

// "/home/u/" and "/home/u" are the same directory.
path directory_path(std::string const& text) {
  path const normal = path(text).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

}  // namespace

Result<std::string> locate(std::string const& working_directory, Environment const& environment,
                           std::function<bool(std::string const& path)> const& exists) {
  if (auto const named = environment("KPORTAL_CONFIG"); named && !named->empty()) return *named;
  path home = environment("HOME").value_or("");
  home = home.is_absolute() ? directory_path(home.string()) : path();
  path const start = directory_path(working_directory);
  path directory = start;
  while (true) {
    for (std::string_view const name : kProjectFiles) {
      std::string const candidate = (directory / name).string();
      if (exists(candidate)) return candidate;
    }
    if (directory == home || !directory.has_relative_path()) break;
    directory = directory.parent_path();
  }
  path const last = user_file(environment, home);
  if (!last.empty() && exists(last.string())) return last.string();
  return Error{
      Errc::not_found,
      fmt::format("no configuration found: no .kportal.yaml or forwards.yaml in {} or above it up "
                  "to {}{}; write one, or name one with -f",
                  start.string(), directory.string(),
                  last.empty() ? "" : fmt::format(", and no {}", last.string()))};
}

}  // namespace kportal::config
