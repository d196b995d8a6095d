// SPDX-License-Identifier: MIT
#include "healthcheck/health_tracker.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

namespace kportal::healthcheck {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Longer spans than this mean "never" to a person, and cannot overflow a time.
constexpr milliseconds kMaxSpan = std::chrono::hours(24 * 365 * 10);
// With a grace of zero: the first attempt may at least begin.
constexpr Duration kFirstAttempt = seconds(1);

config::HealthCheck bounded(config::HealthCheck settings) {
  settings.interval = std::clamp(settings.interval, milliseconds(1), kMaxSpan);
  settings.timeout = std::clamp(settings.timeout, milliseconds(1), kMaxSpan);
  for (milliseconds* span : {&settings.pod_probe, &settings.startup_grace,
                             &settings.max_connection_age, &settings.max_idle_time}) {
    *span = std::clamp(*span, milliseconds(0), kMaxSpan);
  }
  return settings;
}

// "1500ms", "2s", "25m".
std::string words(Duration span) {
  auto const ms = std::chrono::duration_cast<milliseconds>(span).count();
  if (ms < 10'000 && ms % 1000 != 0) return fmt::format("{}ms", ms);
  if (ms < 120'000) return fmt::format("{}s", ms / 1000);
  return fmt::format("{}m", ms / 60'000);
}

bool is_excusable(Reason reason) {
  return reason == Reason::unauthorized || reason == Reason::forbidden ||
         reason == Reason::not_found;
}

}  // namespace

Reason ProbeVerdict::reason() const {
  if (!bad()) return Reason::none;
  return error->code == Errc::pod_refused ? Reason::refused : Reason::probe_failed;
}

HealthTracker::HealthTracker(config::HealthCheck settings, Status initial,
                             std::uint64_t first_ticket, TimePoint now, Actions& out)
    : settings_(bounded(settings)), status_(initial), since_(now), last_ticket_(first_ticket) {
  assert(initial == Status::starting || initial == Status::idle || initial == Status::disabled);
  if (initial == Status::starting) trying_since_ = now;
  StatusChange first;
  first.first = true;
  first.status = initial;
  out.emplace_back(std::move(first));
}

// What the worker tells

void HealthTracker::mark_starting(TimePoint now, Actions& out) {
  if (status_ == Status::starting && !connected_) return;
  // An idle forward that is wanted again is no new start: its grace is not renewed.
  if (status_ != Status::idle) grace_since_.reset();
  rest(Status::starting, now, out);
  was_active_ = false;
  failed_before_ = false;
  trying_since_ = now;
}

void HealthTracker::mark_idle(TimePoint now, Actions& out) {
  rest(Status::idle, now, out);
}

void HealthTracker::mark_disabled(TimePoint now, Actions& out) {
  rest(Status::disabled, now, out);
}

void HealthTracker::rest(Status status, TimePoint now, Actions& out) {
  drop_tunnel();
  pod_.clear();
  note_.clear();
  trying_since_.reset();
  change(status, Reason::none, {}, now, out);
}

void HealthTracker::mark_connected(Generation generation, std::string pod, Evidence const& evidence,
                                   TimePoint now, Actions& out) {
  if (status_ == Status::idle || status_ == Status::disabled) mark_starting(now, out);
  if (pod != pod_) note_.clear();
  drop_tunnel();
  connected_ = true;
  generation_ = generation;
  pod_ = std::move(pod);
  connected_at_ = now;
  newest_byte_ = now;
  last_life_ = now;
  bytes_came_ = false;
  if (!grace_since_ || outlived_grace(now)) grace_since_ = now;
  last_probe_end_ = {};
  probe_not_before_ = {};
  doubt_ = now;
  absorb(evidence, now, out);
  seek_verdict(now, out);
  probe_if_due(now, out);
}

void HealthTracker::mark_reconnecting(Reason reason, std::string message, TimePoint now,
                                      Actions& out) {
  if (status_ == Status::idle || status_ == Status::disabled) return;
  lose(reason, std::move(message), now, out);
  drop_tunnel();
  settle(now, out);
}

void HealthTracker::mark_failed(Reason reason, std::string message, TimePoint now, Actions& out) {
  bool const final = is_final(reason, now);
  // Without a tunnel wanted only what bars the forward for good is news (its port is taken).
  if (status_ == Status::disabled || (status_ == Status::idle && !final)) return;
  if (final) {
    if (!trying_since_) trying_since_ = now;
    change(Status::error, reason, std::move(message), now, out);
  } else {
    lose(reason, std::move(message), now, out);
  }
  failed_before_ = true;
  drop_tunnel();
  settle(now, out);
}

void HealthTracker::record_activity(TimePoint now, Actions& out) {
  if (!connected_) return;
  evidence_.last_pod_byte = now;
  evidence_.last_life = now;
  evidence_.last_traffic = now;
  newest_byte_ = now;
  last_life_ = now;
  bytes_came_ = true;
  good(now, now, out);
}

void HealthTracker::doubt(Evidence const& evidence, TimePoint now, Actions& out) {
  if (!connected_) return;
  absorb(evidence, now, out);
  doubt_ = now;
  // A connection that was open then put a probe off; none is now.
  if (!evidence_.accepted_connection_open) probe_not_before_ = {};
  if (probes()) {
    probe_if_due(now, out);
  } else {
    next_verdict_ = std::min(next_verdict_, last_check_ + kDoubtGap);
    if (now >= next_verdict_) seek_verdict(now, out);
  }
}

void HealthTracker::update_settings(config::HealthCheck settings, TimePoint now) {
  settings = bounded(settings);
  bool const other_method = settings.method != settings_.method;
  settings_ = settings;
  if (!connected_) return;
  next_verdict_ = std::min(next_verdict_, now + settings_.interval);
  if (other_method && probes()) doubt_ = now;
}

bool HealthTracker::is_final(Reason reason, TimePoint now) const {
  if (!events::is_permanent(reason)) return false;
  if (!is_excusable(reason)) return true;
  if (status_ == Status::active || status_ == Status::stale) return false;
  return !left_active_ || now - *left_active_ >= kExcuseAfterActive;
}

// Answers

void HealthTracker::probe_result(Ticket ticket, ProbeVerdict const& verdict,
                                 Evidence const& evidence, TimePoint now, Actions& out) {
  if (!probe_ || probe_->ticket != ticket) return;
  absorb(evidence, now, out);
  Waiting const probe = *probe_;
  probe_.reset();
  last_probe_end_ = now;
  if (verdict.unknown) {
    probe_found_nothing(now, out);
  } else if (verdict.good() && verdict.silent && port_bad_ && !probe.confirming && may_probe()) {
    // On a busy node a refusal may take longer than the probe waits: silence is asked twice.
    last_life_ = now;
    start_probe(true, now, out);
  } else if (verdict.good()) {
    last_life_ = now;
    good(probe.started, now, out);
  } else {
    probe_failed(probe, verdict.reason(), verdict.error->text, now, out);
  }
  probe_if_due(now, out);
}

// What it was to settle is as open as before, but not for ever.
void HealthTracker::probe_found_nothing(TimePoint now, Actions& out) {
  TimePoint const later = now + std::max<Duration>(settings_.interval, kDoubtGap);
  if (port_bad_) {
    next_retry_ = std::max(next_retry_, later);
  } else if (!doubt_) {
    doubt_ = now;
  }
  probe_not_before_ = std::max(probe_not_before_, later);
  bool const waits = status_ == Status::starting || status_ == Status::reconnecting;
  if (!waits || port_bad_) return;
  unheard_ = true;
  change(status_, Reason::probe_failed,
         fmt::format("nothing comes through the tunnel to pod {}: its port could not be tried yet",
                     pod_),
         now, out);
  settle(now, out);
}

void HealthTracker::ping_result(Ticket ticket, bool answered, Evidence const& evidence,
                                TimePoint now, Actions& out) {
  if (!ping_ || ping_->ticket != ticket) return;
  absorb(evidence, now, out);
  TimePoint const started = ping_->started;
  ping_.reset();
  if (answered || last_life_ > started) {
    ping_answered(now, out);
  } else {
    ping_timed_out(now, out);
  }
  probe_if_due(now, out);
}

void HealthTracker::ping_answered(TimePoint now, Actions& out) {
  last_life_ = std::max(last_life_, now);
  if (suspect_) {
    suspect_ = false;
    doubt_ = now;
  }
  // The tunnel lives; what else is known then speaks for the port.
  bool const pod_vouches = !probes() && evidence_.pod_ready;
  if (pod_vouches || evidence_.accepted_connection_open) good(now, now, out);
}

void HealthTracker::ping_timed_out(TimePoint now, Actions& out) {
  lose(Reason::timeout,
       fmt::format("no answer to a ping within {}: the tunnel is replaced if it stays silent",
                   words(settings_.timeout)),
       now, out);
  suspect_ = true;
  port_bad_ = false;
  unheard_ = false;
  next_retry_ = kNever;
  settle(now, out);
}

void HealthTracker::probe_failed(Waiting const& probe, Reason reason, std::string message,
                                 TimePoint now, Actions& out) {
  // The tunnel is in question, not the port; or probes are not wanted any more.
  if (suspect_ || !probes()) return;
  // A user's connection heard from the pod meanwhile: that is the newer evidence.
  if (evidence_.last_pod_byte > probe.started) return;
  if (port_bad_ || probe.confirming) {
    bad(reason, std::move(message), now, out);
  } else if (evidence_.accepted_connection_open) {
    doubt_ = now;
  } else {
    start_probe(true, now, out);
  }
}

// Time

void HealthTracker::tick(Evidence const& evidence, TimePoint now, Actions& out) {
  if (connected_) {
    absorb(evidence, now, out);
    become_stale(now, out);
    give_up_overdue(now, out);
    if (now >= next_verdict_) seek_verdict(now, out);
    probe_if_due(now, out);
  } else if (evidence.logging_in) {
    wait_for_login(now);
  }
  settle(now, out);
}

// A person who is asked for a password is no failure: trying begins once that is over. The plugin's
// own limit ends what nobody answers.
void HealthTracker::wait_for_login(TimePoint now) {
  if (now >= trying_limit()) trying_since_ = now;
}

TimePoint HealthTracker::deadline() const {
  TimePoint at = kNever;
  if (waits_for_tunnel()) {
    at = trying_limit();
  } else {
    at = verdict_limit();
  }
  if (!connected_) return at;
  at = std::min({at, next_verdict_, probe_due()});
  if (probe_) at = std::min(at, probe_->give_up);
  if (ping_) at = std::min(at, ping_->give_up);
  return at;
}

void HealthTracker::give_up_overdue(TimePoint now, Actions& out) {
  for (auto* waiting : {&ping_, &probe_}) {
    if (!*waiting || now - (*waiting)->give_up <= kLoopStall) continue;
    if ((*waiting)->stalls++ < kMaxStalls) (*waiting)->give_up = now + kAnswerSlack;
  }
  if (ping_ && now >= ping_->give_up) {
    TimePoint const started = ping_->started;
    ping_.reset();
    if (last_life_ > started) {
      ping_answered(now, out);
    } else {
      ping_timed_out(now, out);
    }
  }
  if (probe_ && now >= probe_->give_up) {
    Waiting const probe = *probe_;
    probe_.reset();
    last_probe_end_ = now;
    probe_failed(probe, Reason::probe_failed,
                 fmt::format("the probe of pod {} was not answered within {}", pod_,
                             words(settings_.timeout)),
                 now, out);
  }
}

void HealthTracker::seek_verdict(TimePoint now, Actions& out) {
  last_check_ = now;
  next_verdict_ = now + settings_.interval;
  if (std::exchange(bytes_came_, false)) return;
  bool const unready = !evidence_.pod_ready && !evidence_.accepted_connection_open;
  if (!probes() && unready && !suspect_) {
    bad(Reason::no_ready_pod,
        fmt::format("pod {} is not Ready, and with method none nothing else speaks for it", pod_),
        now, out);
  }
  if (!ping_) {
    Ticket const ticket(generation_, ++last_ticket_);
    TimePoint const until = now + settings_.timeout;
    ping_ = Waiting{ticket, now, until + kAnswerSlack};
    out.emplace_back(StartPing{ticket, until});
  }
  bool const unproven =
      status_ == Status::stale ? !staleness(now).has_value() : status_ != Status::active;
  // A probe that is under way will say.
  if (unproven && !port_bad_ && !doubt_ && !probe_) doubt_ = now;
}

void HealthTracker::probe_if_due(TimePoint now, Actions& out) {
  if (now < probe_due()) return;
  if (evidence_.accepted_connection_open) {
    probe_not_before_ = next_verdict_;
  } else {
    start_probe(false, now, out);
  }
}

void HealthTracker::start_probe(bool confirming, TimePoint now, Actions& out) {
  Ticket const ticket(generation_, ++last_ticket_);
  TimePoint const until = now + settings_.timeout;
  probe_ = Waiting{ticket, now, until + kAnswerSlack, confirming};
  doubt_.reset();  // a later one is about what this probe may not see
  out.emplace_back(StartProbe{ticket, settings_.method, until});
}

TimePoint HealthTracker::probe_due() const {
  if (!connected_ || probe_ || !probes()) return kNever;
  TimePoint at = kNever;
  if (doubt_) at = std::max(*doubt_, last_probe_end_ + kDoubtGap);
  if (port_bad_) {
    at = std::min(at, next_retry_);
  } else if (settings_.pod_probe > milliseconds(0) && was_active_) {
    at = std::min(at, last_good_ + settings_.pod_probe);
  }
  return at == kNever ? at : std::max(at, probe_not_before_);
}

// Verdicts and what they mean

void HealthTracker::absorb(Evidence const& evidence, TimePoint now, Actions& out) {
  evidence_ = evidence;
  if (!connected_) return;
  last_life_ = std::max(last_life_, evidence.last_life);
  if (evidence.last_pod_byte <= newest_byte_) return;
  newest_byte_ = evidence.last_pod_byte;
  last_life_ = std::max(last_life_, newest_byte_);
  bytes_came_ = true;
  good(newest_byte_, now, out);
}

void HealthTracker::good(TimePoint seen, TimePoint now, Actions& out) {
  suspect_ = false;
  port_bad_ = false;
  unheard_ = false;
  next_retry_ = kNever;
  last_good_ = std::max(last_good_, seen);
  if (doubt_ && seen > *doubt_) doubt_.reset();
  if (status_ == Status::stale && staleness(now)) return;
  trying_since_.reset();
  failed_before_ = false;
  change(Status::active, Reason::none, {}, now, out);
}

void HealthTracker::bad(Reason reason, std::string message, TimePoint now, Actions& out) {
  Duration const interval = settings_.interval;
  if (!port_bad_) {
    retry_ = interval;
  } else if (now >= next_retry_) {
    retry_ = std::min(retry_ * 2, std::max(kMaxRetry, interval));
  }
  port_bad_ = true;
  unheard_ = false;
  next_retry_ = now + retry_;
  bool const excused = in_grace(now) && status_ != Status::error;
  change(excused ? Status::starting : Status::error, reason, std::move(message), now, out);
}

void HealthTracker::lose(Reason reason, std::string message, TimePoint now, Actions& out) {
  // A tunnel that held is no flapping one: its loss begins a new time of trying.
  bool const held = connected_ && !suspect_ && now - connected_at_ >= kReconnectingLimit;
  if (held && was_active_) trying_since_.reset();
  bool const first_loss = !trying_since_;
  if (first_loss) {
    trying_since_ = now;
    failed_before_ = false;
  }
  bool const shows = was_active_ && (first_loss || status_ != Status::error);
  change(shows ? Status::reconnecting : status_, reason, std::move(message), now, out);
}

void HealthTracker::drop_tunnel() {
  connected_ = false;
  suspect_ = false;
  port_bad_ = false;
  unheard_ = false;
  next_retry_ = kNever;
  next_verdict_ = kNever;
  doubt_.reset();
  probe_.reset();
  ping_.reset();
}

void HealthTracker::settle(TimePoint now, Actions& out) {
  if (!waits_for_tunnel()) {
    if (now >= verdict_limit()) change(Status::error, reason_, message_, now, out);
    return;
  }
  if (now < trying_limit()) return;
  if (reason_ == Reason::none) {
    change(Status::error, Reason::timeout,
           fmt::format("no tunnel after {}: the API server has not answered yet; can it be reached "
                       "from here (VPN, proxy, firewall)?",
                       words(now - *trying_since_)),
           now, out);
  } else {
    change(Status::error, reason_, message_, now, out);
  }
}

// Once for each tunnel: the successor of a stale one may grow stale before anything proves it.
void HealthTracker::become_stale(TimePoint now, Actions& out) {
  bool const again = status_ == Status::stale && told_stale_ != generation_;
  if (status_ != Status::active && !again) return;
  auto const why = staleness(now);
  if (!why) return;
  told_stale_ = generation_;
  change(Status::stale, Reason::none, *why, now, out);
  out.emplace_back(BecameStale{*why});
}

std::optional<std::string> HealthTracker::staleness(TimePoint now) const {
  Duration const max_idle = settings_.max_idle_time;
  if (max_idle == Duration::zero()) return std::nullopt;
  TimePoint const since =
      evidence_.tunnel_since == TimePoint{} ? connected_at_ : evidence_.tunnel_since;
  TimePoint const traffic = std::max(evidence_.last_traffic, since);
  Duration const max_age = settings_.max_connection_age;
  if (max_age > Duration::zero() && now - since > max_age && now - traffic > max_idle) {
    return fmt::format("the tunnel is {} old and had no traffic for {}", words(now - since),
                       words(now - traffic));
  }
  // Life is asked for once an interval: its absence cannot be known sooner.
  Duration const silence = now - std::max(last_life_, traffic);
  if (silence > std::max<Duration>(max_idle, settings_.interval + settings_.timeout)) {
    return fmt::format("no proof of life for {}", words(silence));
  }
  return std::nullopt;
}

void HealthTracker::change(Status status, Reason reason, std::string message, TimePoint now,
                           Actions& out) {
  reason_ = reason;
  message_ = std::move(message);
  if (status == status_) return;
  if (outlived_grace(now)) grace_since_.reset();
  if (status_ == Status::active) left_active_ = now;
  if (status == Status::active) {
    active_since_ = now;
    was_active_ = true;
  }
  StatusChange changed;
  changed.old = std::exchange(status_, status);
  changed.status = status;
  changed.reason = reason;
  changed.message = this->message();
  changed.pod = pod_;
  since_ = now;
  out.emplace_back(std::move(changed));
}

TimePoint HealthTracker::trying_limit() const {
  if (!trying_since_) return kNever;
  if (status_ == Status::reconnecting) return *trying_since_ + kReconnectingLimit;
  if (status_ != Status::starting) return kNever;
  Duration const grace = settings_.startup_grace;
  return *trying_since_ + (failed_before_ ? grace : std::max(grace, kFirstAttempt));
}

// With a tunnel, but without a good word of the port.
TimePoint HealthTracker::verdict_limit() const {
  if (!port_bad_ && !unheard_) return kNever;
  if (status_ == Status::starting) return grace_end();
  return unheard_ ? trying_limit() : kNever;
}

TimePoint HealthTracker::grace_end() const {
  return grace_since_ ? *grace_since_ + settings_.startup_grace : TimePoint{};
}

// Active for at least a grace's length since it began: the next connection has one of its own.
bool HealthTracker::outlived_grace(TimePoint now) const {
  if (status_ != Status::active || !grace_since_) return false;
  return now - std::max(active_since_, *grace_since_) >= settings_.startup_grace;
}

bool HealthTracker::in_grace(TimePoint now) const {
  return now < grace_end();
}

}  // namespace kportal::healthcheck
