// SPDX-License-Identifier: MIT
#include "events/event.h"

namespace kportal::events {
namespace {

struct TypeOf {
  std::string_view operator()(ForwardStarting const&) const { return "forward.starting"; }
  std::string_view operator()(ForwardConnected const&) const { return "forward.connected"; }
  std::string_view operator()(ForwardDisconnected const&) const { return "forward.disconnected"; }
  std::string_view operator()(ForwardReconnecting const&) const { return "forward.reconnecting"; }
  std::string_view operator()(ForwardStopped const&) const { return "forward.stopped"; }
  std::string_view operator()(ForwardFailed const&) const { return "forward.error"; }
  std::string_view operator()(HealthStatusChanged const&) const { return "health.status_changed"; }
  std::string_view operator()(HealthStale const&) const { return "health.stale"; }
  std::string_view operator()(ConnectionFailed const&) const { return "connection.failed"; }
  std::string_view operator()(WatchdogHung const&) const { return "watchdog.worker_hung"; }
  std::string_view operator()(ConfigReloaded const&) const { return "config.reloaded"; }
  std::string_view operator()(ConfigRejected const&) const { return "config.rejected"; }
};

struct ForwardOf {
  template <class T>
  ForwardRef const* operator()(T const& fact) const {
    return &fact.forward;
  }
  ForwardRef const* operator()(ConfigReloaded const&) const { return nullptr; }
  ForwardRef const* operator()(ConfigRejected const&) const { return nullptr; }
};

}  // namespace

std::string_view type_of(Fact const& fact) {
  return std::visit(TypeOf(), fact);
}

ForwardRef const* forward_of(Fact const& fact) {
  return std::visit(ForwardOf(), fact);
}

}  // namespace kportal::events
