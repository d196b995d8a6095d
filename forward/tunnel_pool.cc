// SPDX-License-Identifier: MIT
#include "forward/tunnel_pool.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace kportal::forward {

TunnelId TunnelPool::add_dialing(std::string pod, std::string pod_uid, std::uint16_t port) {
  TunnelId const id = next_id_++;
  TunnelInfo info;
  info.pod = std::move(pod);
  info.pod_uid = std::move(pod_uid);
  info.port = port;
  tunnels_.emplace(id, std::move(info));
  return id;
}

void TunnelPool::up(TunnelId id) {
  auto const at = tunnels_.find(id);
  assert(at != tunnels_.end() && at->second.state == TunnelInfo::State::dialing);
  if (primary_) retire(*primary_);
  at->second.state = TunnelInfo::State::up;
  primary_ = id;
}

void TunnelPool::retire(TunnelId id) {
  if (auto const at = tunnels_.find(id); at != tunnels_.end()) {
    at->second.state = TunnelInfo::State::draining;
  }
  if (primary_ == id) primary_.reset();
}

void TunnelPool::remove(TunnelId id) {
  tunnels_.erase(id);
  if (primary_ == id) primary_.reset();
}

TunnelInfo const* TunnelPool::find(TunnelId id) const {
  auto const at = tunnels_.find(id);
  return at == tunnels_.end() ? nullptr : &at->second;
}

std::optional<TunnelId> TunnelPool::dialing() const {
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == TunnelInfo::State::dialing) return id;
  }
  return std::nullopt;
}

std::vector<TunnelId> TunnelPool::drained() const {
  std::vector<TunnelId> ids;
  for (auto const& [id, tunnel] : tunnels_) {
    if (tunnel.state == TunnelInfo::State::draining && tunnel.connections == 0) ids.push_back(id);
  }
  return ids;
}

std::optional<TunnelId> TunnelPool::place() {
  if (primary_) ++tunnels_.at(*primary_).connections;
  return primary_;
}

bool TunnelPool::hold(ConnectionId connection, TimePoint arrived) {
  if (hold_ == Duration::zero() || held_.size() >= kMaxHeld) return false;
  Held const entry{connection, arrived + hold_};
  auto const later = [](TimePoint until, Held const& held) { return until < held.until; };
  held_.insert(std::upper_bound(held_.begin(), held_.end(), entry.until, later), entry);
  return true;
}

std::vector<TunnelPool::Placement> TunnelPool::place_held() {
  std::vector<Placement> placed;
  if (!primary_) return placed;
  placed.reserve(held_.size());
  for (Held const& held : held_) placed.push_back({held.connection, *primary_});
  tunnels_.at(*primary_).connections += held_.size();
  held_.clear();
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
