// SPDX-License-Identifier: MIT
#include "forward/worker.h"

#include <algorithm>
#include <random>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "base/turns.h"
#include "forward/port_owner.h"

namespace kportal::forward {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// Connections accepted without a turn for everybody else.
constexpr unsigned kAcceptsAtOnce = 64;
// The answer to a ping is looked for this often.
constexpr Duration kLook = milliseconds(50);

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
      wake_(shared.executor),
      relay_ended_(shared.executor),
      tasks_(shared.executor),
      tunnel_tasks_(shared.executor),
      pumps_(shared.executor) {}

Worker::~Worker() = default;

events::ForwardRef Worker::ref() const {
  events::ForwardRef ref;
  ref.id = id_;
  ref.context = cluster_.context.empty() ? spec_.context : cluster_.context;
  ref.namespace_ = spec_.namespace_;
  ref.resource = spec_.resource;
  ref.local_port = bound_port_ != 0 ? bound_port_ : spec_.local_port;
  return ref;
}

void Worker::start(std::unique_ptr<net::Listener> listener) {
  listener_ = std::move(listener);
  if (listener_) bound_port_ = listener_->port();
  if (spec_.disabled) {
    listener_.reset();
    shared_.checker.register_forward(ref(), spec_.health, *this, events::Status::disabled);
    return;
  }
  events::ForwardStarting starting;
  starting.forward = ref();
  shared_.bus.publish(std::move(starting));
  shared_.checker.register_forward(ref(), spec_.health, *this, events::Status::starting);
  access_ = shared_.clusters.subscribe(spec_.kubeconfig, spec_.context, [this] {
    access_news_ = true;
    wake_.set();
  });
  run_ = tasks_.spawn(run());
}

std::unique_ptr<net::Listener> Worker::retire() {
  machine_.stop();
  carry_out();
  for (ConnectionFailure& each : failures_.due(kNever)) publish(std::move(each));
  retired_ = true;
  access_ = k8s::Subscription();
  tasks_.cancel();
  if (cluster_tasks_) cluster_tasks_->cancel();
  shared_.checker.unregister(id_);
  events::ForwardStopped stopped;
  stopped.forward = ref();
  shared_.bus.publish(std::move(stopped));
  return std::move(listener_);
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
  for (auto const& [id, tunnel] : tunnels_) tunnel->connection()->close();
  co_await tasks_.join();
  if (cluster_tasks_) co_await cluster_tasks_->join();
  co_await tunnel_tasks_.join();
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
  for (auto const& [id, tunnel] : tunnels_) {
    tunnel->connection()->set_keepalive(reliability.ping_interval, reliability.ping_timeout);
  }
  target_news_ = target_ != nullptr;
  next_setup_ = {};  // what was in the way may be gone
  wake_.set();
  shared_.checker.update_settings(id_, health);
}

// A login in between puts the dial's own deadline off; on top comes what the loop may be late.
Duration Worker::dial_bound() const {
  return reliability_.auth_timeout + reliability_.dial_timeout + reliability_.watchdog_period;
}

void Worker::look_for_overruns(TimePoint now) {
  for (Overrun const& overrun : phases_.take_overrun(now)) {
    events::WatchdogHung hung;
    hung.forward = ref();
    hung.message = to_text(overrun);
    hung.late = duration_cast<milliseconds>(overrun.took);
    log::error("{}: {}: starting that anew", id_, hung.message);
    shared_.bus.publish(std::move(hung));
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
      cluster_.cluster->distrust_connections();
      tunnel_tasks_.spawn(leave(std::move(target_), std::move(cluster_tasks_), cluster_.cluster));
      enter_cluster(std::move(cluster_));
      wake_.set();
      break;
    case Phase::dial:
      if (auto const dial = dials_.extract(overrun.id)) cluster_tasks_->cancel(dial.mapped());
      machine_.dial_failed(overrun.id, error, Clock::now());
      break;
    case Phase::close:
      if (auto const serve = serves_.extract(overrun.id)) tunnel_tasks_.cancel(serve.mapped());
      tunnel_ended(overrun.id, error.code);
      break;
  }
  carry_out();
}

// What it waits for.

awaitable<void> Worker::run() {
  for (;;) {
    co_await own_turn();  // hundreds may start, or see their pods, at once
    TimePoint const now = Clock::now();
    if (std::exchange(access_news_, false)) look_at_access(now);
    bool const incomplete = !accepting_ || !cluster_.cluster;
    if (incomplete && now >= next_setup_) set_up(now);
    if (std::exchange(network_news_, false) && target_) {
      target_->hurry();
      machine_.network_back(now);
    }
    if (std::exchange(target_news_, false)) look_at_target(now);
    tell_writing();
    machine_.tick(now);
    carry_out();
    TimePoint const setup = accepting_ && cluster_.cluster ? kNever : next_setup_;
    for (ConnectionFailure& each : failures_.due(now)) publish(std::move(each));
    sleeping_until_ = std::min({machine_.deadline(), failures_.deadline(), setup});
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

// The listener first: a forward whose port is taken has no use for a tunnel.
void Worker::set_up(TimePoint now) {
  next_setup_ = now + kSetupRetry;
  if (!accepting_ && !open_listener()) return;
  if (cluster_.cluster) return;
  auto found = shared_.clusters.find(spec_.kubeconfig, spec_.context);
  if (found.has_error()) {
    machine_.resolved(found.error(), {}, now);
    return;
  }
  enter_cluster(std::move(*found));
}

// An edit that leaves no cluster changes nothing: the pool tells of it.
void Worker::look_at_access(TimePoint now) {
  if (!cluster_.cluster) {
    next_setup_ = now;
    return;
  }
  auto found = shared_.clusters.find(spec_.kubeconfig, spec_.context);
  if (found.has_error()) return;
  if (found->cluster == cluster_.cluster) {
    cluster_.context = found->context;
    shared_.checker.set_ref(ref());
    if (machine_.pool().primary()) return;
    // Perhaps the token file holds another token.
    target_->refresh();
    machine_.hurry(now);
    return;
  }
  char const* const next =
      machine_.pool().primary() ? ": a new tunnel is to replace the one in use" : "";
  renewing_ = true;
  renewal_failure_.reset();
  log::info("{}: the kubeconfig says something else of it now{}", id_, next);
  tunnel_tasks_.spawn(
      leave(std::move(target_), std::move(cluster_tasks_), std::move(cluster_.cluster)));
  dials_.clear();
  machine_.renew(now);
  enter_cluster(std::move(*found));
}

void Worker::enter_cluster(k8s::ClusterPool::Found found) {
  cluster_ = std::move(found);
  shared_.checker.set_ref(ref());
  k8s::TargetQuery query;
  query.target = spec_.target;
  query.port = spec_.port;
  query.allow_unready = spec_.allow_unready;
  query.namespace_ = spec_.namespace_;
  auto const changed = [this] {
    target_news_ = true;
    wake_.set();
  };
  cluster_tasks_ = std::make_unique<TaskGroup>(shared_.executor);
  target_ = std::make_unique<k8s::TargetWatch>(*cluster_.cluster, std::move(query), changed,
                                               *cluster_tasks_);
  target_news_ = true;
  phases_.begin(
      Phase::resolve, 0, Clock::now(),
      reliability_.auth_timeout + k8s::Cluster::kRequestTimeout + reliability_.watchdog_period);
  network_ = cluster_.cluster->subscribe([this] {
    network_news_ = true;
    wake_.set();
  });
}

// The cluster outlives the watch and the dials. Where nobody else needs it, a login to it ends,
// too.
awaitable<void> Worker::leave(std::unique_ptr<k8s::TargetWatch> target,
                              std::unique_ptr<TaskGroup> tasks,
                              std::shared_ptr<k8s::Cluster> cluster) {
  tasks->cancel();
  co_await tasks->join();
  target.reset();
  cluster.reset();
  co_await shared_.clusters.release_unused();
}

bool Worker::open_listener() {
  if (!listener_) {
    auto opened = net::Listener::open(shared_.executor, spec_.addresses, spec_.local_port);
    if (opened.has_error()) {
      report_failure(opened.error());
      return false;
    }
    listener_ = std::move(*opened);
  }
  bound_port_ = listener_->port();
  shared_.checker.set_ref(ref());
  accepting_ = true;
  setup_failure_ = events::Reason::none;
  machine_.start(Clock::now());
  tasks_.spawn(accept_all());
  if (auto const tunnel = machine_.pool().primary()) mark_connected(*tunnel);
  return true;
}

// Of the local side, of which the machine knows nothing.
void Worker::report_failure(Error error) {
  if (error.code == Errc::local) next_setup_ = Clock::now() + kAddressRetry;
  if (error.code == Errc::port_in_use) {
    if (auto const owner = find_port_owner(spec_.local_port)) {
      error.text += fmt::format(" (held by {}, pid {})", owner->process, owner->pid);
    }
  }
  auto const reason = events::reason_of(error.code);
  bool const news = std::exchange(setup_failure_, reason) != reason;
  act(MarkFailed{reason, error.text, news});
}

awaitable<void> Worker::accept_all() {
  for (unsigned accepts = 0;;) {
    auto accepted = co_await listener_->accept();
    if (accepted.has_error()) {
      if (accepted.error().code == Errc::closed) co_return;
      listener_failed(accepted.error());
      if (accepting_) continue;
      co_return;
    }
    if (++accepts % kAcceptsAtOnce == 0) co_await asio::post(asio::use_awaitable);
    if (relays_.size() >= kMaxConnections) {
      refuse(std::move(*accepted));
      continue;
    }
    ConnectionId const connection = next_connection_++;
    relays_.emplace(connection,
                    std::make_unique<Relay>(connection, std::move(*accepted), spec_.half_close,
                                            static_cast<RelayOwner&>(*this), pumps_));
    tell_writing();
    machine_.accepted(connection, Clock::now());
    carry_out();
    watch_if_held(connection);
  }
}

// One that broke is opened anew; its tunnels and connections know nothing of that.
void Worker::listener_failed(Error const& error) {
  TimePoint const now = Clock::now();
  if (error.code == Errc::limit) {
    if (now < shared_.next_shortage_line) return;
    shared_.next_shortage_line = now + kShortageQuiet;
    log::warn("{}: connections wait to be accepted: {}", id_, error.text);
    return;
  }
  log::warn("{}: {}: the port is opened anew", id_, error.text);
  accepting_ = false;
  listener_.reset();
  next_setup_ = now;
  wake_.set();
}

void Worker::refuse(asio::ip::tcp::socket socket) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
  publish_failed(events::Reason::hold_timeout,
                 fmt::format("more than {} connections are open", kMaxConnections),
                 machine_.current_pod());
}

void Worker::look_at_target(TimePoint now) {
  std::vector<std::string> in_use;
  std::vector<TunnelId> gone;
  for (TunnelId const id : tunnels_in_use()) {
    TunnelInfo const& tunnel = *machine_.pool().find(id);
    in_use.push_back(tunnel.pod_uid);
    // Of a tunnel to another cluster this one knows nothing.
    bool const ours = &tunnels_.at(id)->cluster() == cluster_.cluster.get();
    if (ours && target_->gone(tunnel.pod, tunnel.pod_uid)) gone.push_back(id);
  }
  auto const choices = target_->choose(std::move(in_use));
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

// Pods in use whose container restarted, or whose readiness changed, since the last look.
void Worker::look_for_unrest() {
  std::map<std::string, std::uint64_t> seen;
  bool news = false;
  for (TunnelId const id : tunnels_in_use()) {
    TunnelInfo const& tunnel = *machine_.pool().find(id);
    bool const ours = &tunnels_.at(id)->cluster() == cluster_.cluster.get();
    if (!ours || target_->gone(tunnel.pod, tunnel.pod_uid)) continue;
    std::uint64_t const unrest = target_->unrest(tunnel.pod, tunnel.pod_uid);
    seen.emplace(tunnel.pod_uid, unrest);
    auto const before = unrest_.find(tunnel.pod_uid);
    if (before == unrest_.end() || before->second == unrest) continue;
    machine_.probe_next(id);
    news = true;
  }
  unrest_ = std::move(seen);
  if (news) shared_.checker.doubt(id_);
}

// Of the way that an edit of the kubeconfig leads; while the tunnel of before serves, no status
// tells.
void Worker::tell_renewal_failed(Error const& error) {
  if (!renewing_ || !machine_.pool().primary()) return;
  if (std::exchange(renewal_failure_, error.code) == error.code) return;
  log::warn("{}: by what the kubeconfig says now there is no tunnel: {}; the one in use stays", id_,
            error.text);
}

std::vector<TunnelId> Worker::tunnels_in_use() const {
  return machine_.pool().all(TunnelInfo::State::up);
}

awaitable<void> Worker::dial(TunnelId id, k8s::Choice choice) {
  k8s::DialOptions options;
  options.tcp = net::TcpOptions(reliability_.tcp_keepalive);
  options.ping_interval = reliability_.ping_interval;
  options.ping_timeout = reliability_.ping_timeout;
  Phases::Guard const phase(phases_, Phase::dial, id);
  options.began = [this, id] { phases_.begin(Phase::dial, id, Clock::now(), dial_bound()); };
  auto const cluster = cluster_.cluster;
  auto dialled =
      co_await cluster->dial(spec_.namespace_, choice.pod, options, reliability_.dial_timeout);
  dials_.erase(id);
  TimePoint const now = Clock::now();
  if (retired_ || machine_.pool().find(id) == nullptr) co_return;  // given up meanwhile
  if (dialled.has_error()) {
    tell_renewal_failed(dialled.error());
    machine_.dial_failed(id, dialled.error(), now);
  } else {
    tunnels_.emplace(id, std::make_shared<Tunnel>(id, cluster, std::move(*dialled), choice, now));
    tunnels_.at(id)->connection()->on_answer_late([this, id](bool late) { answer_late(id, late); });
    unrest_.try_emplace(choice.uid, target_->unrest(choice.pod, choice.uid));
    renewing_ = false;
    serves_[id] = tunnel_tasks_.spawn(serve(id));
    machine_.dialled(id, now);
  }
  carry_out();
}

void Worker::answer_late(TunnelId id, bool late) {
  TimePoint const now = Clock::now();
  if (late) {
    machine_.answer_late(id, now);
  } else {
    machine_.answer_came(id, now);
  }
  carry_out_soon();
}

awaitable<void> Worker::serve(TunnelId id) {
  Phases::Guard const phase(phases_, Phase::close, id);
  auto const tunnel = tunnels_.at(id);
  error_code const ended = co_await tunnel->connection()->run();
  tunnel_ended(id, ended);
  carry_out();
}

void Worker::tunnel_ended(TunnelId id, error_code why) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  bool const lived = at->second->lived();
  k8s::Cluster& cluster = at->second->cluster();
  cluster.tunnel_ended(why, Clock::now() - reliability_.ping_timeout);
  std::string const place = fmt::format("tunnel by {}", cluster.rest().server());
  tunnels_.erase(at);
  serves_.erase(id);
  machine_.tunnel_closed(id, io_error(why, place), lived, Clock::now());
}

void Worker::proved_alive(TunnelId id) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  at->second->proved_alive();
  machine_.proved_alive(id);
}

// One pod's good port is enough for the forward; a bad one is left out by the machine.
awaitable<void> Worker::probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                              TimePoint deadline) {
  healthcheck::ProbeVerdict verdict;
  for (bool again = true; again;) {
    tell_writing();
    TimePoint const asked = Clock::now();
    auto const id = machine_.next_to_probe(asked);
    if (!id || !tunnels_.contains(*id)) co_return;
    // Nothing comes through any of them, and they live while TCP says so: that tells nothing.
    verdict = healthcheck::ProbeVerdict::of_nothing();
    if (machine_.pool().is_stalled(*id, asked)) break;
    verdict = co_await probe_tunnel(*id, method, deadline);
    TimePoint const now = Clock::now();
    again = verdict.bad() && now < deadline && machine_.pool().has_good(now);
  }
  shared_.checker.probe_result(id_, ticket, verdict);
}

