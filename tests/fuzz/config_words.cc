// SPDX-License-Identifier: MIT
// Fuzzer of single values of the configuration and of the command line: durations, ${}, targets,
// ports, addresses, forwards without a file.
#include <algorithm>

#include "config/ad_hoc.h"
#include "config/duration.h"
#include "config/expand.h"
#include "config/grammar.h"
#include "config/suggest.h"
#include "config/validate.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::config {
namespace {

using fuzz::require;

void check(Complaint const& complaint) {
  if (complaint) require(!complaint->empty() && fuzz::is_one_clean_line(*complaint));
}

void check_duration(std::string_view text) {
  auto const duration = parse_duration(text);
  if (!duration) return;
  require(parse_duration(format_duration(*duration)) == duration);
}

void check_number(fuzz::Input input) {
  auto const high = static_cast<std::int64_t>(input.number(4));
  std::chrono::nanoseconds const duration(high << 32 | input.number(4));
  require(parse_duration(format_duration(duration)) == duration);
}

void check_expand(std::string_view text, std::string const& value) {
  constexpr std::size_t kLimit = 64;
  auto const environment = [&value](std::string const& name) {
    return name == "V" ? std::optional<std::string>(value) : std::nullopt;
  };
  Expanded const expanded = expand(text, environment, kLimit);
  for (ExpandFailure const& failure : expanded.failures) {
    require(text.substr(failure.offset).starts_with("${"));
    require(fuzz::is_one_clean_line(failure.message));
  }
  if (text.find("${") == std::string_view::npos && text.size() <= kLimit) {
    require(expanded.text == text);
  }
  // Text without any is the file's own, which has a bound of its own.
  if (text.find("${") == std::string_view::npos) return;
  if (expanded.failures.empty()) require(expanded.text.size() <= kLimit);
}

void check_values(std::string_view word, std::string_view other) {
  for (auto const check_one : {check_dns_label, check_dns_subdomain, check_context_name,
                               check_alias, check_tag, check_selector}) {
    check(check_one(word));
  }
  Target target;
  auto const complaint = parse_target(word, other, target);
  check(complaint);
  if (!complaint) require(target.name.empty() == (word.find('/') == std::string_view::npos));
  check(check_port(word, TargetKind::service));
  std::uint16_t port = 0;
  check(parse_local_port(word, port));
  std::string address;
  std::string again;
  if (auto const wrong = parse_address(word, address)) return check(wrong);
  require(!parse_address(address, again) && again == address);
  require(addresses_overlap(address, address));
  static constexpr std::string_view kWords[] = {"localPort", "resource", "reliability"};
  (void)closest(word, kWords);
}

void check_ad_hoc(fuzz::Input input) {
  AdHoc words;
  words.target = input.line();
  std::uint8_t const choice = input.byte();
  for (int i = 0; i < choice % 4; ++i) words.ports.emplace_back(input.line());
  for (int i = 0; i < choice / 4 % 4; ++i) words.addresses.emplace_back(input.line());
  words.context = input.line();
  words.namespace_ = input.line();
  ParseOutcome const outcome = parse_ad_hoc(words);
  require(outcome.config.has_value() == outcome.problems.empty());
  for (Problem const& problem : outcome.problems)
    require(fuzz::is_one_clean_line(to_text(problem)));
  if (!outcome.config) return;
  require(looks_like_target(words.target) || words.target.find('/') == std::string::npos);
  require(outcome.config->forwards.size() == words.ports.size());
  for (ForwardSpec const& forward : outcome.config->forwards) {
    require(!forward.addresses.empty());
    require(std::ranges::count(outcome.config->forwards, forward.id(), &ForwardSpec::id) == 1);
  }
}

}  // namespace
}  // namespace kportal::config

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input input(data, size);
  std::uint8_t const choice = input.byte();
  if (choice % 4 == 0) {
    config::check_duration(input.rest());
    config::check_number(input);
  } else if (choice % 4 == 1) {
    std::string const value(input.line());
    config::check_expand(input.rest(), value);
  } else if (choice % 4 == 2) {
    auto const word = input.line();
    config::check_values(word, input.line());
  } else {
    config::check_ad_hoc(input);
  }
  return 0;
}
