// SPDX-License-Identifier: MIT
#include "tests/sim/driver.h"

#include <algorithm>
#include <utility>

namespace kportal::sim {

using events::Reason;
using forward::TunnelInfo;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::size_t max_tunnels(config::Reliability const& reliability) {
  return static_cast<std::size_t>(reliability.max_tunnels);
}

std::size_t max_pods(config::Balance balance, config::Reliability const& reliability) {
  return balance == config::Balance::pin ? 1 : max_tunnels(reliability);
}

// A machine is told the time some turns of the loop later.
constexpr Duration kHoldSlack = milliseconds(100);
// All are looked at this often.
constexpr Duration kBlockSlack = milliseconds(500);

}  // namespace

Driver::Driver(Stage& stage, Product product, config::ForwardSpec spec,
               config::Reliability reliability, Pods& pods, Weather& weather, Ways& ways, Way& way)
    : stage_(stage),
      product_(product),
      spec_(std::move(spec)),
      reliability_(reliability),
      id_(spec_.id()),
      pods_(pods),
      weather_(weather),
      ways_(ways),
      way_(&way),
      machine_(
          reliability.hold, static_cast<std::uint32_t>(stage.random.next()),
          [this](Reason reason) { return product_.checker.is_final(id_, reason); },
          max_pods(spec_.balance, reliability), max_tunnels(reliability)),
      pace_(stage),
      longest_hold_(reliability.hold),
      longest_interval_(reliability.ping_interval),
      longest_timeout_(reliability.ping_timeout) {
  pace_.follow(spec_.balance == config::Balance::pin);
}

events::ForwardRef Driver::ref() const {
  events::ForwardRef ref;
  ref.id = id_;
  return ref;
}

// As Worker's public part.

void Driver::start() {
  if (spec_.disabled) {
    stage_.coverage.hit("start.disabled");
    product_.checker.register_forward(ref(), spec_.health, *this, events::Status::disabled);
    return;
  }
  events::ForwardStarting starting;
  starting.forward = ref();
  product_.bus.publish(std::move(starting));
  product_.checker.register_forward(ref(), spec_.health, *this, events::Status::starting);
  wake_by(stage_.time.now());
}

void Driver::retire() {
  stopping_ = true;
  machine_.stop();
  carry_out();
  retired_ = true;
  drop_dials();
  way_->unsubscribe(this);
  pings_.clear();
  for (auto const& probe : all_probes_) probe->cancel();
  product_.checker.unregister(id_);
  events::ForwardStopped stopped;
  stopped.forward = ref();
  product_.bus.publish(std::move(stopped));
}

void Driver::end_by(TimePoint deadline) {
  stage_.time.at(deadline, [this] {
    for (auto const& connection : all_connections_) connection->abandon();
    connections_.clear();
    for (auto const& [id, tunnel] : std::map(tunnels_)) tunnel.link->close();
  });
}

void Driver::refresh() {
  if (retired_) return;
  stage_.trace("{}: refresh", id_);
  pace_.hurried();
  minds_late_ = false;
  machine_.refresh(stage_.time.now());
  carry_out();
}

void Driver::update(config::HealthCheck health, config::Reliability reliability) {
  spec_.health = health;
  minds_late_ = minds_late_ || !reliability_.retry_on_stale;
  reliability_ = reliability;
  longest_hold_ = std::max<Duration>(longest_hold_, reliability.hold);
  // A ping that the old settings asked for may be given the time of the new ones.
  longest_interval_ = std::max<Duration>(longest_interval_, reliability.ping_interval);
  longest_timeout_ = std::max<Duration>(longest_timeout_, reliability.ping_timeout);
  machine_.set_hold(reliability.hold);
  machine_.set_max_pods(max_pods(spec_.balance, reliability));
  machine_.set_max_tunnels(max_tunnels(reliability));
  for (auto const& [id, tunnel] : tunnels_) {
    tunnel.link->set_keepalive({reliability.ping_interval, reliability.ping_timeout});
  }
  if (!spec_.disabled) {
    target_news_ = set_up_;
    next_setup_ = stage_.time.now();  // what was in the way may be gone
    wake_by(next_setup_);
  }
  product_.checker.update_settings(id_, health);
}

void Driver::access_changed(bool other_cluster) {
  TimePoint const now = stage_.time.now();
  if (retired_ || spec_.disabled) return;
  pace_.hurried();
  if (!set_up_) {
    next_setup_ = now;
    wake_by(now);
    return;
  }
  if (!other_cluster) {
    if (machine_.pool().primary()) return;
    pods_.refresh();
    machine_.hurry(now);
    carry_out();
    return;
  }
  drop_dials();
  way_->unsubscribe(this);
  machine_.renew(now);
  choices_.reset();
  enter(ways_.open());
  pods_.start_over();
  target_news_ = true;
  carry_out();
  wake_by(now);
}

