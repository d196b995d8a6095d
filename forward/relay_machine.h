// SPDX-License-Identifier: MIT
// RelayMachine: what one relayed connection decides: when the client's end of stream is passed on,
// whether the pod's end can be trusted, and whether the connection may still go to another pod.
// Pure; Relay moves the bytes.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"

namespace kportal::forward {

class RelayMachine {
 public:
  // First bytes kept for a pod that never saw them (product contract, section 4).
  static constexpr std::size_t kMaxKept = 64 * 1024;
  // Container runtimes close everything one second after an end of stream (protocol.md 3.3), which
  // would cut an answer in progress. So ours waits until the pod has been silent this long after it
  // answered our last byte, or where it has not answered.
  static constexpr Duration kAnsweredSilence = std::chrono::seconds(1);
  static constexpr Duration kUnansweredSilence = std::chrono::seconds(2);
  // An end this long after our FIN, with bytes in between, is the runtime's knife, not the pod's
  // end.
  static constexpr Duration kCutFrom = std::chrono::milliseconds(800);
  static constexpr Duration kCutUntil = std::chrono::milliseconds(1500);

  explicit RelayMachine(config::HalfClose half_close) : half_close_(half_close) {}

  // The connection starts on a (further) tunnel; what it kept is to be sent again.
  void placed(TimePoint now);
  // Bytes on their way to the pod. Kept while they fit and nothing came back.
  void sent(Bytes bytes, TimePoint now);
  // A pod's byte was delivered or buffered.
  void received(TimePoint now);
  void local_ended() { local_ended_ = true; }
  void fin_sent(TimePoint now) { fin_sent_ = now; }

  // When the client's end of stream is to be passed on; kNever while there is none, or it is kept
  // back.
  TimePoint fin_due() const;
  // The pod's end of stream, seen now, is the end of the application's answer.
  bool end_is_trusted(TimePoint now) const;
  // It failed before a pod's port can have accepted it, so that another pod may have it.
  bool movable(Errc cause) const;
  Bytes kept() const { return kept_; }
  bool answered() const { return answered_; }
  bool has_sent() const { return answered_ || overflowed_ || !kept_.empty(); }

 private:
  config::HalfClose half_close_;
  bool local_ended_ = false;
  bool answered_ = false;
  bool overflowed_ = false;  // more was sent than is kept
  std::vector<std::byte> kept_;
  TimePoint last_sent_{};
  TimePoint last_received_{};
  std::optional<TimePoint> fin_sent_;
};

}  // namespace kportal::forward
