// SPDX-License-Identifier: MIT
// Judge: what users are promised of a forward's status and events, over time (product contract,
// sections 4 to 6): told by the bus, compared with what the simulation knows to be true. One for a
// schedule.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "events/bus.h"
#include "healthcheck/checker.h"
#include "tests/sim/driver.h"

namespace kportal::sim {

class Judge {
 public:
  // How late what is due may be seen: some turns of the loop and a tick of the checker.
  static constexpr Duration kSlack = std::chrono::milliseconds(500);
  Judge(Stage& stage, events::Bus& bus, healthcheck::Checker& checker);

  // After each step. `clear`: its way and its pods are good; if they stay so, it is Active after
  // `waits`.
  void look(Driver& driver, bool clear, Duration waits);
  // A status changed in this step: to be looked at now.
  bool has_news() { return std::exchange(news_, false); }
  // A fault has just been given to this forward, or taken away.
  void disturbed(std::string const& id);
  // All is well with it, and it says so.
  bool recovered(Driver const& driver) const;

 private:
  struct Seen {
    std::optional<events::Status> status;
    events::Reason reason{};
    bool connected = false;
    config::HealthCheck health;
    // By the clock that stands still with the loop; unset while all is well.
    std::optional<TimePoint> no_way_since;
    TimePoint way_since{};  // before that nothing could be known
    std::optional<TimePoint> no_port_since;
    bool quiet_since_no_port = true;
    std::optional<TimePoint> clear_since;
    TimePoint last_active{};
    std::optional<TimePoint> left_active;
    TimePoint active_since{};
    // The grace that a connection began; unset: the next one begins it.
    std::optional<TimePoint> grace_since;
    bool grace_due = false;  // it became Starting
    std::optional<config::HealthCheck> graces_of;
    bool grace_followed = true;
    bool proof_due = false;  // it became Active
    // Neither Active, nor Error, Stale: waiting.
    std::optional<TimePoint> waiting_since;
    std::optional<TimePoint> without_tunnel_since;  // of that
  };

  void take(events::Event const& event);
  void check_grace(events::HealthStatusChanged const& event, Seen& seen);
  void check_excuse(events::HealthStatusChanged const& event, Seen const& seen);
  void take(events::ForwardStarting const& event);
  void take(events::HealthStatusChanged const& event);
  void take(events::ForwardConnected const& event);
  void take(events::ForwardDisconnected const& event);
  template <class Other>
  void take(Other const&) {}

  void look_at_grace(Driver& driver, Seen& seen);
  static bool outlived_grace(Seen const& seen, TimePoint now);
  void look_at_rest(Driver const& driver, Seen const& seen);
  void look_at_truth(Driver const& driver, Seen& seen);
  void look_at_waiting(Driver const& driver, Seen& seen);
  void look_at_repair(Driver const& driver, Seen& seen, bool clear, Duration waits);

  Stage& stage_;
  healthcheck::Checker& checker_;
  std::uint64_t last_seq_ = 0;
  bool news_ = false;
  std::map<std::string, Seen> forwards_;
  events::Subscription events_;
};

}  // namespace kportal::sim
