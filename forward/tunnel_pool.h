// SPDX-License-Identifier: MIT
// TunnelPool: which tunnels a forward has, which one takes the next connection, and which
// connections wait because there is none, or none that is free. Pure: it opens and closes nothing,
// it says what should be. It knows nothing of attempts, back-off, and which pods are wanted
// (WorkerMachine does). Owned by the worker's machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "forward/occupancy.h"

namespace kportal::forward {

// What tunnels succeed each other in, or stand beside each other to one pod. A pinned forward has
// one place, whichever pod is in it; with round-robin each pod is one.
using Place = std::string;

struct TunnelInfo {
  enum class State { dialing, up, draining };
  State state = State::dialing;
  Place place;
  std::string pod;
  std::string pod_uid;
  std::uint16_t port = 0;
  bool spare = false;                // dialled beside another one
  bool outdated = false;             // up, and a successor in its place is wanted
  bool late = false;                 // its answer to a ping is late
  TimePoint writing_since = kNever;  // since when one write has not been completed
  TimePoint shunned_until{};         // up, but new connections go to other pods until then, if any
  TimePoint unused_since = kNever;   // up beside another one of its place, and nobody needs it
};

class TunnelPool {
 public:
  // New local connections that may wait for a tunnel at the same time (product contract, section
  // 4).
  static constexpr std::size_t kMaxHeld = 1024;
  // How long a new connection waits for a tunnel of its own that is being dialled, where it could
  // share one.
  static constexpr Duration kMaxWait = std::chrono::milliseconds(100);
  // A write that takes so long: the tunnel is stalled.
  static constexpr Duration kWriteStall = std::chrono::seconds(1);
  // A tunnel beside another one that nobody needs is kept for so long.
  static constexpr Duration kKeepExtra = std::chrono::seconds(30);

  struct Placement {
    ConnectionId connection;
    TunnelId tunnel;
  };

  explicit TunnelPool(Duration hold) : hold_(hold) {}
  void set_hold(Duration hold) { hold_ = hold; }

  // `spare`: beside another one of its place, for connections that are busy at the same time.
  TunnelId add_dialing(Place place, std::string pod, std::string pod_uid, std::uint16_t port,
                       bool spare);
  // The tunnel takes new connections from now on, beside others that are up.
  void up(TunnelId id);
  // No new connections for it; it goes when its last connection ends. If it stood for the forward,
  // `heir` does now, or else another that is up.
  void retire(TunnelId id, std::optional<TunnelId> heir = std::nullopt);
  void remove(TunnelId id);
  // This one, or all that are up, are to be replaced.
  void outdate(TunnelId id);
  void outdate();
  // The pod behind it is left out, by whatever tunnel.
  void shun(TunnelId id, TimePoint until);
  void set_late(TunnelId id, bool late);
  void set_writing_since(TunnelId id, TimePoint since);

  TunnelInfo const* find(TunnelId id) const;
  Occupancy::Load load(TunnelId id) const { return occupancy_.of(id); }
  bool is_up(TunnelId id) const;
  // Some pod with a tunnel that is up is not shunned at `now`.
  bool has_good(TimePoint now) const;
  // Nothing comes through it: who reads it, or who is written to through it, does not read.
  bool is_stalled(TunnelId id, TimePoint now) const;
  // Up, without busy connections, and nothing speaks against them.
  std::vector<TunnelId> free(TimePoint now) const;
  // Of the tunnels that are up the one that stands for the forward: its successor, or else the
  // oldest of its place, or else the oldest, takes over when it goes.
  std::optional<TunnelId> primary() const { return primary_; }
  // The oldest of the place.
  std::optional<TunnelId> up_in(Place const& place) const;
  std::vector<TunnelId> all_in(Place const& place, TunnelInfo::State state) const;
  std::vector<TunnelId> all(TunnelInfo::State state) const;
  // Draining tunnels without connections: to be closed and removed.
  std::vector<TunnelId> drained() const;

  // A connection is busy, or waits although tunnels are up, or a tunnel is stalled or late: a
  // tunnel that is free should be at hand.
  bool in_demand(TimePoint now) const;
  // Tunnels that stand beside another one of their place and have been of no use for kKeepExtra:
  // no connections, and not the one that should be at hand.
  std::vector<TunnelId> superfluous(TimePoint now);

  // Queues a connection until `hold` after `arrived`; kMaxWait even if `hold` is less, while a
  // tunnel is up. False: the queue is full, or holding is off and no tunnel is up.
  bool hold(ConnectionId connection, TimePoint arrived);
  enum class May : bool { take_free, share };
  // Places what can be placed, the oldest first, on tunnels that are free: pods in turn, then the
  // emptiest. Who could only share waits while one is being dialled, kMaxWait at most; then it
  // takes the least busy of its turn, nothing that is shunned, late or stalled while there is
  // something better.
  std::vector<Placement> place_held(TimePoint now, May may);
  // Places this one now, whoever waits; shares if it must.
  std::optional<TunnelId> place(ConnectionId connection, TimePoint now);
  // Held connections whose time is over at `now`, removed; none while a tunnel is up.
  std::vector<ConnectionId> expire(TimePoint now);
  // This held connection, removed.
  void release(ConnectionId connection);
  // All held connections, removed.
  std::vector<ConnectionId> release_held();
  std::size_t held() const { return held_.size(); }

  // The tunnel to probe: pods in turn, then the one with the least to disturb; nothing that is
  // shunned, late or stalled while there is something better.
  std::optional<TunnelId> next_to_probe(TimePoint now);
  void probe_next(TunnelId id);

  // What happened on a placed connection; see Occupancy. It is off its tunnel with left().
  bool moved(ConnectionId connection, TimePoint now) { return occupancy_.moved(connection, now); }
  void full(ConnectionId connection, bool is_full, TimePoint now) {
    occupancy_.full(connection, is_full, now);
  }
  void left(ConnectionId connection) { occupancy_.leave(connection); }
  std::optional<ConnectionId> overdue(TimePoint now) { return occupancy_.overdue(now); }

  // To be called before anything is asked with a new `now`. The times of writes under way must not
  // be older than kWriteStall then.
  void settle(TimePoint now);
  // When place_held(), expire(), superfluous(), overdue() or in_demand() may say something else.
  TimePoint deadline() const;

 private:
  struct Held {
    ConnectionId connection;
    TimePoint arrived;
    TimePoint until;
  };

  int objections(TunnelId id, TimePoint now) const;
  std::vector<TunnelId> candidates(TimePoint now) const;
  std::optional<TunnelId> in_turn(std::vector<TunnelId> const& among, TunnelId after) const;
  TunnelId standing(TunnelId id) const;
  std::map<std::string_view, TunnelId> oldest_in_places() const;
  void take(ConnectionId connection, TunnelId tunnel, TimePoint now);
  void leave_primary(TunnelId id, Place const& place, std::optional<TunnelId> heir);

  Duration hold_;
  TunnelId next_id_ = 1;
  std::map<TunnelId, TunnelInfo> tunnels_;
  Occupancy occupancy_;
  std::optional<TunnelId> primary_;
  TunnelId last_placed_ = 0;  // where the last one's place stood
  TunnelId last_probed_ = 0;
  TimePoint settled_{};   // at the last settle()
  std::list<Held> held_;  // ordered by `until`
};

}  // namespace kportal::forward
