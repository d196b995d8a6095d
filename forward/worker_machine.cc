// SPDX-License-Identifier: MIT
#include "forward/worker_machine.h"

#include <algorithm>
#include <utility>

namespace kportal::forward {

using events::Reason;

void WorkerMachine::start(TimePoint now) {
  started_ = true;
  next_dial_ = now;
  advance(now);
}

void WorkerMachine::stop() {
  started_ = false;
  reset_held(Reason::hold_timeout, "the forward was stopped");
}

void WorkerMachine::resolved(Result<k8s::Choice> choice, bool in_use_gone, TimePoint now) {
  if (!started_) return;
  bool const same = choice_ && *choice_ == choice;
  choice_ = std::move(choice);
  if (choice_->has_error()) {
    if (auto const dialing = pool_.dialing()) give_up_dial(*dialing);
  } else if (!same) {
    // What changed may be the cure: it ends the wait, and connections are held for it.
    next_dial_ = now;
    final_ = false;
  }
  if (in_use_gone && pool_.primary()) {
    TunnelId const tunnel = *pool_.primary();
    std::string const pod = pool_.find(tunnel)->pod;
    pool_.retire(tunnel);
    lost(Reason::pod_gone, "pod " + pod + " is going away", pod,
         same ? backoff_.next() : Duration{}, now);
  } else if (choice_->has_error() && !pool_.primary()) {
    report(choice_->error());
  }
  advance(now);
}

void WorkerMachine::dialled(TunnelId tunnel, TimePoint now) {
  if (!started_ || pool_.find(tunnel) == nullptr) return;
  bool const replaces = pool_.primary().has_value();
  pool_.up(tunnel);
  refresh_wanted_ = false;
  failing_ = Reason::none;
  failing_text_.clear();
  final_ = false;
  actions_.emplace_back(MarkConnected{tunnel, replaces});
  advance(now);
}

void WorkerMachine::dial_failed(TunnelId tunnel, Error error, TimePoint now) {
  if (!started_ || pool_.find(tunnel) == nullptr) return;
  pool_.remove(tunnel);
  attempt_failed(error, now);
  if (error.code == Errc::not_found || error.code == Errc::pod_gone) {
    actions_.emplace_back(ResolveAgain{});
  }
  advance(now);
}

void WorkerMachine::tunnel_closed(TunnelId tunnel, Error error, bool lived, TimePoint now) {
  auto const* const info = pool_.find(tunnel);
  if (info == nullptr) return;
  std::string const pod = info->pod;
  bool const was_primary = pool_.primary() == tunnel;
  pool_.remove(tunnel);
  if (was_primary && started_) {
    if (lived) backoff_.reset();
    lost(events::reason_of(error.code), error.text, pod, backoff_.next(), now);
  }
  advance(now);
}

void WorkerMachine::accepted(ConnectionId connection, TimePoint now) {
  if (auto const tunnel = pool_.place()) {
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
  // Another try on the very tunnel that refused it would only repeat the refusal.
  bool const elsewhere = pool_.primary() != tunnel;
  if (!end.movable || !elsewhere || !started_ || !pool_.hold(connection, arrived)) {
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
  refresh_wanted_ = true;
  hurry(now);
}

void WorkerMachine::renew(TimePoint now) {
  if (auto const outdated = pool_.dialing()) give_up_dial(*outdated);
  choice_.reset();
  refresh_wanted_ = pool_.primary().has_value();
  next_dial_ = now;
  final_ = false;
}

void WorkerMachine::hurry(TimePoint now) {
  next_dial_ = std::min(next_dial_, now);
  advance(now);
}

void WorkerMachine::tick(TimePoint now) {
  advance(now);
}

TimePoint WorkerMachine::deadline() const {
  TimePoint due = pool_.deadline();
  if (needs_dial()) due = std::min(due, std::max(next_dial_, dial_allowed_));
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

// True while the tunnel that should be there is neither up nor being dialled.
bool WorkerMachine::needs_dial() const {
  if (!started_ || !choice_ || choice_->has_error()) return false;
  auto const& wanted = **choice_;
  if (auto const dialing = pool_.dialing()) {
    return pool_.find(*dialing)->pod_uid != wanted.uid;
  }
  auto const primary = pool_.primary();
  if (!primary || refresh_wanted_) return true;
  auto const* const info = pool_.find(*primary);
  return info->pod_uid != wanted.uid || info->port != wanted.port;
}

void WorkerMachine::dial_if_due(TimePoint now) {
  if (!needs_dial() || now < next_dial_ || !within_budget(now)) return;
  if (auto const outdated = pool_.dialing()) give_up_dial(*outdated);
  auto const& wanted = **choice_;
  TunnelId const tunnel = pool_.add_dialing(wanted.pod, wanted.uid, wanted.port);
  dials_.push_back(now);
  actions_.emplace_back(Dial{tunnel, wanted});
}

void WorkerMachine::place_and_drain(TimePoint now) {
  for (auto const& [connection, tunnel] : pool_.place_held()) {
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
  dial_allowed_ = dials_.size() < kMaxDials ? TimePoint{} : dials_.front() + kDialWindow;
  return dial_allowed_ <= now;
}

// The tunnel that took new connections is gone or must not be used any more.
void WorkerMachine::lost(Reason reason, std::string message, std::string pod, Duration delay,
                         TimePoint now) {
  next_dial_ = now + delay;
  refresh_wanted_ = false;
  failing_ = reason;
  failing_text_ = message;
  final_ = false;
  actions_.emplace_back(MarkDisconnected{reason, message, std::move(pod)});
  int const attempt = std::max(backoff_.attempts(), 1);
  actions_.emplace_back(MarkReconnecting{reason, std::move(message), attempt, delay});
  if (choice_ && choice_->has_error()) report(choice_->error());
}

void WorkerMachine::attempt_failed(Error const& error, TimePoint now) {
  Duration delay = backoff_.next();
  bool const serving = pool_.primary().has_value();  // it was to be a refresh
  if (!serving) report(error);
  if (!serving && final_) delay = kPermanentRetry;
  delay = std::max<Duration>(delay, error.retry_after);
  next_dial_ = now + delay;
  if (serving) return;
  actions_.emplace_back(
      MarkReconnecting{events::reason_of(error.code), error.text, backoff_.attempts(), delay});
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
  if (!started_ || pool_.primary() != tunnel) return;
  std::string const pod = pool_.find(tunnel)->pod;
  pool_.retire(tunnel);
  lost(Reason::pod_gone, error.text, pod, backoff_.next(), now);
  actions_.emplace_back(ResolveAgain{});
}

void WorkerMachine::reset_held(Reason reason, std::string const& message) {
  for (ConnectionId const connection : pool_.release_held()) {
    actions_.emplace_back(ResetConnection{connection, reason, message});
  }
}

}  // namespace kportal::forward
