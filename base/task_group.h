// SPDX-License-Identifier: MIT
// TaskGroup: the owner of coroutines. What runs is a member of some group, and the group is joined
// before what its tasks use goes away; so there is no detached coroutine. Cancelling is Asio's
// terminal cancellation: a task's next co_await throws, only destructors run, and the group
// swallows it.
#pragma once

#include <cstdint>
#include <list>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

namespace kportal {

namespace asio = boost::asio;
using asio::awaitable;

class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  // All tasks must have ended: cancel() and join() first. (A loop that was stopped and destroyed
  // takes its tasks with it; then the group must outlive the loop.)
  ~TaskGroup();
  TaskGroup(TaskGroup const&) = delete;
  TaskGroup& operator=(TaskGroup const&) = delete;

  // Starts the task at the next turn of the loop. An exception other than cancellation is a broken
  // invariant and ends the process.
  using TaskId = std::uint64_t;
  TaskId spawn(awaitable<void> task);
  // Asks all tasks to end; those that have not begun never do. Those spawned later run. From the
  // loop's thread, also while the loop does not run.
  void cancel();
  // Asks this one; nothing if it has ended.
  void cancel(TaskId task);
  // Returns when no task is left. Not from a task of this group.
  awaitable<void> join();

  // Whether it has not ended.
  bool contains(TaskId task) const;
  bool empty() const { return tasks_.empty(); }
  std::size_t size() const { return tasks_.size(); }

 private:
  struct Member {
    TaskId id = 0;
    asio::cancellation_signal signal;
    bool started = false;
    bool cancelled = false;
  };
  static void cancel(Member& member);
  static awaitable<void> run_at_next_turn(Member& member, awaitable<void> task);

  asio::any_io_executor executor_;
  TaskId next_id_ = 1;
  std::list<Member> tasks_;
  asio::steady_timer emptied_;  // cancelled when the last task ends
};

// True when `error` is the exception that a cancelled coroutine ends with.
bool is_cancellation(std::exception_ptr const& error) noexcept;

}  // namespace kportal
