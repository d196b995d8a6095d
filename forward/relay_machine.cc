// SPDX-License-Identifier: MIT
#include "forward/relay_machine.h"

#include <algorithm>

namespace kportal::forward {

void RelayMachine::placed(TimePoint now) {
  last_sent_ = now;
  fin_sent_.reset();
}

void RelayMachine::sent(Bytes bytes, TimePoint now) {
  last_sent_ = now;
  if (answered_ || overflowed_) return;
  if (kept_.size() + bytes.size() > kMaxKept) {
    overflowed_ = true;
    kept_ = {};
    return;
  }
  kept_.insert(kept_.end(), bytes.begin(), bytes.end());
}

void RelayMachine::received(TimePoint now) {
  last_received_ = now;
  if (answered_) return;
  answered_ = true;
  kept_ = {};
}

TimePoint RelayMachine::fin_due() const {
  if (!local_ended_ || half_close_ == config::HalfClose::hold) return kNever;
  if (answered_ && last_received_ >= last_sent_) return last_received_ + kAnsweredSilence;
  return std::max(last_sent_, last_received_) + kUnansweredSilence;
}

bool RelayMachine::end_is_trusted(TimePoint now) const {
  if (!fin_sent_ || last_received_ <= *fin_sent_) return true;
  Duration const after = now - *fin_sent_;
  return after < kCutFrom || after > kCutUntil;
}

bool RelayMachine::movable(Errc cause) const {
  if (answered_ || overflowed_) return false;
  if (cause == Errc::pod_gone || cause == Errc::pod_refused) return true;
  // The tunnel ended: only what was never sent cannot have been seen.
  bool const of_tunnel = cause == Errc::network || cause == Errc::going_away ||
                         cause == Errc::ping_timeout || cause == Errc::protocol ||
                         cause == Errc::closed;
  return of_tunnel && kept_.empty();
}

}  // namespace kportal::forward
