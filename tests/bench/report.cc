// SPDX-License-Identifier: MIT
#include "tests/bench/report.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <sys/utsname.h>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "tests/bench/place.h"

namespace kportal::bench {
namespace {

constexpr char const* kLine = "{:<44}{:<7}{:<20}{:>9}{:>9}{:>9}{:>4}  {}\n";

std::string first_line(char const* path, std::string_view beginning = {}) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(beginning)) return line;
  }
  return {};
}

nlohmann::json number(double value) {
  return std::isinf(value) ? nlohmann::json(nullptr) : nlohmann::json(value);
}

nlohmann::json json_of(Figure const& figure) {
  nlohmann::json samples = nlohmann::json::array();
  for (double const sample : figure.samples) samples.push_back(number(sample));
  return {{"figure", figure.name},           {"unit", figure.unit},
          {"goal", figure.goal.text()},      {"median", number(figure.median())},
          {"least", number(figure.least())}, {"most", number(figure.most())},
          {"n", figure.samples.size()},      {"verdict", to_word(figure.verdict())},
          {"samples", std::move(samples)}};
}

// The load averages, as the kernel shows them.
std::string load_now() {
  std::string const line = first_line("/proc/loadavg");
  std::size_t end = 0;
  for (int i = 0; i < 3; ++i) end = line.find(' ', end + 1);
  return line.substr(0, end);
}

// Cores, processor, kernel.
std::string machine() {
  utsname names{};
  uname(&names);
  std::string model = first_line("/proc/cpuinfo", "model name");
  model.erase(0, std::min(model.find(": "), model.size() - 2) + 2);
  return fmt::format("{} cores, {}, Linux {}", std::thread::hardware_concurrency(), model,
                     names.release);
}

std::string json(std::string_view title, std::vector<Measured> const& rows) {
  nlohmann::json list = nlohmann::json::array();
  for (Measured const& each : rows) {
    nlohmann::json figures = nlohmann::json::array();
    for (Figure const& figure : each.row.figures) figures.push_back(json_of(figure));
    list.push_back({{"row", each.row.name},
                    {"what", each.row.what},
                    {"figures", std::move(figures)},
                    {"notes", each.row.notes},
                    {"seconds", each.seconds},
                    {"load", each.load},
                    {"error", each.error}});
  }
  nlohmann::json const all = {{"title", title}, {"machine", machine()}, {"rows", std::move(list)}};
  return all.dump(2) + "\n";
}

std::string table(std::vector<Measured> const& rows) {
  std::string text =
      fmt::format(kLine, "figure", "unit", "to reach", "median", "least", "most", "n", "");
  for (Measured const& each : rows) {
    text += fmt::format("\n{}: {}\n", each.row.name, each.row.what);
    for (Figure const& figure : each.row.figures) {
      text += fmt::format(kLine, "  " + figure.name, figure.unit, figure.goal.text(),
                          shown(figure.median()), shown(figure.least()), shown(figure.most()),
                          figure.samples.size(), to_word(figure.verdict()));
    }
    for (std::string const& note : each.row.notes) {
      if (!note.empty()) text += "  (" + note + ")\n";
    }
    if (!each.error.empty()) text += "  NOT MEASURED: " + each.error + "\n";
    text += fmt::format("  ({:.0f} s; load {})\n", each.seconds, each.load);
  }
  return text;
}

}  // namespace

Measured measure_row(std::string_view name, std::string_view what,
                     std::function<void(Row&)> const& measure) {
  std::cerr << name << " ..." << std::endl;
  Measured measured;
  measured.row.name = name;
  measured.row.what = what;
  TimePoint const begin = Clock::now();
  std::string const load = load_now();
  std::thread thread([&] {
    try {
      measure(measured.row);
    } catch (CannotMeasure const& cannot) {
      measured.error = cannot.what();
    }
  });
  thread.join();
  measured.load = load + ", then " + load_now();
  measured.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::cerr << table({measured}) << std::endl;
  return measured;
}

int report(std::string const& title, std::vector<Measured> const& rows,
           std::string const& json_path) {
  std::cout << title << "; " << machine() << "\n\n" << table(rows);
  if (!json_path.empty()) {
    std::ofstream file(json_path);
    file << json(title, rows) << std::flush;
    if (!file) {
      std::cerr << "cannot write " << json_path << "\n";
      return 1;
    }
  }
  bool const all =
      std::ranges::all_of(rows, [](Measured const& each) { return each.error.empty(); });
  return all ? 0 : 1;
}

}  // namespace kportal::bench
