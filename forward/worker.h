// SPDX-License-Identifier: MIT
// Worker: the driver of one forward: its listener, its tunnels, its relays, its place in the
// checker. It carries out what WorkerMachine decides and feeds it what happened. It does not judge
// health and does not read the configuration file. Owned by the manager.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "config/config.h"
#include "events/bus.h"
#include "forward/failure_digest.h"
#include "forward/phases.h"
#include "forward/relay.h"
#include "forward/tunnel.h"
#include "forward/worker_machine.h"
#include "healthcheck/checker.h"
#include "k8s/cluster_pool.h"
#include "k8s/target_watch.h"
#include "net/listener.h"

namespace kportal::forward {

// What all workers share; outlives them.
struct Shared {
  asio::any_io_executor executor;
  events::Bus& bus;
  healthcheck::Checker& checker;
  k8s::ClusterPool& clusters;
  TimePoint next_shortage_line{};  // no earlier is it told again that descriptors lack

  Shared(asio::any_io_executor e, events::Bus& b, healthcheck::Checker& c, k8s::ClusterPool& p)
      : executor(std::move(e)), bus(b), checker(c), clusters(p) {}
};

class Worker final : private RelayOwner, private healthcheck::Subject {
 public:
  // A port that is taken, or a kubeconfig that cannot be used, is tried again this often.
  static constexpr Duration kSetupRetry = std::chrono::seconds(10);
  // An address that this machine has not: it comes with its interface.
  static constexpr Duration kAddressRetry = std::chrono::seconds(2);
  // A tunnel that is to end sends what the transport takes at once, and that is all.
  static constexpr Duration kCloseTime = std::chrono::seconds(5);
  // That connections wait for descriptors is told no more often than this, by whichever forward.
  static constexpr Duration kShortageQuiet = std::chrono::minutes(1);
  // Local connections open at the same time; more are reset at once.
  static constexpr std::size_t kMaxConnections = 8192;

  Worker(Shared& shared, config::ForwardSpec spec, config::Reliability reliability);
  ~Worker() override;

  // Begins. `listener` may come from a predecessor with the same addresses and port, or be null.
  void start(std::unique_ptr<net::Listener> listener);
  // Leaves the checker, says forward.stopped, dials and accepts no more, and gives the listener
  // away. Placed connections go on. Before stop().
  std::unique_ptr<net::Listener> retire();
  // How long open connections may go on after retire(); the earliest of all calls counts.
  void end_by(TimePoint deadline);
  // Lets open connections go on until they end or may not, then ends everything. Before
  // destruction.
  awaitable<void> stop();

  // A new tunnel before the old one is left.
  void refresh();
  // What applies without a new tunnel.
  void update(config::HealthCheck health, config::Reliability reliability,
              std::vector<std::string> tags);
  // Reports what is under way for longer than it may, and starts it anew.
  void look_for_overruns(TimePoint now);

  config::ForwardSpec const& spec() const { return spec_; }
  std::string id() const { return spec_.id(); }

 private:
  void restart(Overrun const& overrun);
  Duration dial_bound() const;
  void expect_turn(TimePoint now);

  // What it waits for.
  awaitable<void> run();
  void set_up(TimePoint now);
  void look_at_access(TimePoint now);
  void enter_cluster(k8s::ClusterPool::Found found);
  awaitable<void> leave(std::unique_ptr<k8s::TargetWatch> target, std::unique_ptr<TaskGroup> tasks,
                        std::shared_ptr<k8s::Cluster> cluster);
  bool open_listener();
  void report_failure(Error error);
  awaitable<void> accept_all();
  void listener_failed(Error const& error);
  awaitable<void> dial(TunnelId id, k8s::Choice choice);
  awaitable<void> serve(TunnelId id);
  awaitable<void> probe(healthcheck::Ticket ticket, config::ProbeMethod method, TimePoint deadline);
  awaitable<healthcheck::ProbeVerdict> probe_tunnel(TunnelId id, config::ProbeMethod method,
                                                    TimePoint deadline);
  awaitable<void> ping(healthcheck::Ticket ticket, TimePoint deadline);
  void refuse(asio::ip::tcp::socket socket);
  void answer_late(TunnelId id, bool late);
  void tunnel_ended(TunnelId id, error_code why);
  void proved_alive(TunnelId id);
  void look_at_target(TimePoint now);
  void look_for_unrest();
  void tell_renewal_failed(Error const& error);

