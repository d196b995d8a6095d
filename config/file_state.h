// SPDX-License-Identifier: MIT
// What a file is at one moment, and where the way to it leads: what the watcher compares and
// watches. Asks the file system, waits for nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kportal::config {

// The numbers of stat(2), of the file that symlinks lead to; all 0 if there is none.
struct FileStat {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t mode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  bool operator==(FileStat const&) const = default;
};

// Times have the kernel's ticks (4 ms), so that a second edit may leave all numbers as they were:
// hence the content too.
struct FileState {
  FileStat stat;
  bool unread = false;  // it is there, but why it cannot be read may pass without a trace in stat
  std::uint64_t content_hash = 0;
  bool operator==(FileState const&) const = default;
};

FileStat file_stat(std::string const& path);
FileState file_state(std::string const& path);

// A name that is looked up in a directory on the way to a file.
struct Lookup {
  std::string directory;  // absolute, without symlinks
  std::string name;
  bool operator==(Lookup const&) const = default;
};

// The look-ups whose change can change what `path` (absolute) leads to: each symlink, wherever it
// stands in the path, and the file at the end, or the first name that does not exist.
// Directories that are none of these may be replaced too; who holds one open learns of it.
std::vector<Lookup> lookups(std::string const& path);

}  // namespace kportal::config