awaitable<healthcheck::ProbeVerdict> Worker::probe_tunnel(TunnelId id, config::ProbeMethod method,
                                                          TimePoint deadline) {
  auto const tunnel = tunnels_.at(id);
  std::uint32_t const request = next_request_++;
  auto verdict = co_await tunnel->probe(request, method, deadline);
  TimePoint const now = Clock::now();
  if (verdict.unknown) co_return verdict;
  machine_.probed(id, verdict.good(), now);
  if (verdict.good()) {
    proved_alive(id);
  } else if (verdict.error->code == Errc::pod_gone) {
    machine_.pod_gone(id, *verdict.error, now);
    carry_out();
  }
  co_return verdict;
}

// Any tunnel that answers proves life. Those that cannot answer are not asked, and where none can
// the connections themselves ask TCP, and end if that is silent.
awaitable<void> Worker::ping(healthcheck::Ticket ticket, TimePoint deadline) {
  TimePoint const asked = Clock::now();
  std::map<TunnelId, std::shared_ptr<Tunnel>> tunnels;
  for (TunnelId const id : tunnels_in_use()) {
    auto const at = tunnels_.find(id);
    if (at != tunnels_.end() && !at->second->stalled()) tunnels.insert(*at);
  }
  for (auto const& [id, tunnel] : tunnels) tunnel->ping();
  bool answered = tunnels.empty();
  for (TimePoint now = asked; !answered && now < deadline; now = Clock::now()) {
    co_await sleep_until(std::min(deadline, now + kLook));
    for (auto const& [id, tunnel] : tunnels) {
      if (!tunnel->heard_since(asked)) continue;
      answered = true;
      proved_alive(id);
    }
  }
  bool const stalled =
      std::ranges::all_of(tunnels, [](auto const& entry) { return entry.second->stalled(); });
  shared_.checker.ping_result(id_, ticket, answered || stalled);
}

