// SPDX-License-Identifier: MIT
// ChangeSignal: any number of coroutines wait, one notify() wakes them all; what changed lies
// elsewhere. Unlike base/wakeup it remembers nothing: look first, then wait, with no await in
// between.
#pragma once

#include <functional>
#include <list>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"

namespace kportal::lab {

namespace asio = boost::asio;
using asio::awaitable;

class ChangeSignal {
 public:
  explicit ChangeSignal(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ChangeSignal(ChangeSignal const&) = delete;
  ChangeSignal& operator=(ChangeSignal const&) = delete;

  void notify();
  // Returns at the next notify(), or at `deadline`.
  awaitable<void> wait(TimePoint deadline = kNever);
  // Returns true as soon as `condition` holds, which is asked at once and after each notify();
  // false at `deadline`. Pass a named function, never a lambda temporary (g++ 12).
  awaitable<bool> wait_for(std::function<bool()> condition, TimePoint deadline);

 private:
  asio::any_io_executor executor_;
  std::list<asio::steady_timer*> waiting_;
};

}  // namespace kportal::lab
