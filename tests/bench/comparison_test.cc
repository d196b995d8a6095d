// SPDX-License-Identifier: MIT
#include "tests/bench/comparison.h"

#include <gtest/gtest.h>

namespace kportal::bench {
namespace {

class Named final : public Tool {
 public:
  using Tool::Tool;
  std::unique_ptr<Running> start(Place const&, std::vector<Forward> const&) const override {
    return nullptr;
  }
};

class ComparisonTest : public testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (Figure const& figure : row_.figures) result.push_back(figure.name);
    return result;
  }
  Named const a_{"a"};
  Named const b_{"b"};
  Row row_;
};

TEST_F(ComparisonTest, ToolsTakeTurns) {
  std::string turns;
  auto const measure = [&](Tool const& tool, Turn& turn) {
    turns += tool.name();
    turn.add("time", "s", 1);
  };
  compare({&a_, &b_}, 3, {}, measure, row_);
  EXPECT_EQ(turns, "ababab");
}

TEST_F(ComparisonTest, ARatioIsMadeWithinARound) {
  double n = 0;
  auto const measure = [&](Tool const& tool, Turn& turn) {
    turn.add("rate", "MB/s", tool.name() == "a" ? 10 * ++n : 5);
    turn.add("memory", "MB", 7);
  };
  compare({&a_, &b_}, 3, {{"rate", "a", "b", Goal::median_at_least(4)}}, measure, row_);
  EXPECT_EQ(names(), (std::vector<std::string>{"rate: a", "rate: b", "rate: a / b", "memory: a",
                                               "memory: b"}));
  EXPECT_EQ(row_.figures[2].samples, (std::vector<double>{2, 4, 6}));
  EXPECT_EQ(row_.figures[2].verdict(), Verdict::ok);
}

TEST_F(ComparisonTest, ATurnThatFailsIsLeftOutAndSaid) {
  int turns = 0;
  auto const measure = [&](Tool const& tool, Turn& turn) {
    if (tool.name() == "b" && ++turns == 2) throw CannotMeasure("it ended");
    turn.add("time", "s", 1);
  };
  compare({&a_, &b_}, 3, {{"time", "a", "b", Goal::none()}}, measure, row_);
  EXPECT_EQ(row_.figures[0].samples.size(), 3u);
  EXPECT_EQ(row_.figures[1].samples.size(), 2u);
  EXPECT_EQ(row_.figures[2].samples.size(), 2u);
  EXPECT_EQ(row_.notes, std::vector<std::string>{"b: it ended"});
}

TEST_F(ComparisonTest, WhereNoToolCanBeMeasuredTheRowCannot) {
  auto const measure = [](Tool const&, Turn&) { throw CannotMeasure("no server"); };
  EXPECT_THROW(compare({&a_}, 2, {}, measure, row_), CannotMeasure);
}

}  // namespace
}  // namespace kportal::bench
