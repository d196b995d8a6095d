// SPDX-License-Identifier: MIT
#include "base/sleep_detector.h"

#include <ctime>
#include <utility>

namespace kportal {
namespace {

Duration read(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

std::optional<Duration> SleepDetector::look(Duration since_boot, Duration awake) {
  Duration const ahead = since_boot - awake;
  auto const before = std::exchange(ahead_, ahead);
  if (!before || ahead - *before < kMinSleep) return std::nullopt;
  return ahead - *before;
}

Duration time_since_boot() {
#ifdef CLOCK_BOOTTIME
  return read(CLOCK_BOOTTIME);
#else
  return read(CLOCK_MONOTONIC);
#endif
}

Duration time_awake() {
  return read(CLOCK_MONOTONIC);
}

}  // namespace kportal
