// SPDX-License-Identifier: MIT
// Watchdog: the loop's heartbeat. The loop beats, more often while it is busy; a thread of its own,
// the only other one that looks at the program, logs when the beat is late and, once the loop turns
// again, an event is published. It knows how long the loop's longest turn was, and ends a program
// that cannot end itself. It restarts nothing.
// Owned by the program; takes no part in forwarding.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/task_group.h"
#include "events/bus.h"

namespace kportal::forward {

class Watchdog {
 public:
  static constexpr Duration kBeat = std::chrono::seconds(1);
  // While the loop's thread works more than 1/kIdle of the time. It costs 0.3 % of a core.
  static constexpr Duration kBusyBeat = std::chrono::milliseconds(2);
  static constexpr int kIdle = 100;
  // A longer turn is logged for who looks for the cause.
  static constexpr Duration kLongTurn = std::chrono::milliseconds(20);

  // `period`: how late a beat may be.
  Watchdog(events::Bus& bus, Duration period);
  ~Watchdog();

  // Beats until cancelled.
  awaitable<void> run();
  void set_period(Duration period);
  // Called at each beat: for what has to be looked at now and then and needs no timer of its own.
  void on_beat(std::function<void()> look) { look_ = std::move(look); }
  // The program is ending: if it still runs then, by a fault of ours, it exits with this code
  // within a second.
  void end_by(TimePoint when, int code);
  // For how long nothing else could be done, at the most: the latest beat there was, and the time
  // between two. In an idle second a turn may be missed, not while the loop is busy.
  Duration longest_turn() const { return longest_turn_; }

 private:
  void watch();
  void judge(Duration late);
  Clock::rep beat_count() const { return last_beat_.load(std::memory_order_relaxed); }

  events::Bus& bus_;
  std::function<void()> look_;
  std::atomic<Clock::rep> last_beat_;
  std::atomic<Clock::rep> period_;
  Duration longest_turn_{};
  std::mutex mutex_;  // for what follows
  std::condition_variable stop_;
  bool stopped_ = false;
  TimePoint end_by_ = kNever;
  int end_code_ = 0;
  std::thread thread_;
};

}  // namespace kportal::forward
