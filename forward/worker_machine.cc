// SPDX-License-Identifier: MIT
#include "forward/worker_machine.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace kportal::forward {

using events::Reason;
using State = TunnelInfo::State;

namespace {

// A pod that may not be seen is only known by its name.
bool leads_to(TunnelInfo const& tunnel, k8s::Choice const& choice) {
  return choice.uid.empty() ? tunnel.pod == choice.pod : tunnel.pod_uid == choice.uid;
}

std::string pod_key(k8s::Choice const& choice) {
  return choice.uid.empty() ? choice.pod : choice.uid;
}
std::string pod_key(TunnelInfo const& tunnel) {
  return tunnel.pod_uid.empty() ? tunnel.pod : tunnel.pod_uid;
}

}  // namespace

void WorkerMachine::start(TimePoint now) {
  started_ = true;
  advance(now);
}

void WorkerMachine::stop() {
  started_ = false;
  std::erase_if(actions_, [](Action const& each) { return std::holds_alternative<Dial>(each); });
  reset_held(Reason::hold_timeout, "the forward was stopped");
}

void WorkerMachine::resolved(Result<k8s::Choices> choices, std::vector<TunnelId> gone,
                             TimePoint now) {
  if (!started_) return;
  pool_.settle(now);
  max_pods_ = next_max_pods_;
  offered_ = choices ? *choices : k8s::Choices();
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
    Error const why(Errc::pod_gone, "pod " + pool_.find(id)->pod + " is going away");
    leave(id, why, same ? Next::by_backoff : Next::at_once, now);
    told = true;
  }
  if (choices_->has_error() && !pool_.primary() && !told) report(choices_->error());
  auto const primary = pool_.primary();
  retire_unwanted();
  retire_outdated();
  if (pool_.primary() != primary) actions_.emplace_back(MarkMoved{*pool_.primary()});
  advance(now);
}

// Which pods are to have a tunnel: those that have one come first, so that a new pod pushes none
// out, and those that could not be dialled last.
k8s::Choices WorkerMachine::select(k8s::Choices choices) const {
  auto const failures = [this](k8s::Choice const& choice) {
    Place const place = place_of(choice);
    auto const is_its = [&](TunnelId id) { return leads_to(*pool_.find(id), choice); };
    auto const at = failures_.find(pod_key(choice));
    bool const has_one =
        std::ranges::any_of(pool_.all_in(place, State::up), is_its) ||
        (max_pods_ > 1 && std::ranges::any_of(pool_.all_in(place, State::dialing), is_its));
    return has_one ? -1 : at == failures_.end() ? 0 : at->second;
  };
  std::ranges::stable_sort(choices, {}, failures);
  if (choices.size() > max_pods_) choices.resize(max_pods_);
  return choices;
}

// A pod that cannot be dialled makes room for one that is left over.
void WorkerMachine::select_again() {
  if (offered_.size() > max_pods_ && choices_ && *choices_) choices_ = select(offered_);
}

// What changed may be the cure: it ends the wait, and connections are held for it.
void WorkerMachine::adopt(k8s::Choices const& before, TimePoint now) {
  for (TunnelId const id : pool_.all(State::dialing)) {
    if (!wants(pool_.find(id)->place)) give_up_dial(id);
  }
  std::set<std::string> pods;
  for (k8s::Choice const& choice : wanted()) pods.insert(pod_key(choice));
  budget_.wanted(std::move(pods), now);
  if (choices_->has_error()) return;
  final_ = false;
  std::erase_if(paces_, [this](auto const& entry) {
    auto const is_its = [&](k8s::Choice const& choice) { return place_of(choice) == entry.first; };
    return std::ranges::none_of(offered_, is_its);
  });
  std::erase_if(failures_, [this](auto const& entry) {
    return std::ranges::none_of(
        offered_, [&](k8s::Choice const& choice) { return pod_key(choice) == entry.first; });
  });
  for (k8s::Choice const& choice : wanted()) {
    bool const is_new = std::ranges::find(before, choice) == before.end();
    if (is_new) pace(place_of(choice)).next_dial = now;
  }
}

// A pod that is not to be used any more is left once a tunnel to one that is wanted is up.
void WorkerMachine::retire_unwanted() {
  auto const up = pool_.all(State::up);
  auto const is_wanted = [this](TunnelId id) { return wants(pool_.find(id)->place); };
  if (std::ranges::none_of(up, is_wanted)) return;
  for (TunnelId const id : up) {
    if (!is_wanted(id)) pool_.retire(id);
  }
}

