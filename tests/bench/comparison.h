// SPDX-License-Identifier: MIT
// Comparison: one row in rounds, in each of which every tool has its turn, so that what else the
// machine does meets all of them alike; and the ratios, made within each round. It knows no tool
// and no row.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/figures.h"
#include "tests/bench/tool.h"

namespace kportal::bench {

// What one turn of one tool gave.
class Turn {
 public:
  void add(std::string_view figure, std::string_view unit, double value,
           Goal const& goal = Goal::none());

  struct Value {
    std::string figure;
    std::string unit;
    double value;
    Goal goal;
  };
  std::vector<Value> const& values() const { return values_; }

 private:
  std::vector<Value> values_;
};

// A figure of `tool` as a multiple of the same figure of `than`.
struct Ratio {
  std::string figure;
  std::string tool;
  std::string than;
  Goal goal;
  Ratio(std::string f, std::string t, std::string of, Goal g)
      : figure(std::move(f)), tool(std::move(t)), than(std::move(of)), goal(std::move(g)) {}
};

// Adds to the row, figure by figure, each tool's values of all rounds, then the ratios of that
// figure. A tool whose turn fails is left out of that round, and the row says why. Throws
// CannotMeasure if no tool has any value.
void compare(std::vector<Tool const*> const& tools, int rounds, std::vector<Ratio> const& ratios,
             std::function<void(Tool const&, Turn&)> const& measure, Row& row);

}  // namespace kportal::bench
