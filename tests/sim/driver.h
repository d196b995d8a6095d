// SPDX-License-Identifier: MIT
// Driver: one forward: it carries out what WorkerMachine and the checker decide exactly as
// forward/worker does, on simulated tunnels, pods and clients. What it sees of broken promises
// while it does so, it tells at once; what takes time to be wrong is the Judge's. Owned by the
// schedule.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/config.h"
#include "events/bus.h"
#include "forward/worker_machine.h"
#include "healthcheck/checker.h"
#include "tests/sim/connection.h"
#include "tests/sim/pace.h"
#include "tests/sim/pods.h"
#include "tests/sim/probe.h"
#include "tests/sim/runtime.h"
#include "tests/sim/way.h"

namespace kportal::sim {

// What all forwards of a schedule share beside the stage.
struct Product {
  events::Bus& bus;
  healthcheck::Checker& checker;
  Ledger& ledger;
};

class Driver final : private ConnectionOwner, private healthcheck::Subject {
 public:
  static constexpr Duration kSetupRetry = std::chrono::seconds(10);

  Driver(Stage& stage, Product product, config::ForwardSpec spec, config::Reliability reliability,
         Pods& pods, Weather& weather, Ways& ways, Way& way);

  // As Worker.
  void start();
  void retire();
  void end_by(TimePoint deadline);
  void refresh();
  void update(config::HealthCheck health, config::Reliability reliability);

  // The kubeconfig was edited: another token, or another cluster.
  void access_changed(bool other_cluster);
  // A user's client.
  void connect(std::uint64_t mark, ClientPlan plan);
  // What may be faulted: tunnels that are up here, whatever the machine thinks of them.
  std::vector<Link*> links() const;
  std::vector<Connection*> open_connections() const;
  // Nothing lies in the way of others on them any more.
  void clear_tunnels();
  // The network passes what TCP held.
  void released();
  Way& way() const { return *way_; }

  // For the Judge.
  std::string const& id() const { return id_; }
  config::ForwardSpec const& spec() const { return spec_; }
  config::Reliability const& reliability() const { return reliability_; }
  forward::WorkerMachine const& machine() const { return machine_; }
  bool retired() const { return retired_; }
  // A tunnel that is stale is replaced. What became so before that was wanted is not.
  bool minds_staleness() const { return reliability_.retry_on_stale && !minds_late_; }
  // When the checker was told of another tunnel, since the last call.
  std::vector<TimePoint> take_marks() { return std::exchange(marks_, {}); }
  // It has nothing, and waits for nothing.
  bool rests() const;
  // Everything ended: no tunnel, connection, dial.
  bool over() const;
  // Some tunnel that takes connections brought evidence from the pod's own port.
  bool port_has_proof() const;
  // When a connection last failed, by the clock that stands still with the loop.
  TimePoint doubted() const { return doubted_; }
  // A tunnel that takes connections leads to a pod whose port accepts; or nobody can know.
  bool port_reachable() const;
  bool tunnel_lives() const;
  // Nothing keeps bytes of its tunnels from passing that it was not told of.
  bool tunnels_work() const;
  // Since when a tunnel that takes connections is known to be blocked by a refused one.
  std::optional<TimePoint> blocked_since() const;
  // After so long without a byte a tunnel is dead, of whichever settings it is.
  Duration longest_silence() const { return longest_interval_ + longest_timeout_; }
  // What every step must leave behind.
  void check() const;
  bool has_connections() const { return !connections_.empty(); }

 private:
  struct Tunnel {
    Link* link = nullptr;
    Runtime* runtime = nullptr;
    Sandbox* sandbox = nullptr;
    std::string pod;
    std::uint16_t port = 0;
    Way* way = nullptr;
    TimePoint since;
    TimePoint last_pod_byte{};
    TimePoint last_traffic{};
    bool lived = false;
  };
  struct Ping {
    healthcheck::Ticket ticket;
    TimePoint asked;
    TimePoint deadline;
    std::set<TunnelId> tunnels;
  };

