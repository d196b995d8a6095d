// SPDX-License-Identifier: MIT
// WorkerMachine: the life of one forward as decisions: when to dial, which tunnel takes a
// connection, what is held, moved or reset, when to try again. Pure: events and `now` in, actions
// out. It keeps a tunnel to each of up to `max_pods` pods (a pinned forward has one), and more
// beside them for connections that are busy at the same time. It does not decide the status
// (healthcheck/ does, from the marks) nor which pods may be used (k8s/target does).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "events/status.h"
#include "forward/dial_budget.h"
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
// It is placed and blocks others: to be taken off its tunnel at once; connection_ended() with this
// error follows.
struct EvictConnection {
  ConnectionId connection;
  Error error;
};
// The forward has a tunnel, or (`refresh`) a new one in place of the one that stood for it.
struct MarkConnected {
  TunnelId tunnel;
  bool refresh;
};
// The tunnel that stood for the forward is gone, and this one, up already, does now.
struct MarkMoved {
  TunnelId tunnel;
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

using Action = std::variant<Dial, CloseTunnel, PlaceConnection, ResetConnection, EvictConnection,
                            MarkConnected, MarkMoved, MarkDisconnected, MarkReconnecting,
                            MarkFailed, ResolveAgain>;
using Actions = std::vector<Action>;

// How a placed connection ended.
struct ConnectionEnd {
  // The pod's port never accepted it and nothing of it can have been seen: it may go to another
  // tunnel.
  bool movable = false;
  std::optional<Error> error;  // why it failed; none = it ended as its two ends wanted
  // What was sent for it lies in the way of others on its tunnel for good.
  bool blocks_tunnel = false;
};

class WorkerMachine {
 public:
  static constexpr std::size_t kMaxDials = DialBudget::kMaxDials;
  static constexpr Duration kDialWindow = DialBudget::kWindow;
  static constexpr std::size_t kReservedDials = DialBudget::kReserved;
  // Errors that waiting alone does not mend are tried this often.
  static constexpr Duration kPermanentRetry = std::chrono::seconds(10);
  // For so long after the network is back they are tried by back-off, as all others: an API server
  // that starts again forbids everything until it has read its rules. Not at once, and a login that
  // was refused no sooner than this.
  static constexpr Duration kWarmUp = std::chrono::seconds(30);
  static constexpr Duration kSoonest = std::chrono::milliseconds(500);
  static constexpr Duration kLoginRetry = std::chrono::seconds(2);
  // A pod that refused a connection or a probe gets no new ones for this long, while others do not.
  static constexpr Duration kShun = std::chrono::seconds(10);

  // A tunnel that a connection blocked is replaced no more often than this.
  static constexpr Duration kReplacePause = std::chrono::seconds(5);

  // Whether waiting alone will not mend a failure: the checker knows when the forward was last
  // Active.
  using IsFinal = std::function<bool(events::Reason)>;

  // `max_pods`: to how many pods it keeps a tunnel at the same time. `max_tunnels`: up to how many
  // it has altogether for connections that are busy at the same time; one to each of these pods is
  // kept in any case.
  WorkerMachine(Duration hold, std::uint32_t seed, IsFinal is_final, std::size_t max_pods = 1,
                std::size_t max_tunnels = 1)
      : is_final_(std::move(is_final)),
        max_pods_(max_pods),
        next_max_pods_(max_pods),
        max_tunnels_(max_tunnels),
        seed_(seed),
        pool_(hold) {}

  void start(TimePoint now);
  // Dials and places no more; held connections are reset. What is placed goes on.
  void stop();
  void set_hold(Duration hold) { pool_.set_hold(hold); }
  // Counts from the next resolved().
  void set_max_pods(std::size_t pods) { next_max_pods_ = pods; }
  // Counts from now on; what is up stays until it is of no use.
  void set_max_tunnels(std::size_t tunnels) { max_tunnels_ = tunnels; }

  // The cluster's word on where to forward, each time it may have changed, the best pod first. An
  // error leaves tunnels that are up alone, whatever it says of a next one. `gone`: tunnels whose
  // pods are deleted or terminating, so nothing new may go there.
  void resolved(Result<k8s::Choices> choices, std::vector<TunnelId> gone, TimePoint now);

  void dialled(TunnelId tunnel, TimePoint now);
  void dial_failed(TunnelId tunnel, Error error, TimePoint now);
  // `lived`: it brought a pod's byte or the answer to a ping.
  void tunnel_closed(TunnelId tunnel, Error error, bool lived, TimePoint now);

  // The pod behind the tunnel is gone although the tunnel is up (protocol.md 3.3: it stays open).
  void pod_gone(TunnelId tunnel, Error const& error, TimePoint now);
  // The tunnel brought a pod's byte or the answer to a ping.
  void proved_alive(TunnelId tunnel);
  // A ping of the tunnel was sent and for some time no byte came: another is dialled beside it, and
  // takes the new connections and, if this one is lost, its part.
  void answer_late(TunnelId tunnel, TimePoint now);
  // A byte ended that.
  void answer_came(TunnelId tunnel, TimePoint now);
  // Since when a write on the tunnel has not been completed; kNever for none. To be told before
  // accepted() and tick().
  void writing(TunnelId tunnel, TimePoint since) { pool_.set_writing_since(tunnel, since); }
  // The pod's port behind the tunnel was tried: with others at hand, a bad one is left out.
  void probed(TunnelId tunnel, bool good, TimePoint now);
  // The tunnel to try next: in turn, those that were not found bad first.
  std::optional<TunnelId> next_to_probe(TimePoint now) { return pool_.next_to_probe(now); }
  // This one is in doubt: its turn is next.
  void probe_next(TunnelId tunnel) { pool_.probe_next(tunnel); }

