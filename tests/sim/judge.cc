// SPDX-License-Identifier: MIT
#include "tests/sim/judge.h"

#include <algorithm>
#include <utility>

namespace kportal::sim {

using events::Status;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::string_view word(std::optional<Status> status) {
  return status ? events::to_word(*status) : "nothing";
}

auto ms(Duration span) {
  return duration_cast<milliseconds>(span).count();
}

}  // namespace

Judge::Judge(Stage& stage, events::Bus& bus, healthcheck::Checker& checker)
    : stage_(stage),
      checker_(checker),
      events_(bus.subscribe([this](events::Event const& event) { take(event); })) {}

// Events

void Judge::take(events::Event const& event) {
  stage_.require(Promise::no_event_lost, event.seq == last_seq_ + 1, "event {} follows event {}",
                 event.seq, last_seq_);
  last_seq_ = event.seq;
  std::visit([this](auto const& fact) { take(fact); }, event.fact);
}

void Judge::take(events::ForwardStarting const& event) {
  forwards_[event.forward.id] = Seen();
}

void Judge::take(events::HealthStatusChanged const& event) {
  // What is disabled begins with this.
  if (event.first && event.status == Status::disabled) forwards_[event.forward.id] = Seen();
  Seen& seen = forwards_[event.forward.id];
  stage_.trace("{}: {} -> {} {} {}", event.forward.id, word(seen.status),
               events::to_word(event.status), events::to_word(event.reason), event.message);
  Coverage::Change const change{seen.status, event.status};
  stage_.require(Promise::changes_chained,
                 event.first == !seen.status && (event.first || event.old == *seen.status),
                 "{}: an event from {}, the one before ended in {}", event.forward.id,
                 events::to_word(event.old), word(seen.status));
  stage_.require(Promise::change_allowed, Coverage::allowed(change), "{}: {} -> {} ({})",
                 event.forward.id, word(seen.status), events::to_word(event.status), event.message);
  stage_.require(Promise::error_has_reason,
                 (event.status == Status::error) <= (event.reason != events::Reason::none),
                 "{}: an Error without a reason", event.forward.id);
  stage_.coverage.hit(change);
  stage_.coverage.hit_status(event.reason);
  check_excuse(event, seen);
  check_grace(event, seen);
  if (seen.status == Status::active) seen.left_active = stage_.time.now();
  seen.status = event.status;
  seen.reason = event.reason;
  seen.proof_due = event.status == Status::active;
  news_ = true;
}

// Only a connection after a whole grace of being Active begins another one.
void Judge::check_grace(events::HealthStatusChanged const& event, Seen& seen) {
  TimePoint const now = stage_.time.now();
  if (outlived_grace(seen, now)) seen.grace_since.reset();
  if (event.status == Status::active) seen.active_since = now;
  seen.grace_due = !event.first && event.status == Status::starting;
}

bool Judge::outlived_grace(Seen const& seen, TimePoint now) {
  if (seen.status != Status::active || !seen.grace_since) return false;
  TimePoint const since = std::max(seen.active_since, *seen.grace_since);
  return now - since >= seen.health.startup_grace;
}

void Judge::look_at_grace(Driver& driver, Seen& seen) {
  // A grace whose length changes on the way is not followed.
  if (!seen.graces_of) seen.graces_of = driver.spec().health;
  if (seen.graces_of != driver.spec().health) seen.grace_followed = false;
  for (TimePoint const mark : driver.take_marks()) {
    if (outlived_grace(seen, mark)) seen.grace_since.reset();
    if (!seen.grace_since) seen.grace_since = mark;
  }
  bool const due = std::exchange(seen.grace_due, false) && seen.grace_followed;
  if (!due || !seen.grace_since) return;
  Duration const since = stage_.time.now() - *seen.grace_since;
  stage_.require(Promise::starting_once, since <= seen.health.startup_grace + kSlack,
                 "{}: Starting again after {} ms", driver.id(), ms(since));
}

