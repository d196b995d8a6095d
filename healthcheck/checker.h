// SPDX-License-Identifier: MIT
// Checker: the one loop over all forwards. It holds a HealthTracker for each, starts the checks
// that are due all at once, and publishes health.status_changed and health.stale. It never waits
// for a check (the worker brings the answer) and never acts on a status (the manager does). One for
// the program.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/wakeup.h"
#include "events/event.h"
#include "healthcheck/health_tracker.h"

namespace kportal::events {
class Bus;
}

namespace kportal::healthcheck {

// What the checker asks of a forward's worker. Answers come with Checker::probe_result and
// ping_result, at once or later, with the ticket; an answer that comes too late is ignored.
class Subject {
 public:
  virtual ~Subject() = default;
  // Tries the pod's port through the tunnel of the ticket's generation (healthcheck/probe.h),
  // through another one to the same pod if that one is stalled; of_nothing() if all are. `method`
  // is never none. At most one probe is under way, but for one of an older generation, which nobody
  // waits for any more.
  virtual void start_probe(Ticket ticket, config::ProbeMethod method, TimePoint deadline) = 0;
  // Pings the tunnel. One that is stalled for a reason of ours (nobody reads) but shows life in
  // another way counts as answered.
  virtual void start_ping(Ticket ticket, TimePoint deadline) = 0;
  // Asked for at each check and within mark_connected: cheap, changes nothing, and knows the new
  // tunnel already.
  virtual Evidence evidence() const = 0;
};

struct Health {
  Status status{};
  Reason reason{};
  std::string message;
  std::string pod;
  std::chrono::system_clock::time_point since;
};

class Checker {
 public:
  // Wake-ups are gathered to ticks of this length.
  static constexpr Duration kTick = std::chrono::milliseconds(50);

  // `now` is the clock; a test gives its own.
  Checker(asio::any_io_executor executor, events::Bus& bus,
          std::function<TimePoint()> now = Clock::now);
  Checker(Checker const&) = delete;
  Checker& operator=(Checker const&) = delete;

  // `initial` is starting, idle or disabled, and published as the first status. The subject must
  // live until unregister(). An id that is registered already is replaced.
  void register_forward(events::ForwardRef forward, config::HealthCheck settings, Subject& subject,
                        Status initial);
  // Without an event. Answers that are still on their way find nobody.
  void unregister(std::string_view id);

  // As in HealthTracker. An id that is not registered is ignored by all of these.
  void mark_starting(std::string_view id);
  void mark_idle(std::string_view id);
  void mark_disabled(std::string_view id);
  void mark_connected(std::string_view id, Generation generation, std::string pod);
  void mark_reconnecting(std::string_view id, Reason reason, std::string message);
  void mark_failed(std::string_view id, Reason reason, std::string message);
  void record_activity(std::string_view id);
  void doubt(std::string_view id);
  void note(std::string_view id, std::string message);
  void probe_result(std::string_view id, Ticket ticket, ProbeVerdict const& verdict);
  void ping_result(std::string_view id, Ticket ticket, bool answered);

  void update_settings(std::string_view id, config::HealthCheck settings);
  // What events say of the forward from now on; the id stays.
  void set_ref(events::ForwardRef forward);

  // Empty for an id that is not registered.
  std::optional<Health> status(std::string_view id) const;
  // When a verdict was last sought; TimePoint{} if never.
  TimePoint last_check_time(std::string_view id) const;
  // The ids and messages of all that are in Error or Stale, in the order of their ids.
  std::vector<std::pair<std::string, std::string>> all_errors() const;
  // True if waiting alone will not mend this: permanent, and the forward was not Active just now (a
  // starting API server says 401, 403 and 404 to everyone).
  bool is_final(std::string_view id, Reason reason) const;

  // Does what is due now; run() calls it. The answer is when something is due next.
  TimePoint tick();
  TimePoint deadline() const;
  // The loop. Ends by cancellation or after stop().
  awaitable<void> run();
  // From now on nothing is checked, changed or published.
  void stop();

 private:
  struct Entry {
    events::ForwardRef forward;
    Subject* subject;
    HealthTracker tracker;
    std::chrono::system_clock::time_point since;

    Entry(events::ForwardRef f, Subject& s, HealthTracker t)
        : forward(std::move(f)), subject(&s), tracker(std::move(t)) {}
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  Entry* find(std::string_view id);
  Entry const* find(std::string_view id) const;
  void perform(std::string id, Actions actions);
  void publish(Entry& entry, Action const& action);
  template <class Step>
  void resume(std::string_view id, Step step);

  events::Bus& bus_;
  std::function<TimePoint()> now_;
  Wakeup wakeup_;
  Entries entries_;
  TimePoint sleeping_until_ = TimePoint{};  // no one sleeps before run()
  std::uint64_t registrations_ = 0;
  bool stopped_ = false;
};

}  // namespace kportal::healthcheck
