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

}  // namespace kportal