  // RelayOwner
  void relay_left(ConnectionId connection, ConnectionEnd end) override;
  void client_left(ConnectionId connection) override;
  void relay_answered(TunnelId tunnel) override;
  void relay_moved(ConnectionId connection) override;
  void relay_full(ConnectionId connection, bool full) override;
  void erase_relay(ConnectionId connection);
  void watch_if_held(ConnectionId connection);

  // What the machine decided.
  void carry_out();
  void carry_out_soon();
  void tell_writing();
  void act(Dial const& action);
  void act(CloseTunnel const& action);
  void act(PlaceConnection const& action);
  void act(ResetConnection const& action);
  void act(EvictConnection const& action);
  void act(MarkConnected const& action);
  void act(MarkMoved const& action);
  void act(MarkDisconnected const& action);
  void act(MarkReconnecting const& action);
  void act(MarkFailed const& action);
  void act(ResolveAgain const& action);

  // healthcheck::Subject
  void start_probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                   TimePoint deadline) override;
  void start_ping(healthcheck::Ticket ticket, TimePoint deadline) override;
  healthcheck::Evidence evidence() const override;

  events::ForwardRef ref() const;
  void mark_connected(TunnelId tunnel);
  void publish_failed(events::Reason reason, std::string message, std::string pod);
  void publish(ConnectionFailure failure);
  std::vector<TunnelId> tunnels_in_use() const;

  Shared& shared_;
  config::ForwardSpec spec_;
  config::Reliability reliability_;
  std::string id_;
  WorkerMachine machine_;
  std::unique_ptr<net::Listener> listener_;
  std::uint16_t bound_port_ = 0;
  k8s::Subscription access_;  // to changes of the kubeconfig
  bool access_news_ = false;
  k8s::Subscription network_;  // of the cluster: it is back
  bool network_news_ = false;
  bool renewing_ = false;                // since the kubeconfig changed no dial succeeded
  std::optional<Errc> renewal_failure_;  // that was told of since
  k8s::ClusterPool::Found cluster_;
  std::unique_ptr<k8s::TargetWatch> target_;
  std::unique_ptr<TaskGroup> cluster_tasks_;  // of the watch, and dials; ended by leave()
  bool accepting_ = false;
  bool retired_ = false;
  TimePoint end_by_ = kNever;
  TimePoint next_setup_{};
  events::Reason setup_failure_ = events::Reason::none;
  bool target_news_ = false;
  std::string note_;                             // the message of the best choice
  std::string warned_;                           // the last warning of the choice, said once
  std::map<std::string, std::uint64_t> unrest_;  // of the pods in use, by uid
  FailureDigest failures_;
  std::map<TunnelId, TaskGroup::TaskId> dials_;   // in cluster_tasks_
  std::map<TunnelId, TaskGroup::TaskId> serves_;  // in tunnel_tasks_
  TaskGroup::TaskId run_ = 0;                     // in tasks_
  Phases phases_;
  std::map<TunnelId, std::shared_ptr<Tunnel>> tunnels_;
  std::map<ConnectionId, std::unique_ptr<Relay>> relays_;
  ConnectionId next_connection_ = 1;
  std::uint32_t next_request_ = 0;
  bool carrying_out_ = false;
  TimePoint sleeping_until_ = kNever;  // of run()
  Wakeup wake_;
  Wakeup relay_ended_;
  TaskGroup tasks_;         // setting up, accepting, probing; ended by retire()
  TaskGroup tunnel_tasks_;  // one a tunnel, ending with it
  TaskGroup pumps_;         // the relays
};

}  // namespace kportal::forward
