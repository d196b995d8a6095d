// SPDX-License-Identifier: MIT
#include "forward/tunnel_pool.h"

#include <algorithm>
#include <cassert>
#include <tuple>
#include <utility>

namespace kportal::forward {

using State = TunnelInfo::State;

namespace {

// What speaks against a tunnel, the worst counts for more than the others together.
constexpr int kLate = 1;
constexpr int kStalled = 2;
constexpr int kShunned = 4;

bool lead_to_one_pod(TunnelInfo const& a, TunnelInfo const& b) {
  return a.pod == b.pod && a.pod_uid == b.pod_uid;
}

}  // namespace

// Which tunnels there are.

TunnelId TunnelPool::add_dialing(Place place, std::string pod, std::string pod_uid,
                                 std::uint16_t port, bool spare) {
  TunnelId const id = next_id_++;
  TunnelInfo info;
  info.spare = spare;
  info.place = std::move(place);
  info.pod = std::move(pod);
  info.pod_uid = std::move(pod_uid);
  info.port = port;
  for (auto const& [other, tunnel] : tunnels_) {
    if (!lead_to_one_pod(tunnel, info)) continue;
    info.shunned_until = std::max(info.shunned_until, tunnel.shunned_until);
  }
  tunnels_.emplace(id, std::move(info));
  return id;
}

void TunnelPool::up(TunnelId id) {
  auto const at = tunnels_.find(id);
  assert(at != tunnels_.end() && at->second.state == State::dialing);
  at->second.state = State::up;
  if (!primary_) primary_ = id;
}

void TunnelPool::retire(TunnelId id, std::optional<TunnelId> heir) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  at->second.state = State::draining;
  leave_primary(id, at->second.place, heir);
}

void TunnelPool::remove(TunnelId id) {
  auto const node = tunnels_.extract(id);
  if (node) leave_primary(id, node.mapped().place, std::nullopt);
}

void TunnelPool::leave_primary(TunnelId id, Place const& place, std::optional<TunnelId> heir) {
  if (primary_ != id) return;
  primary_ = heir ? heir : up_in(place);
  if (primary_) return;
  if (auto const others = all(State::up); !others.empty()) primary_ = others.front();
}

void TunnelPool::outdate(TunnelId id) {
  if (auto const at = tunnels_.find(id); at != tunnels_.end()) {
    at->second.outdated = at->second.state == State::up;
  }
}

void TunnelPool::outdate() {
  for (auto& [id, tunnel] : tunnels_) tunnel.outdated = tunnel.state == State::up;
}

void TunnelPool::shun(TunnelId id, TimePoint until) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  for (auto& [other, tunnel] : tunnels_) {
    if (lead_to_one_pod(tunnel, at->second)) tunnel.shunned_until = until;
  }
}

void TunnelPool::set_late(TunnelId id, bool late) {
  if (auto const at = tunnels_.find(id); at != tunnels_.end()) at->second.late = late;
}

void TunnelPool::set_writing_since(TunnelId id, TimePoint since) {
  if (auto const at = tunnels_.find(id); at != tunnels_.end()) at->second.writing_since = since;
}

TunnelInfo const* TunnelPool::find(TunnelId id) const {
  auto const at = tunnels_.find(id);
  return at == tunnels_.end() ? nullptr : &at->second;
}

bool TunnelPool::is_up(TunnelId id) const {
  auto const* const tunnel = find(id);
  return tunnel != nullptr && tunnel->state == State::up;
}

bool TunnelPool::has_good(TimePoint now) const {
  return std::ranges::any_of(tunnels_, [&](auto const& entry) {
    return entry.second.state == State::up && entry.second.shunned_until <= now;
  });
}

bool TunnelPool::is_stalled(TunnelId id, TimePoint now) const {
  auto const* const tunnel = find(id);
  if (tunnel == nullptr) return false;
  bool const writing =
      tunnel->writing_since != kNever && now - tunnel->writing_since >= kWriteStall;
  return writing || load(id).full != 0;
}

std::optional<TunnelId> TunnelPool::up_in(Place const& place) const {
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == State::up && tunnel.place == place) return id;
  }
  return std::nullopt;
}

std::vector<TunnelId> TunnelPool::all_in(Place const& place, State state) const {
  std::vector<TunnelId> ids;
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == state && tunnel.place == place) ids.push_back(id);
  }
  return ids;
}

std::vector<TunnelId> TunnelPool::all(State state) const {
  std::vector<TunnelId> ids;
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == state) ids.push_back(id);
  }
  return ids;
}

std::vector<TunnelId> TunnelPool::drained() const {
  std::vector<TunnelId> ids = all(State::draining);
  std::erase_if(ids, [this](TunnelId id) { return load(id).connections != 0; });
  return ids;
}

// Which of them are of use.

int TunnelPool::objections(TunnelId id, TimePoint now) const {
  TunnelInfo const& tunnel = tunnels_.at(id);
  int found = 0;
  if (tunnel.shunned_until > now && has_good(now)) found += kShunned;
  if (is_stalled(id, now)) found += kStalled;
  if (tunnel.late) found += kLate;
  return found;
}

// Those that are up and that the least speaks against.
std::vector<TunnelId> TunnelPool::candidates(TimePoint now) const {
  std::vector<TunnelId> ids;
  int least = kShunned + kStalled + kLate;
  for (TunnelId const id : all(State::up)) {
    int const found = objections(id, now);
    if (found > least) continue;
    if (found < least) ids.clear();
    least = found;
    ids.push_back(id);
  }
  return ids;
}