// What happened on a relay.

void Worker::relay_left(ConnectionId connection, ConnectionEnd end) {
  Relay const& relay = *relays_.at(connection);
  bool const failed = end.error.has_value();
  // Its relays hear of the tunnel's end before serve() does; they must not be placed there again.
  auto const tunnel = tunnels_.find(relay.tunnel());
  if (tunnel != tunnels_.end() && tunnel->second->connection()->ended()) {
    tunnel_ended(tunnel->first, tunnel->second->connection()->end_reason());
  }
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
  proved_alive(tunnel);
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
  if (machine_.deadline() < sleeping_until_) wake_.set();
}

// Where it cannot be done on the spot: run() does.
void Worker::carry_out_soon() {
  if (machine_.has_actions() || machine_.deadline() < sleeping_until_) wake_.set();
}

void Worker::tell_writing() {
  for (auto const& [id, tunnel] : tunnels_) {
    machine_.writing(id, tunnel->connection()->writing_since());
  }
}

void Worker::act(Dial const& action) {
  dials_[action.tunnel] = cluster_tasks_->spawn(dial(action.tunnel, action.choice));
}

void Worker::act(CloseTunnel const& action) {
  if (auto const dial = dials_.extract(action.tunnel); dial && cluster_tasks_) {
    cluster_tasks_->cancel(dial.mapped());
  }
  if (auto const at = tunnels_.find(action.tunnel); at != tunnels_.end()) {
    phases_.begin(Phase::close, action.tunnel, Clock::now(),
                  kCloseTime + reliability_.watchdog_period);
    at->second->connection()->close();
  }
}

