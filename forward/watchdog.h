// SPDX-License-Identifier: MIT
// Watchdog: the loop's heartbeat. The loop beats each second; a thread of its own, the only other
// one that looks at the program, logs when the beat is late and, once the loop turns again, an
// event is published. It restarts nothing. Owned by the program; takes no part in forwarding.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/task_group.h"
#include "events/bus.h"

namespace kportal::forward {

class Watchdog {
 public:
  static constexpr Duration kBeat = std::chrono::seconds(1);

  // `period`: how late a beat may be.
  Watchdog(events::Bus& bus, Duration period);
  ~Watchdog();

  // Beats until cancelled.
  awaitable<void> run();
  void set_period(Duration period);

 private:
  void watch();
  Clock::rep beat_count() const { return last_beat_.load(std::memory_order_relaxed); }

  events::Bus& bus_;
  std::atomic<Clock::rep> last_beat_;
  std::atomic<Clock::rep> period_;
  std::mutex mutex_;  // for `stopped_` only
  std::condition_variable stop_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace kportal::forward
