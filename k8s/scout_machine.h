// SPDX-License-Identifier: MIT
// ScoutMachine: whether a cluster proves life, and when to ask it whether it does again (product
// contract, section 4: a dead network is noticed). Pure: what was heard, what was not, and `now`
// in. It is a question per cluster, so that it is asked as often for one forward as for hundreds.
#pragma once

#include <cstddef>
#include <optional>

#include "base/clock.h"

namespace kportal::k8s {

class ScoutMachine {
 public:
  // Between the beginnings of two knocks; and for how long a dial may hear nothing.
  static constexpr Duration kBeat = std::chrono::seconds(2);
  // Knocks in flight: each is given up when so many have begun after it.
  static constexpr std::size_t kMaxKnocks = 3;
  static constexpr Duration kKnockTime = kBeat * kMaxKnocks;
  // Between two knocks where the network keeps changing, or where the one before was refused at
  // once: a server that starts again does that, and to ask it costs nobody anything.
  static constexpr Duration kMinPause = std::chrono::milliseconds(500);
  // For how long of a darkness the latter holds: a server that was switched off is not worth the
  // wake-ups.
  static constexpr Duration kEager = std::chrono::minutes(1);
  // A darkness that the first knock ended was none of the network's: the question itself was slow,
  // or failed for reasons of its own. It is no reason to disturb others.
  static constexpr Duration kBlink = std::chrono::seconds(1);

  // Something was expected since `since` and did not come, or could not be asked for. The cluster
  // is dark unless it was heard since. Before anything happened it is presumed alive.
  void doubt(TimePoint since, TimePoint now);
  // A byte or an answer of the cluster came at that time, a refusal too. How long it was dark if
  // this ended it.
  std::optional<Duration> heard(TimePoint at);

  bool dark() const { return dark_since_.has_value(); }
  // True when a knock is to begin now. At most once for each deadline().
  bool knock_due(TimePoint now);
  TimePoint deadline() const { return dark() ? next_knock_ : kNever; }
  // The knock that began then got no answer.
  void knock_failed(TimePoint began, TimePoint now);
  // The network is another one than before: the next knock is due now.
  void network_changed(TimePoint now);

  // Whether a dial that gave the last sign at that time is to be put back in the queue.
  bool hopeless(TimePoint last_sign, TimePoint now) const {
    return dark() && now >= last_sign + kBeat;
  }

 private:
  std::optional<TimePoint> dark_since_;
  TimePoint doubted_since_{};
  std::optional<TimePoint> heard_;
  TimePoint last_knock_{};
  TimePoint next_knock_{};
};

}  // namespace kportal::k8s
