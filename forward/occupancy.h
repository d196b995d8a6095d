// SPDX-License-Identifier: MIT
// Occupancy: which connections are on which tunnel of a forward, which of them are busy, and which
// stop their tunnel because nobody reads them. Pure: time is a parameter. It places nothing
// (TunnelPool does). Owned by the pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/clock.h"

namespace kportal::forward {

using TunnelId = std::uint64_t;  // grows; also the generation that the checker's verdicts carry
using ConnectionId = std::uint64_t;

class Occupancy {
 public:
  // A connection is busy while it is younger than the one, or moved a byte within the other
  // (product contract, section 4).
  static constexpr Duration kYoung = std::chrono::seconds(1);
  static constexpr Duration kActive = std::chrono::seconds(5);
  // A full buffer stops its whole tunnel. While it blocks another connection there, it may for so
  // long.
  static constexpr Duration kMayBlock = std::chrono::seconds(5);

  struct Load {
    std::size_t connections = 0;
    std::size_t busy = 0;
    std::size_t full = 0;      // connections whose buffer is full
    std::size_t leaving = 0;   // connections that were told of as overdue
    TimePoint shared_since{};  // since when there are two or more
  };

  // Not while it is on a tunnel.
  void enter(ConnectionId connection, TunnelId tunnel, TimePoint now);
  // Nothing if it is on none.
  void leave(ConnectionId connection);
  // A byte of it passed. Who tells need not do so more often than four times a second.
  // True: it was not busy.
  bool moved(ConnectionId connection, TimePoint now);
  // What came for it fills its buffer, or does not any more.
  void full(ConnectionId connection, bool is_full, TimePoint now);

  // Forgets who is not busy any more. What follows is as of the last call.
  void settle(TimePoint now);
  Load of(TunnelId tunnel) const;
  bool anyone_busy() const { return !busy_ends_.empty(); }
  // A connection that has blocked others for too long at `now`; each is told of once.
  std::optional<ConnectionId> overdue(TimePoint now);
  // When settle() or overdue() have something to say.
  TimePoint deadline() const;

 private:
  struct Connection {
    TunnelId tunnel = 0;
    TimePoint busy_until{};
    TimePoint full_since = kNever;
    bool told = false;  // of its being overdue
  };

  bool set_busy(ConnectionId id, Connection& connection, TimePoint until);
  void end_busy(ConnectionId id, Connection const& connection);
  TimePoint overdue_at(Connection const& connection) const;

  std::map<ConnectionId, Connection> connections_;
  std::map<TunnelId, Load> loads_;  // of tunnels with connections
  std::set<std::pair<TimePoint, ConnectionId>> busy_ends_;
  std::set<ConnectionId> full_;
};

}  // namespace kportal::forward
