// SPDX-License-Identifier: MIT
// fault_bench: measures what a fault costs a user of the program, in the lab or on the real
// cluster, and prints it as a table. A figure that is missed is a result, not a failure; the exit
// code is 1 only where something could not be measured.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>

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

// In a thread of its own: a row may send its thread into another network.
Measured measure(RowKind const& kind, Ground& ground, int repeat) {
  Measured measured;
  measured.row.name = kind.name;
  measured.row.fault = kind.fault;
  TimePoint const begin = Clock::now();
  std::string const load = load_now();
  std::thread thread([&] {
    try {
      kind.measure(ground, Repeats(repeat), measured.row);
    } catch (CannotMeasure const& cannot) {
      measured.error = cannot.what();
    }
  });
  thread.join();
  measured.load = load + ", then " + load_now();
  measured.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return measured;
}

std::vector<Measured> measure_all(Options const& options) {
  std::vector<Measured> all;
  std::unique_ptr<Ground> ground;
  for (RowKind const& kind : row_kinds()) {
    if (!options.rows.empty() && std::ranges::find(options.rows, kind.name) == options.rows.end()) {
      continue;
    }
    if (!ground) ground = options.cluster ? make_cluster_ground() : make_lab_ground();
    std::cerr << kind.name << " ..." << std::endl;
    all.push_back(measure(kind, *ground, options.repeat));
    std::cerr << table({all.back()}) << std::endl;
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
  char const* const ground = options.cluster ? "cluster" : "lab";
  std::cout << "faults, " << ground << "; " << machine() << "\n\n" << table(all);
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << json(ground, all) << std::flush;
    if (!file) {
      std::cerr << "cannot write " << options.json << "\n";
      return 1;
    }
  }
  return std::ranges::all_of(all, [](Measured const& each) { return each.error.empty(); }) ? 0 : 1;
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
