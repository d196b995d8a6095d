// SPDX-License-Identifier: MIT
// TunnelPool: which tunnels a forward has, which one takes the next connection, and which
// connections are held because there is none. Pure: it opens and closes nothing, it says what
// should be. It knows nothing of attempts, back-off, and which pods are wanted (WorkerMachine
// does). Owned by the worker's machine.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace kportal::forward {

using TunnelId = std::uint64_t;  // grows; also the generation that the checker's verdicts carry
using ConnectionId = std::uint64_t;

// What tunnels succeed each other in. A pinned forward has one place, whichever pod is in it; with
// round-robin each pod is one.
using Place = std::string;

struct TunnelInfo {
  enum class State { dialing, up, draining };
  State state = State::dialing;
  Place place;
  std::string pod;
  std::string pod_uid;
  std::uint16_t port = 0;
  std::size_t connections = 0;
  bool outdated = false;      // up, and a successor in its place is wanted
  TimePoint shunned_until{};  // up, but new connections go to others until then, if there are any
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

  TunnelId add_dialing(Place place, std::string pod, std::string pod_uid, std::uint16_t port);
  // The tunnel takes new connections from now on; the one of its place that did before drains.
  void up(TunnelId id);
  // No new connections for it; it goes when its last connection ends.
  void retire(TunnelId id);
  void remove(TunnelId id);
  // All that are up are to be replaced.
  void outdate();
  void shun(TunnelId id, TimePoint until);

  TunnelInfo const* find(TunnelId id) const;
  bool is_up(TunnelId id) const;
  // Up, and not shunned at `now`.
  bool is_good(TunnelId id, TimePoint now) const;
  bool has_good(TimePoint now) const;
  // Of the tunnels that are up the one that stands for the forward: its successor, or else the
  // oldest, takes over when it goes. The only one of a pinned forward.
  std::optional<TunnelId> primary() const { return primary_; }
  std::optional<TunnelId> up_in(Place const& place) const;
  std::optional<TunnelId> dialing_in(Place const& place) const;
  std::vector<TunnelId> all(TunnelInfo::State state) const;
  // Draining tunnels without connections: to be closed and removed.
  std::vector<TunnelId> drained() const;

  // Counts a new connection on the next tunnel that is up, if there is one: in turn, good ones
  // first.
  std::optional<TunnelId> place(TimePoint now);
  // The tunnel to probe: in turn too, good ones first.
  std::optional<TunnelId> next_to_probe(TimePoint now);
  void probe_next(TunnelId id) { last_probed_ = id - 1; }
  // Queues a connection until `hold` after `arrived`. False: the queue is full or holding is off.
  bool hold(ConnectionId connection, TimePoint arrived);
  // Held connections that can be placed now; each counts as a connection of its tunnel.
  std::vector<Placement> place_held(TimePoint now);
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

  void leave_primary(TunnelId id);
  std::optional<TunnelId> next_up(TunnelId after, TimePoint now) const;

  Duration hold_;
  TunnelId next_id_ = 1;
  std::map<TunnelId, TunnelInfo> tunnels_;
  std::optional<TunnelId> primary_;
  TunnelId last_placed_ = 0;
  TunnelId last_probed_ = 0;
  std::list<Held> held_;  // ordered by `until`
};

}  // namespace kportal::forward
