// SPDX-License-Identifier: MIT
#include "forward/watchdog.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <fmt/format.h>

#include "base/log.h"
#include "base/wakeup.h"

namespace kportal::forward {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// What this thread has worked.
Duration worked() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

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
  TimePoint due = Clock::now();
  TimePoint before = due;
  Duration worked_before = worked();
  for (Duration step = kBusyBeat;;) {
    TimePoint const now = Clock::now();
    last_beat_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    judge(now - due);
    if (look_) look_();
    Duration const work = worked();
    bool const busy = (work - worked_before) * kIdle > now - before;
    step = busy ? kBusyBeat : std::min(step * 2, kBeat);
    worked_before = work;
    before = now;
    due = now + step;
    co_await sleep_until(due);
  }
}

void Watchdog::judge(Duration late) {
  longest_turn_ = std::max(longest_turn_, late + kBusyBeat);
  if (late > kLongTurn) {
    log::debug("a turn of the loop took {} ms", duration_cast<milliseconds>(late).count());
  }
  if (late <= Duration(period_.load())) return;
  events::WatchdogHung hung;
  hung.late = duration_cast<milliseconds>(late);
  hung.message = fmt::format("the program stood still for {} ms", hung.late.count());
  bus_.publish(std::move(hung));
}

void Watchdog::end_by(TimePoint when, int code) {
  std::lock_guard const lock(mutex_);
  end_by_ = when;
  end_code_ = code;
}

void Watchdog::watch() {
  Clock::rep reported = 0;
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kBeat, [this] { return stopped_; })) {
    if (Clock::now() >= end_by_) {
      // The log is written by others, who may be what hangs.
      std::fputs("kportal-cpp: the end took too long; leaving at once\n", stderr);
      std::_Exit(end_code_);
    }
    Clock::rep const beat = beat_count();
    Duration const silent = Clock::now().time_since_epoch() - Duration(beat);
    if (silent <= Duration(period_.load()) + kBeat || reported == beat) continue;
    reported = beat;  // once for each time it hangs
    log::error("the program's loop has not turned for {} ms",
               duration_cast<milliseconds>(silent).count());
  }
}

}  // namespace kportal::forward
