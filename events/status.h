// SPDX-License-Identifier: MIT
// Status and Reason: one enum each and one table of words. Nothing else in the program spells them.
// The words are API (product contract, section 5); the message beside a reason is the publisher's.
#pragma once

#include <optional>
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
  refused,       // the pod refuses the port
  probe_failed,  // the probe's stream was reset or not answered
  unsupported,
  tls,
  network,
  timeout,
  server,  // 5xx, 429
  // of connections only
  reset,  // by the application
  pod_gone,
  hold_timeout,
  stalled,
  half_close_cut,
};

// "Starting", "port-in-use"; Reason::none is "".
std::string_view to_word(Status status);
std::string_view to_word(Reason reason);
// The way back; nothing for a word that is not in the table.
std::optional<Status> parse_status(std::string_view word);
std::optional<Reason> parse_reason(std::string_view word);

// Never mended by waiting alone: Error at once, connections are not held.
bool is_permanent(Reason reason);

// The reason that an error shows as, whichever way it took. Whoever knows better (the pod that is
// gone is a lost tunnel's, not a connection's) says so instead.
Reason reason_of(Errc code);

}  // namespace kportal::events
