// SPDX-License-Identifier: MIT
// TransportChoice: which of the two transports of a tunnel to try first (client-go:
// FallbackDialer): the WebSocket, unless only bare SPDY worked of late. Pure. Owned by the dialer,
// and so one for all forwards of a cluster.
#pragma once

#include <string_view>

#include "base/clock.h"

namespace kportal::k8s {

enum class TransportKind { websocket, spdy };
// The word of events.
constexpr std::string_view to_word(TransportKind kind) {
  return kind == TransportKind::websocket ? "websocket" : "spdy";
}

class TransportChoice {
 public:
  // A server that could not do WebSockets is tried again this often: it may have been upgraded, or
  // a proxy in front of it mended.
  static constexpr Duration kTryWebsocketAgain = std::chrono::minutes(10);

  TransportKind first(TimePoint now) const {
    return spdy_worked_ && now < spdy_until_ ? TransportKind::spdy : TransportKind::websocket;
  }
  // What is left where the server cannot do the first one.
  static TransportKind other(TransportKind kind) {
    return kind == TransportKind::websocket ? TransportKind::spdy : TransportKind::websocket;
  }
  void worked(TransportKind kind, TimePoint now) {
    bool const news = !spdy_worked_ || now >= spdy_until_;
    spdy_worked_ = kind == TransportKind::spdy;
    if (spdy_worked_ && news) spdy_until_ = now + kTryWebsocketAgain;
  }

 private:
  bool spdy_worked_ = false;
  TimePoint spdy_until_{};
};

}  // namespace kportal::k8s
