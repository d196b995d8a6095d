// SPDX-License-Identifier: MIT
#include "tests/bench/report.h"

#include <cmath>
#include <fstream>
#include <sys/utsname.h>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kportal::bench {
namespace {

constexpr char const* kLine = "{:<40}{:<8}{:<18}{:>10}{:>10}{:>6}  {}\n";

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
  return {{"figure", figure.name},
          {"unit", figure.unit},
          {"goal", figure.goal.text()},
          {"median", number(figure.median())},
          {"worst", number(figure.worst())},
          {"n", figure.samples.size()},
          {"verdict", to_word(figure.verdict())},
          {"samples", std::move(samples)}};
}

}  // namespace

std::string load_now() {
  std::string const line = first_line("/proc/loadavg");
  std::size_t end = 0;
  for (int i = 0; i < 3; ++i) end = line.find(' ', end + 1);
  return line.substr(0, end);
}

std::string machine() {
  utsname names{};
  uname(&names);
  std::string model = first_line("/proc/cpuinfo", "model name");
  model.erase(0, std::min(model.find(": "), model.size() - 2) + 2);
  return fmt::format("{} cores, {}, Linux {}", std::thread::hardware_concurrency(), model,
                     names.release);
}

std::string table(std::vector<Measured> const& rows) {
  std::string text = fmt::format(kLine, "figure", "unit", "to reach", "median", "worst", "n", "");
  for (Measured const& each : rows) {
    text += fmt::format("\n{}: {}\n", each.row.name, each.row.fault);
    for (Figure const& figure : each.row.figures) {
      text += fmt::format(kLine, "  " + figure.name, figure.unit, figure.goal.text(),
                          shown(figure.median()), shown(figure.worst()), figure.samples.size(),
                          to_word(figure.verdict()));
    }
    for (std::string const& note : each.row.notes) {
      if (!note.empty()) text += "  (" + note + ")\n";
    }
    if (!each.error.empty()) text += "  NOT MEASURED: " + each.error + "\n";
    text += fmt::format("  ({:.0f} s; load {})\n", each.seconds, each.load);
  }
  return text;
}

std::string json(std::string_view ground, std::vector<Measured> const& rows) {
  nlohmann::json list = nlohmann::json::array();
  for (Measured const& each : rows) {
    nlohmann::json figures = nlohmann::json::array();
    for (Figure const& figure : each.row.figures) figures.push_back(json_of(figure));
    list.push_back({{"row", each.row.name},
                    {"fault", each.row.fault},
                    {"figures", std::move(figures)},
                    {"notes", each.row.notes},
                    {"seconds", each.seconds},
                    {"load", each.load},
                    {"error", each.error}});
  }
  nlohmann::json const all = {
      {"ground", ground}, {"machine", machine()}, {"rows", std::move(list)}};
  return all.dump(2) + "\n";
}

}  // namespace kportal::bench