// A starting API server says these to everyone.
void Judge::check_excuse(events::HealthStatusChanged const& event, Seen const& seen) {
  using events::Reason;
  bool const excusable = event.reason == Reason::unauthorized ||
                         event.reason == Reason::forbidden || event.reason == Reason::not_found;
  if (event.status != Status::error || !excusable || !seen.left_active) return;
  Duration const since = stage_.time.now() - *seen.left_active;
  stage_.require(Promise::excused,
                 seen.status != Status::active && since >= healthcheck::kExcuseAfterActive,
                 "{}: an Error for '{}' {} ms after it was Active", event.forward.id,
                 events::to_word(event.reason), ms(since));
}

void Judge::take(events::ForwardConnected const& event) {
  Seen& seen = forwards_[event.forward.id];
  stage_.require(Promise::connected_told, event.refresh == seen.connected,
                 "{}: connected{} while it {} connected", event.forward.id,
                 event.refresh ? " (refresh)" : "", seen.connected ? "was" : "was not");
  seen.connected = true;
}

void Judge::take(events::ForwardDisconnected const& event) {
  Seen& seen = forwards_[event.forward.id];
  stage_.require(Promise::connected_told, seen.connected,
                 "{}: disconnected while it was not connected", event.forward.id);
  seen.connected = false;
}

// Truth

void Judge::look(Driver& driver, bool clear, Duration waits) {
  if (driver.retired()) return;
  Seen& seen = forwards_.at(driver.id());
  if (driver.spec().disabled) {
    look_at_rest(driver, seen);
    return;
  }
  auto const health = checker_.status(driver.id());
  stage_.require(Promise::status_told, health.has_value() && health->status == seen.status,
                 "{}: it is {} and the events say {}", driver.id(),
                 health ? events::to_word(health->status) : "unknown", word(seen.status));
  stage_.require(
      Promise::connected_told, seen.connected == driver.machine().pool().primary().has_value(),
      "{}: the events say that it is {}connected", driver.id(), seen.connected ? "" : "not ");
  if (seen.status == Status::active) seen.last_active = stage_.time.awake();
  look_at_grace(driver, seen);
  look_at_truth(driver, seen);
  look_at_waiting(driver, seen);
  look_at_repair(driver, seen, clear, waits);
}

void Judge::look_at_rest(Driver const& driver, Seen const& seen) {
  auto const health = checker_.status(driver.id());
  bool const told = seen.status == Status::disabled && health && health->status == seen.status;
  stage_.require(Promise::rests, told, "{}: it is disabled, and the events say {}", driver.id(),
                 word(seen.status));
  stage_.require(Promise::rests, driver.rests(), "{}: it is disabled, and does something",
                 driver.id());
}

void Judge::look_at_truth(Driver const& driver, Seen& seen) {
  TimePoint const awake = stage_.time.awake();
  config::HealthCheck const& health = driver.spec().health;
  if (driver.tunnel_lives()) {
    if (std::exchange(seen.no_way_since, std::nullopt)) seen.way_since = awake;
  } else if (!seen.no_way_since) {
    seen.no_way_since = awake;
  }
  // Other settings count from their coming.
  bool const others = seen.health != health;
  seen.health = health;
  if (driver.port_reachable() || others) {
    seen.no_port_since.reset();
    seen.quiet_since_no_port = true;
  } else if (!seen.no_port_since) {
    seen.no_port_since = awake;
  }
  if (driver.has_connections()) seen.quiet_since_no_port = false;
  if (seen.status != Status::active) {
    seen.no_way_since.reset();
    seen.no_port_since.reset();
    return;
  }
  stage_.require(Promise::active_has_tunnel, driver.machine().pool().primary().has_value(),
                 "{}: Active without a tunnel", driver.id());
  if (std::exchange(seen.proof_due, false)) {
    stage_.require(Promise::active_has_proof, driver.port_has_proof(),
                   "{}: Active, and its pod's port was not heard from", driver.id());
  }
  if (seen.no_way_since) {
    Duration const since = awake - *seen.no_way_since;
    stage_.require(Promise::active_has_way, since <= driver.longest_silence() + kSlack,
                   "{}: Active {} ms after its last tunnel died", driver.id(), ms(since));
  }
  if (!seen.no_port_since || health.method == config::ProbeMethod::none) return;
  // A bad verdict is confirmed by a second; a connection that is just ending was evidence.
  Duration bound = 2 * health.timeout + kSlack + seconds(1);
  if (!seen.quiet_since_no_port) bound += health.interval + seconds(8);
  Duration const since = awake - *seen.no_port_since;
  stage_.require(Promise::active_has_port,
                 health.pod_probe == milliseconds(0) || since <= health.pod_probe + bound,
                 "{}: Active {} ms after the pod's port went", driver.id(), ms(since));
  // A probe that hears nothing for want of a network is good.
  TimePoint const heard_since = std::max(*seen.no_port_since, seen.way_since);
  if (driver.doubted() < heard_since || seen.no_way_since) return;
  Duration const doubted = awake - driver.doubted();
  // A probe that was under way comes first.
  stage_.require(Promise::doubt_answered, doubted <= bound + health.timeout,
                 "{}: Active {} ms after a connection failed", driver.id(), ms(doubted));
}

