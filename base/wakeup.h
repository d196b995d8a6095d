// SPDX-License-Identifier: MIT
// Wakeup: one coroutine waits, others on the same loop tell it that there is something to do. A
// set() before the wait() is remembered, several count as one. Not a queue: what there is to do
// lies elsewhere. A wait that is cancelled throws, it does not return.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"

namespace kportal {

namespace asio = boost::asio;
using asio::awaitable;

class Wakeup {
 public:
  explicit Wakeup(asio::any_io_executor const& executor);

  void set();
  // Returns once set() was called, and forgets it. One waiter at a time.
  awaitable<void> wait();
  // The same, but returns at `deadline` at the latest. True if set() was called.
  awaitable<bool> wait_until(TimePoint deadline);

 private:
  asio::steady_timer timer_;
  bool set_ = false;
};

// Waits until then.
awaitable<void> sleep_until(TimePoint when);

}  // namespace kportal
