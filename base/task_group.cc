// SPDX-License-Identifier: MIT
#include "base/task_group.h"

#include <cassert>
#include <exception>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace kportal {
namespace {

// co_spawn on the loop's own thread would run the task inside spawn().
awaitable<void> run_at_next_turn(awaitable<void> task) {
  co_await asio::post(asio::use_awaitable);
  co_await std::move(task);
}

}  // namespace

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), emptied_(executor_, asio::steady_timer::time_point::max()) {}

TaskGroup::~TaskGroup() {
  assert(tasks_.empty() && "TaskGroup destroyed before its tasks ended");
}

void TaskGroup::spawn(awaitable<void> task) {
  auto const at = tasks_.emplace(tasks_.end());
  auto ended = [this, at](std::exception_ptr error) {
    if (error && !is_cancellation(error)) std::rethrow_exception(error);
    tasks_.erase(at);
    if (tasks_.empty()) emptied_.cancel();
  };
  asio::co_spawn(executor_, run_at_next_turn(std::move(task)),
                 asio::bind_cancellation_slot(at->slot(), std::move(ended)));
}

void TaskGroup::cancel() {
  // A task may end, and so leave the list, while its signal is emitted.
  for (auto at = tasks_.begin(); at != tasks_.end();) {
    auto const current = at++;
    current->emit(asio::cancellation_type::terminal);
  }
}

awaitable<void> TaskGroup::join() {
  while (!tasks_.empty()) {
    auto const [ignored] = co_await emptied_.async_wait(asio::as_tuple(asio::use_awaitable));
    static_cast<void>(ignored);
  }
}

bool is_cancellation(std::exception_ptr const& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (boost::system::system_error const& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (asio::multiple_exceptions const& both) {  // of a || b
    return is_cancellation(both.first_exception());
  } catch (...) {
    return false;
  }
}

}  // namespace kportal