// What it waits for.

void Driver::wake_by(TimePoint when) {
  when = std::max(when, stage_.time.now());
  if (when >= sleeping_until_) return;
  sleeping_until_ = when;
  stage_.time.at(when, [this, when] {
    if (retired_ || sleeping_until_ != when) return;
    sleeping_until_ = kNever;
    run();
  });
}

void Driver::run() {
  TimePoint const now = stage_.time.now();
  if (!set_up_ && now >= next_setup_) set_up(now);
  if (std::exchange(target_news_, false)) look_at_target(now);
  for (int idle = 0; idle < 3; ++idle) {
    tell_writing();
    machine_.tick(now);
    carry_out();
    if (machine_.deadline() > now) break;
    stage_.require(Promise::time_passes, idle < 2, "{}: the machine is due at once again and again",
                   id_);
  }
  TimePoint const setup = set_up_ ? kNever : next_setup_;
  TimePoint const due = std::min(machine_.deadline(), setup);
  if (due != kNever) wake_by(due);
}

void Driver::set_up(TimePoint now) {
  next_setup_ = now + kSetupRetry;
  if (!machine_started_) {
    if (weather_.setup_error && weather_.setup_error->code == Errc::port_in_use) {
      report_failure(*weather_.setup_error);
      return;
    }
    machine_started_ = true;
    machine_.start(now);
  }
  if (weather_.setup_error) {
    machine_.resolved(*weather_.setup_error, {}, now);
    return;
  }
  set_up_ = true;
  enter(*way_);
  pods_.on_change([this] {
    if (retired_) return;
    target_news_ = true;
    wake_by(stage_.time.now());
  });
  target_news_ = true;
}

void Driver::report_failure(Error const& error) {
  auto const reason = events::reason_of(error.code);
  bool const news = std::exchange(setup_failure_, reason) != reason;
  act(forward::MarkFailed{reason, error.text, news});
}

void Driver::look_at_target(TimePoint now) {
  std::vector<std::string> in_use;
  std::vector<TunnelId> gone;
  for (TunnelId const id : machine_.pool().all(TunnelInfo::State::up)) {
    TunnelInfo const& tunnel = *machine_.pool().find(id);
    in_use.push_back(tunnel.pod_uid);
    bool const ours = tunnels_.at(id).way == way_;
    if (ours && pods_.gone(tunnel.pod, tunnel.pod_uid)) gone.push_back(id);
  }
  if (!gone.empty()) pace_.failed();
  auto const choices = pods_.choose(std::move(in_use));
  if (!choices) return;
  if (choices->has_value()) {
    note_ = (*choices)->front().message;
    product_.checker.note(id_, note_);
  }
  look_for_unrest();
  if (choices_ != choices) pace_.hurried();
  choices_ = choices;
  machine_.resolved(*choices, gone, now);
}

void Driver::look_for_unrest() {
  std::map<std::string, std::uint64_t> seen;
  bool news = false;
  for (TunnelId const id : machine_.pool().all(TunnelInfo::State::up)) {
    TunnelInfo const& tunnel = *machine_.pool().find(id);
    bool const ours = tunnels_.at(id).way == way_;
    if (!ours || pods_.gone(tunnel.pod, tunnel.pod_uid)) continue;
    std::uint64_t const unrest = pods_.unrest(tunnel.pod, tunnel.pod_uid);
    seen.emplace(tunnel.pod_uid, unrest);
    auto const before = unrest_.find(tunnel.pod_uid);
    if (before == unrest_.end() || before->second == unrest) continue;
    machine_.probe_next(id);
    news = true;
  }
  unrest_ = std::move(seen);
  if (news) product_.checker.doubt(id_);
}

// Dials and tunnels

Way::Dial Driver::dial_to(TunnelId id, k8s::Choice const& choice) {
  Way::Dial dial;
  dial.server_time = weather_.dial_time;
  dial.timeout = reliability_.dial_timeout;
  dial.is_mute = [this] { return weather_.dial_is_mute; };
  dial.hangs = [this] { return weather_.dial_hangs; };
  dial.refused = [this] {
    bool const by_tcp = weather_.dial_error && weather_.dial_error->code == Errc::network;
    return by_tcp ? weather_.dial_error : std::nullopt;
  };
  dial.answer = [this, pod = choice.pod] {
    if (weather_.dial_error || pods_.exists(pod)) return weather_.dial_error;
    return std::optional(Error(Errc::not_found, "pods \"" + pod + "\" not found"));
  };
  dial.done = [this, id, choice](std::optional<Error> error) {
    dial_ended(id, choice, std::move(error));
  };
  return dial;
}

