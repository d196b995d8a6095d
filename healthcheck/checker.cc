// SPDX-License-Identifier: MIT
#include "healthcheck/checker.h"

#include <algorithm>
#include <utility>

#include "events/bus.h"

namespace kportal::healthcheck {
namespace {

// Tickets of one registration; a later one of the same id must not take its answers.
constexpr int kTicketBits = 40;

TimePoint round_up(TimePoint at, Duration step) {
  Duration const past = at.time_since_epoch() % step;
  if (past == Duration::zero() || at > kNever - step) return at;
  return at + (step - past);
}

}  // namespace

Checker::Checker(asio::any_io_executor executor, events::Bus& bus, std::function<TimePoint()> now)
    : bus_(bus), now_(std::move(now)), wakeup_(std::move(executor)) {}

Checker::Entry* Checker::find(std::string_view id) {
  auto const at = entries_.find(id);
  return at == entries_.end() ? nullptr : &at->second;
}

Checker::Entry const* Checker::find(std::string_view id) const {
  auto const at = entries_.find(id);
  return at == entries_.end() ? nullptr : &at->second;
}

void Checker::register_forward(events::ForwardRef forward, config::HealthCheck settings,
                               Subject& subject, Status initial) {
  if (stopped_) return;
  std::string const id = forward.id;
  unregister(id);
  Actions actions;
  HealthTracker tracker(settings, initial, ++registrations_ << kTicketBits, now_(), actions);
  entries_.emplace(id, Entry(std::move(forward), subject, std::move(tracker)));
  perform(id, std::move(actions));
}

void Checker::unregister(std::string_view id) {
  auto const at = entries_.find(id);
  if (at != entries_.end()) entries_.erase(at);
}

// Lets `step(entry, now, actions)` change the tracker of `id`, then does what it asks for.
template <class Step>
void Checker::resume(std::string_view id, Step step) {
  Entry* const entry = stopped_ ? nullptr : find(id);
  if (entry == nullptr) return;
  Actions actions;
  step(*entry, now_(), actions);
  perform(entry->forward.id, std::move(actions));
}

// Events first: a subject may answer a check before start_*() returns, or unregister.
void Checker::perform(std::string id, Actions actions) {
  Entry* entry = find(id);
  for (Action const& action : actions) publish(*entry, action);
  for (Action const& action : actions) {
    if (entry == nullptr || stopped_) return;
    if (auto const* probe = std::get_if<StartProbe>(&action)) {
      entry->subject->start_probe(probe->ticket, probe->method, probe->deadline);
    } else if (auto const* ping = std::get_if<StartPing>(&action)) {
      entry->subject->start_ping(ping->ticket, ping->deadline);
    }
    entry = find(id);
  }
  if (entry != nullptr && round_up(entry->tracker.deadline(), kTick) < sleeping_until_) {
    wakeup_.set();
  }
}

void Checker::publish(Entry& entry, Action const& action) {
  if (auto const* change = std::get_if<StatusChange>(&action)) {
    entry.since = std::chrono::system_clock::now();
    events::HealthStatusChanged event;
    event.forward = entry.forward;
    event.first = change->first;
    event.old = change->old;
    event.status = change->status;
    event.reason = change->reason;
    event.message = change->message;
    event.pod = change->pod;
    bus_.publish(std::move(event));
  } else if (auto const* stale = std::get_if<BecameStale>(&action)) {
    events::HealthStale event;
    event.forward = entry.forward;
    event.message = stale->message;
    bus_.publish(std::move(event));
  }
}

void Checker::mark_starting(std::string_view id) {
  resume(id,
         [](Entry& entry, TimePoint now, Actions& out) { entry.tracker.mark_starting(now, out); });
}

void Checker::mark_idle(std::string_view id) {
  resume(id, [](Entry& entry, TimePoint now, Actions& out) { entry.tracker.mark_idle(now, out); });
}

void Checker::mark_disabled(std::string_view id) {
  resume(id,
         [](Entry& entry, TimePoint now, Actions& out) { entry.tracker.mark_disabled(now, out); });
}

void Checker::mark_connected(std::string_view id, Generation generation, std::string pod) {
  resume(id, [&](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.mark_connected(generation, std::move(pod), entry.subject->evidence(), now, out);
  });
}

void Checker::mark_reconnecting(std::string_view id, Reason reason, std::string message) {
  resume(id, [&](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.mark_reconnecting(reason, std::move(message), now, out);
  });
}

void Checker::mark_failed(std::string_view id, Reason reason, std::string message) {
  resume(id, [&](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.mark_failed(reason, std::move(message), now, out);
  });
}

void Checker::record_activity(std::string_view id) {
  resume(id, [](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.record_activity(now, out);
  });
}

void Checker::doubt(std::string_view id) {
  resume(id, [](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.doubt(entry.subject->evidence(), now, out);
  });
}

void Checker::probe_result(std::string_view id, Ticket ticket, ProbeVerdict const& verdict) {
  resume(id, [&](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.probe_result(ticket, verdict, entry.subject->evidence(), now, out);
  });
}

void Checker::ping_result(std::string_view id, Ticket ticket, bool answered) {
  resume(id, [&](Entry& entry, TimePoint now, Actions& out) {
    entry.tracker.ping_result(ticket, answered, entry.subject->evidence(), now, out);
  });
}

void Checker::note(std::string_view id, std::string message) {
  if (Entry* const entry = find(id)) entry->tracker.note(std::move(message));
}

void Checker::update_settings(std::string_view id, config::HealthCheck settings) {
  resume(id, [&](Entry& entry, TimePoint now, Actions&) {
    entry.tracker.update_settings(settings, now);
  });
}

void Checker::set_ref(events::ForwardRef forward) {
  if (Entry* const entry = find(forward.id)) entry->forward = std::move(forward);
}

std::optional<Health> Checker::status(std::string_view id) const {
  Entry const* const entry = find(id);
  if (entry == nullptr) return std::nullopt;
  HealthTracker const& tracker = entry->tracker;
  return Health{tracker.status(), tracker.reason(), tracker.message(), tracker.pod(), entry->since};
}

TimePoint Checker::last_check_time(std::string_view id) const {
  Entry const* const entry = find(id);
  return entry == nullptr ? TimePoint{} : entry->tracker.last_check();
}

std::vector<std::pair<std::string, std::string>> Checker::all_errors() const {
  std::vector<std::pair<std::string, std::string>> errors;
  for (auto const& [id, entry] : entries_) {
    Status const status = entry.tracker.status();
    if (status == Status::error || status == Status::stale) {
      errors.emplace_back(id, entry.tracker.message());
    }
  }
  return errors;
}

bool Checker::is_final(std::string_view id, Reason reason) const {
  Entry const* const entry = find(id);
  return entry == nullptr ? events::is_permanent(reason) : entry->tracker.is_final(reason, now_());
}

awaitable<void> Checker::run() {
  while (!stopped_) {
    TimePoint const next = tick();
    sleeping_until_ = round_up(std::max(next, now_() + Duration(1)), kTick);
    co_await wakeup_.wait_until(sleeping_until_);
  }
}

// Checks of one tick start in one turn. A subject may unregister itself or others while it is
// asked, so the due ones are gathered first.
TimePoint Checker::tick() {
  TimePoint const now = now_();
  std::vector<std::string> due;
  for (auto const& [id, entry] : entries_) {
    if (entry.tracker.deadline() <= now) due.push_back(id);
  }
  for (std::string const& id : due) {
    resume(id, [](Entry& entry, TimePoint at, Actions& out) {
      entry.tracker.tick(entry.subject->evidence(), at, out);
    });
  }
  return deadline();
}

TimePoint Checker::deadline() const {
  TimePoint at = kNever;
  for (auto const& [id, entry] : entries_) at = std::min(at, entry.tracker.deadline());
  return at;
}

void Checker::stop() {
  stopped_ = true;
  wakeup_.set();
}

}  // namespace kportal::healthcheck