  void accepted(ConnectionId connection, TimePoint now);
  // A held connection is not wanted any more.
  void client_left(ConnectionId connection, TimePoint now);
  void connection_ended(ConnectionId connection, TunnelId tunnel, TimePoint arrived,
                        ConnectionEnd end, TimePoint now);
  // A byte of a placed connection passed. Four times a second is often enough.
  void moved(ConnectionId connection, TimePoint now);
  // What came for a placed connection fills its buffer, which stops its tunnel; or not any more.
  void buffer_full(ConnectionId connection, bool is_full, TimePoint now);

  // A new tunnel before the old one is left: the checker's or a user's wish.
  void refresh(TimePoint now);
  // There is another way to the cluster, perhaps to another one: what the old one said, and what is
  // being dialled by it, is dropped; once the new one has said where to, a new tunnel replaces the
  // one in use.
  void renew(TimePoint now);
  // Something changed that may cure what we wait for: the next attempt is due now.
  void hurry(TimePoint now);
  // The network is back, or is another one. What failed meanwhile says nothing of the server.
  void network_back(TimePoint now);
  // Time has passed.
  void tick(TimePoint now);
  TimePoint deadline() const;

  Actions take_actions();
  bool has_actions() const { return !actions_.empty(); }
  TunnelPool const& pool() const { return pool_; }
  // The pod of the tunnel that stands for the forward, empty if none.
  std::string current_pod() const;
  std::string current_uid() const;

 private:
  // When a place is dialled, and when another tunnel beside the one that it has.
  struct Pace {
    Backoff backoff;
    TimePoint next_dial{};
    TimePoint next_replacement{};
    bool pod_unknown = false;  // since the last proof of life the server said so
    Backoff spare_backoff;
    TimePoint next_spare{};

    explicit Pace(std::uint32_t seed) : backoff(seed), spare_backoff(seed) {}
  };

  void advance(TimePoint now);
  void dial_if_due(TimePoint now);
  void dial_spares(TimePoint now);
  void dial(k8s::Choice const& choice, bool spare, TimePoint now);
  bool wants_spare(TimePoint now) const;
  k8s::Choice const* next_for_spare(TimePoint now);
  void place_held(TimePoint now, TunnelPool::May may);
  void end_overdue(TimePoint now);
  void evict_stalled(TimePoint now);
  void close_unused(TimePoint now);
  bool wants(Place const& place) const;
  Place place_of(k8s::Choice const& choice) const;
  k8s::Choices const& wanted() const;
  k8s::Choice const* wanted_in(Place const& place) const;
  k8s::Choices select(k8s::Choices choices) const;
  void select_again();
  void adopt(k8s::Choices const& before, TimePoint now);
  void retire_unwanted();
  void retire_outdated();
  void retire_predecessors(TunnelId successor);
  bool is_unwanted(TunnelId tunnel) const;
  bool serves(TunnelId tunnel, k8s::Choice const& choice) const;
  bool needs_dial(k8s::Choice const& choice) const;
  Pace& pace(Place const& place);
  enum class Next : bool { at_once, by_backoff };
  void leave(TunnelId tunnel, Error const& error, Next next, TimePoint now);
  void left(TunnelInfo const& tunnel, bool was_primary, Error const& error, Next next,
            TimePoint now);
  void lost(events::Reason reason, std::string message, TunnelInfo const& tunnel, Duration delay);
  void attempt_failed(Place const& place, Error const& error, TimePoint now);
  Duration final_delay(Errc code, Duration by_backoff, TimePoint now) const;
  void spare_failed(Place const& place, Duration at_least, TimePoint now);
  bool others_may_come() const;
  void report(Error const& error);
  void replace(TunnelId tunnel, TimePoint now);
  void note_failure(TunnelInfo const& tunnel);
  void give_up_dial(TunnelId tunnel);
  void give_up(TunnelId tunnel, Error const& error, TimePoint now);
  void reset_held(events::Reason reason, std::string const& message);

  IsFinal is_final_;
  std::size_t max_pods_;
  std::size_t next_max_pods_;
  std::size_t max_tunnels_;
  std::uint32_t seed_;
  TunnelPool pool_;
  bool started_ = false;
  k8s::Choices offered_;                         // the cluster's last word
  std::optional<Result<k8s::Choices>> choices_;  // those of them that are to have a tunnel
  std::map<Place, Pace> paces_;
  // Of pods, by uid or else name: dials that failed in a row, and tunnels that died silently.
  std::map<std::string, int> failures_;
  events::Reason failing_ = events::Reason::none;  // of the last attempt; none after a success
  std::string failing_text_;
  bool final_ = false;                    // of the last attempt: nothing is held for it
  TimePoint warm_at_ = TimePoint::min();  // until then a server may have to read its rules
  DialBudget budget_;
  TimePoint spare_due_ = kNever;  // when a spare that is wanted may be dialled
  Actions actions_;
};

}  // namespace kportal::forward
