// SPDX-License-Identifier: MIT
// LoopWaits: how often a program's event loop was woken, and by what, counted from outside: a
// library that is loaded before libc (bench_loop_waits) looks at what epoll_wait returns and counts
// in a file. Not for programs with sanitizers.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/e2e/temp_dir.h"

namespace kportal::bench {

// The file's contents, shared by both processes.
struct LoopWaitCounts {
  std::atomic<std::uint64_t> by_timer{0};  // a timer was due, perhaps something else too
  std::atomic<std::uint64_t> by_others{0};
};
inline constexpr char const* kLoopWaitsFile = "KPORTAL_BENCH_LOOP_WAITS";

class LoopWaits {
 public:
  LoopWaits();
  ~LoopWaits();
  LoopWaits(LoopWaits const&) = delete;
  LoopWaits& operator=(LoopWaits const&) = delete;

  // For the environment of the program.
  std::vector<std::string> environment() const;
  std::uint64_t by_timer() const { return counts_->by_timer; }
  std::uint64_t by_others() const { return counts_->by_others; }

 private:
  test::TempDir dir_;
  LoopWaitCounts* counts_ = nullptr;
};

}  // namespace kportal::bench
