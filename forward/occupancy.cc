// SPDX-License-Identifier: MIT
#include "forward/occupancy.h"

#include <algorithm>
#include <cassert>

namespace kportal::forward {

void Occupancy::enter(ConnectionId connection, TunnelId tunnel, TimePoint now) {
  auto const [at, is_new] = connections_.try_emplace(connection);
  assert(is_new);
  at->second.tunnel = tunnel;
  Load& load = loads_[tunnel];
  if (++load.connections == 2) load.shared_since = now;
  set_busy(connection, at->second, now + kYoung);
}

void Occupancy::leave(ConnectionId connection) {
  auto const at = connections_.find(connection);
  if (at == connections_.end()) return;
  end_busy(connection, at->second);
  auto const load = loads_.find(at->second.tunnel);
  if (full_.erase(connection) != 0) --load->second.full;
  if (at->second.told) --load->second.leaving;
  if (--load->second.connections == 0) loads_.erase(load);
  connections_.erase(at);
}

bool Occupancy::moved(ConnectionId connection, TimePoint now) {
  auto const at = connections_.find(connection);
  return at != connections_.end() && set_busy(connection, at->second, now + kActive);
}

void Occupancy::full(ConnectionId connection, bool is_full, TimePoint now) {
  auto const at = connections_.find(connection);
  if (at == connections_.end() || full_.contains(connection) == is_full) return;
  Load& load = loads_.at(at->second.tunnel);
  at->second.full_since = is_full ? now : kNever;
  if (is_full) {
    full_.insert(connection);
    ++load.full;
  } else {
    full_.erase(connection);
    --load.full;
  }
}

void Occupancy::settle(TimePoint now) {
  while (!busy_ends_.empty() && busy_ends_.begin()->first <= now) {
    ConnectionId const id = busy_ends_.begin()->second;
    end_busy(id, connections_.at(id));
  }
}

Occupancy::Load Occupancy::of(TunnelId tunnel) const {
  auto const at = loads_.find(tunnel);
  return at == loads_.end() ? Load() : at->second;
}

std::optional<ConnectionId> Occupancy::overdue(TimePoint now) {
  for (ConnectionId const id : full_) {
    Connection& connection = connections_.at(id);
    if (overdue_at(connection) > now) continue;
    connection.told = true;
    ++loads_.at(connection.tunnel).leaving;
    return id;
  }
  return std::nullopt;
}

TimePoint Occupancy::deadline() const {
  TimePoint due = busy_ends_.empty() ? kNever : busy_ends_.begin()->first;
  for (ConnectionId const id : full_) due = std::min(due, overdue_at(connections_.at(id)));
  return due;
}

// Never for one that is alone: it blocks nobody.
TimePoint Occupancy::overdue_at(Connection const& connection) const {
  Load const& load = loads_.at(connection.tunnel);
  if (connection.told || load.connections - load.leaving < 2) return kNever;
  return std::max(connection.full_since, load.shared_since) + kMayBlock;
}

bool Occupancy::set_busy(ConnectionId id, Connection& connection, TimePoint until) {
  if (until <= connection.busy_until) return false;
  Load& load = loads_.at(connection.tunnel);
  auto node = busy_ends_.extract({connection.busy_until, id});
  connection.busy_until = until;
  if (node) {
    node.value() = {until, id};
    busy_ends_.insert(std::move(node));
    return false;
  }
  busy_ends_.insert({until, id});
  ++load.busy;
  return true;
}

void Occupancy::end_busy(ConnectionId id, Connection const& connection) {
  if (busy_ends_.erase({connection.busy_until, id}) != 0) --loads_.at(connection.tunnel).busy;
}

}  // namespace kportal::forward
