// SPDX-License-Identifier: MIT
#include "tests/sim/pace.h"

#include <algorithm>
#include <array>
#include <utility>

namespace kportal::sim {

using forward::WorkerMachine;
using std::chrono::milliseconds;

void Pace::dialled(std::string const& pod, std::size_t pods) {
  TimePoint const now = stage_.time.now();
  while (!dials_.empty() && dials_.front().at + WorkerMachine::kDialWindow <= now) {
    dials_.pop_front();
  }
  bool const again = std::ranges::find(dials_, pod, &Dial::pod) != dials_.end();
  dials_.emplace_back(now, pod, again, WorkerMachine::kMaxDials * std::max<std::size_t>(1, pods));
  std::size_t const budget = std::ranges::max_element(dials_, {}, &Dial::budget)->budget;
  auto const repeated = static_cast<std::size_t>(std::ranges::count(dials_, true, &Dial::again));
  // The first one to a pod may be for a new one: these count apart.
  stage_.require(Promise::dial_budget, repeated <= budget && dials_.size() <= 2 * budget,
                 "{} dials within {} s, {} of them again to the same pod, for {} pods",
                 dials_.size(), std::chrono::seconds(10).count(), repeated, pods);
  if (!single_) return;
  stage_.require(Promise::announced_wait, now >= not_before_,
                 "a dial {} ms before the announced end of the wait",
                 std::chrono::duration_cast<milliseconds>(not_before_ - now).count());
  not_before_ = TimePoint{};
}

void Pace::announced(forward::MarkReconnecting const& action, Duration retry_after, bool final) {
  static constexpr std::array<milliseconds, 7> kSteps = {
      milliseconds(0),    milliseconds(500),  milliseconds(1000), milliseconds(2000),
      milliseconds(4000), milliseconds(8000), milliseconds(10000)};
  if (!single_) return;
  // The first dial to another pod in place of one that is gone waits for nothing.
  bool const other_pod = action.reason == events::Reason::pod_gone && action.delay == Duration();
  // Once, for a node that is back and does not know its pods yet.
  bool const unknown = action.reason == events::Reason::not_found;
  if (unknown && !std::exchange(unknown_, true)) anew_ = true;
  // Attempts beside a tunnel that serves count, too, but are not told.
  bool const next = action.attempt > attempt_ || anew_;
  stage_.require(Promise::attempts_counted, next, "attempt {} follows attempt {}", action.attempt,
                 attempt_);
  stage_.require(Promise::attempts_counted, action.attempt <= std::max(failures_, 1),
                 "attempt {} after {} failures since a proof of life", action.attempt, failures_);
  attempt_ = action.attempt;
  anew_ = false;
  not_before_ = stage_.time.now() + action.delay;
  auto const step =
      kSteps[std::min(static_cast<std::size_t>(action.attempt) - 1, kSteps.size() - 1)];
  if (final || retry_after > Duration() || other_pod) return;
  stage_.require(Promise::backoff_steps,
                 action.delay >= step * 9 / 10 && action.delay <= step * 11 / 10 + milliseconds(1),
                 "attempt {} waits {} ms", action.attempt,
                 std::chrono::duration_cast<milliseconds>(action.delay).count());
}

}  // namespace kportal::sim
