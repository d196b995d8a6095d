// SPDX-License-Identifier: MIT
// SleepDetector: whether the machine slept between two looks: the clock that goes on while it does
// (CLOCK_BOOTTIME) has then gained on the one that does not (CLOCK_MONOTONIC). Pure: both times are
// given. Where a system has only one of them it never slept.
#pragma once

#include <optional>

#include "base/clock.h"

namespace kportal {

class SleepDetector {
 public:
  // Two clocks that are read one after another differ by what lies between; a sleep of this length
  // leaves no connection in doubt.
  static constexpr Duration kMinSleep = std::chrono::seconds(1);

  // `since_boot` counts sleep, `awake` does not. For how long it slept since the last look, or
  // nothing; the first look only remembers.
  std::optional<Duration> look(Duration since_boot, Duration awake);

 private:
  std::optional<Duration> ahead_;
};

// The two clocks.
Duration time_since_boot();
Duration time_awake();

}  // namespace kportal
