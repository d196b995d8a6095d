// SPDX-License-Identifier: MIT
// The names of time. Machines take `now` as a parameter and never ask a clock; drivers ask now().
#pragma once

#include <chrono>

namespace kportal {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

// "Nothing is due": what a machine's deadline() returns when it waits for events only.
inline constexpr TimePoint kNever = TimePoint::max();

// What comes again and again and need not be exact is due on common points of time, so far apart:
// the timers of hundreds then wake the program together.
inline constexpr Duration kGrid = std::chrono::milliseconds(500);

// `span` after `from`, or up to kGrid sooner on such a point: never later, so that bounds hold. For
// who wakes on a point and asks for a multiple of kGrid, that is exactly so long after it. Spans
// that kGrid would change too much are exact.
constexpr TimePoint on_grid(TimePoint from, Duration span) {
  TimePoint const at = from + span;
  return span < 2 * kGrid ? at : at - at.time_since_epoch() % kGrid;
}

}  // namespace kportal
