// SPDX-License-Identifier: MIT
// Settings: how the forwards of a schedule are configured and what their clients do, by chance.
// Short times stand for the long ones of real configurations, so that a schedule of minutes sees
// their ends.
#pragma once

#include "config/config.h"
#include "tests/sim/connection.h"
#include "tests/sim/random.h"

namespace kportal::sim {

config::HealthCheck draw_health(Random& random);
config::Reliability draw_reliability(Random& random);
// The `index`th forward of a schedule.
config::ForwardSpec draw_spec(Random& random, std::size_t index);
ClientPlan draw_client(Random& random);
config::HalfClose draw_half_close(Random& random);
config::Balance draw_balance(Random& random);

}  // namespace kportal::sim
