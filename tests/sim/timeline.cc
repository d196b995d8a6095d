// SPDX-License-Identifier: MIT
#include "tests/sim/timeline.h"

#include <algorithm>
#include <utility>

namespace kportal::sim {
namespace {

auto const kLater = [](auto const& a, auto const& b) {
  return a.when != b.when ? a.when > b.when : a.number > b.number;
};

}  // namespace

void Timeline::at(TimePoint when, Task task) {
  heap_.push_back({std::max(when, now_), ++last_number_, std::move(task)});
  std::push_heap(heap_.begin(), heap_.end(), kLater);
}

bool Timeline::step() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), kLater);
  Entry const entry = std::move(heap_.back());
  heap_.pop_back();
  now_ = std::max(now_, entry.when);
  entry.task();
  return true;
}

void Timeline::stand_still(Duration time) {
  now_ += time;
  stood_still_ += time;
  last_stall_ = now_;
}

}  // namespace kportal::sim
