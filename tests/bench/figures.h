// SPDX-License-Identifier: MIT
// Figures of the benches: samples, their median and spread, and whether they reach their goal.
// Pure: who measures, and who prints, is elsewhere.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kportal::bench {

// What a figure has to reach. With `at_least` more is better, else less.
struct Goal {
  std::optional<double> median;
  std::optional<double> worst;
  bool at_least = false;

  static Goal none() { return {}; }
  static Goal told_at_least();  // none, but the least is the worst
  static Goal at_most(double worst);
  static Goal at_most(double median, double worst);
  static Goal median_at_most(double median);
  static Goal median_at_least(double median);
  static Goal at_least_always(double worst);
  // "<= 300, worst 1000", in the figure's unit; empty without a goal.
  std::string text() const;
};

enum class Verdict { ok, missed, none };
std::string_view to_word(Verdict verdict);

struct Figure {
  std::string name;
  std::string unit;
  Goal goal;
  std::vector<double> samples;  // infinity: it never happened

  // Of at least one sample. The median of an even number is the mean of the middle two.
  double median() const;
  double least() const;
  double most() const;
  double worst() const;
  Verdict verdict() const;
};

// A value as the table shows it: whole numbers as such, "never" for infinity.
std::string shown(double value);

// What is measured together, with its figures in the order in which they were first added.
struct Row {
  std::string name;
  std::string what;
  std::vector<Figure> figures;
  std::vector<std::string> notes;

  void add(std::string_view figure, std::string_view unit, Goal const& goal, double sample);
  void note(std::string text);  // once, however often it is said
};

}  // namespace kportal::bench
