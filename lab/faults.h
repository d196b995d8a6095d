// SPDX-License-Identifier: MIT
// Faults: what goes wrong, by script: answers instead of the right ones, delays, servers that
// cannot do WebSocket, streams without a reply. Pure values that the API server and the runtime
// look at; what is done to connections that are open (drop, freeze) is in lab/api_server.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <limits>
#include <list>
#include <optional>
#include <string>

#include "base/clock.h"

namespace kportal::lab {

// `other` is /version and discovery. `any` is for scripts only.
enum class RequestKind { any, get, list, watch, upgrade_websocket, upgrade_spdy, other };
inline constexpr std::size_t kRequestKinds = 7;

struct Failure {
  enum class Body {
    status,      // a Status object
    plain_text,  // the message as text
    bare,        // no body and no length: the connection ends after the head
    hang_up,     // no answer at all: the connection is cut
  };
  int code = 500;
  std::string message;  // empty: the usual one of that code
  Body body = Body::status;
  int retry_after = 0;  // seconds; 0 = no such header

  explicit Failure(int c, std::string m = {}, Body b = Body::status, int retry = 0)
      : code(c), message(std::move(m)), body(b), retry_after(retry) {}
};

// How the upgrade by WebSocket ends on servers that cannot tunnel.
enum class WebSocketGate {
  open,
  refused_400,     // the kubelet's answer: query parameter "port" is required
  refused_403,     // the runtime's bare 403
  no_protocol,     // a 101 without a subprotocol
  other_protocol,  // a 101 with one that was not asked for
};

// What becomes of a stream that the client opens.
enum class StreamFate { normal, never_reply, reject };

class Faults {
 public:
  static constexpr int kUntilCleared = std::numeric_limits<int>::max();

  // The next `count` requests of that kind fail so. Several failures of one kind come one after
  // another.
  void fail(RequestKind kind, Failure failure, int count = kUntilCleared);
  // Each request of that kind waits so long before it is answered; zero ends it.
  void delay(RequestKind kind, Duration by);
  void clear();
  void clear(RequestKind kind);

  WebSocketGate websocket = WebSocketGate::open;
  StreamFate new_streams = StreamFate::normal;
  // Watches are open but silent; set it by ApiServer::silence_watches, which wakes them.
  bool watches_silent = false;

  // Used by the server: counts one request.
  std::optional<Failure> next_failure(RequestKind kind);
  Duration delay_of(RequestKind kind) const;

 private:
  struct Script {
    RequestKind kind;
    Failure failure;
    int left;
  };
  std::list<Script> scripts_;
  std::array<Duration, kRequestKinds> delays_{};
};

}  // namespace kportal::lab