void Driver::dial_ended(TunnelId id, k8s::Choice const& choice, std::optional<Error> error) {
  dials_.erase(id);
  if (machine_.pool().find(id) == nullptr) return;  // given up meanwhile
  TimePoint const now = stage_.time.now();
  if (error) {
    stage_.trace("{}: dial {} failed: {}", id_, id, error->text);
    stage_.coverage.hit("event.dial_failed");
    pace_.failed();
    machine_.dial_failed(id, *error, now);
  } else {
    tunnel_up(id, choice);
    pace_.hurried();
    stage_.coverage.hit("event.dialled");
    machine_.dialled(id, now);
  }
  carry_out();
}

void Driver::drop_dials() {
  for (auto const& [id, dial] : dials_) way_->cancel(dial);
  dials_.clear();
}

// As Worker::enter_cluster.
void Driver::enter(Way& way) {
  way_ = &way;
  way.subscribe(this, [this] { network_back(); });
  pods_.on_list([this](bool answered, TimePoint asked) {
    if (answered) {
      way_->heard(stage_.time.now());
    } else {
      way_->doubt(asked);
    }
  });
}

void Driver::tunnel_up(TunnelId id, k8s::Choice const& choice) {
  stage_.trace("{}: tunnel {} to {} is up", id_, id, choice.pod);
  auto link = std::make_unique<Link>(
      stage_, weather_, net::SpdyKeepalive{reliability_.ping_interval, reliability_.ping_timeout});
  Tunnel tunnel;
  tunnel.link = link.get();
  tunnel.sandbox = pods_.sandbox(pods_.uid_of(choice.pod));
  auto runtime = std::make_unique<Runtime>(stage_, *link, *tunnel.sandbox, product_.ledger);
  tunnel.runtime = runtime.get();
  tunnel.pod = choice.pod;
  tunnel.port = choice.port;
  tunnel.way = way_;
  tunnel.since = stage_.time.now();
  link->serve(std::move(runtime));
  link->on_end([this, id](error_code why) {
    tunnel_ended(id, why);
    carry_out();
  });
  link->on_bytes([this, id] { heard(id); });
  link->on_late([this, id](bool late) { answer_late(id, late); });
  way_->remember(*link);
  all_links_.push_back(std::move(link));
  tunnels_.emplace(id, std::move(tunnel));
  unrest_.try_emplace(choice.uid, pods_.unrest(choice.pod, choice.uid));
}

void Driver::tunnel_ended(TunnelId id, error_code why) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  stage_.trace("{}: tunnel {} ended: {}", id_, id, why.message());
  bool const lived = at->second.lived;
  if (why == Errc::ping_timeout) {
    Way& way = *at->second.way;
    way.doubt(stage_.time.now() - reliability_.ping_timeout);
    if (&way == way_ && !retired_) pods_.refresh();
  }
  stage_.require(Promise::dead_is_dead,
                 why != Errc::ping_timeout || at->second.link->was_obstructed(),
                 "{}: tunnel {} was answered and is taken for dead", id_, id);
  tunnels_.erase(at);
  if (carrying_out_) ended_.insert(id);
  stage_.coverage.hit("event.tunnel_closed");
  if (lived && machine_.pool().find(id) != nullptr) pace_.proved_alive();
  pace_.failed();
  machine_.tunnel_closed(id, io_error(why, "tunnel"), lived, stage_.time.now());
}

void Driver::answer_late(TunnelId id, bool late) {
  TimePoint const now = stage_.time.now();
  stage_.trace("{}: the answer of tunnel {} {}", id_, id, late ? "is late" : "came");
  if (late) {
    machine_.answer_late(id, now);
  } else {
    machine_.answer_came(id, now);
  }
  carry_out_soon();
}

// Where it cannot be done on the spot: run() does.
void Driver::carry_out_soon() {
  if (retired_) return;
  if (machine_.has_actions()) {
    wake_by(stage_.time.now());
  } else if (machine_.deadline() < sleeping_until_) {
    wake_by(machine_.deadline());
  }
}

void Driver::tell_writing() {
  for (auto const& [id, tunnel] : tunnels_) machine_.writing(id, tunnel.link->writing_since());
}

void Driver::proved_alive(TunnelId id) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  at->second.lived = true;
  pace_.proved_alive();
  machine_.proved_alive(id);
}

std::vector<Link*> Driver::links() const {
  std::vector<Link*> links;
  for (auto const& [id, tunnel] : tunnels_) links.push_back(tunnel.link);
  return links;
}

