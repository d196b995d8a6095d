// SPDX-License-Identifier: MIT
#include "forward/worker.h"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/turns.h"

namespace kportal::forward {
namespace {

std::size_t max_tunnels(config::Reliability const& reliability) {
  return static_cast<std::size_t>(reliability.max_tunnels);
}

std::size_t max_pods(config::Balance balance, config::Reliability const& reliability) {
  return balance == config::Balance::pin ? 1 : max_tunnels(reliability);
}

}  // namespace

Worker::Worker(Shared& shared, config::ForwardSpec spec, config::Reliability reliability)
    : shared_(shared),
      spec_(std::move(spec)),
      reliability_(reliability),
      id_(spec_.id()),
      machine_(
          reliability.hold, std::random_device()(),
          [this](events::Reason reason) { return shared_.checker.is_final(id_, reason); },
          max_pods(spec_.balance, reliability), max_tunnels(reliability)),
      port_(shared.executor, spec_, shared.next_shortage_line),
      link_(shared.executor, shared.clusters, spec_, [this](auto what) { news(what); }),
      tunnels_(shared.executor, machine_, phases_, reliability_, *this),
      checks_(id_, shared.checker, machine_, tunnels_, *this),
      reporter_(shared.bus, ref()),
      wake_(shared.executor),
      relay_ended_(shared.executor),
      tasks_(shared.executor),
      pumps_(shared.executor) {}

Worker::~Worker() = default;

events::ForwardRef Worker::ref() const {
  events::ForwardRef ref;
  ref.id = id_;
  ref.context = link_.context().empty() ? spec_.context : link_.context();
  ref.namespace_ = spec_.namespace_;
  ref.resource = spec_.resource;
  ref.local_port = port_.number();
  return ref;
}

// The context or the port is known by now.
void Worker::refer() {
  reporter_.set_ref(ref());
  shared_.checker.set_ref(ref());
}

void Worker::start(std::unique_ptr<net::Listener> listener) {
  if (spec_.disabled) {
    shared_.checker.register_forward(ref(), spec_.health, *this, events::Status::disabled);
    return;
  }
  port_.take_over(std::move(listener));
  reporter_.set_ref(ref());
  reporter_.starting();
  shared_.checker.register_forward(ref(), spec_.health, *this, events::Status::starting);
  link_.follow();
  run_ = tasks_.spawn(run());
}

std::unique_ptr<net::Listener> Worker::retire() {
  machine_.stop();
  carry_out();
  retired_ = true;
  tasks_.cancel();
  link_.stop();
  shared_.checker.unregister(id_);
  reporter_.stopped();
  return port_.give_away();
}

void Worker::end_by(TimePoint deadline) {
  end_by_ = std::min(end_by_, deadline);
  relay_ended_.set();
}

awaitable<void> Worker::stop() {
  while (!relays_.empty() && Clock::now() < end_by_) {
    bool const ended = co_await relay_ended_.wait_until(end_by_);
    static_cast<void>(ended);
  }
  pumps_.cancel();
  co_await pumps_.join();
  relays_.clear();
  tunnels_.close_all();
  co_await tasks_.join();
  co_await link_.join();
  co_await tunnels_.join();
}

void Worker::refresh() {
  machine_.refresh(Clock::now());
  carry_out();
}

void Worker::update(config::HealthCheck health, config::Reliability reliability,
                    std::vector<std::string> tags) {
  spec_.health = health;
  spec_.tags = std::move(tags);
  reliability_ = reliability;
  machine_.set_hold(reliability.hold);
  machine_.set_max_pods(max_pods(spec_.balance, reliability));
  machine_.set_max_tunnels(max_tunnels(reliability));
  tunnels_.reliability_changed();
  target_news_ = true;
  next_setup_ = {};  // what was in the way may be gone
  wake_.set();
  shared_.checker.update_settings(id_, health);
}

void Worker::look_for_overruns(TimePoint now) {
  for (Overrun const& overrun : phases_.take_overrun(now)) {
    reporter_.hung(overrun);
    restart(overrun);
  }
}

void Worker::restart(Overrun const& overrun) {
  Error const error(Errc::timeout, to_text(overrun) + ", which is too long");
  switch (overrun.phase) {
    case Phase::turn:
      tasks_.cancel(run_);
      run_ = tasks_.spawn(run());
      break;
    case Phase::resolve:
      link_.start_over();
      entered_cluster();
      break;
    case Phase::dial:
      link_.cancel(overrun.id);
      machine_.dial_failed(overrun.id, error, Clock::now());
      break;
    case Phase::close:
      tunnels_.abandon(overrun.id);
      break;
    case Phase::end:
      if (auto const at = relays_.find(overrun.id); at != relays_.end()) at->second->abandon(error);
      break;
  }
  carry_out();
}

// What it waits for.

void Worker::news(ClusterLink::News what) {
  access_news_ = access_news_ || what == ClusterLink::News::access;
  network_news_ = network_news_ || what == ClusterLink::News::network;
  target_news_ = target_news_ || what == ClusterLink::News::target;
  wake_.set();
}

awaitable<void> Worker::run() {
  for (;;) {
    co_await own_turn();  // hundreds may start, or see their pods, at once
    TimePoint const now = Clock::now();
    if (std::exchange(access_news_, false)) look_at_access(now);
    if (!complete() && now >= next_setup_) set_up(now);
    if (std::exchange(network_news_, false)) {
      link_.target().hurry();
      machine_.network_back(now);
    }
    if (std::exchange(target_news_, false) && link_.entered()) look_at_target(now);
    tunnels_.tell_writing();
    machine_.tick(now);
    carry_out();
    reporter_.tell_due(now);
    TimePoint const setup = complete() ? kNever : next_setup_;
    sleeping_until_ = std::min({machine_.deadline(), reporter_.deadline(), setup});
    expect_turn(now);
    bool const woken = co_await wake_.wait_until(sleeping_until_);
    static_cast<void>(woken);
  }
}

void Worker::expect_turn(TimePoint now) {
  phases_.end(Phase::turn, 0);
  if (sleeping_until_ == kNever) return;
  Duration const sleep = std::max(sleeping_until_ - now, Duration::zero());
  phases_.begin(Phase::turn, 0, now, sleep + reliability_.watchdog_period);
}

// The port first: a forward whose port is taken has no use for a tunnel.
void Worker::set_up(TimePoint now) {
  next_setup_ = now + kSetupRetry;
  if (!port_.is_open() && !open_port(now)) return;
  if (link_.entered()) return;
  if (auto const failure = link_.enter()) {
    machine_.resolved(*failure, {}, now);
  } else {
    entered_cluster();
  }
}

bool Worker::open_port(TimePoint now) {
  if (auto const failure = port_.open()) {
    if (failure->code == Errc::local) next_setup_ = now + kAddressRetry;
    auto const reason = events::reason_of(failure->code);
    bool const news = std::exchange(setup_failure_, reason) != reason;
    MarkFailed const failed{reason, failure->text, news};
    if (news) reporter_.failed(failed);
    shared_.checker.mark_failed(id_, reason, failed.message);
    return false;
  }
  refer();
  setup_failure_ = events::Reason::none;
  machine_.start(now);
  tasks_.spawn(accept_all());
  if (auto const tunnel = machine_.pool().primary()) mark_connected(*tunnel);
  return true;
}

void Worker::entered_cluster() {
  refer();
  phases_.begin(
      Phase::resolve, 0, Clock::now(),
      reliability_.auth_timeout + k8s::Cluster::kRequestTimeout + reliability_.watchdog_period);
}

void Worker::look_at_access(TimePoint now) {
  if (!link_.entered()) {
    next_setup_ = now;
    return;
  }
  bool const serving = machine_.pool().primary().has_value();
  switch (link_.look_again()) {
    case ClusterLink::Change::none:
      break;
    case ClusterLink::Change::credentials:
      refer();
      if (serving) break;
      link_.target().refresh();
      machine_.hurry(now);
      break;
    case ClusterLink::Change::cluster:
      log::info("{}: the kubeconfig says something else of it now{}", id_,
                serving ? ": a new tunnel is to replace the one in use" : "");
      renewing_ = true;
      renewal_failure_.reset();
      machine_.renew(now);
      entered_cluster();
      break;
  }
}

// Of the way that an edit of the kubeconfig leads; while the tunnel of before serves, no status
// tells.
void Worker::tell_renewal_failed(Error const& error) {
  if (!renewing_ || !machine_.pool().primary()) return;
  if (std::exchange(renewal_failure_, error.code) == error.code) return;
  log::warn("{}: by what the kubeconfig says now there is no tunnel: {}; the one in use stays", id_,
            error.text);
}

// Of a tunnel to another cluster this one knows nothing.
bool Worker::is_known_here(Tunnel const& tunnel) const {
  return &tunnel.cluster() == link_.cluster().get();
}

void Worker::look_at_target(TimePoint now) {
  note_use();
  std::vector<TunnelId> gone;
  for (auto const& tunnel : tunnels_.in_use()) {
    TunnelInfo const& info = *machine_.pool().find(tunnel->id());
    if (is_known_here(*tunnel) && link_.target().gone(info.pod, info.pod_uid)) {
      gone.push_back(tunnel->id());
    }
  }
  auto const choices = link_.target().choose(used_);
  if (!choices) return;
  phases_.end(Phase::resolve, 0);
  if (choices->has_value()) {
    k8s::Choice const& best = (*choices)->front();
    note_ = best.message;
    shared_.checker.note(id_, note_);
    if (!best.warning.empty() && std::exchange(warned_, best.warning) != best.warning) {
      log::warn("{}: {}", id_, best.warning);
    }
  }
  look_for_unrest();
  if (choices->has_error()) tell_renewal_failed(choices->error());
  machine_.resolved(*choices, gone, now);
}

// One whose tunnel was lost is still the one in use: a kubelet that starts again has its pods
// unready until it has probed them.
void Worker::note_use() {
  std::vector<std::string> in_use;
  for (auto const& tunnel : tunnels_.in_use()) {
    in_use.push_back(machine_.pool().find(tunnel->id())->pod_uid);
  }
  if (!in_use.empty()) used_ = std::move(in_use);
}

// Pods in use whose container restarted, or whose readiness changed, since the last look.
void Worker::look_for_unrest() {
  std::map<std::string, std::uint64_t> seen;
  bool news = false;
  for (auto const& tunnel : tunnels_.in_use()) {
    TunnelInfo const& info = *machine_.pool().find(tunnel->id());
    k8s::TargetWatch const& target = link_.target();
    if (!is_known_here(*tunnel) || target.gone(info.pod, info.pod_uid)) continue;
    std::uint64_t const unrest = target.unrest(info.pod, info.pod_uid);
    seen.emplace(info.pod_uid, unrest);
    auto const before = unrest_.find(info.pod_uid);
    if (before == unrest_.end() || before->second == unrest) continue;
    machine_.probe_next(tunnel->id());
    news = true;
  }
  unrest_ = std::move(seen);
  if (news) shared_.checker.doubt(id_);
}

awaitable<void> Worker::accept_all() {
  for (;;) {
    auto socket = co_await port_.accept();
    if (!socket) break;
    accepted(std::move(*socket));
  }
  next_setup_ = Clock::now();  // its tunnels and connections know nothing of that
  wake_.set();
}

void Worker::accepted(asio::ip::tcp::socket socket) {
  if (relays_.size() >= kMaxConnections) {
    error_code ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
    connection_failed(events::Reason::hold_timeout,
                      fmt::format("more than {} connections are open", kMaxConnections),
                      machine_.current_pod());
    return;
  }
  ConnectionId const connection = next_connection_++;
  relays_.emplace(connection,
                  std::make_unique<Relay>(connection, std::move(socket), spec_.half_close,
                                          static_cast<RelayOwner&>(*this), pumps_));
  tunnels_.tell_writing();
  machine_.accepted(connection, Clock::now());
  carry_out();
  watch_if_held(connection);
}

awaitable<void> Worker::dial(TunnelId id, k8s::Choice choice) {
  Phases::Guard const phase(phases_, Phase::dial, id);
  auto const cluster = link_.cluster();
  k8s::DialOptions const options = dial_options(id);
  auto dialled =
      co_await cluster->dial(spec_.namespace_, choice.pod, options, reliability_.dial_timeout);
  link_.done(id);
  TimePoint const now = Clock::now();
  if (retired_ || machine_.pool().find(id) == nullptr) co_return;  // given up meanwhile
  if (dialled.has_error()) {
    tell_renewal_failed(dialled.error());
    machine_.dial_failed(id, dialled.error(), now);
  } else {
    renewing_ = false;
    unrest_.try_emplace(choice.uid, link_.target().unrest(choice.pod, choice.uid));
    tunnels_.add(std::make_shared<Tunnel>(id, cluster, std::move(*dialled), choice, now));
    machine_.dialled(id, now);
    note_use();
  }
  carry_out();
}

// A login in between puts the dial's own deadline off; on top comes what the loop may be late.
k8s::DialOptions Worker::dial_options(TunnelId id) {
  k8s::DialOptions options;
  options.tcp = net::TcpOptions(reliability_.tcp_keepalive);
  options.ping_interval = reliability_.ping_interval;
  options.ping_timeout = reliability_.ping_timeout;
  options.began = [this, id] {
    phases_.begin(
        Phase::dial, id, Clock::now(),
        reliability_.auth_timeout + reliability_.dial_timeout + reliability_.watchdog_period);
  };
  return options;
}

// What happened on a relay.

void Worker::relay_ending(ConnectionId connection) {
  phases_.begin(Phase::end, connection, Clock::now(),
                Relay::kErrorTextWait + Relay::kLinger + reliability_.watchdog_period);
}

void Worker::relay_left(ConnectionId connection, ConnectionEnd end) {
  phases_.end(Phase::end, connection);
  Relay const& relay = *relays_.at(connection);
  bool const failed = end.error.has_value();
  // Its relays hear of the tunnel's end before anybody else; they must not be placed there again.
  tunnels_.look_if_ended(relay.tunnel());
  machine_.connection_ended(connection, relay.tunnel(), relay.arrived(), std::move(end),
                            Clock::now());
  if (failed) {
    if (!retired_) shared_.checker.doubt(id_);
  } else {
    erase_relay(connection);
  }
  carry_out();
  watch_if_held(connection);
}

void Worker::watch_if_held(ConnectionId connection) {
  auto const at = relays_.find(connection);
  if (at != relays_.end() && !at->second->placed()) at->second->watch_held();
}

// It leaves nothing behind: no connection in the pod, and nothing failed for anybody.
void Worker::client_left(ConnectionId connection) {
  auto const at = relays_.find(connection);
  if (at == relays_.end() || at->second->placed()) return;
  machine_.client_left(connection, Clock::now());
  erase_relay(connection);
  carry_out();
}

void Worker::erase_relay(ConnectionId connection) {
  relays_.erase(connection);
  relay_ended_.set();
}

void Worker::relay_answered(TunnelId tunnel) {
  tunnels_.proved_alive(tunnel);
  if (!retired_ && machine_.pool().is_up(tunnel)) shared_.checker.record_activity(id_);
}

void Worker::relay_moved(ConnectionId connection) {
  machine_.moved(connection, Clock::now());
  carry_out_soon();
}

void Worker::relay_full(ConnectionId connection, bool full) {
  machine_.buffer_full(connection, full, Clock::now());
  carry_out_soon();
}

// What the machine decided.

void Worker::carry_out() {
  if (carrying_out_) return;  // the outer call takes what was added
  carrying_out_ = true;
  for (Actions actions = machine_.take_actions(); !actions.empty();
       actions = machine_.take_actions()) {
    for (Action const& action : actions) {
      std::visit([this](auto const& what) { act(what); }, action);
    }
  }
  carrying_out_ = false;
  carry_out_soon();
}

// run() does it.
void Worker::carry_out_soon() {
  if (machine_.has_actions() || machine_.deadline() < sleeping_until_) wake_.set();
}

void Worker::act(Dial const& action) {
  link_.run(action.tunnel, dial(action.tunnel, action.choice));
}

void Worker::act(CloseTunnel const& action) {
  link_.cancel(action.tunnel);
  tunnels_.close(action.tunnel);
}

void Worker::act(PlaceConnection const& action) {
  Relay& relay = *relays_.at(action.connection);
  // The first of several that are placed on a tunnel may find that it has ended.
  if (auto tunnel = tunnels_.find(action.tunnel)) {
    relay.place(std::move(tunnel), tunnels_.next_request());
  } else {
    relay.place_on_ended(action.tunnel);
  }
}

void Worker::act(ResetConnection const& action) {
  auto const at = relays_.find(action.connection);
  if (at == relays_.end()) return;
  auto const* const tunnel = machine_.pool().find(at->second->tunnel());
  std::string pod = tunnel == nullptr ? machine_.current_pod() : tunnel->pod;
  at->second->reset();
  erase_relay(action.connection);
  connection_failed(action.reason, action.message, std::move(pod));
}

void Worker::connection_failed(events::Reason reason, std::string message, std::string pod) {
  ConnectionFailure failure;
  failure.reason = reason;
  failure.message = std::move(message);
  failure.pod = std::move(pod);
  reporter_.connection_failed(std::move(failure), Clock::now());
  if (reporter_.deadline() < sleeping_until_) wake_.set();
}

void Worker::act(EvictConnection const& action) {
  auto const at = relays_.find(action.connection);
  if (at != relays_.end()) at->second->evict(action.error);
}

void Worker::act(MarkConnected const& action) {
  reporter_.connected(*tunnels_.find(action.tunnel), action.refresh);
  mark_connected(action.tunnel);
}

void Worker::act(MarkMoved const& action) {
  mark_connected(action.tunnel);
}

// Without its port a forward is not connected, whatever its tunnels are.
void Worker::mark_connected(TunnelId tunnel) {
  if (!port_.is_open()) return;
  shared_.checker.mark_connected(id_, tunnel, machine_.current_pod());
  shared_.checker.note(id_, note_);  // of this pod: the change of pods cleared it
}

void Worker::act(MarkDisconnected const& action) {
  reporter_.disconnected(action);
  if (setup_failure_ != events::Reason::none) return;  // that is why it fails
  shared_.checker.mark_reconnecting(id_, action.reason, action.message);
}

void Worker::act(MarkReconnecting const& action) {
  reporter_.reconnecting(action);
}

void Worker::act(MarkFailed const& action) {
  if (action.news) reporter_.failed(action);
  if (setup_failure_ != events::Reason::none) return;
  shared_.checker.mark_failed(id_, action.reason, action.message);
}

void Worker::act(ResolveAgain const&) {
  if (link_.entered()) link_.target().refresh();
}

// healthcheck::Subject

void Worker::start_probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                         TimePoint deadline) {
  if (!tunnels_.contains(ticket.generation)) return;
  tasks_.spawn(checks_.probe(ticket, method, deadline));
}

void Worker::start_ping(healthcheck::Ticket ticket, TimePoint deadline) {
  if (tunnels_.contains(ticket.generation)) tasks_.spawn(checks_.ping(ticket, deadline));
}

// Of all tunnels in use together; the age is that of the one that stands for the forward.
healthcheck::Evidence Worker::evidence() const {
  healthcheck::Evidence evidence;
  evidence.logging_in = link_.entered() && link_.cluster()->credentials().logging_in();
  auto const primary = tunnels_.find(machine_.pool().primary().value_or(0));
  if (!primary) return evidence;
  evidence.tunnel_since = primary->since();
  evidence.pod_ready = false;
  for (auto const& tunnel : tunnels_.in_use()) {
    tunnel->add_to(evidence);
    evidence.pod_ready = evidence.pod_ready || link_.target().vouches_for(tunnel->pod());
  }
  TimePoint const now = Clock::now();
  evidence.accepted_connection_open =
      std::any_of(relays_.begin(), relays_.end(), [&](auto const& entry) {
        return machine_.pool().is_up(entry.second->tunnel()) && entry.second->accepted_by_pod(now);
      });
  return evidence;
}

}  // namespace kportal::forward
