// SPDX-License-Identifier: MIT
// WorkerMachine: the life of one forward as decisions: when to dial, which tunnel takes a
// connection, what is held, moved or reset, when to try again. Pure: events and `now` in, actions
// out. It does not decide the status (healthcheck/ does, from the marks) nor which pod (k8s/target
// does).
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "events/status.h"
#include "forward/tunnel_pool.h"
#include "k8s/target.h"

namespace kportal::forward {

// What the driver has to carry out, in order.
struct Dial {
  TunnelId tunnel;
  k8s::Choice choice;
};
// Ends the dial or the tunnel; streams still open on it fail.
struct CloseTunnel {
  TunnelId tunnel;
};
struct PlaceConnection {
  ConnectionId connection;
  TunnelId tunnel;
};
struct ResetConnection {
  ConnectionId connection;
  events::Reason reason;
  std::string message;
};
struct MarkConnected {
  TunnelId tunnel;
  bool refresh;
};
struct MarkDisconnected {
  events::Reason reason;
  std::string message;
  std::string pod;
};
struct MarkReconnecting {
  events::Reason reason;
  std::string message;
  int attempt;
  Duration delay;
};
// There is no tunnel: an attempt failed, or there is no pod to try. `news`: for another reason than
// the one before.
struct MarkFailed {
  events::Reason reason;
  std::string message;
  bool news;
};
// Look at the cluster again, its last word may be outdated.
struct ResolveAgain {};

using Action = std::variant<Dial, CloseTunnel, PlaceConnection, ResetConnection, MarkConnected,
                            MarkDisconnected, MarkReconnecting, MarkFailed, ResolveAgain>;
using Actions = std::vector<Action>;

// How a placed connection ended.
struct ConnectionEnd {
  // The pod's port never accepted it and nothing of it can have been seen: it may go to another
  // tunnel.
  bool movable = false;
  std::optional<Error> error;  // why it failed; none = it ended as its two ends wanted
};

class WorkerMachine {
 public:
  // Keeps a flapping server from being hammered, whatever the causes of the dials.
  static constexpr std::size_t kMaxDials = 10;
  static constexpr Duration kDialWindow = std::chrono::seconds(10);
  // Errors that waiting alone does not mend are tried this often.
  static constexpr Duration kPermanentRetry = std::chrono::seconds(10);

  // Whether waiting alone will not mend a failure: the checker knows when the forward was last
  // Active.
  using IsFinal = std::function<bool(events::Reason)>;

  WorkerMachine(Duration hold, std::uint32_t seed, IsFinal is_final)
      : is_final_(std::move(is_final)), pool_(hold), backoff_(seed) {}

  void start(TimePoint now);
  // Dials and places no more; held connections are reset. What is placed goes on.
  void stop();
  void set_hold(Duration hold) { pool_.set_hold(hold); }

  // The cluster's word on where to forward, each time it may have changed. An error leaves a tunnel
  // that is up alone, whatever it says of a next one. `in_use_gone`: the pod of the
  // current tunnel is deleted or terminating, so nothing new may go there.
  void resolved(Result<k8s::Choice> choice, bool in_use_gone, TimePoint now);

  void dialled(TunnelId tunnel, TimePoint now);
  void dial_failed(TunnelId tunnel, Error error, TimePoint now);
  // `lived`: it brought a pod's byte or the answer to a ping.
  void tunnel_closed(TunnelId tunnel, Error error, bool lived, TimePoint now);

  // The pod behind the tunnel is gone although the tunnel is up (protocol.md 3.3: it stays open).
  void pod_gone(TunnelId tunnel, Error const& error, TimePoint now);
  // The tunnel in use brought a pod's byte or the answer to a ping.
  void proved_alive() { backoff_.reset(); }

  void accepted(ConnectionId connection, TimePoint now);
  void connection_ended(ConnectionId connection, TunnelId tunnel, TimePoint arrived,
                        ConnectionEnd end, TimePoint now);

  // A new tunnel before the old one is left: the checker's or a user's wish.
  void refresh(TimePoint now);
  // There is another way to the cluster, perhaps to another one: what the old one said, and what is
  // being dialled by it, is dropped; once the new one has said where to, a new tunnel replaces the
  // one in use.
  void renew(TimePoint now);
  // Something changed that may cure what we wait for: the next attempt is due now.
  void hurry(TimePoint now);
  // Time has passed.
  void tick(TimePoint now);
  TimePoint deadline() const;

  Actions take_actions();
  TunnelPool const& pool() const { return pool_; }
  // The pod of the tunnel that takes new connections, empty if none.
  std::string current_pod() const;
  std::string current_uid() const;

 private:
  void advance(TimePoint now);
  void dial_if_due(TimePoint now);
  void place_and_drain(TimePoint now);
  bool needs_dial() const;
  bool within_budget(TimePoint now);
  void lost(events::Reason reason, std::string message, std::string pod, Duration delay,
            TimePoint now);
  void attempt_failed(Error const& error, TimePoint now);
  void report(Error const& error);
  void give_up_dial(TunnelId tunnel);
  void give_up(TunnelId tunnel, Error const& error, TimePoint now);
  void reset_held(events::Reason reason, std::string const& message);

  IsFinal is_final_;
  TunnelPool pool_;
  Backoff backoff_;
  bool started_ = false;
  bool refresh_wanted_ = false;
  std::optional<Result<k8s::Choice>> choice_;
  events::Reason failing_ = events::Reason::none;  // of the last attempt; none after a success
  std::string failing_text_;
  bool final_ = false;  // of the last attempt: nothing is held for it
  TimePoint next_dial_{};
  std::deque<TimePoint> dials_;  // those within kDialWindow
  TimePoint dial_allowed_{};     // when the budget has room again
  Actions actions_;
};

}  // namespace kportal::forward