void Worker::act(PlaceConnection const& action) {
  Relay& relay = *relays_.at(action.connection);
  // The first of several that are placed on a tunnel may find that it has ended.
  auto const at = tunnels_.find(action.tunnel);
  if (at == tunnels_.end()) {
    relay.place_on_ended(action.tunnel);
  } else {
    relay.place(at->second, next_request_++);
  }
}

void Worker::act(ResetConnection const& action) {
  auto const at = relays_.find(action.connection);
  if (at == relays_.end()) return;
  auto const* const tunnel = machine_.pool().find(at->second->tunnel());
  std::string pod = tunnel == nullptr ? machine_.current_pod() : tunnel->pod;
  at->second->reset();
  erase_relay(action.connection);
  publish_failed(action.reason, action.message, std::move(pod));
}

void Worker::act(EvictConnection const& action) {
  auto const at = relays_.find(action.connection);
  if (at != relays_.end()) at->second->evict(action.error);
}

void Worker::publish_failed(events::Reason reason, std::string message, std::string pod) {
  if (retired_) return;
  ConnectionFailure failure;
  failure.reason = reason;
  failure.message = std::move(message);
  failure.pod = std::move(pod);
  if (failures_.tell(failure, Clock::now())) {
    publish(std::move(failure));
  } else if (failures_.deadline() < sleeping_until_) {
    wake_.set();
  }
}

