// SPDX-License-Identifier: MIT
// The simulation as a program. Runs schedules of consecutive seeds; the first that breaks a promise
// is shortened, shown with its trace, and how to repeat it is said.
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "base/log.h"
#include "tests/sim/schedule.h"
#include "tests/sim/stage.h"

namespace kportal::sim {
namespace {

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t schedules = 1000;
  std::size_t steps = 200;
  std::size_t max_faults = SIZE_MAX;
  bool single = false;  // --seed: one schedule, with its trace
  // The build has a planted bug, and this is what it breaks: a promise, or an assertion.
  std::string must_break;
  bool full = false;  // everything must be reached
};

constexpr std::string_view kMustBreak = "--must-break=";
constexpr std::string_view kAssertion = "assertion";

// For the handler of SIGABRT: an assertion of the product.
volatile std::uint64_t current_seed = 0;
volatile std::uint64_t current_first = 0;
bool volatile current_may_abort = false;

void on_abort(int) {
  std::array<char, 160> text;
  auto const result = fmt::format_to_n(
      text.data(), text.size(), "{}: an assertion failed with --seed={} (schedule {})\n",
      current_may_abort ? "found" : "sim", std::uint64_t(current_seed),
      current_seed - current_first + 1);
  auto const written = write(STDOUT_FILENO, text.data(), std::min(result.size, text.size()));
  _exit(written > 0 && current_may_abort ? 0 : 1);
}

bool parse(std::string_view argument, std::string_view name, std::uint64_t& value) {
  if (!argument.starts_with(name)) return false;
  argument.remove_prefix(name.size());
  auto const end = argument.data() + argument.size();
  return std::from_chars(argument.data(), end, value).ptr == end;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    std::string_view const word = argv[i];
    std::uint64_t number = 0;
    if (parse(word, "--seed=", number)) {
      arguments.first = number;
      arguments.schedules = 1;
      arguments.single = true;
    } else if (parse(word, "--first=", number)) {
      arguments.first = number;
    } else if (parse(word, "--schedules=", number)) {
      arguments.schedules = number;
    } else if (parse(word, "--steps=", number)) {
      arguments.steps = number;
    } else if (parse(word, "--faults=", number)) {
      arguments.max_faults = number;
    } else if (word.starts_with(kMustBreak)) {
      arguments.must_break = word.substr(kMustBreak.size());
    } else if (word == "--full") {
      arguments.full = true;
    } else {
      fmt::print(stderr,
                 "usage: {} [--first=N] [--schedules=N] [--steps=N] [--full] [--must-break=WORD]\n"
                 "       {} --seed=N [--steps=N] [--faults=N]   one schedule, with its trace\n",
                 argv[0], argv[0]);
      return std::nullopt;
    }
  }
  return arguments;
}

struct Problem {
  std::string text;
  std::string promise;  // that is broken; empty = the simulation's own fault
};

// What is wrong with the schedule, if anything.
std::optional<Problem> run(boost::asio::io_context& loop, Coverage& coverage,
                           Options const& options, Outcome& outcome) {
  try {
    outcome = run_schedule(loop, coverage, options);
    return std::nullopt;
  } catch (Violation const& problem) {
    return Problem{problem.what(), std::string(problem.promise ? to_word(*problem.promise) : "")};
  } catch (std::exception const& problem) {
    return Problem{problem.what(), ""};
  }
}

// With as few faults as still break something.
Options shorten(Options options) {
  boost::asio::io_context loop;
  Coverage ignored;
  Outcome outcome;
  for (std::size_t faults = 0; faults < 64; ++faults) {
    options.max_faults = faults;
    if (run(loop, ignored, options, outcome)) return options;
  }
  options.max_faults = SIZE_MAX;
  return options;
}

int tell_failure(Options options, Problem const& problem) {
  fmt::print("sim: seed {}: {}: {}\n", options.seed, problem.promise, problem.text);
  options = shorten(options);
  options.trace = true;
  boost::asio::io_context loop;
  Coverage ignored;
  Outcome outcome;
  auto const again = run(loop, ignored, options, outcome);
  fmt::print("sim: {}\n", again ? again->text : "(not with this trace)");
  fmt::print("sim: to repeat it: sim_test --seed={} --steps={}", options.seed, options.steps);
  if (options.max_faults != SIZE_MAX) fmt::print(" --faults={}", options.max_faults);
  fmt::print("\n");
  return 1;
}

int run_all(Arguments const& arguments) {
  boost::asio::io_context loop;
  Coverage coverage;
  std::size_t steps = 0;
  std::size_t faults = 0;
  std::map<std::string, std::size_t> others;  // promises that were broken instead
  auto const began = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < arguments.schedules; ++i) {
    Options options;
    options.seed = arguments.first + i;
    options.steps = arguments.steps;
    options.max_faults = arguments.max_faults;
    options.trace = arguments.single;
    current_seed = options.seed;
    Outcome outcome;
    auto const problem = run(loop, coverage, options, outcome);
    if (problem && problem->promise == arguments.must_break) {
      fmt::print("found with --seed={} (schedule {}): {}\n", options.seed, i + 1, problem->text);
      return 0;
    }
    if (problem && arguments.must_break.empty()) return tell_failure(options, *problem);
    if (problem) ++others[problem->promise];
    steps += outcome.steps;
    faults += outcome.faults;
  }
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - began;
  fmt::print("sim: {} schedules, {} steps, {} faults in {:.1f} s: {:.0f} schedules/s\n",
             arguments.schedules, steps, faults, took.count(),
             static_cast<double>(arguments.schedules) / took.count());
  if (!arguments.must_break.empty()) {
    fmt::print("sim: the planted bug was not found by '{}'\n", arguments.must_break);
    for (auto const& [promise, times] : others) fmt::print("{:>8}  {}\n", times, promise);
    return 1;
  }
  if (!arguments.full) return 0;
  fmt::print("{}", coverage.table());
  auto const missing = coverage.missing();
  for (std::string const& line : missing) fmt::print("sim: never reached: {}\n", line);
  return missing.empty() ? 0 : 1;
}

}  // namespace
}  // namespace kportal::sim

int main(int argc, char** argv) {
  using namespace kportal::sim;
  auto const arguments = parse(argc, argv);
  if (!arguments) return 2;
  current_first = arguments->first;
  current_may_abort = arguments->must_break == kAssertion;
  std::signal(SIGABRT, on_abort);
  return run_all(*arguments);
}