// One that was to be replaced while nothing was known of its pod, beside another that serves.
void WorkerMachine::retire_outdated() {
  for (TunnelId const id : pool_.all(State::up)) {
    Place const& place = pool_.find(id)->place;
    auto const* const choice = wanted_in(place);
    if (!pool_.find(id)->outdated || choice == nullptr) continue;
    auto const beside = pool_.all_in(place, State::up);
    auto const heir =
        std::ranges::find_if(beside, [&](TunnelId other) { return serves(other, *choice); });
    if (heir != beside.end()) pool_.retire(id, *heir);
  }
}

// Those beside it that do not lead to where it does, or that it was to replace.
void WorkerMachine::retire_predecessors(TunnelId successor) {
  Place const place = pool_.find(successor)->place;
  k8s::Choice const* const choice = wanted_in(place);
  if (choice == nullptr) return;
  auto others = pool_.all_in(place, State::up);
  std::erase(others, successor);
  if (!serves(successor, *choice)) {
    if (!others.empty()) pool_.retire(successor, others.front());  // it came too late
    return;
  }
  for (TunnelId const other : others) {
    if (!serves(other, *choice)) pool_.retire(other, successor);
  }
}

void WorkerMachine::dialled(TunnelId tunnel, TimePoint now) {
  if (!started_ || pool_.find(tunnel) == nullptr) return;
  pool_.settle(now);
  auto const before = pool_.primary();
  pool_.up(tunnel);
  failures_.erase(pod_key(*pool_.find(tunnel)));
  retire_predecessors(tunnel);
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
  pool_.settle(now);
  TunnelInfo const tried = *info;
  bool const beside = tried.spare && pool_.up_in(tried.place);
  pool_.remove(tunnel);
  if (beside) {
    spare_failed(tried.place, error.retry_after, now);
  } else {
    attempt_failed(tried.place, error, now);
    note_failure(tried);
  }
  if (error.code == Errc::not_found || error.code == Errc::pod_gone) {
    actions_.emplace_back(ResolveAgain{});
  }
  advance(now);
}

void WorkerMachine::tunnel_closed(TunnelId tunnel, Error error, bool lived, TimePoint now) {
  auto const* const found = pool_.find(tunnel);
  if (found == nullptr) return;
  pool_.settle(now);
  if (lived) proved_alive(tunnel);
  TunnelInfo const info = *found;
  bool const was_primary = pool_.primary() == tunnel;
  pool_.remove(tunnel);
  if (info.state == State::up && started_) {
    // Perhaps only the pod's node is silent.
    if (error.code == Errc::ping_timeout) note_failure(info);
    if (info.spare && !lived) spare_failed(info.place, Duration{}, now);
    left(info, was_primary, error, Next::by_backoff, now);
  }
  advance(now);
}

void WorkerMachine::proved_alive(TunnelId tunnel) {
  auto const* const info = pool_.find(tunnel);
  if (info == nullptr) return;
  Pace& its = pace(info->place);
  its.backoff.reset();
  its.pod_unknown = false;
  if (info->spare) its.spare_backoff.reset();
}

void WorkerMachine::answer_late(TunnelId tunnel, TimePoint now) {
  pool_.set_late(tunnel, true);
  advance(now);
}

void WorkerMachine::answer_came(TunnelId tunnel, TimePoint now) {
  pool_.set_late(tunnel, false);
  advance(now);
}

void WorkerMachine::moved(ConnectionId connection, TimePoint now) {
  if (pool_.moved(connection, now)) advance(now);
}

void WorkerMachine::buffer_full(ConnectionId connection, bool is_full, TimePoint now) {
  pool_.full(connection, is_full, now);
  advance(now);
}

void WorkerMachine::probed(TunnelId tunnel, bool good, TimePoint now) {
  pool_.shun(tunnel, good ? TimePoint{} : now + kShun);
}

void WorkerMachine::accepted(ConnectionId connection, TimePoint now) {
  pool_.settle(now);
  if (!pool_.primary() && final_) {
    actions_.emplace_back(ResetConnection{connection, failing_, failing_text_});
  } else if (pool_.hold(connection, now)) {
    // advance() places it if it need not wait
  } else if (auto const tunnel = pool_.place(connection, now)) {
    actions_.emplace_back(PlaceConnection{connection, *tunnel});
  } else {
    bool const full = pool_.held() >= TunnelPool::kMaxHeld;
    std::string const why =
        full ? "too many connections wait for a tunnel" : "there is no tunnel, and hold is 0";
    actions_.emplace_back(ResetConnection{connection, Reason::hold_timeout, why});
  }
  advance(now);
}

void WorkerMachine::client_left(ConnectionId connection, TimePoint now) {
  pool_.release(connection);
  advance(now);
}

