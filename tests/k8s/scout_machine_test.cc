// SPDX-License-Identifier: MIT
#include "k8s/scout_machine.h"

#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;

class ScoutMachineTest : public testing::Test {
 protected:
  TimePoint const t0_ = Clock::now();
  ScoutMachine machine_;
};

TEST_F(ScoutMachineTest, PresumesLifeAtTheStart) {
  EXPECT_FALSE(machine_.dark());
  EXPECT_EQ(machine_.deadline(), kNever);
  EXPECT_FALSE(machine_.knock_due(t0_ + 1h));
  EXPECT_FALSE(machine_.hopeless(t0_, t0_ + 1h));
}

TEST_F(ScoutMachineTest, ADoubtWithoutLifeSinceMakesItDark) {
  EXPECT_FALSE(machine_.heard(t0_));
  machine_.doubt(t0_ - 1s, t0_ + 1s);  // somebody heard something after that
  EXPECT_FALSE(machine_.dark());
  machine_.doubt(t0_, t0_ + 2s);
  EXPECT_TRUE(machine_.dark());
}

TEST_F(ScoutMachineTest, KnocksAtOnceAndThenEachBeat) {
  machine_.doubt(t0_, t0_);
  int knocks = 0;
  for (TimePoint now = t0_; now <= t0_ + 30s; now += 10ms) {
    if (now < machine_.deadline()) continue;
    EXPECT_TRUE(machine_.knock_due(now));
    EXPECT_FALSE(machine_.knock_due(now));
    ++knocks;
  }
  EXPECT_EQ(knocks, 16);
}

TEST_F(ScoutMachineTest, WhoRefusesAtOnceIsAskedAgainAfterAPause) {
  machine_.doubt(t0_, t0_);
  ASSERT_TRUE(machine_.knock_due(t0_));
  machine_.knock_failed(t0_, t0_ + 499ms);
  EXPECT_EQ(machine_.deadline(), t0_ + ScoutMachine::kMinPause);
  ASSERT_TRUE(machine_.knock_due(t0_ + 500ms));
  EXPECT_EQ(machine_.deadline(), t0_ + 2500ms) << "only once that one has ended, too";
  machine_.knock_failed(t0_ + 500ms, t0_ + 501ms);
  EXPECT_EQ(machine_.deadline(), t0_ + 1s);
}

TEST_F(ScoutMachineTest, WhoRefusesLateOrBesideAnotherKnockIsNotAskedMoreOften) {
  machine_.doubt(t0_, t0_);
  ASSERT_TRUE(machine_.knock_due(t0_));
  machine_.knock_failed(t0_, t0_ + 500ms);
  EXPECT_EQ(machine_.deadline(), t0_ + 2s);
  ASSERT_TRUE(machine_.knock_due(t0_ + 2s));
  machine_.knock_failed(t0_, t0_ + 2s);  // the one before
  EXPECT_EQ(machine_.deadline(), t0_ + 4s);
}

TEST_F(ScoutMachineTest, WhoRefusesForLongIsAskedEachBeat) {
  machine_.doubt(t0_, t0_);
  int knocks = 0;
  TimePoint const end = t0_ + ScoutMachine::kEager + 20s;
  for (TimePoint now = t0_; now < end; now += 10ms) {
    if (!machine_.knock_due(now)) continue;
    machine_.knock_failed(now, now);
    ++knocks;
  }
  EXPECT_EQ(knocks, ScoutMachine::kEager / ScoutMachine::kMinPause + 20s / ScoutMachine::kBeat);
}

TEST_F(ScoutMachineTest, ARefusalThatCameTooLateToMatterChangesNothing) {
  machine_.doubt(t0_, t0_);
  ASSERT_TRUE(machine_.knock_due(t0_));
  EXPECT_TRUE(machine_.heard(t0_ + 1ms));
  machine_.knock_failed(t0_, t0_ + 2ms);
  EXPECT_EQ(machine_.deadline(), kNever);
}

TEST_F(ScoutMachineTest, NoMoreThanThreeKnocksAreInFlight) {
  EXPECT_EQ(ScoutMachine::kKnockTime, 6s);  // each ends when the fourth begins
}

TEST_F(ScoutMachineTest, TheFirstSignOfLifeEndsIt) {
  machine_.doubt(t0_, t0_ + 2s);
  EXPECT_FALSE(machine_.heard(t0_));  // had come before the silence began
  EXPECT_TRUE(machine_.dark());
  EXPECT_EQ(machine_.heard(t0_ + 9s), Duration(7s));
  EXPECT_FALSE(machine_.dark());
  EXPECT_EQ(machine_.deadline(), kNever);
  EXPECT_FALSE(machine_.heard(t0_ + 10s));
}

TEST_F(ScoutMachineTest, DarkAgainItDoesNotKnockWithoutAPause) {
  machine_.doubt(t0_, t0_);
  EXPECT_TRUE(machine_.knock_due(t0_));
  EXPECT_TRUE(machine_.heard(t0_ + 10ms));
  machine_.doubt(t0_ + 10ms, t0_ + 20ms);
  EXPECT_EQ(machine_.deadline(), t0_ + ScoutMachine::kMinPause);
}

TEST_F(ScoutMachineTest, AChangeOfTheNetworkIsAReasonToKnock) {
  machine_.network_changed(t0_);
  EXPECT_EQ(machine_.deadline(), kNever);
  machine_.doubt(t0_, t0_);
  EXPECT_TRUE(machine_.knock_due(t0_));
  machine_.network_changed(t0_ + 100ms);
  EXPECT_EQ(machine_.deadline(), t0_ + ScoutMachine::kMinPause);
  machine_.network_changed(t0_ + 1s);  // does not put off what is due
  EXPECT_EQ(machine_.deadline(), t0_ + ScoutMachine::kMinPause);
  EXPECT_TRUE(machine_.knock_due(t0_ + 1s));
  machine_.network_changed(t0_ + 2s);
  EXPECT_EQ(machine_.deadline(), t0_ + 2s);
}

TEST_F(ScoutMachineTest, ADialIsHopelessInTheDarkWithoutASignForABeat) {
  machine_.doubt(t0_, t0_ + 1s);
  EXPECT_FALSE(machine_.hopeless(t0_, t0_ + 1999ms));
  EXPECT_TRUE(machine_.hopeless(t0_, t0_ + 2s));
  EXPECT_FALSE(machine_.hopeless(t0_ + 1s, t0_ + 2s));
  static_cast<void>(machine_.heard(t0_ + 2s));
  EXPECT_FALSE(machine_.hopeless(t0_, t0_ + 3s));
}

}  // namespace
}  // namespace kportal::k8s
