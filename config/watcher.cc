// SPDX-License-Identifier: MIT
#include "config/watcher.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "config/file_state.h"
#include "config/notifier.h"

namespace kportal::config {
namespace {

// The working directory of a later moment has nothing to do with the file's name.
std::vector<std::string> absolute_paths(std::vector<std::string> const& files) {
  std::vector<std::string> out;
  for (std::string const& file : files) {
    if (file.empty() || file == "-") continue;
    std::error_code error;
    std::filesystem::path const path = std::filesystem::absolute(file, error);
    if (!error) out.push_back(path.string());
  }
  return out;
}

}  // namespace

class Watcher::Impl {
 public:
  Impl(asio::any_io_executor executor, std::vector<std::string> const& files)
      : files_(absolute_paths(files)), notifier_(std::move(executor)) {
    arm();
    reported_ = states();
  }

  asio::awaitable<void> changed();

 private:
  using States = std::vector<FileState>;

  void arm();
  States states() const;
  bool may_differ() const;
  asio::awaitable<void> settle();

  std::vector<std::string> const files_;
  Notifier notifier_;
  States reported_;
};

// Before states(), always: then what happens after the look is an event.
void Watcher::Impl::arm() {
  std::vector<Lookup> all;
  for (std::string const& file : files_) {
    std::vector<Lookup> const some = lookups(file);
    all.insert(all.end(), some.begin(), some.end());
  }
  notifier_.watch(all);
}

Watcher::Impl::States Watcher::Impl::states() const {
  States out;
  for (std::string const& file : files_) out.push_back(file_state(file));
  return out;
}

// Without reading what could be read. A file that was changed while no descriptor was left looks as
// it did then, once it can be read.
bool Watcher::Impl::may_differ() const {
  for (std::size_t at = 0; at < files_.size(); ++at) {
    if (reported_[at].unread || file_stat(files_[at]) != reported_[at].stat) return true;
  }
  return false;
}

asio::awaitable<void> Watcher::Impl::changed() {
  bool look = true;  // for what happened since the last call
  for (;;) {
    arm();
    if (look && states() != reported_) {
      co_await settle();
      // It may be what it was again.
      if (States now = states(); now != reported_) {
        reported_ = std::move(now);
        co_return;
      }
    }
    bool const notified = co_await notifier_.wait_until(Clock::now() + kPoll);
    look = notified || may_differ();
  }
}

// Until nothing has happened for kQuiet.
asio::awaitable<void> Watcher::Impl::settle() {
  TimePoint const latest = Clock::now() + kMaxDelay;
  TimePoint quiet = Clock::now() + kQuiet;
  States seen = states();
  while (Clock::now() < std::min(quiet, latest)) {
    bool const notified = co_await notifier_.wait_until(std::min(quiet, latest));
    arm();
    States now = states();
    if (!notified && now == seen) continue;
    seen = std::move(now);
    quiet = Clock::now() + kQuiet;
  }
}

Watcher::Watcher(asio::any_io_executor executor, std::vector<std::string> const& files)
    : impl_(std::make_unique<Impl>(std::move(executor), files)) {}
Watcher::~Watcher() = default;

asio::awaitable<void> Watcher::changed() {
  return impl_->changed();
}

}  // namespace kportal::config
