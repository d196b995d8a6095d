// SPDX-License-Identifier: MIT
#include "tests/sim/settings.h"

#include <fmt/format.h>

namespace kportal::sim {

using config::milliseconds;
using config::TargetKind;
using std::chrono::seconds;

config::HealthCheck draw_health(Random& random) {
  config::HealthCheck health;
  health.interval = random.pick<milliseconds>({seconds(2), seconds(3), seconds(5), seconds(10)});
  health.timeout = random.pick<milliseconds>({milliseconds(500), seconds(1), seconds(2)});
  health.method = random.pick({config::ProbeMethod::data_transfer,
                               config::ProbeMethod::data_transfer, config::ProbeMethod::tcp_dial,
                               config::ProbeMethod::tcp_dial, config::ProbeMethod::none});
  health.pod_probe =
      random.pick<milliseconds>({milliseconds(0), seconds(5), seconds(20), seconds(60)});
  health.startup_grace = random.pick<milliseconds>({milliseconds(0), seconds(3), seconds(10)});
  health.max_connection_age = random.pick<milliseconds>(
      {milliseconds(0), seconds(8), seconds(20), std::chrono::minutes(25)});
  health.max_idle_time = random.pick<milliseconds>(
      {milliseconds(0), seconds(6), seconds(15), std::chrono::minutes(10)});
  return health;
}

config::Reliability draw_reliability(Random& random) {
  config::Reliability reliability;
  reliability.dial_timeout = random.pick<milliseconds>({seconds(2), seconds(5), seconds(30)});
  reliability.retry_on_stale = random.chance(80);
  reliability.hold = random.pick<milliseconds>({milliseconds(0), seconds(1), seconds(10)});
  reliability.max_tunnels = random.pick({1, 2, 8});
  reliability.ping_interval = random.pick<milliseconds>({seconds(1), seconds(5)});
  reliability.ping_timeout = random.pick<milliseconds>({seconds(1), seconds(3)});
  return reliability;
}

config::HalfClose draw_half_close(Random& random) {
  return random.chance(30) ? config::HalfClose::hold : config::HalfClose::pass;
}

config::Balance draw_balance(Random& random) {
  return random.chance(35) ? config::Balance::round_robin : config::Balance::pin;
}

config::ForwardSpec draw_spec(Random& random, std::size_t index) {
  config::ForwardSpec spec;
  spec.namespace_ = "shop";
  spec.alias = fmt::format("f{}", index);
  spec.local_port = static_cast<std::uint16_t>(8000 + index);
  switch (random.below(4)) {
    case 0:  // a StatefulSet's pod by its name
      spec.target.kind = TargetKind::pod;
      spec.target.name = "db-0";
      spec.port = "http";
      break;
    case 1:
      spec.target.kind = TargetKind::pod;
      spec.target.selector = "app=web";
      spec.port = "8080";
      break;
    default:
      spec.target.kind = TargetKind::service;
      spec.target.name = "web";
      spec.port = "web";
  }
  spec.balance = draw_balance(random);
  spec.allow_unready = random.chance(15);
  spec.half_close = draw_half_close(random);
  spec.disabled = random.chance(5);
  spec.health = draw_health(random);
  return spec;
}

ClientPlan draw_client(Random& random) {
  ClientPlan plan;
  plan.first = random.chance(10) ? 0 : random.pick<std::size_t>({16, 64, 1024});
  if (plan.first != 0 && random.chance(2)) plan.first = 70 * 1024;  // more than is kept
  if (plan.first != 0 && random.chance(40)) plan.more = static_cast<int>(random.below(6));
  plan.pause = random.between(milliseconds(50), seconds(3));
  if (random.chance(8)) {
    plan.stall_at = random.between(milliseconds(0), seconds(3));
    plan.stall = random.between(seconds(1), seconds(30));
  }
  plan.end =
      random.pick({ClientPlan::End::stays, ClientPlan::End::half_closes,
                   ClientPlan::End::half_closes, ClientPlan::End::resets, ClientPlan::End::resets});
  plan.until_end = random.between(milliseconds(1), seconds(12));
  return plan;
}

}  // namespace kportal::sim
