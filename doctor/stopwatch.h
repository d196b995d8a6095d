// SPDX-License-Identifier: MIT
// Stopwatch: how long a hop has taken so far, and when it must be done.
#pragma once

#include <chrono>

#include "base/clock.h"

namespace kportal::doctor {

// No hop takes longer, but for a login plugin, which may ask somebody.
inline constexpr Duration kHopTime = std::chrono::seconds(10);

class Stopwatch {
 public:
  std::chrono::microseconds took() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_);
  }
  TimePoint deadline() const { return start_ + kHopTime; }

 private:
  TimePoint start_ = Clock::now();
};

}  // namespace kportal::doctor
