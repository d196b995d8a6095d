// SPDX-License-Identifier: MIT
// Worker: the driver of one forward: it carries out what WorkerMachine decides and feeds it what
// happened. What it does that with: LocalPort, ClusterLink, Tunnels, Checks, relays, Reporter. It
// does not judge health and does not read the configuration file. Owned by the manager.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "config/config.h"
#include "events/bus.h"
#include "forward/checks.h"
#include "forward/cluster_link.h"
#include "forward/local_port.h"
#include "forward/phases.h"
#include "forward/relay.h"
#include "forward/reporter.h"
#include "forward/tunnels.h"
#include "forward/worker_machine.h"
#include "healthcheck/checker.h"
#include "k8s/cluster_pool.h"
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

class Worker final : private RelayOwner, private Hand, private healthcheck::Subject {
 public:
  // A port that is taken, or a kubeconfig that cannot be used, is tried again this often.
  static constexpr Duration kSetupRetry = std::chrono::seconds(10);
  // An address that this machine has not: it comes with its interface.
  static constexpr Duration kAddressRetry = std::chrono::seconds(2);
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
  std::string id() const { return id_; }

 private:
  // What it waits for.
  awaitable<void> run();
  void expect_turn(TimePoint now);
  bool complete() const { return port_.is_open() && link_.entered(); }
  void set_up(TimePoint now);
  bool open_port(TimePoint now);
  void entered_cluster();
  void look_at_access(TimePoint now);
  void look_at_target(TimePoint now);
  bool is_known_here(Tunnel const& tunnel) const;
  void note_use();
  void look_for_unrest();
  awaitable<void> accept_all();
  void accepted(asio::ip::tcp::socket socket);
  awaitable<void> dial(TunnelId id, k8s::Choice choice);
  k8s::DialOptions dial_options(TunnelId id);
  void tell_renewal_failed(Error const& error);
  void restart(Overrun const& overrun);

  // RelayOwner
  void relay_ending(ConnectionId connection) override;
  void relay_left(ConnectionId connection, ConnectionEnd end) override;
  void client_left(ConnectionId connection) override;
  void relay_answered(TunnelId tunnel) override;
  void relay_moved(ConnectionId connection) override;
  void relay_full(ConnectionId connection, bool full) override;
  void erase_relay(ConnectionId connection);
  void watch_if_held(ConnectionId connection);

  // What the machine decided.
  void carry_out() override;
  void carry_out_soon() override;
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
  void mark_connected(TunnelId tunnel);
  void connection_failed(events::Reason reason, std::string message, std::string pod);

  // healthcheck::Subject
  void start_probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                   TimePoint deadline) override;
  void start_ping(healthcheck::Ticket ticket, TimePoint deadline) override;
  healthcheck::Evidence evidence() const override;

  void news(ClusterLink::News what);
  void refer();
  events::ForwardRef ref() const;

  Shared& shared_;
  config::ForwardSpec spec_;
  config::Reliability reliability_;
  std::string id_;
  WorkerMachine machine_;
  Phases phases_;
  LocalPort port_;
  ClusterLink link_;
  Tunnels tunnels_;
  Checks checks_;
  Reporter reporter_;
  bool access_news_ = false;
  bool network_news_ = false;
  bool target_news_ = false;
  bool renewing_ = false;                // since the kubeconfig changed no dial succeeded
  std::optional<Errc> renewal_failure_;  // that was told of since
  bool retired_ = false;
  TimePoint end_by_ = kNever;
  TimePoint next_setup_{};
  events::Reason setup_failure_ = events::Reason::none;
  std::vector<std::string> used_;                // uids of the pods in use, or last in use
  std::string note_;                             // the message of the best choice
  std::string warned_;                           // the last warning of the choice, said once
  std::map<std::string, std::uint64_t> unrest_;  // of the pods in use, by uid
  TaskGroup::TaskId run_ = 0;                    // in tasks_
  std::map<ConnectionId, std::unique_ptr<Relay>> relays_;
  ConnectionId next_connection_ = 1;
  bool carrying_out_ = false;
  TimePoint sleeping_until_ = kNever;  // of run()
  Wakeup wake_;
  Wakeup relay_ended_;
  TaskGroup tasks_;  // setting up, accepting, probing; ended by retire()
  TaskGroup pumps_;  // the relays
};

}  // namespace kportal::forward