std::vector<Connection*> Driver::open_connections() const {
  std::vector<Connection*> open;
  for (auto const& [id, connection] : connections_) open.push_back(connection);
  return open;
}

void Driver::clear_tunnels() {
  for (auto const& [id, tunnel] : tunnels_) tunnel.runtime->clear();
}

void Driver::released() {
  for (auto const& [id, tunnel] : tunnels_) tunnel.link->released();
}

void Driver::network_back() {
  if (retired_) return;
  stage_.coverage.hit("event.network_back");
  pace_.hurried();
  pace_.proved_alive();
  pods_.refresh();
  machine_.network_back(stage_.time.now());
  carry_out();
}

// Checks

void Driver::start_probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                         TimePoint deadline) {
  stage_.coverage.hit("check.probe");
  stage_.require(Promise::nothing_after_stop, !retired_, "{}: a probe after the end", id_);
  stage_.require(Promise::ticket_once, tickets_.insert(ticket.number).second,
                 "{}: a ticket is used twice", id_);
  if (tunnels_.contains(ticket.generation)) probe(ticket, method, deadline);
}

void Driver::probe(healthcheck::Ticket ticket, config::ProbeMethod method, TimePoint deadline) {
  tell_writing();
  TimePoint const asked = stage_.time.now();
  auto const id = machine_.next_to_probe(asked);
  if (!id || !tunnels_.contains(*id)) return;
  if (machine_.pool().is_stalled(*id, asked)) {
    stage_.coverage.hit("check.unknown");
    product_.checker.probe_result(id_, ticket, healthcheck::ProbeVerdict::of_nothing());
    return;
  }
  Tunnel const& tunnel = tunnels_.at(*id);
  auto done = [this, id = *id, ticket, method, deadline](healthcheck::ProbeVerdict verdict) {
    // In a turn of its own: the tunnel may be ending.
    stage_.time.after({}, [this, id, ticket, method, deadline, verdict = std::move(verdict)] {
      probed(id, ticket, method, deadline, verdict);
    });
  };
  all_probes_.push_back(
      std::make_unique<Probe>(stage_, *tunnel.link, method, deadline, std::move(done)));
  all_probes_.back()->start(tunnel.port, next_request_++);
}

void Driver::probed(TunnelId id, healthcheck::Ticket ticket, config::ProbeMethod method,
                    TimePoint deadline, healthcheck::ProbeVerdict verdict) {
  if (retired_) return;
  auto const at = tunnels_.find(id);
  bool const unheard = verdict.bad() && verdict.error->code == Errc::timeout;
  if (unheard && at != tunnels_.end() && at->second.link->stalled()) {
    stage_.trace("{}: probe of tunnel {}: nothing can be known", id_, id);
    product_.checker.probe_result(id_, ticket, healthcheck::ProbeVerdict::of_nothing());
    return;
  }
  TimePoint const now = stage_.time.now();
  stage_.trace("{}: probe of tunnel {}: {}", id_, id, verdict.good() ? "" : verdict.error->text);
  machine_.probed(id, verdict.good(), now);
  if (verdict.good()) {
    proved_alive(id);
    vouch(ticket);
  } else if (verdict.error->code == Errc::pod_gone) {
    stage_.coverage.hit("event.pod_gone");
    pace_.failed();
    machine_.pod_gone(id, *verdict.error, now);
    carry_out();
  }
  if (!verdict.good() && now < deadline && machine_.pool().has_good(now)) {
    probe(ticket, method, deadline);
    return;
  }
  product_.checker.probe_result(id_, ticket, verdict);
}

void Driver::start_ping(healthcheck::Ticket ticket, TimePoint deadline) {
  stage_.coverage.hit("check.ping");
  stage_.require(Promise::nothing_after_stop, !retired_, "{}: a ping after the end", id_);
  stage_.require(Promise::ticket_once, tickets_.insert(ticket.number).second,
                 "{}: a ticket is used twice", id_);
  if (!tunnels_.contains(ticket.generation)) return;
  Ping ping;
  ping.ticket = ticket;
  ping.asked = stage_.time.now();
  ping.deadline = deadline;
  for (TunnelId const id : machine_.pool().all(TunnelInfo::State::up)) {
    auto const at = tunnels_.find(id);
    if (at == tunnels_.end() || at->second.link->stalled()) continue;
    ping.tunnels.insert(id);
    at->second.link->ping();
  }
  if (ping.tunnels.empty()) {
    vouch_if_seen(ticket);
    product_.checker.ping_result(id_, ticket, true);
    return;
  }
  pings_.emplace(ticket.number, std::move(ping));
  stage_.time.at(deadline, [this, number = ticket.number] { ping_over(number); });
}

