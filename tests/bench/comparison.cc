// SPDX-License-Identifier: MIT
#include "tests/bench/comparison.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "tests/bench/place.h"

namespace kportal::bench {
namespace {

// By tool's name; a tool that failed has none.
using Round = std::map<std::string, Turn>;

std::optional<double> value_of(Round const& round, std::string const& tool,
                               std::string const& figure) {
  auto const turn = round.find(tool);
  if (turn == round.end()) return std::nullopt;
  auto const& values = turn->second.values();
  auto const found = std::ranges::find(values, figure, &Turn::Value::figure);
  return found == values.end() ? std::nullopt : std::optional(found->value);
}

// In the order in which they first came.
std::vector<Turn::Value> figures_of(std::vector<Round> const& rounds,
                                    std::vector<Tool const*> const& tools) {
  std::vector<Turn::Value> figures;
  for (Round const& round : rounds) {
    for (Tool const* const tool : tools) {
      auto const turn = round.find(tool->name());
      if (turn == round.end()) continue;
      for (Turn::Value const& value : turn->second.values()) {
        if (std::ranges::find(figures, value.figure, &Turn::Value::figure) == figures.end()) {
          figures.push_back(value);
        }
      }
    }
  }
  return figures;
}

void add_values(std::vector<Round> const& rounds, Tool const& tool, std::string const& figure,
                Row& row) {
  for (Round const& round : rounds) {
    auto const turn = round.find(tool.name());
    if (turn == round.end()) continue;
    for (Turn::Value const& value : turn->second.values()) {
      if (value.figure != figure) continue;
      row.add(fmt::format("{}: {}", figure, tool.name()), value.unit, value.goal, value.value);
    }
  }
}

void add_ratio(std::vector<Round> const& rounds, Ratio const& ratio, Row& row) {
  for (Round const& round : rounds) {
    auto const value = value_of(round, ratio.tool, ratio.figure);
    auto const than = value_of(round, ratio.than, ratio.figure);
    if (!value || !than || *than == 0) continue;
    row.add(fmt::format("{}: {} / {}", ratio.figure, ratio.tool, ratio.than), "x", ratio.goal,
            *value / *than);
  }
}

}  // namespace

void Turn::add(std::string_view figure, std::string_view unit, double value, Goal const& goal) {
  values_.push_back({std::string(figure), std::string(unit), value, goal});
}

void compare(std::vector<Tool const*> const& tools, int rounds, std::vector<Ratio> const& ratios,
             std::function<void(Tool const&, Turn&)> const& measure, Row& row) {
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    Round& round = all.emplace_back();
    for (Tool const* const tool : tools) {
      try {
        Turn turn;
        measure(*tool, turn);
        round.emplace(tool->name(), std::move(turn));
      } catch (CannotMeasure const& cannot) {
        row.note(fmt::format("{}: {}", tool->name(), cannot.what()));
      }
    }
  }
  auto const figures = figures_of(all, tools);
  if (figures.empty()) throw CannotMeasure("no tool could be measured");
  for (Turn::Value const& figure : figures) {
    for (Tool const* const tool : tools) add_values(all, *tool, figure.figure, row);
    for (Ratio const& ratio : ratios) {
      if (ratio.figure == figure.figure) add_ratio(all, ratio, row);
    }
  }
}

}  // namespace kportal::bench
