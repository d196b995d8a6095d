// SPDX-License-Identifier: MIT
#include "forward/manager_rules.h"

#include <variant>

namespace kportal::forward {
namespace {

using events::Reason;
using events::Status;

bool blames_tunnel(events::HealthStatusChanged const& change) {
  if (change.status != Status::reconnecting && change.status != Status::error) return false;
  return change.reason == Reason::timeout || change.reason == Reason::network ||
         change.reason == Reason::probe_failed;
}

}  // namespace

std::optional<std::string> forward_to_refresh(events::Fact const& fact,
                                              config::Reliability const& reliability) {
  if (auto const* const stale = std::get_if<events::HealthStale>(&fact)) {
    if (reliability.retry_on_stale) return stale->forward.id;
  } else if (auto const* const change = std::get_if<events::HealthStatusChanged>(&fact)) {
    if (blames_tunnel(*change)) return change->forward.id;
  }
  return std::nullopt;
}

}  // namespace kportal::forward
