// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <sys/inotify.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "config/notifier.h"

namespace kportal::config {
namespace {

constexpr std::uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY |
                                IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                IN_ONLYDIR;
constexpr std::uint32_t kOfTheDirectory = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;
constexpr std::size_t kBuffer = 16 * 1024;

}  // namespace

class Notifier::Impl {
 public:
  explicit Impl(asio::any_io_executor executor) : descriptor_(executor), timer_(executor) {
    int const fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0) descriptor_.assign(fd);  // else the system's limit is reached: sleep only
  }

  void watch(std::vector<Lookup> const& lookups);
  asio::awaitable<bool> wait_until(TimePoint deadline);

 private:
  using Names = std::set<std::string, std::less<>>;

  asio::awaitable<void> readable_or(TimePoint deadline);
  bool drain();
  bool concerns_us(inotify_event const& event, std::string_view name);

  asio::posix::stream_descriptor descriptor_;
  asio::steady_timer timer_;
  std::map<int, Names> watched_;
};

void Notifier::Impl::watch(std::vector<Lookup> const& lookups) {
  if (!descriptor_.is_open()) return;
  std::map<int, Names> wanted;
  for (Lookup const& lookup : lookups) {
    // A directory that is watched already keeps its number.
    int const number =
        ::inotify_add_watch(descriptor_.native_handle(), lookup.directory.c_str(), kMask);
    if (number >= 0) wanted[number].insert(lookup.name);
  }
  for (auto const& [number, names] : watched_) {
    if (!wanted.contains(number)) ::inotify_rm_watch(descriptor_.native_handle(), number);
  }
  watched_ = std::move(wanted);
}

asio::awaitable<bool> Notifier::Impl::wait_until(TimePoint deadline) {
  for (;;) {
    if (drain()) co_return true;
    if (Clock::now() >= deadline) co_return false;
    co_await readable_or(deadline);
  }
}

asio::awaitable<void> Notifier::Impl::readable_or(TimePoint deadline) {
  using asio::experimental::awaitable_operators::operator||;
  constexpr auto token = asio::as_tuple(asio::use_awaitable);
  timer_.expires_at(deadline);
  if (!descriptor_.is_open()) {
    auto const [ignored] = co_await timer_.async_wait(token);
    static_cast<void>(ignored);
    co_return;
  }
  auto const first =
      co_await (descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, token) ||
                timer_.async_wait(token));
  static_cast<void>(first);
}

// Takes all that is in the queue. True if something of it concerns us.
bool Notifier::Impl::drain() {
  if (!descriptor_.is_open()) return false;
  bool concerned = false;
  alignas(inotify_event) std::array<char, kBuffer> buffer{};
  for (;;) {
    ssize_t const got = ::read(descriptor_.native_handle(), buffer.data(), buffer.size());
    if (got <= 0) return concerned;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      char const* const name = buffer.data() + at + sizeof event;
      // The name is padded with NULs.
      std::string_view const text(name, ::strnlen(name, event.len));
      concerned = concerns_us(event, text) || concerned;
      at += sizeof event + event.len;
    }
  }
}

bool Notifier::Impl::concerns_us(inotify_event const& event, std::string_view name) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) return true;  // whatever was lost may have been ours
  auto const directory = watched_.find(event.wd);
  if (directory == watched_.end()) return false;
  if ((event.mask & IN_IGNORED) != 0) {
    watched_.erase(directory);
    return true;
  }
  return (event.mask & kOfTheDirectory) != 0 || directory->second.contains(name);
}

Notifier::Notifier(asio::any_io_executor executor)
    : impl_(std::make_unique<Impl>(std::move(executor))) {}
Notifier::~Notifier() = default;

void Notifier::watch(std::vector<Lookup> const& lookups) {
  impl_->watch(lookups);
}

asio::awaitable<bool> Notifier::wait_until(TimePoint deadline) {
  return impl_->wait_until(deadline);
}

}  // namespace kportal::config