std::vector<TunnelId> TunnelPool::free(TimePoint now) const {
  std::vector<TunnelId> ids = all(State::up);
  std::erase_if(ids, [&](TunnelId id) { return load(id).busy != 0 || objections(id, now) != 0; });
  return ids;
}

bool TunnelPool::in_demand(TimePoint now) const {
  auto const up = all(State::up);
  if (up.empty()) return false;
  return occupancy_.anyone_busy() || !held_.empty() || std::ranges::any_of(up, [&](TunnelId id) {
           return tunnels_.at(id).late || is_stalled(id, now);
         });
}

// Each place is left with one: the oldest, but for the one that stands for the forward.
std::vector<TunnelId> TunnelPool::superfluous(TimePoint now) {
  std::vector<TunnelId> ids;
  auto keep = oldest_in_places();
  if (primary_) keep[tunnels_.at(*primary_).place] = *primary_;
  auto const at_hand = free(now);
  bool const demanded = in_demand(now);
  for (auto& [id, tunnel] : tunnels_) {
    if (tunnel.state != State::up) continue;
    bool const needed = demanded && !at_hand.empty() && at_hand.front() == id;
    if (keep.at(tunnel.place) == id || needed || load(id).connections != 0) {
      tunnel.unused_since = kNever;
    } else if (tunnel.unused_since == kNever) {
      tunnel.unused_since = now;
    } else if (now - tunnel.unused_since >= kKeepExtra) {
      ids.push_back(id);
    }
  }
  return ids;
}

// Where connections go.

// A place stands in the ring of places where its oldest tunnel does.
TunnelId TunnelPool::standing(TunnelId id) const {
  return up_in(tunnels_.at(id).place).value_or(id);
}

std::map<std::string_view, TunnelId> TunnelPool::oldest_in_places() const {
  std::map<std::string_view, TunnelId> oldest;
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == State::up) oldest.try_emplace(tunnel.place, id);
  }
  return oldest;
}

// In the next place behind `after`, and behind the last one the first, the least busy.
std::optional<TunnelId> TunnelPool::in_turn(std::vector<TunnelId> const& among,
                                            TunnelId after) const {
  auto const oldest = oldest_in_places();
  auto const key = [&](TunnelId id) {
    TunnelId const stands = oldest.at(tunnels_.at(id).place);
    auto const its = load(id);
    return std::tuple(stands <= after, stands, its.busy, its.connections, id);
  };
  auto const best = std::ranges::min_element(among, {}, key);
  return best == among.end() ? std::nullopt : std::optional(*best);
}

void TunnelPool::take(ConnectionId connection, TunnelId tunnel, TimePoint now) {
  last_placed_ = standing(tunnel);
  occupancy_.enter(connection, tunnel, now);
}

std::optional<TunnelId> TunnelPool::place(ConnectionId connection, TimePoint now) {
  auto next = in_turn(free(now), last_placed_);
  if (!next) next = in_turn(candidates(now), last_placed_);
  if (next) take(connection, *next, now);
  return next;
}

bool TunnelPool::hold(ConnectionId connection, TimePoint arrived) {
  bool const never = hold_ == Duration::zero() && !primary_;
  if (never || held_.size() >= kMaxHeld) return false;
  Held const entry{connection, arrived, arrived + hold_};
  auto const later = [](TimePoint until, Held const& held) { return until < held.until; };
  held_.insert(std::upper_bound(held_.begin(), held_.end(), entry.until, later), entry);
  return true;
}

std::vector<TunnelPool::Placement> TunnelPool::place_held(TimePoint now, May may) {
  std::vector<Placement> placed;
  bool const may_come = !all(State::dialing).empty();
  for (; !held_.empty() && primary_; held_.pop_front()) {
    Held const& held = held_.front();
    auto next = in_turn(free(now), last_placed_);
    bool const waits = may == May::take_free || (may_come && now - held.arrived < kMaxWait);
    if (!next && waits) break;
    if (!next) next = in_turn(candidates(now), last_placed_);
    take(held.connection, *next, now);
    placed.push_back({held.connection, *next});
  }
  return placed;
}

std::vector<ConnectionId> TunnelPool::expire(TimePoint now) {
  std::vector<ConnectionId> expired;
  while (!primary_ && !held_.empty() && held_.front().until <= now) {
    expired.push_back(held_.front().connection);
    held_.pop_front();
  }
  return expired;
}

void TunnelPool::release(ConnectionId connection) {
  std::erase_if(held_, [&](Held const& held) { return held.connection == connection; });
}

std::vector<ConnectionId> TunnelPool::release_held() {
  std::vector<ConnectionId> released;
  for (Held const& held : held_) released.push_back(held.connection);
  held_.clear();
  return released;
}

std::optional<TunnelId> TunnelPool::next_to_probe(TimePoint now) {
  auto const next = in_turn(candidates(now), last_probed_);
  if (next) last_probed_ = standing(*next);
  return next;
}

void TunnelPool::probe_next(TunnelId id) {
  if (is_up(id)) last_probed_ = standing(id) - 1;
}

void TunnelPool::settle(TimePoint now) {
  settled_ = now;
  occupancy_.settle(now);
}

TimePoint TunnelPool::deadline() const {
  TimePoint due = occupancy_.deadline();
  if (!held_.empty()) {
    Held const& next = held_.front();
    due = std::min(due, primary_ ? next.arrived + kMaxWait : next.until);
  }
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state != State::up) continue;
    if (tunnel.unused_since != kNever) due = std::min(due, tunnel.unused_since + kKeepExtra);
    if (tunnel.writing_since == kNever) continue;
    due = std::min(due, std::max(tunnel.writing_since, settled_) + kWriteStall);
  }
  return due;
}

}  // namespace kportal::forward
