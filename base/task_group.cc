// SPDX-License-Identifier: MIT
#include "base/task_group.h"

#include <algorithm>
#include <cassert>
#include <exception>
#include <functional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace kportal {
namespace {

// The end of a task, with the slot that cancels it. Not bind_cancellation_slot: for a handler with
// an executor of its own (the binder's is the default one) Asio dispatches each cancellation to the
// loop, where it may arrive after the task has ended and the signal is gone.
class AtEnd {
 public:
  using cancellation_slot_type = asio::cancellation_slot;

  AtEnd(asio::cancellation_slot slot, std::function<void()> leave)
      : slot_(slot), leave_(std::move(leave)) {}

  cancellation_slot_type get_cancellation_slot() const noexcept { return slot_; }

  void operator()(std::exception_ptr error) {
    if (error && !is_cancellation(error)) std::rethrow_exception(error);
    leave_();
  }

 private:
  asio::cancellation_slot slot_;
  std::function<void()> leave_;
};

}  // namespace

// co_spawn on the loop's own thread would run the task inside spawn().
awaitable<void> TaskGroup::run_at_next_turn(Member& member, awaitable<void> task) {
  co_await asio::post(asio::use_awaitable);
  member.started = true;
  if (!member.cancelled) co_await std::move(task);
}

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), emptied_(executor_, asio::steady_timer::time_point::max()) {}

TaskGroup::~TaskGroup() {
  assert(tasks_.empty() && "TaskGroup destroyed before its tasks ended");
}

TaskGroup::TaskId TaskGroup::spawn(awaitable<void> task) {
  auto const at = tasks_.emplace(tasks_.end());
  TaskId const id = next_id_++;
  at->id = id;
  auto const leave = [this, at] {
    tasks_.erase(at);
    if (tasks_.empty()) emptied_.cancel();
  };
  asio::co_spawn(executor_, run_at_next_turn(*at, std::move(task)),
                 AtEnd(at->signal.slot(), leave));
  return id;
}

void TaskGroup::cancel() {
  // A task may end, and so leave the list, while its signal is emitted.
  for (auto at = tasks_.begin(); at != tasks_.end();) {
    cancel(*at++);
  }
}

void TaskGroup::cancel(TaskId task) {
  auto const at = std::ranges::find(tasks_, task, &Member::id);
  if (at != tasks_.end()) cancel(*at);
}

void TaskGroup::cancel(Member& member) {
  member.cancelled = true;
  // Asio throws out of the loop where a coroutine is cancelled before its first wait.
  if (member.started) member.signal.emit(asio::cancellation_type::terminal);
}

bool TaskGroup::contains(TaskId task) const {
  return std::ranges::find(tasks_, task, &Member::id) != tasks_.end();
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
