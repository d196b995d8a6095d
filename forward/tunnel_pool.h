// SPDX-License-Identifier: MIT
// TunnelPool: which tunnels a forward has, which one takes a new connection, and which connections
// are held because there is none. Pure: it opens and closes nothing, it says what should be. It
// knows nothing of attempts and back-off (WorkerMachine does). Owned by the worker's machine.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace kportal::forward {

using TunnelId = std::uint64_t;  // grows; also the generation that the checker's verdicts carry
using ConnectionId = std::uint64_t;

struct TunnelInfo {
  enum class State { dialing, up, draining };
  State state = State::dialing;
  std::string pod;
  std::string pod_uid;
  std::uint16_t port = 0;
  std::size_t connections = 0;
};

class TunnelPool {
 public:
  // New local connections that may wait for a tunnel at the same time (product contract, section
  // 4).
  static constexpr std::size_t kMaxHeld = 1024;

  struct Placement {
    ConnectionId connection;
    TunnelId tunnel;
  };

  explicit TunnelPool(Duration hold) : hold_(hold) {}
  void set_hold(Duration hold) { hold_ = hold; }

  TunnelId add_dialing(std::string pod, std::string pod_uid, std::uint16_t port);
  // The tunnel takes all new connections from now on; the one that did before drains.
  void up(TunnelId id);
  // No new connections for it; it goes when its last connection ends.
  void retire(TunnelId id);
  void remove(TunnelId id);

  TunnelInfo const* find(TunnelId id) const;
  // The tunnel that takes new connections.
  std::optional<TunnelId> primary() const { return primary_; }
  std::optional<TunnelId> dialing() const;
  std::map<TunnelId, TunnelInfo> const& tunnels() const { return tunnels_; }
  // Draining tunnels without connections: to be closed and removed.
  std::vector<TunnelId> drained() const;

  // Counts a new connection on the tunnel that takes such, if there is one.
  std::optional<TunnelId> place();
  // Queues a connection until `hold` after `arrived`. False: the queue is full or holding is off.
  bool hold(ConnectionId connection, TimePoint arrived);
  // Held connections that can be placed now; each counts as a connection of its tunnel.
  std::vector<Placement> place_held();
  // Held connections whose time is over at `now`, removed.
  std::vector<ConnectionId> expire(TimePoint now);
  // All held connections, removed.
  std::vector<ConnectionId> release_held();
  std::size_t held() const { return held_.size(); }
  TimePoint deadline() const { return held_.empty() ? kNever : held_.front().until; }

  // A placed connection ended, or goes back to the queue by hold(). `tunnel` may be gone already.
  void connection_left(TunnelId tunnel);

 private:
  struct Held {
    ConnectionId connection;
    TimePoint until;
  };

  Duration hold_;
  TunnelId next_id_ = 1;
  std::map<TunnelId, TunnelInfo> tunnels_;
  std::optional<TunnelId> primary_;
  std::deque<Held> held_;  // ordered by `until`
};

}  // namespace kportal::forward
