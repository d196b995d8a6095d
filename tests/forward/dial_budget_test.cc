// SPDX-License-Identifier: MIT
#include "forward/dial_budget.h"

#include <gtest/gtest.h>

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;

class DialBudgetTest : public testing::Test {
 protected:
  bool dial(std::string const& pod) {
    budget_.pass(now_);
    if (budget_.next(pod) > now_) return false;
    budget_.dialled(pod, now_);
    return true;
  }
  std::size_t dials(std::string const& pod) {
    std::size_t count = 0;
    while (count < 100 && dial(pod)) ++count;
    return count;
  }

  DialBudget budget_;
  TimePoint now_ = TimePoint() + 1h;
};

TEST_F(DialBudgetTest, EachPodThatIsToHaveATunnelAddsToIt) {
  budget_.wanted({"a"}, now_);
  EXPECT_EQ(dials("a"), 10u);
  budget_.wanted({"a", "b", "c"}, now_);
  EXPECT_EQ(dials("a"), 20u);
}

TEST_F(DialBudgetTest, HasRoomAgainAsDialsArePast) {
  budget_.wanted({"a"}, now_);
  EXPECT_EQ(dials("a"), 10u);
  EXPECT_EQ(budget_.next("a"), now_ + DialBudget::kWindow);
  now_ += DialBudget::kWindow - 1ms;
  EXPECT_EQ(dials("a"), 0u);
  now_ += 1ms;
  EXPECT_EQ(dials("a"), 10u);
}

TEST_F(DialBudgetTest, TheFirstDialToAPodInPlaceOfAnotherCountsApart) {
  budget_.wanted({"a"}, now_);
  EXPECT_EQ(dials("a"), 10u);
  budget_.wanted({"b"}, now_);
  EXPECT_EQ(dials("b"), 1u);
  budget_.wanted({"a"}, now_);
  EXPECT_EQ(dials("a"), 0u);
}

TEST_F(DialBudgetTest, ARolloutLeavesRoomForALoss) {
  budget_.wanted({"0"}, now_);
  EXPECT_TRUE(dial("0"));
  for (std::string const pod : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
    budget_.wanted({pod}, now_);
    EXPECT_TRUE(dial(pod));
  }
  EXPECT_EQ(dials("9"), 9u);
}

TEST_F(DialBudgetTest, APodIsNewAgainOnceItWasNotWantedForAWindow) {
  budget_.wanted({"a"}, now_);
  now_ += 1h;  // wanted all the time
  budget_.wanted({}, now_);
  now_ += DialBudget::kWindow - 1ms;
  budget_.wanted({"b"}, now_);
  EXPECT_EQ(dials("b"), 11u);
  budget_.wanted({"a"}, now_);
  EXPECT_FALSE(dial("a"));
  budget_.wanted({"b"}, now_);
  now_ += DialBudget::kWindow - 1ms;
  budget_.wanted({"a"}, now_);
  EXPECT_FALSE(dial("a"));
}

TEST_F(DialBudgetTest, SparesLeaveSomeOfIt) {
  budget_.wanted({"a"}, now_);
  for (std::size_t i = 0; i < DialBudget::kMaxDials - DialBudget::kReserved; ++i) {
    EXPECT_LE(budget_.next_spare(), now_);
    budget_.dialled("a", now_);
  }
  EXPECT_EQ(budget_.next_spare(), now_ + DialBudget::kWindow);
  EXPECT_EQ(dials("a"), DialBudget::kReserved);
}

}  // namespace
}  // namespace kportal::forward
