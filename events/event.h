// SPDX-License-Identifier: MIT
// Events: facts that have happened, one struct a type, as product contract section 6 lists them. What
// all share (which forward it is about) is ForwardRef; seq and time are given by the bus.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "events/status.h"

namespace kportal::events {

// The forward an event is about, as its JSON fields show it.
struct ForwardRef {
  std::string id;
  std::string context;
  std::string namespace_;
  std::string resource;
  std::uint16_t local_port = 0;  // the bound one, also for `auto`; 0 before it is bound
  bool operator==(ForwardRef const&) const = default;
};

struct ForwardStarting { ForwardRef forward; };
struct ForwardConnected {
  ForwardRef forward;
  std::string pod;
  std::string transport;  // "websocket" or "spdy"
  std::chrono::milliseconds dial{};
  bool refresh = false;   // an old tunnel was replaced, none was lost
};
struct ForwardDisconnected { ForwardRef forward; Reason reason{}; std::string message; std::string pod; };
struct ForwardReconnecting {
  ForwardRef forward;
  Reason reason{};
  std::string message;
  int attempt = 0;
  std::chrono::milliseconds delay{};
};
struct ForwardStopped { ForwardRef forward; };
// A failed attempt: why, in the words for a person.
struct ForwardFailed { ForwardRef forward; Reason reason{}; std::string message; };
struct HealthStatusChanged {
  ForwardRef forward;
  bool first = false;  // then `old` means nothing and is written as ""
  Status old{};
  Status status{};
  Reason reason{};
  std::string message;
  std::string pod;
};
struct HealthStale { ForwardRef forward; std::string message; };
struct ConnectionFailed { ForwardRef forward; Reason reason{}; std::string message; std::string pod; };
struct WatchdogHung { ForwardRef forward; std::string message; std::chrono::milliseconds late{}; };
struct ConfigReloaded {
  std::vector<std::string> added, removed, changed, unchanged;  // ids
};
struct ConfigRejected { std::vector<std::string> problems; };  // "file:line:column: message"

using Fact = std::variant<ForwardStarting, ForwardConnected, ForwardDisconnected,
                          ForwardReconnecting, ForwardStopped, ForwardFailed, HealthStatusChanged,
                          HealthStale, ConnectionFailed, WatchdogHung,
                          ConfigReloaded, ConfigRejected>;

struct Event {
  std::uint64_t seq = 0;
  std::chrono::system_clock::time_point time;
  Fact fact;
};

}  // namespace kportal::events
