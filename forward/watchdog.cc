// SPDX-License-Identifier: MIT
#include "forward/watchdog.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/wakeup.h"

namespace kportal::forward {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

}  // namespace

Watchdog::Watchdog(events::Bus& bus, Duration period)
    : bus_(bus),
      last_beat_(Clock::now().time_since_epoch().count()),
      period_(period.count()),
      thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard const lock(mutex_);
    stopped_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void Watchdog::set_period(Duration period) {
  period_.store(period.count());
}

awaitable<void> Watchdog::run() {
  for (;;) {
    TimePoint const now = Clock::now();
    Duration const late = now.time_since_epoch() - Duration(beat_count());
    last_beat_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    if (late > Duration(period_.load()) + kBeat) {
      events::WatchdogHung hung;
      hung.late = duration_cast<milliseconds>(late - kBeat);
      hung.message = fmt::format("the program stood still for {} ms", hung.late.count());
      bus_.publish(std::move(hung));
    }
    co_await sleep_until(now + kBeat);
  }
}

void Watchdog::watch() {
  Clock::rep reported = 0;
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kBeat, [this] { return stopped_; })) {
    Clock::rep const beat = beat_count();
    Duration const silent = Clock::now().time_since_epoch() - Duration(beat);
    if (silent <= Duration(period_.load()) + kBeat || reported == beat) continue;
    reported = beat;  // once for each time it hangs
    log::error("the program's loop has not turned for {} ms",
               duration_cast<milliseconds>(silent).count());
  }
}

}  // namespace kportal::forward
