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
  bool const same = choice_ && choice_->has_value() && choice.has_value() &&
                    (*choice_)->uid == choice->uid && (*choice_)->port == choice->port;
  choice_ = std::move(choice);
  if (in_use_gone) {
    if (auto const primary = pool_.primary()) {
      std::string const pod = pool_.find(*primary)->pod;
      pool_.retire(*primary);
      lost(Reason::pod_gone, "pod " + pod + " is going away", pod, now);
    }
  }
  if (choice_->has_error()) {
    attempt_failed(choice_->error(), now);
  } else if (!same) {
    next_dial_ = now;
  }
  advance(now);
}

void WorkerMachine::dialled(TunnelId tunnel, TimePoint now) {
  if (pool_.find(tunnel) == nullptr) return;
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
  if (pool_.find(tunnel) == nullptr) return;
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
  if (was_primary) {
    if (lived) backoff_.reset();
    lost(events::reason_of(error.code), error.text, pod, now);
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
  if (!end.movable || !elsewhere || !pool_.hold(connection, arrived)) {
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
  if (auto const outdated = pool_.dialing()) {
    pool_.remove(*outdated);
    actions_.emplace_back(CloseTunnel{*outdated});
  }
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
void WorkerMachine::lost(Reason reason, std::string message, std::string pod, TimePoint now) {
  Duration const delay = backoff_.next();
  next_dial_ = now + delay;
  refresh_wanted_ = false;
  failing_ = reason;
  failing_text_ = message;
  final_ = false;
  actions_.emplace_back(MarkDisconnected{reason, message, std::move(pod)});
  actions_.emplace_back(MarkReconnecting{reason, std::move(message), backoff_.attempts(), delay});
}

void WorkerMachine::attempt_failed(Error const& error, TimePoint now) {
  Reason const reason = events::reason_of(error.code);
  bool const news = reason != failing_;
  failing_ = reason;
  failing_text_ = error.text;
  final_ = is_final_(reason);
  if (pool_.primary()) {  // a refresh that failed: the old tunnel still serves
    next_dial_ = now + std::max<Duration>(backoff_.next(), error.retry_after);
    return;
  }
  bool const resolving = choice_ && choice_->has_error();
  Duration delay = kPermanentRetry;
  if (!final_ && !resolving) delay = backoff_.next();
  delay = std::max<Duration>(delay, error.retry_after);
  next_dial_ = now + delay;
  if (final_) reset_held(reason, error.text);
  actions_.emplace_back(MarkFailed{reason, error.text, news});
  if (!resolving) {
    actions_.emplace_back(MarkReconnecting{reason, error.text, backoff_.attempts(), delay});
  }
}

void WorkerMachine::give_up(TunnelId tunnel, Error const& error, TimePoint now) {
  if (pool_.primary() != tunnel) return;
  std::string const pod = pool_.find(tunnel)->pod;
  pool_.retire(tunnel);
  lost(Reason::pod_gone, error.text, pod, now);
  actions_.emplace_back(ResolveAgain{});
}

void WorkerMachine::reset_held(Reason reason, std::string const& message) {
  for (ConnectionId const connection : pool_.release_held()) {
    actions_.emplace_back(ResetConnection{connection, reason, message});
  }
}

}  // namespace kportal::forward
