// SPDX-License-Identifier: MIT
#include "forward/tunnel_pool.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace kportal::forward {

using State = TunnelInfo::State;

TunnelId TunnelPool::add_dialing(Place place, std::string pod, std::string pod_uid,
                                 std::uint16_t port) {
  TunnelId const id = next_id_++;
  TunnelInfo info;
  info.place = std::move(place);
  info.pod = std::move(pod);
  info.pod_uid = std::move(pod_uid);
  info.port = port;
  tunnels_.emplace(id, std::move(info));
  return id;
}

void TunnelPool::up(TunnelId id) {
  auto const at = tunnels_.find(id);
  assert(at != tunnels_.end() && at->second.state == State::dialing);
  auto const before = up_in(at->second.place);
  at->second.state = State::up;
  if (!primary_ || primary_ == before) primary_ = id;
  if (before) retire(*before);
}

void TunnelPool::retire(TunnelId id) {
  if (auto const at = tunnels_.find(id); at != tunnels_.end()) at->second.state = State::draining;
  leave_primary(id);
}

void TunnelPool::remove(TunnelId id) {
  tunnels_.erase(id);
  leave_primary(id);
}

void TunnelPool::leave_primary(TunnelId id) {
  if (primary_ != id) return;
  primary_.reset();
  if (auto const others = all(State::up); !others.empty()) primary_ = others.front();
}

void TunnelPool::outdate() {
  for (auto& [id, tunnel] : tunnels_) tunnel.outdated = tunnel.state == State::up;
}

void TunnelPool::shun(TunnelId id, TimePoint until) {
  if (auto const at = tunnels_.find(id); at != tunnels_.end()) at->second.shunned_until = until;
}

TunnelInfo const* TunnelPool::find(TunnelId id) const {
  auto const at = tunnels_.find(id);
  return at == tunnels_.end() ? nullptr : &at->second;
}

bool TunnelPool::is_up(TunnelId id) const {
  auto const* const tunnel = find(id);
  return tunnel != nullptr && tunnel->state == State::up;
}

bool TunnelPool::is_good(TunnelId id, TimePoint now) const {
  return is_up(id) && tunnels_.at(id).shunned_until <= now;
}

std::optional<TunnelId> TunnelPool::up_in(Place const& place) const {
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == State::up && tunnel.place == place) return id;
  }
  return std::nullopt;
}

std::optional<TunnelId> TunnelPool::dialing_in(Place const& place) const {
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == State::dialing && tunnel.place == place) return id;
  }
  return std::nullopt;
}

std::vector<TunnelId> TunnelPool::all(State state) const {
  std::vector<TunnelId> ids;
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == state) ids.push_back(id);
  }
  return ids;
}

std::vector<TunnelId> TunnelPool::drained() const {
  std::vector<TunnelId> ids;
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == State::draining && tunnel.connections == 0) ids.push_back(id);
  }
  return ids;
}

bool TunnelPool::has_good(TimePoint now) const {
  return std::ranges::any_of(tunnels_,
                             [&](auto const& entry) { return is_good(entry.first, now); });
}

// The next tunnel that is up behind `after`, and behind the newest the oldest.
std::optional<TunnelId> TunnelPool::next_up(TunnelId after, TimePoint now) const {
  bool const only_good = has_good(now);
  std::optional<TunnelId> first;
  for (auto const& [id, tunnel] : tunnels_) {
    if (only_good ? !is_good(id, now) : !is_up(id)) continue;
    if (id > after) return id;
    if (!first) first = id;
  }
  return first;
}

std::optional<TunnelId> TunnelPool::place(TimePoint now) {
  auto const next = next_up(last_placed_, now);
  if (!next) return std::nullopt;
  last_placed_ = *next;
  ++tunnels_.at(*next).connections;
  return next;
}

std::optional<TunnelId> TunnelPool::next_to_probe(TimePoint now) {
  auto const next = next_up(last_probed_, now);
  last_probed_ = next.value_or(last_probed_);
  return next;
}

bool TunnelPool::hold(ConnectionId connection, TimePoint arrived) {
  if (hold_ == Duration::zero() || held_.size() >= kMaxHeld) return false;
  Held const entry{connection, arrived + hold_};
  auto const later = [](TimePoint until, Held const& held) { return until < held.until; };
  held_.insert(std::upper_bound(held_.begin(), held_.end(), entry.until, later), entry);
  return true;
}

std::vector<TunnelPool::Placement> TunnelPool::place_held(TimePoint now) {
  std::vector<Placement> placed;
  for (; !held_.empty(); held_.pop_front()) {
    auto const tunnel = place(now);
    if (!tunnel) break;
    placed.push_back({held_.front().connection, *tunnel});
  }
  return placed;
}

std::vector<ConnectionId> TunnelPool::expire(TimePoint now) {
  std::vector<ConnectionId> expired;
  while (!held_.empty() && held_.front().until <= now) {
    expired.push_back(held_.front().connection);
    held_.pop_front();
  }
  return expired;
}

std::vector<ConnectionId> TunnelPool::release_held() {
  return expire(kNever);
}

void TunnelPool::connection_left(TunnelId tunnel) {
  auto const at = tunnels_.find(tunnel);
  if (at == tunnels_.end()) return;
  assert(at->second.connections > 0);
  --at->second.connections;
}

}  // namespace kportal::forward
