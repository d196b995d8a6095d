// SPDX-License-Identifier: MIT
#include "forward/watchdog.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "base/wakeup.h"

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;

awaitable<void> wait_a_bit(Duration how_long, bool& done) {
  co_await sleep_until(Clock::now() + how_long);
  done = true;
}

class WatchdogTest : public testing::Test {
 protected:
  ~WatchdogTest() override {
    tasks_.cancel();
    loop_.restart();
    loop_.run();
  }
  // Lets the loop turn for so long.
  void turn(Duration how_long) {
    bool done = false;
    tasks_.spawn(wait_a_bit(how_long, done));
    while (!done) loop_.run_one();
  }
  // One turn of the loop that takes so long.
  void stand_still(Duration how_long) {
    asio::post(loop_, [how_long] {
      for (TimePoint const end = Clock::now() + how_long; Clock::now() < end;) {
      }
    });
  }

  asio::io_context loop_{1};
  events::Bus bus_{loop_.get_executor()};
  Watchdog watchdog_{bus_, 30s};
  TaskGroup tasks_{loop_.get_executor()};
};

TEST_F(WatchdogTest, KnowsTheLongestTurnOfABusyLoop) {
  tasks_.spawn(watchdog_.run());
  turn(1ms);
  stand_still(100ms);
  turn(50ms);
  EXPECT_GE(watchdog_.longest_turn(), 90ms);
  Duration const longest = watchdog_.longest_turn();
  turn(5ms);
  EXPECT_GE(watchdog_.longest_turn(), longest);
}

TEST_F(WatchdogTest, SaysThatTheLoopStoodStill) {
  std::vector<std::chrono::milliseconds> late;
  auto const heard = bus_.subscribe([&](events::Event const& event) {
    if (auto const* hung = std::get_if<events::WatchdogHung>(&event.fact)) {
      late.push_back(hung->late);
    }
  });
  watchdog_.set_period(50ms);
  tasks_.spawn(watchdog_.run());
  turn(1ms);
  stand_still(200ms);
  turn(50ms);
  ASSERT_FALSE(late.empty());
  EXPECT_GE(*std::ranges::max_element(late), 190ms);
}

TEST(WatchdogDeathTest, AProgramThatCannotEndIsEnded) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto const hang = [] {
    asio::io_context loop(1);
    events::Bus bus(loop.get_executor());
    Watchdog watchdog(bus, 30s);
    watchdog.end_by(Clock::now() + 50ms, 7);
    for (;;) ::pause();
  };
  EXPECT_EXIT(hang(), testing::ExitedWithCode(7), "the end took too long");
}

TEST_F(WatchdogTest, AProgramThatEndsInTimeIsLeftAlone) {
  watchdog_.end_by(Clock::now() + 1h, 7);
}

}  // namespace
}  // namespace kportal::forward
