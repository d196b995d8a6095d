// SPDX-License-Identifier: MIT
// What processes use, as the kernel counts it: all threads, those that ended too. The tools that
// are measured start no processes of their own. Nothing is kept.
#pragma once

#include <cstdint>
#include <sys/types.h>
#include <vector>

#include "base/clock.h"

namespace kportal::bench {

using Pids = std::vector<pid_t>;

// CPU time, user and system, by the scheduler's clock (nanoseconds, not ticks).
Duration cpu_time(Pids const& pids);

// In bytes.
struct Memory {
  double resident = 0;  // VmRSS
  double peak = 0;      // VmHWM
  double shared = 0;    // Pss: what several share is divided among them
};
Memory memory(Pids const& pids);  // the sums

// How often a thread gave up the processor by itself, so how often it was woken.
std::uint64_t wake_ups(pid_t pid);
// The same of all threads but the first.
std::uint64_t wake_ups_of_helpers(pid_t pid);

}  // namespace kportal::bench
