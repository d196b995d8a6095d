// SPDX-License-Identifier: MIT
#include "forward/worker_machine.h"

#include <algorithm>
#include <utility>

namespace kportal::forward {

using events::Reason;

namespace {

// A pod that may not be seen is only known by its name.
bool leads_to(TunnelInfo const& tunnel, k8s::Choice const& choice) {
  return choice.uid.empty() ? tunnel.pod == choice.pod : tunnel.pod_uid == choice.uid;
}

}  // namespace

void WorkerMachine::start(TimePoint now) {
  started_ = true;
  advance(now);
}

void WorkerMachine::stop() {
  started_ = false;
  reset_held(Reason::hold_timeout, "the forward was stopped");
}

void WorkerMachine::resolved(Result<k8s::Choices> choices, std::vector<TunnelId> gone,
                             TimePoint now) {
  if (!started_) return;
  max_pods_ = next_max_pods_;
  if (choices) *choices = select(std::move(*choices));
  bool const same = choices_ && *choices_ == choices;
  k8s::Choices const before = wanted();
  choices_ = std::move(choices);
  if (!same) adopt(before, now);
  // The one that stands for the forward last: none that goes, too, may take its place.
  std::ranges::stable_partition(gone, [this](TunnelId id) { return pool_.primary() != id; });
  bool told = false;
  for (TunnelId const id : gone) {
    if (!pool_.is_up(id)) continue;
    TunnelInfo const tunnel = *pool_.find(id);
    bool const was_primary = pool_.primary() == id;
    pool_.retire(id);
    Duration const delay = same ? pace(tunnel.place).backoff.next() : Duration{};
    Error const why(Errc::pod_gone, "pod " + tunnel.pod + " is going away");
    left(tunnel, was_primary, why, delay, now);
    told = true;
  }
  if (choices_->has_error() && !pool_.primary() && !told) report(choices_->error());
  auto const primary = pool_.primary();
  retire_unwanted();
  if (pool_.primary() != primary) actions_.emplace_back(MarkMoved{*pool_.primary()});
  advance(now);
}

// Which pods are to have a tunnel: those that have one come first, so that a new pod pushes none
// out.
k8s::Choices WorkerMachine::select(k8s::Choices choices) const {
  if (max_pods_ > 1) {
    std::ranges::stable_partition(choices, [this](k8s::Choice const& choice) {
      Place const place = place_of(choice);
      return pool_.up_in(place) || pool_.dialing_in(place);
    });
  }
  if (choices.size() > max_pods_) choices.resize(max_pods_);
  return choices;
}

// What changed may be the cure: it ends the wait, and connections are held for it.
void WorkerMachine::adopt(k8s::Choices const& before, TimePoint now) {
  for (TunnelId const id : pool_.all(TunnelInfo::State::dialing)) {
    if (!wants(pool_.find(id)->place)) give_up_dial(id);
  }
  if (choices_->has_error()) return;
  final_ = false;
  std::erase_if(paces_, [this](auto const& entry) { return !wants(entry.first); });
  for (k8s::Choice const& choice : wanted()) {
    bool const is_new = std::ranges::find(before, choice) == before.end();
    if (is_new) pace(place_of(choice)).next_dial = now;
  }
}

// A pod that is not to be used any more is left once a tunnel to one that is wanted is up.
void WorkerMachine::retire_unwanted() {
  auto const up = pool_.all(TunnelInfo::State::up);
  auto const is_wanted = [this](TunnelId id) { return wants(pool_.find(id)->place); };
  if (std::ranges::none_of(up, is_wanted)) return;
  for (TunnelId const id : up) {
    if (!is_wanted(id)) pool_.retire(id);
  }
}

void WorkerMachine::dialled(TunnelId tunnel, TimePoint now) {
  if (!started_ || pool_.find(tunnel) == nullptr) return;
  auto const before = pool_.primary();
  pool_.up(tunnel);
  retire_unwanted();
  failing_ = Reason::none;
  failing_text_.clear();
  final_ = false;
  if (pool_.primary() != before) {
    actions_.emplace_back(MarkConnected{*pool_.primary(), before.has_value()});
  }
  advance(now);
}

void WorkerMachine::dial_failed(TunnelId tunnel, Error error, TimePoint now) {
  auto const* const info = pool_.find(tunnel);
  if (!started_ || info == nullptr) return;
  Place const place = info->place;
  pool_.remove(tunnel);
  attempt_failed(place, error, now);
  if (error.code == Errc::not_found || error.code == Errc::pod_gone) {
    actions_.emplace_back(ResolveAgain{});
  }
  advance(now);
}

void WorkerMachine::tunnel_closed(TunnelId tunnel, Error error, bool lived, TimePoint now) {
  auto const* const found = pool_.find(tunnel);
  if (found == nullptr) return;
  TunnelInfo const info = *found;
  bool const was_primary = pool_.primary() == tunnel;
  pool_.remove(tunnel);
  if (info.state == TunnelInfo::State::up && started_) {
    Backoff& backoff = pace(info.place).backoff;
    if (lived) backoff.reset();
    left(info, was_primary, error, backoff.next(), now);
  }
  advance(now);
}

void WorkerMachine::proved_alive(TunnelId tunnel) {
  if (auto const* const info = pool_.find(tunnel)) pace(info->place).backoff.reset();
}

void WorkerMachine::probed(TunnelId tunnel, bool good, TimePoint now) {
  pool_.shun(tunnel, good ? TimePoint{} : now + kShun);
}

void WorkerMachine::accepted(ConnectionId connection, TimePoint now) {
  if (auto const tunnel = pool_.place(now)) {
    actions_.emplace_back(PlaceConnection{connection, *tunnel});
  } else if (final_) {
    actions_.emplace_back(ResetConnection{connection, failing_, failing_text_});
  } else if (!pool_.hold(connection, now)) {
    bool const full = pool_.held() >= TunnelPool::kMaxHeld;
    std::string const why =
        full ? "too many connections wait for a tunnel" : "there is no tunnel, and hold is 0";
    actions_.emplace_back(ResetConnection{connection, Reason::hold_timeout, why});
  }
  advance(now);
}

void WorkerMachine::connection_ended(ConnectionId connection, TunnelId tunnel, TimePoint arrived,
                                     ConnectionEnd end, TimePoint now) {
  pool_.connection_left(tunnel);
  if (!end.error) {
    advance(now);
    return;
  }
  if (end.error->code == Errc::pod_gone) give_up(tunnel, *end.error, now);
  bool const refused = end.error->code == Errc::pod_refused;
  if (refused) pool_.shun(tunnel, now + kShun);
  // Another try on the very tunnel that refused it would only repeat the refusal.
  bool const elsewhere = !pool_.is_up(tunnel) || (refused && pool_.has_good(now));
  bool const may_move = end.movable && elsewhere && started_;
  auto const next = may_move ? pool_.place(now) : std::nullopt;
  if (next) {
    actions_.emplace_back(PlaceConnection{connection, *next});
  } else if (!may_move || !pool_.hold(connection, arrived)) {
    actions_.emplace_back(
        ResetConnection{connection, events::reason_of(end.error->code), end.error->text});
  }
  advance(now);
}

void WorkerMachine::pod_gone(TunnelId tunnel, Error const& error, TimePoint now) {
  give_up(tunnel, error, now);
  advance(now);
}

void WorkerMachine::refresh(TimePoint now) {
  if (!pool_.primary()) return;  // the way to a new tunnel has its own pace
  pool_.outdate();
  hurry(now);
}

void WorkerMachine::renew(TimePoint now) {
  for (TunnelId const id : pool_.all(TunnelInfo::State::dialing)) give_up_dial(id);
  choices_.reset();
  pool_.outdate();
  for (auto& [place, pace] : paces_) pace.next_dial = now;
  final_ = false;
}

void WorkerMachine::hurry(TimePoint now) {
  for (auto& [place, pace] : paces_) pace.next_dial = std::min(pace.next_dial, now);
  advance(now);
}

void WorkerMachine::tick(TimePoint now) {
  advance(now);
}

TimePoint WorkerMachine::deadline() const {
  TimePoint due = pool_.deadline();
  for (k8s::Choice const& choice : wanted()) {
    if (!needs_dial(choice)) continue;
    auto const at = paces_.find(place_of(choice));
    TimePoint const next = at == paces_.end() ? TimePoint{} : at->second.next_dial;
    due = std::min(due, std::max(next, dial_allowed_));
  }
  return due;
}

Actions WorkerMachine::take_actions() {
  return std::exchange(actions_, {});
}

std::string WorkerMachine::current_pod() const {
  auto const primary = pool_.primary();
  return primary ? pool_.find(*primary)->pod : std::string();
}

std::string WorkerMachine::current_uid() const {
  auto const primary = pool_.primary();
  return primary ? pool_.find(*primary)->pod_uid : std::string();
}

void WorkerMachine::advance(TimePoint now) {
  if (!started_) return;
  dial_if_due(now);
  place_and_drain(now);
}

// Empty while there is an error, or nothing is known.
k8s::Choices const& WorkerMachine::wanted() const {
  static k8s::Choices const none;
  return started_ && choices_ && choices_->has_value() ? **choices_ : none;
}

Place WorkerMachine::place_of(k8s::Choice const& choice) const {
  if (max_pods_ == 1) return {};
  return choice.uid.empty() ? choice.pod : choice.uid;
}

bool WorkerMachine::wants(Place const& place) const {
  return std::ranges::any_of(wanted(),
                             [&](k8s::Choice const& choice) { return place_of(choice) == place; });
}

WorkerMachine::Pace& WorkerMachine::pace(Place const& place) {
  auto const [at, is_new] = paces_.try_emplace(place, seed_);
  if (is_new) ++seed_;
  return at->second;
}

// True while the tunnel that should be there is neither up nor being dialled.
bool WorkerMachine::needs_dial(k8s::Choice const& choice) const {
  Place const place = place_of(choice);
  if (auto const dialing = pool_.dialing_in(place)) return !leads_to(*pool_.find(*dialing), choice);
  auto const up = pool_.up_in(place);
  if (!up) return true;
  auto const* const info = pool_.find(*up);
  return info->outdated || !leads_to(*info, choice) || info->port != choice.port;
}

void WorkerMachine::dial_if_due(TimePoint now) {
  for (k8s::Choice const& choice : wanted()) {
    if (!needs_dial(choice)) continue;
    Place const place = place_of(choice);
    if (now < pace(place).next_dial || !within_budget(now)) continue;
    if (auto const outdated = pool_.dialing_in(place)) give_up_dial(*outdated);
    TunnelId const tunnel = pool_.add_dialing(place, choice.pod, choice.uid, choice.port);
    dials_.push_back(now);
    actions_.emplace_back(Dial{tunnel, choice});
  }
}

void WorkerMachine::place_and_drain(TimePoint now) {
  for (auto const& [connection, tunnel] : pool_.place_held(now)) {
    actions_.emplace_back(PlaceConnection{connection, tunnel});
  }
  for (ConnectionId const connection : pool_.expire(now)) {
    std::string const why = failing_text_.empty() ? "no tunnel in time" : failing_text_;
    actions_.emplace_back(ResetConnection{connection, Reason::hold_timeout, why});
  }
  for (TunnelId const tunnel : pool_.drained()) {
    pool_.remove(tunnel);
    actions_.emplace_back(CloseTunnel{tunnel});
  }
}

bool WorkerMachine::within_budget(TimePoint now) {
  while (!dials_.empty() && dials_.front() + kDialWindow <= now) dials_.pop_front();
  std::size_t const budget = kMaxDials * std::max<std::size_t>(1, wanted().size());
  dial_allowed_ = dials_.size() < budget ? TimePoint{} : dials_.front() + kDialWindow;
  return dial_allowed_ <= now;
}

// A tunnel that took new connections does not any more.
void WorkerMachine::left(TunnelInfo const& tunnel, bool was_primary, Error const& error,
                         Duration delay, TimePoint now) {
  pace(tunnel.place).next_dial = now + delay;
  if (!was_primary) return;
  if (auto const other = pool_.primary()) {
    actions_.emplace_back(MarkMoved{*other});
  } else {
    lost(events::reason_of(error.code), error.text, tunnel, delay);
  }
}

// That was the last one.
void WorkerMachine::lost(Reason reason, std::string message, TunnelInfo const& tunnel,
                         Duration delay) {
  failing_ = reason;
  failing_text_ = message;
  final_ = false;
  actions_.emplace_back(MarkDisconnected{reason, message, tunnel.pod});
  int const attempt = std::max(pace(tunnel.place).backoff.attempts(), 1);
  actions_.emplace_back(MarkReconnecting{reason, std::move(message), attempt, delay});
  if (choices_ && choices_->has_error()) report(choices_->error());
}

void WorkerMachine::attempt_failed(Place const& place, Error const& error, TimePoint now) {
  Pace& its = pace(place);
  Duration delay = its.backoff.next();
  bool const quiet = pool_.primary().has_value() || others_may_come();
  if (!quiet) report(error);
  if (!quiet && final_) delay = kPermanentRetry;
  delay = std::max<Duration>(delay, error.retry_after);
  its.next_dial = now + delay;
  if (quiet) return;
  actions_.emplace_back(
      MarkReconnecting{events::reason_of(error.code), error.text, its.backoff.attempts(), delay});
}

// Another pod is being tried for the first time: the forward has not failed yet.
bool WorkerMachine::others_may_come() const {
  auto const dialing = pool_.all(TunnelInfo::State::dialing);
  return std::ranges::any_of(dialing, [this](TunnelId id) {
    auto const at = paces_.find(pool_.find(id)->place);
    return at == paces_.end() || at->second.backoff.attempts() == 0;
  });
}

// Why there is no tunnel now.
void WorkerMachine::report(Error const& error) {
  Reason const reason = events::reason_of(error.code);
  bool const news = reason != failing_;
  failing_ = reason;
  failing_text_ = error.text;
  final_ = is_final_(reason);
  if (final_) reset_held(reason, error.text);
  actions_.emplace_back(MarkFailed{reason, error.text, news});
}

void WorkerMachine::give_up_dial(TunnelId tunnel) {
  pool_.remove(tunnel);
  actions_.emplace_back(CloseTunnel{tunnel});
}

void WorkerMachine::give_up(TunnelId tunnel, Error const& error, TimePoint now) {
  if (!started_ || !pool_.is_up(tunnel)) return;
  TunnelInfo const info = *pool_.find(tunnel);
  bool const was_primary = pool_.primary() == tunnel;
  pool_.retire(tunnel);
  Error const gone(Errc::pod_gone, error.text);
  left(info, was_primary, gone, pace(info.place).backoff.next(), now);
  actions_.emplace_back(ResolveAgain{});
}

void WorkerMachine::reset_held(Reason reason, std::string const& message) {
  for (ConnectionId const connection : pool_.release_held()) {
    actions_.emplace_back(ResetConnection{connection, reason, message});
  }
}

}  // namespace kportal::forward
