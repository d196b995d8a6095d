// SPDX-License-Identifier: MIT
// The load: what a user does to a local port, in the calling thread, and what the tool behind it
// spent meanwhile. One connection at a time. All throw CannotMeasure if the port does not carry
// what it should.
#pragma once

#include <vector>

#include "tests/bench/tool.h"

namespace kportal::bench {

enum class Way { down, up };

struct Bulk {
  double bytes_per_second = 0;
  double cpu_seconds_per_gigabyte = 0;  // 0 without a tool
  Memory memory;                        // while the bytes flow
};
// Of a forward to the source (down) or to the discard port (up): the rate in `window`, after as
// many bytes as fill whatever holds some.
Bulk measure_bulk(Running& tool, std::size_t forward, Way way, Duration window);

struct Times {
  std::vector<double> each;  // microseconds, sorted
  double cpu_micros = 0;     // of the tool, for each
  double percentile(double p) const;
};
// Of a forward to an echo: from a new connection's begin to the first byte of the answer.
Times measure_connects(Running& tool, std::size_t forward, int connects);
// The same port: a block of 64 bytes and its return, again and again on one connection.
Times measure_echoes(Running& tool, std::size_t forward, int echoes);

// Asks each of the forwards (to HTTP ports) as soon as its port is told; when the last answer came.
TimePoint answered_by_all(Running& tool, std::size_t forwards);

}  // namespace kportal::bench
