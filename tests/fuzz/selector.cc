// SPDX-License-Identifier: MIT
// Fuzzer of label selectors: what the configuration takes for one is one for the cluster too, and
// what is sent to the API server means the same.
#include "k8s/selector.h"

#include "config/grammar.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using fuzz::require;

Labels labels_of(fuzz::Input input) {
  Labels labels;
  for (std::uint8_t left = input.byte() % 4; left > 0; --left) {
    std::string const key(input.line());
    labels[key] = input.line();
  }
  return labels;
}

void run(fuzz::Input input) {
  std::string const text(input.line());
  auto const selector = Selector::parse(text);
  auto const complaint = config::check_selector(text);
  // The other way round it is stricter: nothing at all and `k in ()` are mistakes in a file.
  if (!complaint) require(selector.has_value());
  if (!selector) {
    require(selector.error().code == Errc::local);
    return;
  }
  std::string const query = selector->to_query();
  require(fuzz::is_one_clean_line(query));
  auto const again = Selector::parse(query);
  require(again.has_value() && *again == *selector && again->to_query() == query);
  require(!selector->matches_nothing());
  Labels const labels = labels_of(input);
  require(selector->matches(labels) == again->matches(labels));
  if (selector->matches_everything()) require(selector->matches(labels));
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::k8s::run(kportal::fuzz::Input(data, size));
  return 0;
}
