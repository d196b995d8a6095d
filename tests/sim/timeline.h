// SPDX-License-Identifier: MIT
// Timeline: the simulated clock and what is due on it. Tasks of one moment run in the order in
// which they were asked for. It is the loop, too: while that stands still, what falls due is done
// late. Owned by a schedule.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"

namespace kportal::sim {

class Timeline {
 public:
  using Task = std::function<void()>;

  // Far from TimePoint{}, which means "never was".
  static constexpr TimePoint kBegin = TimePoint(std::chrono::hours(1000));

  TimePoint now() const { return now_; }
  // `now` without the time that the loop stood still.
  TimePoint awake() const { return now_ - stood_still_; }

  void at(TimePoint when, Task task);
  void after(Duration delay, Task task) { at(now_ + delay, std::move(task)); }
  // Runs the next task. False if there is none.
  bool step();
  void stand_still(Duration time);
  // When it last did; TimePoint{} = never.
  TimePoint last_stall() const { return last_stall_; }

 private:
  struct Entry {
    TimePoint when;
    std::uint64_t number;
    Task task;
  };

  TimePoint now_ = kBegin;
  Duration stood_still_{};
  TimePoint last_stall_{};
  std::uint64_t last_number_ = 0;
  std::vector<Entry> heap_;
};

}  // namespace kportal::sim