void WorkerMachine::connection_ended(ConnectionId connection, TunnelId tunnel, TimePoint arrived,
                                     ConnectionEnd end, TimePoint now) {
  pool_.settle(now);
  pool_.left(connection);
  if (!end.error) {
    advance(now);
    return;
  }
  if (end.error->code == Errc::pod_gone) give_up(tunnel, *end.error, now);
  if (end.blocks_tunnel) replace(tunnel, now);
  bool const refused = end.error->code == Errc::pod_refused;
  // Others are Ready: it is left at once, not when the next tunnel is up.
  if (refused && is_unwanted(tunnel)) give_up(tunnel, *end.error, now);
  if (refused) pool_.shun(tunnel, now + kShun);
  // Another try on the very tunnel that refused it would only repeat the refusal.
  bool const elsewhere = !pool_.is_up(tunnel) || (refused && pool_.has_good(now));
  bool const may_move = end.movable && elsewhere && started_;
  auto const next = may_move ? pool_.place(connection, now) : std::nullopt;
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
  for (TunnelId const id : pool_.all(State::dialing)) give_up_dial(id);
  choices_.reset();
  pool_.outdate();
  for (auto& [place, pace] : paces_) pace.next_dial = now;
  final_ = false;
}

void WorkerMachine::hurry(TimePoint now) {
  for (auto& [place, pace] : paces_) {
    pace.next_dial = std::min(pace.next_dial, now);
    pace.next_spare = std::min(pace.next_spare, now);
  }
  advance(now);
}

void WorkerMachine::network_back(TimePoint now) {
  for (auto& [place, pace] : paces_) {
    pace.backoff.reset();
    pace.spare_backoff.reset();
    pace.pod_unknown = false;
  }
  failures_.clear();
  warm_at_ = now + kWarmUp;
  hurry(now);
}

void WorkerMachine::tick(TimePoint now) {
  advance(now);
}

