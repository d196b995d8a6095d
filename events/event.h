// SPDX-License-Identifier: MIT
// Events: facts that have happened, one struct a type, as product contract section 6 lists them.
// What all share (which forward it is about) is ForwardRef; seq and time are given by the bus.
// Values only: who may publish what, and when, is the publisher's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
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

struct ForwardStarting {
  ForwardRef forward;
  bool operator==(ForwardStarting const&) const = default;
};

// The first tunnel is up; or, with `refresh`, an old one was replaced and none was lost.
struct ForwardConnected {
  ForwardRef forward;
  std::string pod;
  std::string transport;  // "websocket" or "spdy"
  std::chrono::milliseconds dial{};
  bool refresh = false;
  bool operator==(ForwardConnected const&) const = default;
};

// The last tunnel is lost.
struct ForwardDisconnected {
  ForwardRef forward;
  Reason reason{};
  std::string message;
  std::string pod;
  bool operator==(ForwardDisconnected const&) const = default;
};

struct ForwardReconnecting {
  ForwardRef forward;
  Reason reason{};
  std::string message;
  int attempt = 0;                    // from 1
  std::chrono::milliseconds delay{};  // until the attempt begins
  bool operator==(ForwardReconnecting const&) const = default;
};

struct ForwardStopped {
  ForwardRef forward;
  bool operator==(ForwardStopped const&) const = default;
};

// forward.error, a failed attempt: why, in the words for a person.
struct ForwardFailed {
  ForwardRef forward;
  Reason reason{};
  std::string message;
  bool operator==(ForwardFailed const&) const = default;
};

struct HealthStatusChanged {
  ForwardRef forward;
  bool first = false;  // then `old` means nothing and is written as ""
  Status old{};
  Status status{};
  Reason reason{};
  std::string message;
  std::string pod;
  bool operator==(HealthStatusChanged const&) const = default;
};

struct HealthStale {
  ForwardRef forward;
  std::string message;
  bool operator==(HealthStale const&) const = default;
};

struct ConnectionFailed {
  ForwardRef forward;
  Reason reason{};
  std::string message;
  std::string pod;
  bool operator==(ConnectionFailed const&) const = default;
};

struct WatchdogHung {
  ForwardRef forward;
  std::string message;
  std::chrono::milliseconds late{};  // for whoever acts; people and JSON read the message
  bool operator==(WatchdogHung const&) const = default;
};

struct ConfigReloaded {
  std::vector<std::string> added, removed, changed, unchanged;  // ids
  bool operator==(ConfigReloaded const&) const = default;
};

struct ConfigRejected {
  std::vector<std::string> problems;  // "file:line:column: message"
  bool operator==(ConfigRejected const&) const = default;
};

using Fact =
    std::variant<ForwardStarting, ForwardConnected, ForwardDisconnected, ForwardReconnecting,
                 ForwardStopped, ForwardFailed, HealthStatusChanged, HealthStale, ConnectionFailed,
                 WatchdogHung, ConfigReloaded, ConfigRejected>;

struct Event {
  std::uint64_t seq = 0;  // from 1, without gaps
  std::chrono::system_clock::time_point time;
  Fact fact;
};

// "forward.starting", "health.status_changed", ...: the `type` of the JSON.
std::string_view type_of(Fact const& fact);
// The forward it is about; null for config.*.
ForwardRef const* forward_of(Fact const& fact);

}  // namespace kportal::events