// Bytes came through a tunnel: what a ping waits for.
void Driver::heard(TunnelId id) {
  for (auto at = pings_.begin(); at != pings_.end();) {
    Ping const& ping = at->second;
    if (!ping.tunnels.contains(id) || stage_.time.now() <= ping.asked) {
      ++at;
      continue;
    }
    healthcheck::Ticket const ticket = ping.ticket;
    at = pings_.erase(at);
    proved_alive(id);
    // Not within the receiving of bytes.
    stage_.time.after({}, [this, ticket] {
      if (retired_) return;
      vouch_if_seen(ticket);
      product_.checker.ping_result(id_, ticket, true);
    });
  }
}

void Driver::ping_over(std::uint64_t number) {
  auto const at = pings_.find(number);
  if (retired_ || at == pings_.end()) return;
  healthcheck::Ticket const ticket = at->second.ticket;
  bool const stalled = std::ranges::all_of(at->second.tunnels, [this](TunnelId id) {
    auto const tunnel = tunnels_.find(id);
    return tunnel != tunnels_.end() && tunnel->second.link->stalled();
  });
  pings_.erase(at);
  if (stalled) vouch_if_seen(ticket);
  product_.checker.ping_result(id_, ticket, stalled);
}

healthcheck::Evidence Driver::evidence() const {
  healthcheck::Evidence evidence;
  auto const primary = machine_.pool().primary();
  if (!primary || !tunnels_.contains(*primary)) return evidence;
  evidence.tunnel_since = tunnels_.at(*primary).since;
  evidence.pod_ready = false;
  for (TunnelId const id : machine_.pool().all(TunnelInfo::State::up)) {
    auto const at = tunnels_.find(id);
    if (at == tunnels_.end()) continue;
    Tunnel const& tunnel = at->second;
    evidence.last_pod_byte = std::max(evidence.last_pod_byte, tunnel.last_pod_byte);
    evidence.last_traffic = std::max(evidence.last_traffic, tunnel.last_traffic);
    evidence.last_life = std::max(evidence.last_life, tunnel.link->last_received());
    evidence.pod_ready = evidence.pod_ready || pods_.vouches_for(tunnel.pod);
  }
  TimePoint const now = stage_.time.now();
  evidence.accepted_connection_open = std::ranges::any_of(connections_, [&](auto const& entry) {
    Connection const& connection = *entry.second;
    return machine_.pool().is_up(connection.tunnel()) && connection.accepted_by_pod(now);
  });
  return evidence;
}

// Connections

void Driver::connect(std::uint64_t mark, ClientPlan plan) {
  if (retired_ || !machine_started_) return;  // nobody listens
  ConnectionId const id = next_connection_++;
  all_connections_.push_back(std::make_unique<Connection>(
      stage_, product_.ledger, static_cast<ConnectionOwner&>(*this), id, mark, spec_.half_close));
  connections_.emplace(id, all_connections_.back().get());
  stage_.trace("{}: connection {} (mark {})", id_, id, mark);
  all_connections_.back()->begin(plan);
  tell_writing();
  machine_.accepted(id, stage_.time.now());
  carry_out();
}

Connection* Driver::find(ConnectionId connection) const {
  auto const at = connections_.find(connection);
  return at == connections_.end() ? nullptr : at->second;
}

void Driver::count_shares(TunnelId tunnel) {
  auto const stays = [tunnel](auto const& entry) {
    Connection const& it = *entry.second;
    return it.placed() && it.tunnel() == tunnel && !it.is_leaving();
  };
  if (std::ranges::count_if(connections_, stays) < 2) {
    shared_since_.erase(tunnel);
  } else {
    shared_since_.try_emplace(tunnel, stage_.time.awake());
  }
}

void Driver::relay_left(ConnectionId connection, ConnectionEnd end) {
  Connection* const it = find(connection);
  stage_.require(Promise::ends_once, it != nullptr, "{}: connection {} ends twice", id_,
                 connection);
  bool const failed = end.error.has_value();
  count_shares(it->tunnel());
  auto const tunnel = tunnels_.find(it->tunnel());
  if (tunnel != tunnels_.end() && tunnel->second.link->ended()) {
    tunnel_ended(tunnel->first, tunnel->second.link->end_reason());
  }
  stage_.trace("{}: connection {} left tunnel {}: {}", id_, connection, it->tunnel(),
               failed ? end.error->text : "");
  if (failed && end.error->code == Errc::pod_gone) pace_.failed();
  if (failed && end.movable) stage_.coverage.hit("event.movable");
  if (end.blocks_tunnel && machine_.pool().is_up(it->tunnel())) {
    stage_.coverage.hit("event.blocks_tunnel");
    blocked_.emplace(it->tunnel(), stage_.time.awake());
  }
  machine_.connection_ended(connection, it->tunnel(), it->arrived(), std::move(end),
                            stage_.time.now());
  if (failed) {
    doubted_ = stage_.time.awake();
    if (!retired_) product_.checker.doubt(id_);
  } else {
    it->finish();
    connections_.erase(connection);
  }
  carry_out();
}

