// SPDX-License-Identifier: MIT
// Status and Reason: one enum each and one table of words. Nothing else in the program spells them.
#pragma once

#include <string_view>

#include "base/error.h"

namespace kportal::events {

enum class Status { starting, active, reconnecting, error, stale, disabled, idle };

enum class Reason {
  none,
  port_in_use,
  no_such_context,
  kubeconfig,
  unauthorized,
  auth_plugin,
  forbidden,
  not_found,
  no_ready_pod,
  no_such_port,
  refused,         // the pod refuses the port
  probe_failed,    // the probe's stream was reset or not answered
  unsupported,
  tls,
  network,
  timeout,
  server,          // 5xx, 429
  // of connections only
  reset,           // by the application
  pod_gone,
  hold_timeout,
  stalled,
  half_close_cut,
};

// "Starting", "port-in-use"; Reason::none is "".
std::string_view to_word(Status status);
std::string_view to_word(Reason reason);

// Never mended by waiting alone: Error at once, connections are not held.
bool is_permanent(Reason reason);

Reason reason_of(Errc code);

}  // namespace kportal::events