void Worker::publish(ConnectionFailure failure) {
  events::ConnectionFailed failed;
  failed.forward = ref();
  failed.reason = failure.reason;
  failed.message = std::move(failure.message);
  failed.pod = std::move(failure.pod);
  shared_.bus.publish(std::move(failed));
}

void Worker::act(MarkConnected const& action) {
  Tunnel const& tunnel = *tunnels_.at(action.tunnel);
  events::ForwardConnected connected;
  connected.forward = ref();
  connected.pod = tunnel.pod();
  connected.transport = tunnel.transport();
  connected.dial = tunnel.dial_time();
  connected.refresh = action.refresh;
  shared_.bus.publish(std::move(connected));
  mark_connected(action.tunnel);
}

void Worker::act(MarkMoved const& action) {
  mark_connected(action.tunnel);
}

// Without its port a forward is not connected, whatever its tunnels are.
void Worker::mark_connected(TunnelId tunnel) {
  if (!accepting_) return;
  shared_.checker.mark_connected(id_, tunnel, machine_.current_pod());
  shared_.checker.note(id_, note_);  // of this pod: the change of pods cleared it
}

void Worker::act(MarkDisconnected const& action) {
  events::ForwardDisconnected disconnected;
  disconnected.forward = ref();
  disconnected.reason = action.reason;
  disconnected.message = action.message;
  disconnected.pod = action.pod;
  shared_.bus.publish(std::move(disconnected));
  shared_.checker.mark_reconnecting(id_, action.reason, action.message);
}