void Driver::client_left(ConnectionId connection) {
  Connection* const it = find(connection);
  if (it == nullptr || it->placed()) return;
  stage_.coverage.hit("event.client_left");
  machine_.client_left(connection, stage_.time.now());
  it->finish();
  connections_.erase(connection);
  carry_out();
}

void Driver::bytes_sent(TunnelId tunnel) {
  auto const at = tunnels_.find(tunnel);
  if (at != tunnels_.end()) at->second.last_traffic = stage_.time.now();
}

void Driver::bytes_received(TunnelId tunnel) {
  auto const at = tunnels_.find(tunnel);
  if (at == tunnels_.end()) return;
  at->second.last_pod_byte = stage_.time.now();
  at->second.last_traffic = at->second.last_pod_byte;
  port_proved(tunnel);
}

void Driver::relay_answered(TunnelId tunnel) {
  proved_alive(tunnel);
  if (!retired_ && machine_.pool().is_up(tunnel)) product_.checker.record_activity(id_);
}

void Driver::relay_moved(ConnectionId connection) {
  machine_.moved(connection, stage_.time.now());
  carry_out_soon();
}

void Driver::relay_full(ConnectionId connection, bool full) {
  if (full) stage_.coverage.hit("event.buffer_full");
  machine_.buffer_full(connection, full, stage_.time.now());
  carry_out_soon();
}

// What the machine decided.

void Driver::carry_out() {
  if (carrying_out_) return;
  carrying_out_ = true;
  ended_.clear();
  for (forward::Actions actions = machine_.take_actions(); !actions.empty();
       actions = machine_.take_actions()) {
    for (forward::Action const& action : actions) {
      std::visit([this](auto const& what) { act(what); }, action);
    }
  }
  carrying_out_ = false;
  if (machine_.deadline() < sleeping_until_ && !retired_) wake_by(machine_.deadline());
}

void Driver::act(forward::Dial const& action) {
  stage_.coverage.hit("action.Dial");
  stage_.require(Promise::nothing_after_stop, !stopping_, "{}: a dial after the end", id_);
  stage_.trace("{}: dial {} to {}", id_, action.tunnel, action.choice.pod);
  pace_.dialled(action.choice.uid, max_pods(spec_.balance, reliability_));
  Way::DialId const dial = way_->dial(dial_to(action.tunnel, action.choice));
  stage_.require(Promise::all_accounted, dials_.emplace(action.tunnel, dial).second,
                 "{}: dial {} twice", id_, action.tunnel);
}

void Driver::act(forward::CloseTunnel const& action) {
  stage_.coverage.hit("action.CloseTunnel");
  stage_.trace("{}: close tunnel {}", id_, action.tunnel);
  if (auto const dial = dials_.extract(action.tunnel)) way_->cancel(dial.mapped());
  auto const at = tunnels_.find(action.tunnel);
  if (at == tunnels_.end()) return;
  for (auto const& [id, connection] : connections_) {
    bool const on_it = connection->placed() && connection->tunnel() == action.tunnel;
    stage_.require(Promise::drained_first, !on_it,
                   "{}: tunnel {} is closed with connection {} on it", id_, action.tunnel, id);
  }
  at->second.link->close();
}

void Driver::act(forward::PlaceConnection const& action) {
  stage_.coverage.hit("action.PlaceConnection");
  stage_.require(Promise::nothing_after_stop, !stopping_, "{}: a placement after the end", id_);
  auto const at = tunnels_.find(action.tunnel);
  bool const up = at != tunnels_.end() && machine_.pool().find(action.tunnel) != nullptr;
  stage_.require(Promise::placed_once, up || ended_.contains(action.tunnel),
                 "{}: connection {} is placed on tunnel {}, which is not up", id_,
                 action.connection, action.tunnel);
  Connection* const connection = find(action.connection);
  stage_.require(Promise::ends_once, connection != nullptr,
                 "{}: connection {} is placed and is no more", id_, action.connection);
  stage_.trace("{}: connection {} on tunnel {}", id_, action.connection, action.tunnel);
  if (connection->tunnel() != 0) stage_.coverage.hit("event.moved");
  if (!up) {
    connection->place_on_ended(action.tunnel);
    return;
  }
  connection->place(action.tunnel, *at->second.link, at->second.port, next_request_++);
  count_shares(action.tunnel);
}

