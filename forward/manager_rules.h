// SPDX-License-Identifier: MIT
// What the manager makes of facts on the bus: which forward is to get a new tunnel. Pure. It does
// not decide what a new tunnel means for the old one (WorkerMachine does).
#pragma once

#include <optional>
#include <string>

#include "config/config.h"
#include "events/event.h"

namespace kportal::forward {

// The id of the forward that is to be refreshed because of this fact, if any: it became stale, or
// a verdict speaks against its tunnel, not against the pod's port.
std::optional<std::string> forward_to_refresh(events::Fact const& fact,
                                              config::Reliability const& reliability);

}  // namespace kportal::forward
