// SPDX-License-Identifier: MIT
// Stage: what all parts of one schedule share: the time, chance, the trace, what was reached, and
// how a broken promise is told. Owned by the schedule, outlives the parts.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "tests/sim/coverage.h"
#include "tests/sim/promise.h"
#include "tests/sim/random.h"
#include "tests/sim/timeline.h"

namespace kportal::sim {

// A promise that was not kept, or a fault of the simulation itself.
struct Violation : std::runtime_error {
  std::optional<Promise> promise;

  explicit Violation(std::string const& what) : std::runtime_error(what) {}
  Violation(Promise p, std::string const& what) : std::runtime_error(what), promise(p) {}
};

class Stage {
 public:
  Timeline time;
  Random random;
  Coverage& coverage;
  bool traces = false;

  Stage(std::uint64_t seed, Coverage& c, bool t) : random(seed), coverage(c), traces(t) {}

  // Of the next user's connection, in the ledger.
  std::uint64_t next_mark() { return ++last_mark_; }

  template <class... Args>
  void trace(fmt::format_string<Args...> form, Args&&... args) {
    if (!traces) return;
    auto const at = time.now() - Timeline::kBegin;
    fmt::print("{:>9} {}\n", std::chrono::duration_cast<std::chrono::microseconds>(at).count(),
               fmt::format(form, std::forward<Args>(args)...));
  }

  template <class... Args>
  void require(Promise promise, bool kept, fmt::format_string<Args...> form, Args&&... args) {
    if (!kept) throw Violation(promise, fmt::format(form, std::forward<Args>(args)...));
  }
  // What only a fault of the simulation can break.
  template <class... Args>
  void expect(bool sound, fmt::format_string<Args...> form, Args&&... args) {
    if (!sound) throw Violation(fmt::format(form, std::forward<Args>(args)...));
  }

 private:
  std::uint64_t last_mark_ = 0;
};

}  // namespace kportal::sim
