// SPDX-License-Identifier: MIT
// Watcher: tells that a configuration file may have changed, once its directory has been quiet for
// 200 ms. It sees in-place writes, rename-over, delete and re-create, and a swap of any symlink on
// the way. It reads no configuration. Make it before the first load, so that no edit falls between
// the two.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace kportal::config {

namespace asio = boost::asio;

class Watcher {
 public:
  // An editor's save is several steps; the last one counts.
  static constexpr std::chrono::milliseconds kQuiet{200};
  // A file that is written without a pause is reported all the same.
  static constexpr std::chrono::milliseconds kMaxDelay{2'000};
  // Network file systems tell nobody, and a path may change above the directories that are watched.
  static constexpr std::chrono::milliseconds kPoll{2'000};

  // `files` need not exist. "-" is never reported.
  Watcher(asio::any_io_executor executor, std::vector<std::string> const& files);
  ~Watcher();
  Watcher(Watcher const&) = delete;
  Watcher& operator=(Watcher const&) = delete;

  // Returns when a file is not what it was at the last return (at first: at construction): content,
  // identity, times, or whether it is there. Changes between two calls are not lost; several count
  // as one. One caller at a time. Throws when cancelled.
  asio::awaitable<void> changed();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kportal::config
