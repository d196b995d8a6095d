// SPDX-License-Identifier: MIT
#include "forward/failure_digest.h"

#include <gmock/gmock.h>

namespace kportal::forward {
namespace {

using events::Reason;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMax = FailureDigest::kMaxTold;

class FailureDigestTest : public testing::Test {
 protected:
  // How many of `n` are told one by one.
  std::size_t fail(std::size_t n, Reason reason = Reason::refused) {
    std::size_t told = 0;
    for (std::size_t i = 0; i < n; ++i) {
      ConnectionFailure failure;
      failure.reason = reason;
      failure.message = "number " + std::to_string(i + 1);
      failure.pod = "web-1";
      told += digest_.tell(failure, now_) ? 1 : 0;
    }
    return told;
  }

  TimePoint now_ = TimePoint(std::chrono::hours(1));
  FailureDigest digest_;
};

TEST_F(FailureDigestTest, FewAreToldOneByOne) {
  EXPECT_EQ(fail(kMax), kMax);
  EXPECT_EQ(digest_.deadline(), kNever);
  EXPECT_TRUE(digest_.due(now_ + seconds(10)).empty());
}

TEST_F(FailureDigestTest, TheRestOfAFloodIsCountedAndToldAtTheEndOfTheWindow) {
  EXPECT_EQ(fail(kMax + 300), kMax);
  EXPECT_EQ(digest_.deadline(), now_ + FailureDigest::kWindow);
  EXPECT_TRUE(digest_.due(digest_.deadline() - milliseconds(1)).empty());
  auto const due = digest_.due(digest_.deadline());
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due.front().reason, Reason::refused);
  EXPECT_EQ(due.front().message, "300 more connections failed, the last: number 320");
  EXPECT_EQ(due.front().pod, "web-1");
  EXPECT_EQ(digest_.deadline(), kNever);
}

TEST_F(FailureDigestTest, ASingleOneTooManyIsToldAsItIs) {
  fail(kMax + 1);
  auto const due = digest_.due(digest_.deadline());
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due.front().message, "number 21");
}

TEST_F(FailureDigestTest, EachReasonHasItsOwnWindow) {
  fail(kMax + 1000);
  EXPECT_EQ(fail(1, Reason::stalled), 1U);
}

TEST_F(FailureDigestTest, ASlowTrickleIsToldEntirely) {
  for (int i = 0; i < 1000; ++i, now_ += FailureDigest::kWindow / 10) EXPECT_EQ(fail(1), 1U);
}

TEST_F(FailureDigestTest, NothingIsLostHoweverLateSomebodyAsks) {
  std::size_t told = fail(kMax + 5);
  now_ += seconds(30);
  told += fail(7);
  EXPECT_EQ(told, kMax);
  auto const due = digest_.due(now_);
  ASSERT_EQ(due.size(), 1U);
  EXPECT_THAT(due.front().message, testing::StartsWith("12 more"));
  EXPECT_EQ(fail(1), 1U);
}

}  // namespace
}  // namespace kportal::forward