// Starting and Reconnecting end: by success, or in an Error.
void Judge::look_at_waiting(Driver const& driver, Seen& seen) {
  bool const waits = seen.status == Status::starting || seen.status == Status::reconnecting;
  TimePoint const awake = stage_.time.awake();
  if (!waits || driver.machine().pool().primary()) {
    seen.without_tunnel_since.reset();
  } else if (!seen.without_tunnel_since) {
    seen.without_tunnel_since = awake;
  } else {
    Duration const since = awake - *seen.without_tunnel_since;
    stage_.require(Promise::waiting_ends, since <= healthcheck::kReconnectingLimit + kSlack,
                   "{}: {} for {} ms without a tunnel", driver.id(), word(seen.status), ms(since));
  }
  if (!waits) {
    seen.waiting_since.reset();
    return;
  }
  if (!seen.waiting_since) seen.waiting_since = awake;
  config::HealthCheck const& health = driver.spec().health;
  Duration const bound = healthcheck::kReconnectingLimit + 2 * seconds(10) + 2 * health.interval +
                         4 * health.timeout + kSlack;
  Duration const since = awake - *seen.waiting_since;
  stage_.require(Promise::waiting_ends, since <= bound, "{}: {} for {} ms", driver.id(),
                 word(seen.status), ms(since));
}

// Repair

void Judge::disturbed(std::string const& id) {
  auto const at = forwards_.find(id);
  if (at == forwards_.end()) return;
  at->second.clear_since.reset();
  at->second.way_since = stage_.time.awake();
}

void Judge::look_at_repair(Driver const& driver, Seen& seen, bool clear, Duration waits) {
  TimePoint const awake = stage_.time.awake();
  if (!clear) {
    seen.clear_since.reset();
    return;
  }
  if (!seen.clear_since) seen.clear_since = awake;
  if (auto const blocked = driver.blocked_since()) {
    Duration const stayed = awake - std::max(*seen.clear_since, *blocked);
    stage_.require(Promise::blocked_is_left, stayed <= waits,
                   "{}: a tunnel that is blocked takes connections for {} ms", driver.id(),
                   ms(stayed));
  }
  bool const may_be_stale = seen.status == Status::stale && !driver.minds_staleness();
  if (may_be_stale) return;
  Duration const since = awake - std::max(*seen.clear_since, seen.last_active);
  stage_.require(Promise::repaired, since <= waits, "{}: {} ({}) for {} ms while all is well",
                 driver.id(), word(seen.status), events::to_word(seen.reason), ms(since));
}

bool Judge::recovered(Driver const& driver) const {
  if (driver.spec().disabled) return true;
  if (driver.blocked_since()) return false;
  auto const at = forwards_.find(driver.id());
  if (at == forwards_.end()) return false;
  Seen const& seen = at->second;
  bool const may_be_stale = seen.status == Status::stale && !driver.minds_staleness();
  return seen.clear_since && (may_be_stale || seen.status == Status::active);
}

}  // namespace kportal::sim
