// SPDX-License-Identifier: MIT
// Durations as Go writes and reads them (time.ParseDuration, Duration.String), since the files and
// the flags of the field use that form. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace kportal::config {

// "1m30s", "250ms", "-1.5h", a bare "0"; units ns, us (also with either micro sign), ms, s, m, h.
// Nothing for what Go refuses: no unit, blanks, more than +-2^63 ns (about 292 years).
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

// "1m30s", "250ms", "0s": as Go prints it, but zero minutes and seconds at the end are left out
// ("25m", not "25m0s").
std::string format_duration(std::chrono::nanoseconds duration);

}  // namespace kportal::config
