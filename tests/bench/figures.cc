// SPDX-License-Identifier: MIT
#include "tests/bench/figures.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace kportal::bench {

Goal Goal::at_most(double worst) {
  Goal goal;
  goal.worst = worst;
  return goal;
}

Goal Goal::at_most(double median, double worst) {
  Goal goal;
  goal.median = median;
  goal.worst = worst;
  return goal;
}

Goal Goal::median_at_most(double median) {
  Goal goal;
  goal.median = median;
  return goal;
}

Goal Goal::median_at_least(double median) {
  Goal goal = median_at_most(median);
  goal.at_least = true;
  return goal;
}

Goal Goal::at_least_always(double worst) {
  Goal goal = at_most(worst);
  goal.at_least = true;
  return goal;
}

Goal Goal::told_at_least() {
  Goal goal;
  goal.at_least = true;
  return goal;
}

std::string Goal::text() const {
  char const* const sign = at_least ? ">=" : "<=";
  if (median && worst) return fmt::format("{} {}, worst {}", sign, shown(*median), shown(*worst));
  if (median) return fmt::format("median {} {}", sign, shown(*median));
  if (!worst) return {};
  return *worst == 0 ? "0" : fmt::format("{} {}", sign, shown(*worst));
}

std::string_view to_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::missed:
      return "missed";
    case Verdict::none:
      return "";
  }
  return "";
}

double Figure::median() const {
  std::vector<double> sorted = samples;
  std::sort(sorted.begin(), sorted.end());
  std::size_t const half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Figure::least() const {
  return *std::min_element(samples.begin(), samples.end());
}

double Figure::most() const {
  return *std::max_element(samples.begin(), samples.end());
}

double Figure::worst() const {
  return goal.at_least ? least() : most();
}

Verdict Figure::verdict() const {
  if (!goal.median && !goal.worst) return Verdict::none;
  auto const reached = [&](double value, std::optional<double> const& bound) {
    return !bound || (goal.at_least ? value >= *bound : value <= *bound);
  };
  bool const ok = reached(median(), goal.median) && reached(worst(), goal.worst);
  return ok ? Verdict::ok : Verdict::missed;
}

std::string shown(double value) {
  if (std::isinf(value)) return "never";
  double const rounded = std::round(value * 100) / 100;
  if (std::abs(rounded) >= 100) return fmt::format("{:.0f}", rounded);
  return fmt::format("{:.3g}", rounded == 0 ? 0.0 : rounded);
}

void Row::add(std::string_view figure, std::string_view unit, Goal const& goal, double sample) {
  auto found = std::find_if(figures.begin(), figures.end(),
                            [&](Figure const& each) { return each.name == figure; });
  if (found == figures.end()) {
    Figure fresh;
    fresh.name = figure;
    fresh.unit = unit;
    fresh.goal = goal;
    found = figures.insert(figures.end(), std::move(fresh));
  }
  found->samples.push_back(sample);
}

void Row::note(std::string text) {
  if (std::find(notes.begin(), notes.end(), text) == notes.end()) notes.push_back(std::move(text));
}

}  // namespace kportal::bench
