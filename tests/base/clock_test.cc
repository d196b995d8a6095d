// SPDX-License-Identifier: MIT
#include "base/clock.h"

#include <set>

#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kPoint = TimePoint(1h);

TEST(ClockTest, OnTheGridIsNeverLaterAndLittleSooner) {
  for (Duration past = 0ms; past < 2 * kGrid; past += 7ms) {
    for (Duration const span : {1000ms, 1234ms, 3000ms, 5000ms, 30'000ms}) {
      TimePoint const due = on_grid(kPoint + past, span);
      EXPECT_LE(due, kPoint + past + span);
      EXPECT_GT(due, kPoint + past + span - kGrid);
      EXPECT_EQ(due.time_since_epoch() % kGrid, Duration::zero());
    }
  }
}

TEST(ClockTest, WhoWakesOnThePointKeepsItsPace) {
  EXPECT_EQ(on_grid(kPoint, 3s), kPoint + 3s);
  EXPECT_EQ(on_grid(kPoint + 2ms, 3s), kPoint + 3s);  // it woke a little late
}

TEST(ClockTest, ShortSpansAreExact) {
  EXPECT_EQ(on_grid(kPoint + 3ms, 100ms), kPoint + 103ms);
  EXPECT_EQ(on_grid(kPoint + 3ms, 999ms), kPoint + 1002ms);
}

TEST(ClockTest, ManyShareFewPoints) {
  std::set<TimePoint> points;
  for (int i = 0; i < 500; ++i) points.insert(on_grid(kPoint + i * 6ms, 3s));
  EXPECT_LE(points.size(), 7u);
}

}  // namespace
}  // namespace kportal
