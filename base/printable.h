// SPDX-License-Identifier: MIT
// Text made fit to be printed: names and messages of servers, pods and files may hold anything, and
// a line of a log or of a terminal must stay one line and give no orders. Also the two forms of a
// wall clock time that lines begin with.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace kportal {

using WallTime = std::chrono::system_clock::time_point;

// Appends `text` as valid UTF-8: a bad byte becomes U+FFFD; what moves the cursor, breaks the line
// or turns the direction of writing becomes \n, \t, \x1b, \u202e.
void append_printable(std::string& to, std::string_view text);
std::string printable(std::string_view text);

// Appends `text` as a JSON string with its quotes; the same characters are escaped, in JSON's way.
void append_json_string(std::string& to, std::string_view text);

// 2026-11-23T14:05:01.123Z (RFC 3339)
std::string utc_timestamp(WallTime time);
// 14:05:01.123 in the zone of this process
std::string local_time_of_day(WallTime time);

}  // namespace kportal
