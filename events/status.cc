// SPDX-License-Identifier: MIT
#include "events/status.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace kportal::events {
namespace {

struct StatusWord {
  Status status;
  std::string_view word;
};

constexpr StatusWord kStatusWords[] = {
    {Status::starting, "Starting"},
    {Status::active, "Active"},
    {Status::reconnecting, "Reconnecting"},
    {Status::error, "Error"},
    {Status::stale, "Stale"},
    {Status::disabled, "Disabled"},
    {Status::idle, "Idle"},
};

struct ReasonWord {
  Reason reason;
  std::string_view word;
  bool permanent;
};

constexpr ReasonWord kReasonWords[] = {
    {Reason::none, "", false},
    {Reason::port_in_use, "port-in-use", true},
    {Reason::no_such_context, "no-such-context", true},
    {Reason::kubeconfig, "kubeconfig", true},
    {Reason::unauthorized, "unauthorized", true},
    {Reason::auth_plugin, "auth-plugin", true},
    {Reason::forbidden, "forbidden", true},
    {Reason::not_found, "not-found", true},
    {Reason::no_ready_pod, "no-ready-pod", false},
    {Reason::no_such_port, "no-such-port", true},
    {Reason::refused, "refused", false},
    {Reason::probe_failed, "probe-failed", false},
    {Reason::unsupported, "unsupported", true},
    {Reason::tls, "tls", true},
    {Reason::network, "network", false},
    {Reason::timeout, "timeout", false},
    {Reason::server, "server", false},
    {Reason::reset, "reset", false},
    {Reason::pod_gone, "pod-gone", false},
    {Reason::hold_timeout, "hold-timeout", false},
    {Reason::stalled, "stalled", false},
    {Reason::half_close_cut, "half-close-cut", false},
};

ReasonWord const& entry_of(Reason reason) {
  auto const* const found = std::find_if(std::begin(kReasonWords), std::end(kReasonWords),
                                         [=](ReasonWord const& e) { return e.reason == reason; });
  assert(found != std::end(kReasonWords));
  return *found;
}

}  // namespace

std::string_view to_word(Status status) {
  auto const* const found = std::find_if(std::begin(kStatusWords), std::end(kStatusWords),
                                         [=](StatusWord const& e) { return e.status == status; });
  assert(found != std::end(kStatusWords));
  return found->word;
}

std::string_view to_word(Reason reason) {
  return entry_of(reason).word;
}

std::optional<Status> parse_status(std::string_view word) {
  for (StatusWord const& entry : kStatusWords) {
    if (entry.word == word) return entry.status;
  }
  return std::nullopt;
}

std::optional<Reason> parse_reason(std::string_view word) {
  for (ReasonWord const& entry : kReasonWords) {
    if (entry.word == word) return entry.reason;
  }
  return std::nullopt;
}

bool is_permanent(Reason reason) {
  return entry_of(reason).permanent;
}

Reason reason_of(Errc code) {
  // No default: a new Errc must be given its word here.
  switch (code) {
    case Errc::closed:
      return Reason::none;
    case Errc::timeout:
    case Errc::ping_timeout:
      return Reason::timeout;
    // What the peer did wrong passes when the peer is mended.
    case Errc::protocol:
    case Errc::limit:
    case Errc::gone:
    case Errc::server:
    case Errc::upgrade_refused:
      return Reason::server;
    case Errc::tls:
      return Reason::tls;
    // The words have none for a failure of this machine alone; its message says what it was.
    case Errc::network:
    case Errc::going_away:
    case Errc::local:
      return Reason::network;
    case Errc::unauthorized:
      return Reason::unauthorized;
    case Errc::auth_plugin:
      return Reason::auth_plugin;
    case Errc::forbidden:
      return Reason::forbidden;
    case Errc::not_found:
      return Reason::not_found;
    case Errc::kubeconfig:
      return Reason::kubeconfig;
    case Errc::no_such_context:
      return Reason::no_such_context;
    case Errc::no_ready_pod:
      return Reason::no_ready_pod;
    case Errc::no_such_port:
      return Reason::no_such_port;
    case Errc::unsupported:
      return Reason::unsupported;
    case Errc::port_in_use:
      return Reason::port_in_use;
    case Errc::pod_gone:
      return Reason::pod_gone;
    case Errc::pod_refused:
      return Reason::refused;
    case Errc::pod_reset:
      return Reason::reset;
    case Errc::stream_failed:
      return Reason::probe_failed;
    case Errc::stalled:
      return Reason::stalled;
    case Errc::half_close_cut:
      return Reason::half_close_cut;
  }
  return Reason::none;
}

}  // namespace kportal::events
