// SPDX-License-Identifier: MIT
// Stage: what all parts of one schedule share: the time, chance, the trace, what was reached, and
// how a broken promise is told. Owned by the schedule, outlives the parts.
#pragma once

#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "tests/sim/coverage.h"
#include "tests/sim/random.h"
#include "tests/sim/timeline.h"

namespace kportal::sim {

// A promise that was not kept: the product's fault, or the simulation's.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Stage {
  Timeline time;
  Random random;
  Coverage& coverage;
  bool traces = false;

  Stage(std::uint64_t seed, Coverage& c, bool t) : random(seed), coverage(c), traces(t) {}

  template <class... Args>
  void trace(fmt::format_string<Args...> form, Args&&... args) {
    if (!traces) return;
    auto const at = time.now() - Timeline::kBegin;
    fmt::print("{:>9} {}\n", std::chrono::duration_cast<std::chrono::microseconds>(at).count(),
               fmt::format(form, std::forward<Args>(args)...));
  }

  template <class... Args>
  void require(bool kept, fmt::format_string<Args...> form, Args&&... args) {
    if (!kept) throw Violation(fmt::format(form, std::forward<Args>(args)...));
  }
};

}  // namespace kportal::sim
