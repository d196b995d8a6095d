// SPDX-License-Identifier: MIT
#include "base/task_group.h"

#include <stdexcept>
#include <string>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

#include "base/wakeup.h"

namespace kportal {
namespace {

struct Note {
  std::string& log;
  std::string text;
  Note(std::string& to, std::string what) : log(to), text(std::move(what)) {}
  ~Note() { log += text; }
};

awaitable<void> note(std::string& log, std::string text) {
  log += text;
  co_return;
}

awaitable<void> wait_for(Wakeup& wakeup, std::string& log) {
  Note const at_end(log, "[gone]");
  co_await wakeup.wait();
  log += "[woken]";
}

awaitable<void> fail() {
  throw std::runtime_error("broken");
  co_return;
}

awaitable<void> join(TaskGroup& group, std::string& log) {
  co_await group.join();
  log += "[joined]";
}

awaitable<void> spawn_another(TaskGroup& group, std::string& log) {
  group.spawn(note(log, "[second]"));
  log += "[first]";
  co_return;
}

awaitable<void> cancel_and_wait(TaskGroup& group, std::string& log) {
  auto const executor = co_await asio::this_coro::executor;
  log += "[cancels]";
  group.cancel();
  Wakeup never(executor);
  co_await never.wait();
  log += "[went on]";
}

TEST(TaskGroupTest, StartsATaskAtTheNextTurnOnly) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  std::string log;
  group.spawn(note(log, "[ran]"));
  EXPECT_EQ(log, "");
  EXPECT_EQ(group.size(), 1u);
  loop.run();
  EXPECT_EQ(log, "[ran]");
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroupTest, CancelledTasksOnlyRunTheirDestructors) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  group.spawn(wait_for(wakeup, log));
  loop.poll();
  group.cancel();
  loop.run();
  EXPECT_EQ(log, "[gone]");
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroupTest, CancelReachesEveryTaskAndNoLaterOne) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup first(loop.get_executor());
  Wakeup second(loop.get_executor());
  Wakeup third(loop.get_executor());
  std::string log;
  group.spawn(wait_for(first, log));
  group.spawn(wait_for(second, log));
  loop.poll();
  group.cancel();
  std::string later;
  group.spawn(wait_for(third, later));
  loop.poll();
  EXPECT_EQ(log, "[gone][gone]");
  EXPECT_EQ(group.size(), 1u);
  third.set();
  loop.run();
  EXPECT_EQ(later, "[woken][gone]");
}

TEST(TaskGroupTest, CancelsATaskThatHasNotHadItsFirstTurn) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  std::string log;
  group.spawn(note(log, "[ran]"));  // from outside the loop, which is not even running
  group.cancel();
  loop.run();
  EXPECT_EQ(log, "");
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroupTest, CancelsFromOutsideTheLoopATaskThatIsAboutToEnd) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  group.spawn(wait_for(wakeup, log));
  loop.poll();
  wakeup.set();    // the end of the task is queued,
  group.cancel();  // and its cancellation must not come after it
  loop.run();
  EXPECT_EQ(log, "[gone]");
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroupTest, ATaskMayCancelItsOwnGroup) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  group.spawn(wait_for(wakeup, log));
  group.spawn(cancel_and_wait(group, log));
  loop.run();
  EXPECT_EQ(log, "[cancels][gone]");
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroupTest, JoinReturnsWhenTheLastTaskHasEnded) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  TaskGroup outside(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  group.spawn(wait_for(wakeup, log));
  outside.spawn(join(group, log));
  loop.poll();
  EXPECT_EQ(log, "");
  wakeup.set();
  loop.run();
  EXPECT_EQ(log, "[woken][gone][joined]");
}

TEST(TaskGroupTest, JoinOfAnEmptyGroupReturns) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  TaskGroup outside(loop.get_executor());
  std::string log;
  outside.spawn(join(group, log));
  loop.run();
  EXPECT_EQ(log, "[joined]");
}

TEST(TaskGroupTest, ATaskMaySpawnAnother) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  std::string log;
  group.spawn(spawn_another(group, log));
  loop.run();
  EXPECT_EQ(log, "[first][second]");
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroupTest, TellsACancellationFromAFailure) {
  auto const aborted = std::make_exception_ptr(
      boost::system::system_error(make_error_code(asio::error::operation_aborted)));
  auto const refused = std::make_exception_ptr(
      boost::system::system_error(make_error_code(asio::error::connection_refused)));
  EXPECT_TRUE(is_cancellation(aborted));
  EXPECT_FALSE(is_cancellation(refused));
  EXPECT_FALSE(is_cancellation(std::make_exception_ptr(std::runtime_error("no"))));
}

TEST(TaskGroupDeathTest, AnyOtherExceptionEndsTheProcess) {
  auto const run = []() noexcept {
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    group.spawn(fail());
    loop.run();
  };
  EXPECT_DEATH(run(), "broken|destroyed before");
}

TEST(TaskGroupDeathTest, MustBeEmptyWhenDestroyed) {
  auto const run = [] {
    asio::io_context loop;
    std::string log;
    TaskGroup group(loop.get_executor());
    group.spawn(note(log, "[ran]"));
  };
  EXPECT_DEATH(run(), "destroyed before its tasks ended");
}

}  // namespace
}  // namespace kportal