  void wake_by(TimePoint when);
  void run();
  void set_up(TimePoint now);
  void report_failure(Error const& error);
  void look_at_target(TimePoint now);
  void look_for_unrest();
  Way::Dial dial_to(TunnelId id, k8s::Choice const& choice);
  void dial_ended(TunnelId id, k8s::Choice const& choice, std::optional<Error> error);
  void drop_dials();
  void enter(Way& way);
  void network_back();
  void tunnel_up(TunnelId id, k8s::Choice const& choice);
  void tunnel_ended(TunnelId id, error_code why);
  void answer_late(TunnelId id, bool late);
  void proved_alive(TunnelId id);
  void port_proved(TunnelId id);
  void vouch(healthcheck::Ticket ticket);
  void vouch_if_seen(healthcheck::Ticket ticket);
  void heard(TunnelId id);
  void probe(healthcheck::Ticket ticket, config::ProbeMethod method, TimePoint deadline);
  void probed(TunnelId id, healthcheck::Ticket ticket, config::ProbeMethod method,
              TimePoint deadline, healthcheck::ProbeVerdict verdict);
  void ping_over(std::uint64_t number);
  Connection* find(ConnectionId connection) const;
  void count_shares(TunnelId tunnel);

  // ConnectionOwner
  void relay_left(ConnectionId connection, ConnectionEnd end) override;
  void client_left(ConnectionId connection) override;
  void bytes_sent(TunnelId tunnel) override;
  void bytes_received(TunnelId tunnel) override;
  void relay_answered(TunnelId tunnel) override;
  void relay_moved(ConnectionId connection) override;
  void relay_full(ConnectionId connection, bool full) override;
  void carry_out_soon();
  void tell_writing();

  void carry_out();
  void act(forward::Dial const& action);
  void act(forward::CloseTunnel const& action);
  void act(forward::PlaceConnection const& action);
  void act(forward::ResetConnection const& action);
  void act(forward::EvictConnection const& action);
  void act(forward::MarkConnected const& action);
  void act(forward::MarkMoved const& action);
  void act(forward::MarkDisconnected const& action);
  void act(forward::MarkReconnecting const& action);
  void act(forward::MarkFailed const& action);
  void act(forward::ResolveAgain const& action);

  // healthcheck::Subject
  void start_probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                   TimePoint deadline) override;
  void start_ping(healthcheck::Ticket ticket, TimePoint deadline) override;
  healthcheck::Evidence evidence() const override;

  events::ForwardRef ref() const;

  Stage& stage_;
  Product product_;
  config::ForwardSpec spec_;
  config::Reliability reliability_;
  std::string id_;
  Pods& pods_;
  Weather& weather_;
  Ways& ways_;
  Way* way_;  // of the cluster that the kubeconfig leads to; another one after each edit
  forward::WorkerMachine machine_;
  Pace pace_;
  Duration longest_hold_;
  Duration longest_interval_;
  Duration longest_timeout_;
  bool set_up_ = false;
  bool machine_started_ = false;
  bool stopping_ = false;
  bool retired_ = false;
  bool minds_late_ = false;  // since a change of settings
  TimePoint next_setup_{};
  events::Reason setup_failure_ = events::Reason::none;
  bool target_news_ = false;
  std::optional<Result<k8s::Choices>> choices_;
  std::string note_;
  std::map<std::string, std::uint64_t> unrest_;
  std::map<TunnelId, Tunnel> tunnels_;
  std::map<TunnelId, Way::DialId> dials_;  // under way
  std::map<ConnectionId, Connection*> connections_;
  ConnectionId next_connection_ = 1;
  // Since when two or more connections that stay are on a tunnel.
  std::map<TunnelId, TimePoint> shared_since_;
  std::uint32_t next_request_ = 0;
  std::map<std::uint64_t, Ping> pings_;
  std::set<std::uint64_t> tickets_;        // that were given
  std::set<TunnelId> proved_;              // whose pod's port was heard from
  std::map<TunnelId, TimePoint> blocked_;  // when it was said
  TimePoint doubted_{};
  TimePoint vouched_{};      // when an answer to a check of this generation was good
  TunnelId generation_ = 0;  // that was marked last
  std::vector<TimePoint> marks_;
  bool carrying_out_ = false;
  std::set<TunnelId> ended_;  // while it carries out what was decided before
  TimePoint sleeping_until_ = kNever;
  // Kept until the schedule ends: tasks point to them.
  std::vector<std::unique_ptr<Link>> all_links_;
  std::vector<std::unique_ptr<Connection>> all_connections_;
  std::vector<std::unique_ptr<Probe>> all_probes_;
};

}  // namespace kportal::sim
