// SPDX-License-Identifier: MIT
#include "config/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/validate.h"
#include "tests/config/support.h"

namespace kportal::config {
namespace {

using testing::ElementsAre;

TEST(ProblemTest, IsOneLine) {
  EXPECT_EQ(to_text({"f.yaml", 12, 3, "port: is missing"}), "f.yaml:12:3: port: is missing");
  EXPECT_EQ(to_text({"f.yaml", 0, 0, "no such file"}), "f.yaml: no such file");
}

TEST(ProblemTest, QuotesForATerminal) {
  EXPECT_EQ(in_quotes("a b"), "\"a b\"");
  EXPECT_EQ(in_quotes("a\n\x1b[31m"), "\"a\\n\\x1b[31m\"");
  EXPECT_EQ(in_quotes(std::string(80, 'x')), "\"" + std::string(80, 'x') + "\"");
  EXPECT_EQ(in_quotes(std::string(79, 'x') + "\xc3\xa9"), "\"" + std::string(79, 'x') + "...\"")
      << "no half characters";
}

TEST(ProblemTest, ReportsInOrderOfPlaceAndEachOnce) {
  Report report;
  EXPECT_TRUE(report.empty());
  report.add(1, {1, 1}, "d");
  report.add(0, {2, 1}, "c");
  report.add(0, {1, 9}, "b");
  report.add(0, {}, "a");
  report.add(0, {2, 1}, "c");
  report.add(0, {1, 9}, "b2");
  EXPECT_FALSE(report.empty());
  EXPECT_THAT(texts(report.take({"x", "y"})),
              ElementsAre("x: a", "x:1:9: b", "x:1:9: b2", "x:2:1: c", "y:1:1: d"));
  EXPECT_TRUE(report.empty());
}

TEST(ValidateTest, AsksForOverlapInBothDirections) {
  EXPECT_TRUE(addresses_overlap("0.0.0.0", "127.0.0.1"));
  EXPECT_TRUE(addresses_overlap("127.0.0.1", "0.0.0.0"));
  EXPECT_TRUE(addresses_overlap("localhost", "::"));
  EXPECT_TRUE(addresses_overlap("::", "localhost"));
  EXPECT_FALSE(addresses_overlap("0.0.0.0", "::"));
  EXPECT_FALSE(addresses_overlap("127.0.0.1", "127.0.0.2"));
}

}  // namespace
}  // namespace kportal::config
