// SPDX-License-Identifier: MIT
// speed_bench: measures what a forward costs, beside kubectl and beside the bare machine, and
// prints it as a table. A figure that is missed is a result, not a failure; the exit code is 1 only
// where something could not be measured.
#include <algorithm>
#include <csignal>
#include <iostream>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tests/bench/report.h"
#include "tests/bench/speed_rows.h"
#include "tests/lab/kubectl.h"

namespace {

using namespace kportal;
using namespace kportal::bench;

struct Options {
  std::vector<std::string> rows;
  std::map<std::string, std::string> with;
  int rounds = Sizes().rounds;
  std::string json;
  bool cluster = false;

  // The program that goes by that name; empty: none was given.
  std::string program(std::string const& name) const {
    auto const found = with.find(name);
    return found == with.end() ? std::string() : found->second;
  }
};

SpeedSetting make_setting(Options const& options, SpeedRow const& kind) {
  SpeedSetting setting(options.cluster, kind.services);
  setting.sizes.rounds = options.rounds;
  setting.program = options.program(kOurs);
  setting.tools.push_back(make_ours(kOurs, setting.program));
  for (auto const& [name, program] : options.with) {
    if (name != kOurs && name != kKubectl) setting.tools.push_back(make_ours(name, program));
  }
  std::string const given = options.program(kKubectl);
  std::string const kubectl = given.empty() ? test::find_kubectl() : given;
  if (!kubectl.empty()) setting.tools.push_back(make_kubectl(kubectl));
  setting.add_bare_tools();
  return setting;
}

std::string title(Options const& options, SpeedSetting const& setting) {
  std::string text = options.cluster ? "speed, cluster" : "speed, lab";
  for (auto const& tool : setting.tools) {
    if (!tool->version().empty()) text += fmt::format("; {} {}", tool->name(), tool->version());
  }
  return text;
}

int run(Options const& options) {
  std::vector<Measured> all;
  std::string heading;
  for (SpeedRow const& kind : speed_rows()) {
    bool const wanted = options.rows.empty()
                            ? kind.on_cluster || !options.cluster
                            : std::ranges::find(options.rows, kind.name) != options.rows.end();
    if (!wanted) continue;
    SpeedSetting const setting = make_setting(options, kind);  // a fresh lab for each row
    heading = title(options, setting);
    all.push_back(measure_row(kind.name, kind.what, [&](Row& row) { kind.measure(setting, row); }));
  }
  return report(heading, all, options.json);
}

// "NAME=PATH", into the map.
std::string take_with(std::string const& text, std::map<std::string, std::string>& with) {
  auto const equals = text.find('=');
  if (equals == std::string::npos) return "NAME=PATH is wanted";
  with[text.substr(0, equals)] = text.substr(equals + 1);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string names;
  std::vector<std::string> known;
  for (SpeedRow const& kind : speed_rows()) {
    known.emplace_back(kind.name);
    names += fmt::format("{} ", kind.name);
  }
  CLI::App app("What a forward costs, beside kubectl and beside the bare machine. Rows: " + names);
  std::vector<std::string> with;
  app.add_option("--rows", options.rows, "these rows only")
      ->delimiter(',')
      ->check(CLI::IsMember(known));
  app.add_option("--rounds", options.rounds, "turns of each tool in each row")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "a file for the figures with all their samples");
  app.add_flag("--cluster", options.cluster, "the real cluster of tests/cluster, not the lab");
  app.add_option("--with", with,
                 "NAME=PATH: another kubectl or kportal-cpp; any other name is one more build of "
                 "kportal-cpp, measured beside it")
      ->delimiter(',')
      ->check([&](std::string const& text) { return take_with(text, options.with); });
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(options);
  } catch (CannotMeasure const& cannot) {
    std::cerr << "cannot measure: " << cannot.what() << "\n";
    return 1;
  }
}
