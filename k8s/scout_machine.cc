// SPDX-License-Identifier: MIT
#include "k8s/scout_machine.h"

#include <algorithm>

namespace kportal::k8s {

void ScoutMachine::doubt(TimePoint since, TimePoint now) {
  if (dark() || (heard_ && *heard_ > since)) return;
  dark_since_ = now;
  doubted_since_ = since;
  next_knock_ = std::max(now, last_knock_ + kMinPause);
}

std::optional<Duration> ScoutMachine::heard(TimePoint at) {
  heard_ = heard_ ? std::max(*heard_, at) : at;
  if (!dark() || at <= doubted_since_) return std::nullopt;
  Duration const lasted = std::max(at - *dark_since_, Duration::zero());
  dark_since_.reset();
  return lasted;
}

bool ScoutMachine::knock_due(TimePoint now) {
  if (now < deadline()) return false;
  last_knock_ = now;
  next_knock_ = now + kBeat;
  return true;
}

// Beside a knock that hangs none begins before its time.
void ScoutMachine::knock_failed(TimePoint began, TimePoint now) {
  bool const at_once = began == last_knock_ && now < began + kMinPause;
  if (!dark() || !at_once || now >= *dark_since_ + kEager) return;
  next_knock_ = began + kMinPause;
}

void ScoutMachine::network_changed(TimePoint now) {
  if (dark()) next_knock_ = std::min(next_knock_, std::max(now, last_knock_ + kMinPause));
}

}  // namespace kportal::k8s
