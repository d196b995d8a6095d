// SPDX-License-Identifier: MIT
#include "forward/phases.h"

#include <gtest/gtest.h>

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kNow{1000s};

TEST(PhasesTest, TellsOnceOfWhatIsPastItsTime) {
  Phases phases;
  phases.begin(Phase::dial, 7, kNow, 60s);
  phases.begin(Phase::resolve, 0, kNow, 90s);
  EXPECT_TRUE(phases.take_overrun(kNow + 60s).empty());
  auto const overrun = phases.take_overrun(kNow + 61s);
  ASSERT_EQ(overrun.size(), 1u);
  EXPECT_EQ(overrun[0].phase, Phase::dial);
  EXPECT_EQ(overrun[0].id, 7u);
  EXPECT_EQ(to_text(overrun[0]), "dialling for 61 s");
  EXPECT_TRUE(phases.take_overrun(kNow + 62s).empty());
}

TEST(PhasesTest, WhatHasEndedIsNotLate) {
  Phases phases;
  {
    Phases::Guard const guard(phases, Phase::close, 1);
    phases.begin(Phase::close, 1, kNow, 1s);
  }
  phases.begin(Phase::turn, 0, kNow, 1s);
  phases.end(Phase::turn, 0);
  phases.end(Phase::turn, 0);
  EXPECT_TRUE(phases.take_overrun(kNow + 1h).empty());
}

TEST(PhasesTest, OneThatBeginsAnewHasItsTimeAnew) {
  Phases phases;
  phases.begin(Phase::turn, 0, kNow, 1s);
  phases.begin(Phase::turn, 0, kNow + 1s, 1s);
  EXPECT_TRUE(phases.take_overrun(kNow + 2s).empty());
  EXPECT_EQ(phases.take_overrun(kNow + 3s).size(), 1u);
}

}  // namespace
}  // namespace kportal::forward