TimePoint WorkerMachine::deadline() const {
  if (!started_) return kNever;
  TimePoint due = std::min(pool_.deadline(), spare_due_);
  for (k8s::Choice const& choice : wanted()) {
    if (!needs_dial(choice)) continue;
    auto const at = paces_.find(place_of(choice));
    TimePoint const next = at == paces_.end() ? TimePoint{} : at->second.next_dial;
    due = std::min(due, std::max(next, budget_.next(pod_key(choice))));
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
  pool_.settle(now);
  dial_if_due(now);
  place_held(now, TunnelPool::May::take_free);
  dial_spares(now);
  place_held(now, TunnelPool::May::share);
  end_overdue(now);
  evict_stalled(now);
  close_unused(now);
}

// Empty while there is an error, or nothing is known.
k8s::Choices const& WorkerMachine::wanted() const {
  static k8s::Choices const none;
  return started_ && choices_ && choices_->has_value() ? **choices_ : none;
}

k8s::Choice const* WorkerMachine::wanted_in(Place const& place) const {
  auto const at = std::ranges::find_if(
      wanted(), [&](k8s::Choice const& choice) { return place_of(choice) == place; });
  return at == wanted().end() ? nullptr : &*at;
}

Place WorkerMachine::place_of(k8s::Choice const& choice) const {
  if (max_pods_ == 1) return {};
  return choice.uid.empty() ? choice.pod : choice.uid;
}

bool WorkerMachine::wants(Place const& place) const {
  return wanted_in(place) != nullptr;
}

WorkerMachine::Pace& WorkerMachine::pace(Place const& place) {
  auto const [at, is_new] = paces_.try_emplace(place, seed_);
  if (is_new) ++seed_;
  return at->second;
}

bool WorkerMachine::serves(TunnelId tunnel, k8s::Choice const& choice) const {
  auto const* const info = pool_.find(tunnel);
  return !info->outdated && leads_to(*info, choice) && info->port == choice.port;
}

// Up to a pod that is in use only until there is a tunnel to another one.
bool WorkerMachine::is_unwanted(TunnelId tunnel) const {
  auto const leads_there = [&](k8s::Choice const& choice) {
    return leads_to(*pool_.find(tunnel), choice);
  };
  return pool_.is_up(tunnel) && !wanted().empty() && std::ranges::none_of(wanted(), leads_there);
}

// True while the tunnel that should be there is neither up nor being dialled.
bool WorkerMachine::needs_dial(k8s::Choice const& choice) const {
  Place const place = place_of(choice);
  auto const comes = [&](TunnelId id) { return leads_to(*pool_.find(id), choice); };
  auto const is_there = [&](TunnelId id) { return serves(id, choice); };
  return std::ranges::none_of(pool_.all_in(place, State::dialing), comes) &&
         std::ranges::none_of(pool_.all_in(place, State::up), is_there);
}

void WorkerMachine::dial_if_due(TimePoint now) {
  budget_.pass(now);
  for (k8s::Choice const& choice : wanted()) {
    if (!needs_dial(choice)) continue;
    Place const place = place_of(choice);
    if (now < pace(place).next_dial || now < budget_.next(pod_key(choice))) continue;
    for (TunnelId const outdated : pool_.all_in(place, State::dialing)) give_up_dial(outdated);
    dial(choice, false, now);
  }
}

void WorkerMachine::dial(k8s::Choice const& choice, bool spare, TimePoint now) {
  TunnelId const tunnel =
      pool_.add_dialing(place_of(choice), choice.pod, choice.uid, choice.port, spare);
  budget_.dialled(pod_key(choice), now);
  actions_.emplace_back(Dial{tunnel, choice});
}

void WorkerMachine::dial_spares(TimePoint now) {
  spare_due_ = kNever;
  while (wants_spare(now)) {
    k8s::Choice const* const choice = next_for_spare(now);
    if (choice == nullptr) return;
    dial(*choice, true, now);
  }
}

// One that is free should be at hand, and for each connection that waits one is to come. A late
// answer is reason enough for one more than there may be: perhaps it is the successor.
bool WorkerMachine::wants_spare(TimePoint now) const {
  if (!pool_.in_demand(now) || !pool_.free(now).empty()) return false;
  auto const up = pool_.all(State::up);
  std::size_t const dialing = pool_.all(State::dialing).size();
  if (dialing >= std::max<std::size_t>(1, pool_.held())) return false;
  bool const late = std::ranges::all_of(up, [this](TunnelId id) { return pool_.find(id)->late; });
  return up.size() + dialing < max_tunnels_ + (late ? 1 : 0);
}

// Where it is to lead: to the pod with the fewest tunnels. Null while none may be dialled.
k8s::Choice const* WorkerMachine::next_for_spare(TimePoint now) {
  TimePoint const affordable_at = budget_.next_spare();
  bool const affordable = affordable_at <= now;
  if (!affordable) spare_due_ = affordable_at;
  k8s::Choice const* best = nullptr;
  std::size_t fewest = 0;
  for (k8s::Choice const& choice : wanted()) {
    Place const place = place_of(choice);
    auto const up = pool_.all_in(place, State::up);
    auto const is_there = [&](TunnelId id) { return serves(id, choice); };
    if (std::ranges::none_of(up, is_there)) continue;
    TimePoint const due = pace(place).next_spare;
    if (due > now) spare_due_ = std::min(spare_due_, due);
    std::size_t const tunnels = up.size() + pool_.all_in(place, State::dialing).size();
    if (!affordable || due > now || (best != nullptr && tunnels >= fewest)) continue;
    best = &choice;
    fewest = tunnels;
  }
  return best;
}

void WorkerMachine::place_held(TimePoint now, TunnelPool::May may) {
  for (auto const& [connection, tunnel] : pool_.place_held(now, may)) {
    actions_.emplace_back(PlaceConnection{connection, tunnel});
  }
}

void WorkerMachine::end_overdue(TimePoint now) {
  for (ConnectionId const connection : pool_.expire(now)) {
    std::string const why = failing_text_.empty() ? "no tunnel in time" : failing_text_;
    actions_.emplace_back(ResetConnection{connection, Reason::hold_timeout, why});
  }
}

void WorkerMachine::evict_stalled(TimePoint now) {
  while (auto const connection = pool_.overdue(now)) {
    Error why(Errc::stalled,
              "its reader stopped, and what came for it blocked other connections on the tunnel; "
              "with a higher `maxTunnels` more of them have one of their own");
    actions_.emplace_back(EvictConnection{*connection, std::move(why)});
  }
}

void WorkerMachine::close_unused(TimePoint now) {
  auto unused = pool_.superfluous(now);
  std::ranges::copy(pool_.drained(), std::back_inserter(unused));
  for (TunnelId const tunnel : unused) {
    pool_.remove(tunnel);
    actions_.emplace_back(CloseTunnel{tunnel});
  }
}

// It takes no new connections from now on.
void WorkerMachine::leave(TunnelId tunnel, Error const& error, Next next, TimePoint now) {
  TunnelInfo const info = *pool_.find(tunnel);
  bool const was_primary = pool_.primary() == tunnel;
  pool_.retire(tunnel);
  left(info, was_primary, error, next, now);
}

// A tunnel that took new connections does not any more. The last one to its pod is dialled again.
void WorkerMachine::left(TunnelInfo const& tunnel, bool was_primary, Error const& error, Next next,
                         TimePoint now) {
  Duration delay{};
  if (!pool_.up_in(tunnel.place)) {
    Pace& its = pace(tunnel.place);
    delay = its.backoff.next();
    if (next == Next::at_once) delay = Duration::zero();
    its.next_dial = now + delay;
  }
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
  // The watch knows the pod. A kubelet that has just started does not for some seconds: it is back,
  // and soon it will.
  bool const is_back = error.code == Errc::not_found && !its.pod_unknown;
  its.pod_unknown = its.pod_unknown || is_back;
  if (is_back && its.backoff.attempts() > 1) {
    its.backoff.reset();
    its.backoff.next();  // but not at once
  }
  Duration delay = its.backoff.next();
  bool const quiet = pool_.primary().has_value() || others_may_come();
  if (!quiet) report(error);
  if (!quiet && final_) delay = final_delay(error.code, delay, now);
  delay = std::max<Duration>(delay, error.retry_after);
  its.next_dial = now + delay;
  if (quiet) return;
  actions_.emplace_back(
      MarkReconnecting{events::reason_of(error.code), error.text, its.backoff.attempts(), delay});
}

Duration WorkerMachine::final_delay(Errc code, Duration by_backoff, TimePoint now) const {
  bool const login = code == Errc::unauthorized;
  bool const may_pass = login || code == Errc::forbidden || code == Errc::not_found;
  if (!may_pass || now >= warm_at_) return kPermanentRetry;
  return std::clamp(by_backoff, login ? kLoginRetry : kSoonest, kPermanentRetry);
}

// Nobody is told: there is another one, and who waited for this one shares that.
void WorkerMachine::spare_failed(Place const& place, Duration at_least, TimePoint now) {
  Pace& its = pace(place);
  Duration delay = its.spare_backoff.next();
  if (delay == Duration::zero()) delay = its.spare_backoff.next();
  its.next_spare = now + std::max(delay, at_least);
}

// Another pod is being tried for the first time: the forward has not failed yet.
bool WorkerMachine::others_may_come() const {
  auto const dialing = pool_.all(State::dialing);
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

// It goes on until its successor is up, which may be one that stands beside it.
void WorkerMachine::replace(TunnelId tunnel, TimePoint now) {
  auto const* const info = pool_.find(tunnel);
  if (!started_ || !pool_.is_up(tunnel) || info->outdated) return;
  Pace& its = pace(info->place);
  pool_.outdate(tunnel);
  auto const* const choice = wanted_in(info->place);
  auto const beside = pool_.all_in(info->place, State::up);
  auto const heir = std::ranges::find_if(
      beside, [&](TunnelId id) { return choice != nullptr && serves(id, *choice); });
  if (heir != beside.end()) {
    bool const was_primary = pool_.primary() == tunnel;
    pool_.retire(tunnel, *heir);
    if (was_primary) actions_.emplace_back(MarkMoved{*heir});
    return;
  }
  its.next_dial = std::max(now, its.next_replacement);
  its.next_replacement = its.next_dial + kReplacePause;
}

// The next dial goes to another pod, if there is one that did better.
void WorkerMachine::note_failure(TunnelInfo const& tunnel) {
  ++failures_[pod_key(tunnel)];
  select_again();
}

void WorkerMachine::give_up_dial(TunnelId tunnel) {
  pool_.remove(tunnel);
  actions_.emplace_back(CloseTunnel{tunnel});
}

// All tunnels to its pod: they share its sandbox.
void WorkerMachine::give_up(TunnelId tunnel, Error const& error, TimePoint now) {
  if (!started_ || !pool_.is_up(tunnel)) return;
  pool_.settle(now);
  TunnelInfo const info = *pool_.find(tunnel);
  auto leaving = pool_.all_in(info.place, State::up);
  std::erase_if(leaving, [&](TunnelId id) { return pool_.find(id)->pod_uid != info.pod_uid; });
  std::ranges::stable_partition(leaving, [this](TunnelId id) { return pool_.primary() != id; });
  Error const gone(Errc::pod_gone, error.text);
  for (TunnelId const id : leaving) leave(id, gone, Next::by_backoff, now);
  actions_.emplace_back(ResolveAgain{});
}

void WorkerMachine::reset_held(Reason reason, std::string const& message) {
  for (ConnectionId const connection : pool_.release_held()) {
    actions_.emplace_back(ResetConnection{connection, reason, message});
  }
}

}  // namespace kportal::forward