void Driver::act(forward::ResetConnection const& action) {
  stage_.coverage.hit("action.ResetConnection");
  stage_.coverage.hit_connection(action.reason);
  Connection* const connection = find(action.connection);
  stage_.require(Promise::ends_once, connection != nullptr, "{}: connection {} ends twice", id_,
                 action.connection);
  stage_.trace("{}: connection {} reset: {}", id_, action.connection, action.message);
  connection->reset();
  connections_.erase(action.connection);
}

void Driver::act(forward::EvictConnection const& action) {
  stage_.coverage.hit("action.EvictConnection");
  stage_.trace("{}: connection {} gives way", id_, action.connection);
  Connection* const connection = find(action.connection);
  stage_.require(Promise::ends_once, connection != nullptr && connection->placed(),
                 "{}: connection {} is to give way and is not placed", id_, action.connection);
  connection->evict(action.error);
  count_shares(connection->tunnel());
}

void Driver::act(forward::MarkConnected const& action) {
  stage_.coverage.hit(action.refresh ? "action.MarkConnected.refresh" : "action.MarkConnected");
  stage_.require(Promise::nothing_after_stop, !stopping_, "{}: connected after the end", id_);
  Tunnel const& tunnel = tunnels_.at(action.tunnel);
  events::ForwardConnected connected;
  connected.forward = ref();
  connected.pod = tunnel.pod;
  connected.refresh = action.refresh;
  product_.bus.publish(std::move(connected));
  generation_ = action.tunnel;
  marks_.push_back(stage_.time.now());
  product_.checker.mark_connected(id_, action.tunnel, tunnel.pod);
  product_.checker.note(id_, note_);
}

void Driver::act(forward::MarkMoved const& action) {
  stage_.coverage.hit("action.MarkMoved");
  generation_ = action.tunnel;
  marks_.push_back(stage_.time.now());
  product_.checker.mark_connected(id_, action.tunnel, machine_.current_pod());
  product_.checker.note(id_, note_);
}

void Driver::act(forward::MarkDisconnected const& action) {
  stage_.coverage.hit("action.MarkDisconnected");
  stage_.coverage.hit_status(action.reason);
  events::ForwardDisconnected disconnected;
  disconnected.forward = ref();
  disconnected.reason = action.reason;
  product_.bus.publish(std::move(disconnected));
  product_.checker.mark_reconnecting(id_, action.reason, action.message);
}

void Driver::act(forward::MarkReconnecting const& action) {
  stage_.coverage.hit("action.MarkReconnecting");
  stage_.trace("{}: attempt {} in {} ms: {}", id_, action.attempt,
               duration_cast<milliseconds>(action.delay).count(), action.message);
  bool const final = product_.checker.is_final(id_, action.reason);
  Duration const asked = weather_.dial_error ? weather_.dial_error->retry_after : seconds(0);
  pace_.announced(action, asked, final);
  events::ForwardReconnecting reconnecting;
  reconnecting.forward = ref();
  reconnecting.reason = action.reason;
  reconnecting.attempt = action.attempt;
  reconnecting.delay = duration_cast<milliseconds>(action.delay);
  product_.bus.publish(std::move(reconnecting));
}

void Driver::act(forward::MarkFailed const& action) {
  stage_.coverage.hit("action.MarkFailed");
  stage_.coverage.hit_status(action.reason);
  stage_.require(Promise::error_is_final, !machine_.pool().primary(),
                 "{}: failed with a tunnel that serves", id_);
  if (action.news) {
    events::ForwardFailed failed;
    failed.forward = ref();
    failed.reason = action.reason;
    failed.message = action.message;
    product_.bus.publish(std::move(failed));
  }
  product_.checker.mark_failed(id_, action.reason, action.message);
}

void Driver::act(forward::ResolveAgain const&) {
  stage_.coverage.hit("action.ResolveAgain");
  if (set_up_) pods_.refresh();
}

// For the Judge

bool Driver::rests() const {
  bool const has_none = connections_.empty() && tunnels_.empty() && dials_.empty();
  return has_none && tickets_.empty() && machine_.deadline() == kNever;
}

bool Driver::over() const {
  return retired_ && connections_.empty() && tunnels_.empty() && dials_.empty();
}

