// SPDX-License-Identifier: MIT
// LoopFixture: a test with a loop of its own. run() runs it until nothing is left to do, which is
// the proof that every coroutine ended; work left at the deadline is a failure, and is cancelled.
#pragma once

#include <chrono>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"

namespace kportal::test {

class LoopFixture : public testing::Test {
 protected:
  // Far beyond what any test needs: only a hang gets there.
  static constexpr std::chrono::seconds kDeadline{20};

  asio::any_io_executor executor() { return loop_.get_executor(); }
  // The task starts with the next run(). Coroutines use EXPECT_*, for ASSERT_* returns.
  void spawn(awaitable<void> task) { tasks_.spawn(std::move(task)); }
  void cancel_tasks() { tasks_.cancel(); }

  void run() {
    loop_.restart();
    loop_.run_for(kDeadline);
    EXPECT_TRUE(loop_.stopped()) << "the loop has work left";
    EXPECT_TRUE(tasks_.empty()) << "a task waits for what will never come";
    if (tasks_.empty()) return;
    tasks_.cancel();
    loop_.restart();
    loop_.run_for(std::chrono::seconds(1));
  }
  void run(awaitable<void> task) {
    spawn(std::move(task));
    run();
  }
  // Runs what is due, without waiting.
  void poll() {
    loop_.restart();
    loop_.poll();
  }

  asio::io_context loop_{1};
  TaskGroup tasks_{loop_.get_executor()};
};

}  // namespace kportal::test
