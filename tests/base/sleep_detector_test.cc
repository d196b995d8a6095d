// SPDX-License-Identifier: MIT
#include "base/sleep_detector.h"

#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::chrono_literals;

TEST(SleepDetectorTest, TheFirstLookOnlyRemembers) {
  SleepDetector detector;
  EXPECT_FALSE(detector.look(100h, 20h));
  EXPECT_FALSE(detector.look(100h + 1s, 20h + 1s));
}

TEST(SleepDetectorTest, SeesOneSleepOnce) {
  SleepDetector detector;
  static_cast<void>(detector.look(10s, 10s));
  EXPECT_EQ(detector.look(3611s, 11s), Duration(3600s));
  EXPECT_FALSE(detector.look(3612s, 12s));
  EXPECT_EQ(detector.look(3615s, 14s), Duration(1s));
}

// A program that was stopped for a while: both clocks went on.
TEST(SleepDetectorTest, ALongTimeWithoutALookIsNoSleep) {
  SleepDetector detector;
  static_cast<void>(detector.look(10s, 10s));
  EXPECT_FALSE(detector.look(1000s, 1000s - 999ms));
}

// What the two clocks drift in many looks does not add up.
TEST(SleepDetectorTest, SmallDifferencesAreNoSleep) {
  SleepDetector detector;
  Duration since_boot{};
  for (int i = 0; i < 100; ++i) {
    since_boot += 1s + 900ms;
    EXPECT_FALSE(detector.look(since_boot, i * Duration(1s)));
  }
}

TEST(SleepDetectorTest, ReadsClocksThatGoOn) {
  Duration const awake = time_awake();
  EXPECT_GT(awake, Duration::zero());
  EXPECT_GE(time_since_boot(), awake);
  EXPECT_GE(time_awake(), awake);
}

}  // namespace
}  // namespace kportal
