// SPDX-License-Identifier: MIT
#include "base/wakeup.h"

#include <string>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"

namespace kportal {
namespace {

using namespace std::chrono_literals;

awaitable<void> count_wakes(Wakeup& wakeup, int& wakes) {
  for (;;) {
    co_await wakeup.wait();
    ++wakes;
  }
}

awaitable<void> wait_until(Wakeup& wakeup, TimePoint deadline, std::string& log) {
  bool const set = co_await wakeup.wait_until(deadline);
  log += set ? "[set]" : "[late]";
}

awaitable<void> sleep_and_note(TimePoint when, std::string& log) {
  co_await sleep_until(when);
  log += "[slept]";
}

awaitable<void> sleep_and_cancel(TimePoint when, TaskGroup& group) {
  co_await sleep_until(when);
  group.cancel();
}

TEST(WakeupTest, WakesTheWaiterOnceForEachSet) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  int wakes = 0;
  group.spawn(count_wakes(wakeup, wakes));
  loop.poll();
  EXPECT_EQ(wakes, 0);
  wakeup.set();
  EXPECT_EQ(wakes, 0);  // never inside set()
  loop.poll();
  EXPECT_EQ(wakes, 1);
  wakeup.set();
  loop.poll();
  EXPECT_EQ(wakes, 2);
  group.cancel();
  loop.run();
  EXPECT_EQ(wakes, 2);
}

TEST(WakeupTest, SeveralSetsCountAsOne) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  int wakes = 0;
  group.spawn(count_wakes(wakeup, wakes));
  loop.poll();
  wakeup.set();
  wakeup.set();
  wakeup.set();
  loop.poll();
  EXPECT_EQ(wakes, 1);
  group.cancel();
  loop.run();
}

TEST(WakeupTest, ASetBeforeTheWaitIsRemembered) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  int wakes = 0;
  wakeup.set();
  group.spawn(count_wakes(wakeup, wakes));
  loop.poll();
  EXPECT_EQ(wakes, 1);
  group.cancel();
  loop.run();
}

TEST(WakeupTest, ADeadlineEndsTheWaitAndASetAfterItIsRemembered) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  group.spawn(wait_until(wakeup, Clock::now() - 1s, log));
  loop.run();
  EXPECT_EQ(log, "[late]");
  wakeup.set();
  loop.restart();
  group.spawn(wait_until(wakeup, Clock::now() - 1s, log));
  loop.run();
  EXPECT_EQ(log, "[late][set]");
}

TEST(WakeupTest, ASetEndsAWaitWithADeadline) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  group.spawn(wait_until(wakeup, Clock::now() + 1h, log));
  loop.poll();
  wakeup.set();
  loop.run();
  EXPECT_EQ(log, "[set]");
}

TEST(WakeupTest, AWaitThatIsCancelledAsItsDeadlinePassesDoesNotReturn) {
  asio::io_context loop;
  TaskGroup first(loop.get_executor());
  TaskGroup second(loop.get_executor());
  Wakeup wakeup(loop.get_executor());
  std::string log;
  TimePoint const when = Clock::now() + 1ms;  // one turn of the loop for both
  first.spawn(sleep_and_cancel(when, second));
  second.spawn(wait_until(wakeup, when, log));
  loop.run();
  EXPECT_EQ(log, "");
}

TEST(WakeupTest, CancelledSleepDoesNotReturn) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  std::string log;
  group.spawn(sleep_and_note(Clock::now() + 1h, log));
  loop.poll();
  group.cancel();
  loop.run();
  EXPECT_EQ(log, "");
  EXPECT_TRUE(group.empty());
}

TEST(WakeupTest, SleepReturnsAtItsTime) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  std::string log;
  TimePoint const when = Clock::now() + 5ms;
  group.spawn(sleep_and_note(when, log));
  loop.run();
  EXPECT_EQ(log, "[slept]");
  EXPECT_GE(Clock::now(), when);
}

}  // namespace
}  // namespace kportal
