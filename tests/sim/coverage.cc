// SPDX-License-Identifier: MIT
#include "tests/sim/coverage.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace kportal::sim {

using events::Reason;
using events::Status;

namespace {

// What the contract allows of a forward that is not idle (lazy forwards are not built). All are
// reached. What is disabled stays so until a reload replaces it.
struct Allowed {
  Status from;
  Status to;
};
constexpr Allowed kAllowed[] = {
    {Status::starting, Status::active},       {Status::starting, Status::error},
    {Status::starting, Status::reconnecting}, {Status::active, Status::starting},
    {Status::active, Status::reconnecting},   {Status::active, Status::error},
    {Status::active, Status::stale},          {Status::reconnecting, Status::active},
    {Status::reconnecting, Status::error},    {Status::reconnecting, Status::starting},
    {Status::error, Status::active},          {Status::error, Status::reconnecting},
    {Status::stale, Status::active},          {Status::stale, Status::starting},
    {Status::stale, Status::reconnecting},    {Status::stale, Status::error},
};

constexpr Status kFirst[] = {Status::starting, Status::disabled};

constexpr std::string_view kHits[] = {
    "action.Dial",
    "action.CloseTunnel",
    "action.PlaceConnection",
    "action.ResetConnection",
    "action.MarkConnected",
    "action.MarkConnected.refresh",
    "action.MarkMoved",
    "action.MarkDisconnected",
    "action.MarkReconnecting",
    "action.MarkFailed",
    "action.ResolveAgain",
    "check.probe",
    "check.ping",
    "event.dialled",
    "event.dial_failed",
    "event.tunnel_closed",
    "event.pod_gone",
    "event.movable",
    "event.moved",
    "event.answer_late",
    "event.answer_came",
    "event.buffer_full",
    "event.network_back",
    "event.client_left",
    "event.blocks_tunnel",
    "start.disabled",
    "reload.changed",
    "reload.unchanged",
    "scout.dark",
    "scout.knock",
    "scout.refused",
    "scout.blink",
    "scout.back",
    "scout.changed_in_the_dark",
    "scout.dial_begun_anew",
    "action.EvictConnection",
};

constexpr Reason kOfStatus[] = {
    Reason::none,         Reason::port_in_use,  Reason::no_such_context, Reason::kubeconfig,
    Reason::unauthorized, Reason::auth_plugin,  Reason::forbidden,       Reason::not_found,
    Reason::no_ready_pod, Reason::no_such_port, Reason::refused,         Reason::probe_failed,
    Reason::unsupported,  Reason::tls,          Reason::network,         Reason::timeout,
    Reason::server,       Reason::pod_gone,
};

constexpr Reason kOfConnections[] = {
    Reason::stalled,  Reason::refused,      Reason::reset,
    Reason::pod_gone, Reason::hold_timeout, Reason::half_close_cut,
    Reason::network,  Reason::timeout,      Reason::forbidden,
};

std::string_view word(std::optional<Status> status) {
  return status ? events::to_word(*status) : "(new)";
}

}  // namespace

bool Coverage::allowed(Change change) {
  if (!change.first) return std::ranges::find(kFirst, change.second) != std::end(kFirst);
  return std::ranges::any_of(kAllowed, [&](Allowed const& each) {
    return each.from == *change.first && each.to == change.second;
  });
}

std::vector<std::string> Coverage::missing() const {
  std::vector<std::string> lines;
  for (std::string_view const hit : kHits) {
    if (!hits_.contains(hit)) lines.emplace_back(hit);
  }
  for (Allowed const& each : kAllowed) {
    if (changes_.contains({each.from, each.to})) continue;
    lines.push_back(fmt::format("{} -> {}", events::to_word(each.from), events::to_word(each.to)));
  }
  for (Status const first : kFirst) {
    if (!changes_.contains({std::nullopt, first})) {
      lines.push_back(fmt::format("(new) -> {}", events::to_word(first)));
    }
  }
  for (Reason const reason : kOfStatus) {
    if (!of_status_.contains(reason)) {
      lines.push_back(fmt::format("a status for '{}'", events::to_word(reason)));
    }
  }
  for (Reason const reason : kOfConnections) {
    if (!of_connections_.contains(reason)) {
      lines.push_back(fmt::format("a connection reset for '{}'", events::to_word(reason)));
    }
  }
  return lines;
}

std::string Coverage::table() const {
  std::string text;
  for (auto const& [what, times] : hits_) text += fmt::format("{:>12}  {}\n", times, what);
  for (auto const& [change, times] : changes_) {
    text += fmt::format("{:>12}  {} -> {}\n", times, word(change.first),
                        events::to_word(change.second));
  }
  for (auto const& [reason, times] : of_status_) {
    text += fmt::format("{:>12}  status: '{}'\n", times, events::to_word(reason));
  }
  for (auto const& [reason, times] : of_connections_) {
    text += fmt::format("{:>12}  connection: '{}'\n", times, events::to_word(reason));
  }
  return text;
}

}  // namespace kportal::sim
