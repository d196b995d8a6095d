// SPDX-License-Identifier: MIT
// Fuzzer of the configuration file: one or two files, separated by a zero byte, with an environment
// of a few variables.
#include <algorithm>
#include <set>

#include "config/diff.h"
#include "config/grammar.h"
#include "config/parse.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::config {
namespace {

using fuzz::require;

void check(std::vector<Problem> const& problems, std::vector<Source> const& sources) {
  require(problems.size() <= Report::kMaxProblems + 1);
  for (Problem const& problem : problems) {
    auto const source = std::ranges::find(sources, problem.file, &Source::file);
    require(source != sources.end());
    require(!problem.message.empty() && fuzz::is_one_clean_line(to_text(problem)));
    auto const lines = std::ranges::count(source->text, '\n') + 1;
    require(problem.line >= 0 && problem.line <= lines);
    require((problem.line == 0) == (problem.column == 0) && problem.column >= 0);
    require(problem.column <= static_cast<int>(source->text.size()) + 1);
  }
}

void check(Config const& config) {
  std::set<std::string> ids;
  for (ForwardSpec const& forward : config.forwards) {
    require(ids.insert(forward.id()).second);
    require(fuzz::is_one_clean_line(forward.id()));
    require(!forward.addresses.empty() && !forward.namespace_.empty() && !forward.port.empty());
    for (std::string const& address : forward.addresses) {
      std::string again;
      require(!parse_address(address, again) && again == address);
    }
    Target target;
    require(!parse_target(forward.resource, forward.target.selector, target));
    require(target == forward.target);
    require(!check_port(forward.port, target.kind));
    require(forward.kubeconfig.empty() || forward.kubeconfig.starts_with('/'));
    require(forward.health.interval.count() > 0 && forward.health.timeout.count() > 0);
  }
  require(config.reliability.max_tunnels > 0 && config.reliability.dial_timeout.count() > 0);
}

std::optional<std::string> variable(std::string const& name) {
  if (name == "EMPTY") return "";
  if (name == "WORD") return "word";
  if (name == "HOSTILE") return "a: [\x1b[2J\n${WORD}";
  if (name == "LONG") return std::string(100'000, 'x');
  return std::nullopt;
}

void run(fuzz::Input input) {
  std::vector<Source> sources;
  sources.push_back({"a.yaml", std::string(input.line()), "/a"});
  if (!input.empty()) sources.push_back({"b.yaml", std::string(input.line()), "/b"});
  ParseOutcome const outcome = parse(sources, variable);
  require(outcome.config.has_value() == outcome.problems.empty());
  check(outcome.problems, sources);
  check(outcome.warnings, sources);
  ParseOutcome const again = parse(sources, variable);
  require(again.config == outcome.config && again.problems == outcome.problems);
  if (outcome.config) check(*outcome.config);
}

}  // namespace
}  // namespace kportal::config

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::config::run(kportal::fuzz::Input(data, size));
  return 0;
}
