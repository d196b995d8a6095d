// SPDX-License-Identifier: MIT
#include "k8s/run_until.h"

#include <exception>
#include <utility>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace kportal::k8s {

awaitable<bool> run_until(awaitable<void> task, awaitable<void> end) {
  using asio::experimental::awaitable_operators::operator||;
  bool by_itself = false;
  try {
    auto const first = co_await (std::move(task) || std::move(end));
    by_itself = first.index() == 0;
  } catch (asio::multiple_exceptions const& both) {
    std::rethrow_exception(both.first_exception());
  }
  auto const state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return by_itself;
}

}  // namespace kportal::k8s