bool Driver::port_has_proof() const {
  // Without probes any sign of life does.
  if (spec_.health.method == config::ProbeMethod::none) return true;
  if (evidence().accepted_connection_open) return true;
  if (vouched_ == stage_.time.now()) return true;
  return std::ranges::any_of(proved_, [this](TunnelId id) {
    auto const* const info = machine_.pool().find(id);
    return info != nullptr && info->state == TunnelInfo::State::up;
  });
}

// Asked of those in use then. An answer of an older generation proves nothing.
void Driver::vouch(healthcheck::Ticket ticket) {
  if (ticket.generation == generation_) vouched_ = stage_.time.now();
}

// An answer to a ping speaks for the port only together with what else is seen.
void Driver::vouch_if_seen(healthcheck::Ticket ticket) {
  if (evidence().accepted_connection_open) vouch(ticket);
}

void Driver::port_proved(TunnelId id) {
  if (machine_.pool().is_up(id)) proved_.insert(id);
}

bool Driver::tunnel_lives() const {
  return std::ranges::any_of(machine_.pool().all(TunnelInfo::State::up), [this](TunnelId id) {
    auto const at = tunnels_.find(id);
    return at != tunnels_.end() && at->second.link->alive();
  });
}

bool Driver::tunnels_work() const {
  return std::ranges::all_of(tunnels_, [this](auto const& entry) {
    auto const& [id, tunnel] = entry;
    bool const jammed = machine_.pool().is_up(id) && tunnel.runtime->jammed();
    return tunnel.link->carries() && (!jammed || blocked_.contains(id));
  });
}

std::optional<TimePoint> Driver::blocked_since() const {
  std::optional<TimePoint> since;
  for (auto const& [id, told] : blocked_) {
    if (machine_.pool().is_up(id)) since = since ? std::min(*since, told) : told;
  }
  return since;
}

bool Driver::port_reachable() const {
  return std::ranges::any_of(machine_.pool().all(TunnelInfo::State::up), [this](TunnelId id) {
    auto const at = tunnels_.find(id);
    if (at == tunnels_.end() || !at->second.link->alive()) return false;
    Sandbox const& box = *at->second.sandbox;
    bool const accepts = !box.closed && (box.port == Port::accepts || box.port == Port::mute);
    // Of a stalled one nothing can be known.
    return accepts || at->second.runtime->users() > 0 || !at->second.link->carries();
  });
}

void Driver::check() const {
  if (machine_.has_actions()) return;  // they are due in this very moment
  forward::TunnelPool const& pool = machine_.pool();
  stage_.require(Promise::held_bounded, pool.held() <= forward::TunnelPool::kMaxHeld,
                 "{}: too many are held", id_);
  for (TunnelId const id : pool.all(TunnelInfo::State::dialing)) {
    stage_.require(Promise::all_accounted, retired_ || dials_.contains(id),
                   "{}: tunnel {} waits for a dial that is over", id_, id);
  }
  for (auto const state : {TunnelInfo::State::up, TunnelInfo::State::draining}) {
    for (TunnelId const id : pool.all(state)) {
      stage_.require(Promise::all_accounted, tunnels_.contains(id),
                     "{}: tunnel {} is over and still counted", id_, id);
    }
  }
  for (auto const& [id, tunnel] : tunnels_) {
    stage_.require(Promise::all_accounted,
                   retired_ || tunnel.link->ended() || pool.find(id) != nullptr,
                   "{}: tunnel {} is open and belongs to nobody", id_, id);
  }
  std::size_t placed = 0;
  for (auto const& [id, connection] : connections_) placed += connection->placed() ? 1 : 0;
  stage_.require(Promise::all_accounted, placed + pool.held() == connections_.size(),
                 "{}: {} connections, {} placed, {} held", id_, connections_.size(), placed,
                 pool.held());
  if (retired_) {
    stage_.require(Promise::stops, pool.held() == 0, "{}: a connection is held after the end", id_);
    return;
  }
  TimePoint const awake = stage_.time.awake();
  for (auto const& [id, connection] : connections_) {
    bool const held = !connection->placed();
    auto const full = connection->full_since();
    auto const shared = shared_since_.find(connection->tunnel());
    bool const blocks = full && !connection->is_leaving() && shared != shared_since_.end();
    stage_.require(Promise::gives_way,
                   !blocks || awake <= std::max(*full, shared->second) +
                                           forward::Occupancy::kMayBlock + kBlockSlack,
                   "{}: connection {} blocks another one for too long", id_, id);
    stage_.require(Promise::hold_bounded,
                   !held || awake <= connection->arrived_awake() + longest_hold_ + kHoldSlack,
                   "{}: connection {} is held too long", id_, id);
  }
}

}  // namespace kportal::sim
