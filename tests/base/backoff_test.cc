// SPDX-License-Identifier: MIT
#include "base/backoff.h"

#include <vector>

#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::chrono_literals;

std::vector<Duration> first_waits(std::uint32_t seed, int count) {
  Backoff backoff(seed);
  std::vector<Duration> waits;
  for (int i = 0; i < count; ++i) waits.push_back(backoff.next());
  return waits;
}

TEST(BackoffTest, WaitsAsTheContractSaysWithTenPercentOfJitter) {
  std::vector<Duration> const expected = {0ms, 500ms, 1s, 2s, 4s, 8s, 10s, 10s, 10s};
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    auto const waits = first_waits(seed, static_cast<int>(expected.size()));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_GE(waits[i], expected[i] * 9 / 10) << "seed " << seed << ", attempt " << i;
      EXPECT_LE(waits[i], expected[i] * 11 / 10) << "seed " << seed << ", attempt " << i;
    }
  }
}

TEST(BackoffTest, FirstRetryComesAtOnceAlsoAfterAReset) {
  Backoff backoff(7);
  EXPECT_EQ(backoff.next(), Duration::zero());
  EXPECT_GT(backoff.next(), Duration::zero());
  EXPECT_EQ(backoff.attempts(), 2);
  backoff.reset();
  EXPECT_EQ(backoff.attempts(), 0);
  EXPECT_EQ(backoff.next(), Duration::zero());
}

TEST(BackoffTest, SeedsSpreadTheRetries) {
  EXPECT_EQ(first_waits(1, 5), first_waits(1, 5));
  EXPECT_NE(first_waits(1, 5), first_waits(2, 5));
}

TEST(BackoffTest, StaysAtTheLastStepForEver) {
  Backoff backoff(1);
  for (int i = 0; i < 100000; ++i) backoff.next();
  EXPECT_LE(backoff.next(), 11s);
  EXPECT_EQ(backoff.attempts(), 100001);
}

}  // namespace
}  // namespace kportal
