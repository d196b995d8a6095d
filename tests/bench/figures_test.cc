// SPDX-License-Identifier: MIT
#include "tests/bench/figures.h"

#include <limits>

#include <gtest/gtest.h>

namespace kportal::bench {
namespace {

Figure figure(Goal const& goal, std::vector<double> samples) {
  Figure result;
  result.goal = goal;
  result.samples = std::move(samples);
  return result;
}

TEST(FiguresTest, TheMedianIsTheMiddleOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(figure(Goal::none(), {9, 1, 5}).median(), 5);
  EXPECT_EQ(figure(Goal::none(), {9, 1, 5, 6}).median(), 5.5);
}

TEST(FiguresTest, TheWorstIsTheLeastWhereMoreIsBetter) {
  EXPECT_EQ(figure(Goal::at_most(7), {9, 1, 5}).worst(), 9);
  EXPECT_EQ(figure(Goal::at_least_always(7), {9, 1, 5}).worst(), 1);
}

TEST(FiguresTest, AGoalIsReachedByMedianAndWorst) {
  EXPECT_EQ(figure(Goal::at_most(300, 1000), {250, 300, 1000}).verdict(), Verdict::ok);
  EXPECT_EQ(figure(Goal::at_most(300, 1000), {250, 301, 1000}).verdict(), Verdict::missed);
  EXPECT_EQ(figure(Goal::at_most(300, 1000), {250, 300, 1001}).verdict(), Verdict::missed);
  EXPECT_EQ(figure(Goal::median_at_most(150), {10, 20, 9000}).verdict(), Verdict::ok);
  EXPECT_EQ(figure(Goal::median_at_least(1.4), {1, 1.4, 9}).verdict(), Verdict::ok);
  EXPECT_EQ(figure(Goal::median_at_least(1.4), {1, 1.3, 9}).verdict(), Verdict::missed);
  EXPECT_EQ(figure(Goal::at_least_always(90), {99, 90}).verdict(), Verdict::ok);
  EXPECT_EQ(figure(Goal::at_least_always(90), {99, 89.9}).verdict(), Verdict::missed);
  EXPECT_EQ(figure(Goal::none(), {99}).verdict(), Verdict::none);
}

TEST(FiguresTest, WhatNeverHappenedIsMissedAndSaidSo) {
  double const never = std::numeric_limits<double>::infinity();
  EXPECT_EQ(figure(Goal::at_most(300, 1000), {1, 1, never}).verdict(), Verdict::missed);
  EXPECT_EQ(shown(never), "never");
}

TEST(FiguresTest, ARowKeepsTheOrderOfItsFigures) {
  Row row;
  row.add("b", "ms", Goal::none(), 1);
  row.add("a", "", Goal::at_most(0), 0);
  row.add("b", "ms", Goal::none(), 2);
  ASSERT_EQ(row.figures.size(), 2u);
  EXPECT_EQ(row.figures[0].samples, (std::vector<double>{1, 2}));
  EXPECT_EQ(row.figures[1].goal.text(), "0");
}

TEST(FiguresTest, GoalsAndValuesAreShort) {
  EXPECT_EQ(Goal::at_most(300, 1000).text(), "<= 300, worst 1000");
  EXPECT_EQ(Goal::median_at_most(150).text(), "median <= 150");
  EXPECT_EQ(Goal::median_at_least(1.4).text(), "median >= 1.4");
  EXPECT_EQ(Goal::at_least_always(90).text(), ">= 90");
  EXPECT_EQ(shown(0.004), "0");
  EXPECT_EQ(shown(8.1234), "8.12");
  EXPECT_EQ(shown(1234.5), "1234");
}

}  // namespace
}  // namespace kportal::bench