void Worker::act(MarkReconnecting const& action) {
  events::ForwardReconnecting reconnecting;
  reconnecting.forward = ref();
  reconnecting.reason = action.reason;
  reconnecting.message = action.message;
  reconnecting.attempt = action.attempt;
  reconnecting.delay = duration_cast<milliseconds>(action.delay);
  shared_.bus.publish(std::move(reconnecting));
}

void Worker::act(MarkFailed const& action) {
  if (action.news) {
    events::ForwardFailed failed;
    failed.forward = ref();
    failed.reason = action.reason;
    failed.message = action.message;
    shared_.bus.publish(std::move(failed));
  }
  shared_.checker.mark_failed(id_, action.reason, action.message);
}

void Worker::act(ResolveAgain const&) {
  if (target_) target_->refresh();
}

// healthcheck::Subject

void Worker::start_probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                         TimePoint deadline) {
  if (tunnels_.contains(ticket.generation)) tasks_.spawn(probe(ticket, method, deadline));
}

void Worker::start_ping(healthcheck::Ticket ticket, TimePoint deadline) {
  if (tunnels_.contains(ticket.generation)) tasks_.spawn(ping(ticket, deadline));
}

// Of all tunnels in use together; the age is that of the one that stands for the forward.
healthcheck::Evidence Worker::evidence() const {
  healthcheck::Evidence evidence;
  auto const primary = machine_.pool().primary();
  evidence.logging_in = cluster_.cluster && cluster_.cluster->credentials().logging_in();
  if (!primary || !tunnels_.contains(*primary)) return evidence;
  evidence.tunnel_since = tunnels_.at(*primary)->since();
  evidence.pod_ready = false;
  for (TunnelId const id : tunnels_in_use()) {
    auto const at = tunnels_.find(id);
    if (at == tunnels_.end()) continue;
    at->second->add_to(evidence);
    evidence.pod_ready = evidence.pod_ready || target_->vouches_for(at->second->pod());
  }
  TimePoint const now = Clock::now();
  evidence.accepted_connection_open =
      std::any_of(relays_.begin(), relays_.end(), [&](auto const& entry) {
        return machine_.pool().is_up(entry.second->tunnel()) && entry.second->accepted_by_pod(now);
      });
  return evidence;
}

}  // namespace kportal::forward
