// SPDX-License-Identifier: MIT
#include "lab/change_signal.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace kportal::lab {
namespace {

// Keeps a timer in the list for as long as its coroutine waits, also when that is cancelled.
class Enrolled {
 public:
  Enrolled(std::list<asio::steady_timer*>& list, asio::steady_timer& timer)
      : list_(list), at_(list.insert(list.end(), &timer)) {}
  ~Enrolled() { list_.erase(at_); }
  Enrolled(Enrolled const&) = delete;
  Enrolled& operator=(Enrolled const&) = delete;

 private:
  std::list<asio::steady_timer*>& list_;
  std::list<asio::steady_timer*>::iterator at_;
};

}  // namespace

void ChangeSignal::notify() {
  for (auto* const timer : waiting_) timer->cancel();
}

awaitable<void> ChangeSignal::wait(TimePoint deadline) {
  asio::steady_timer timer(executor_, deadline);
  Enrolled const enrolled(waiting_, timer);
  auto const [ignored] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  static_cast<void>(ignored);
}

awaitable<bool> ChangeSignal::wait_for(std::function<bool()> condition, TimePoint deadline) {
  while (!condition()) {
    if (Clock::now() >= deadline) co_return false;
    co_await wait(deadline);
  }
  co_return true;
}

}  // namespace kportal::lab
