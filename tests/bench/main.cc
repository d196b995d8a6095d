// SPDX-License-Identifier: MIT
// fault_bench: measures what a fault costs a user of the program, in the lab or on the real
// cluster, and prints it as a table. A figure that is missed is a result, not a failure; the exit
// code is 1 only where something could not be measured.
#include <algorithm>
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tests/bench/report.h"
#include "tests/bench/rows.h"

namespace {

using namespace kportal;
using namespace kportal::bench;

struct Options {
  std::vector<std::string> rows;
  int repeat = 0;
  std::string json;
  bool cluster = false;
};

std::string names() {
  std::string text;
  for (RowKind const& kind : row_kinds()) text += fmt::format("{} ", kind.name);
  return text;
}

std::vector<Measured> measure_all(Options const& options) {
  std::vector<Measured> all;
  std::unique_ptr<Ground> ground;
  for (RowKind const& kind : row_kinds()) {
    if (!options.rows.empty() && std::ranges::find(options.rows, kind.name) == options.rows.end()) {
      continue;
    }
    if (!ground) ground = options.cluster ? make_cluster_ground() : make_lab_ground();
    all.push_back(measure_row(kind.name, kind.what, [&](Row& row) {
      kind.measure(*ground, Repeats(options.repeat), row);
    }));
    if (!options.cluster) ground.reset();  // a fresh lab for each row
  }
  return all;
}

int run(Options const& options) {
  std::vector<Measured> all;
  try {
    all = measure_all(options);
  } catch (CannotMeasure const& cannot) {
    std::cerr << "cannot measure: " << cannot.what() << "\n";
    return 1;
  }
  return report(fmt::format("faults, {}", options.cluster ? "cluster" : "lab"), all, options.json);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What faults cost a user of the program. Rows: " + names());
  std::vector<std::string> known;
  for (RowKind const& kind : row_kinds()) known.emplace_back(kind.name);
  app.add_option("--rows", options.rows, "these rows only")
      ->delimiter(',')
      ->check(CLI::IsMember(known));
  app.add_option("--repeat", options.repeat, "repetitions of each, but for churn")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "a file for the figures with all their samples");
  app.add_flag("--cluster", options.cluster, "the real cluster of tests/cluster, not the lab");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  return run(options);
}
