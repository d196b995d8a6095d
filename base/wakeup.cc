// SPDX-License-Identifier: MIT
#include "base/wakeup.h"

#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace kportal {
namespace {

// Asio itself throws only at the await after the one that was cancelled: too late for whoever acts
// on what this wait was for.
awaitable<void> throw_if_cancelled() {
  auto const cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}

}  // namespace

Wakeup::Wakeup(asio::any_io_executor const& executor) : timer_(executor) {}

void Wakeup::set() {
  if (set_) return;
  set_ = true;
  timer_.cancel();
}

awaitable<void> Wakeup::wait() {
  co_await wait_until(kNever);
}

awaitable<bool> Wakeup::wait_until(TimePoint deadline) {
  while (!set_) {
    timer_.expires_at(deadline);
    auto const [error] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    co_await throw_if_cancelled();
    if (!error) break;
  }
  co_return std::exchange(set_, false);
}

awaitable<void> sleep_until(TimePoint when) {
  auto const executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  auto const [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  static_cast<void>(error);
  co_await throw_if_cancelled();
}

}  // namespace kportal
