// SPDX-License-Identifier: MIT
// Scenario: a forward with its worker, tunnel and pod as far as a HealthTracker can see them, and a
// clock that is moved by hand. Checks are answered as the knobs say; what happened is kept as
// words.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "healthcheck/health_tracker.h"

namespace kportal::healthcheck {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Scenario {
 public:
  // hears_nothing: good for want of words, at the probe's deadline; is_silent: no answer at all;
  // is_stalled: nothing can be known.
  enum class Port { answers, refuses, fails, hears_nothing, is_silent, is_stalled };
  static constexpr Duration kAnswerTime = milliseconds(10);

  // Knobs
  Port port = Port::answers;
  bool pings_answered = true;
  Evidence evidence;

  explicit Scenario(config::HealthCheck settings = {}, Status initial = Status::starting)
      : settings_(settings), tracker_(settings, initial, 0, now_, actions_) {
    take();
  }

  HealthTracker& tracker() { return tracker_; }
  TimePoint now() const { return now_; }
  Duration elapsed() const { return now_ - kBegin; }

  void connect(std::string pod = "web-1") {
    evidence.tunnel_since = now_;
    tracker_.mark_connected(++generation_, std::move(pod), evidence, now_, actions_);
    take();
  }
  void lose(Reason reason = Reason::network, std::string message = "lost") {
    tracker_.mark_reconnecting(reason, std::move(message), now_, actions_);
    take();
  }
  void fail(Reason reason = Reason::network, std::string message = "failed") {
    tracker_.mark_failed(reason, std::move(message), now_, actions_);
    take();
  }
  void start() {
    tracker_.mark_starting(now_, actions_);
    take();
  }
  void idle() {
    tracker_.mark_idle(now_, actions_);
    take();
  }
  void disable() {
    tracker_.mark_disabled(now_, actions_);
    take();
  }
  void doubt() {
    tracker_.doubt(evidence, now_, actions_);
    take();
  }
  void activity() {
    user_byte();
    tracker_.record_activity(now_, actions_);
    take();
  }
  // A byte from the pod that the tracker learns of at its next check only.
  void user_byte() {
    evidence.last_pod_byte = now_;
    evidence.last_traffic = now_;
    evidence.last_life = now_;
  }
  void answer_probe(Ticket ticket, ProbeVerdict const& verdict) {
    tracker_.probe_result(ticket, verdict, evidence, now_, actions_);
    take();
  }
  void answer_ping(Ticket ticket, bool answered) {
    tracker_.ping_result(ticket, answered, evidence, now_, actions_);
    take();
  }
  void update(config::HealthCheck settings) {
    settings_ = settings;
    tracker_.update_settings(settings, now_);
  }

  // Lets the time pass, doing what is due and answering what was asked.
  void advance(Duration span) {
    TimePoint const until = now_ + span;
    for (;;) {
      TimePoint next = tracker_.deadline();
      for (Answer const& answer : answers_) next = std::min(next, answer.at);
      if (next > until) break;
      now_ = std::max(now_, next);
      step();
    }
    now_ = until;
  }
  // As advance(), but nobody looks at the clock meanwhile.
  void stand_still(Duration span) { now_ += span; }
  void step() {
    std::vector<Answer> due;
    auto const later = std::stable_partition(answers_.begin(), answers_.end(),
                                             [this](Answer const& a) { return a.at <= now_; });
    due.assign(answers_.begin(), later);
    answers_.erase(answers_.begin(), later);
    for (Answer const& answer : due) give(answer);
    if (tracker_.deadline() > now_) return;
    tracker_.tick(evidence, now_, actions_);
    take();
    spun_ = spun_ || tracker_.deadline() <= now_;
  }

  // The changes of status since the last call: "-> Starting", "Active -> Error refused".
  std::vector<std::string> events() { return std::exchange(events_, {}); }
  StatusChange const& last_change() const { return last_change_; }
  int stale_events() const { return stale_events_; }
  // When probes and pings were started, since the last call, as time since the beginning.
  std::vector<Duration> probes() { return std::exchange(probes_, {}); }
  std::vector<Duration> pings() { return std::exchange(pings_, {}); }
  Ticket last_probe() const { return last_probe_; }
  Ticket last_ping() const { return last_ping_; }
  config::ProbeMethod last_method() const { return last_method_; }
  // A tick left something due: the loop would spin.
  bool spun() const { return spun_; }
  Status status() const { return tracker_.status(); }

 private:
  static constexpr TimePoint kBegin = TimePoint(hours(1));

  struct Answer {
    TimePoint at;
    Ticket ticket;
    bool is_probe;
    Port port;
  };

  void give(Answer const& answer) {
    if (!answer.is_probe) {
      evidence.last_life = now_;
      answer_ping(answer.ticket, true);
    } else if (answer.port == Port::answers) {
      evidence.last_life = now_;
      answer_probe(answer.ticket, ProbeVerdict());
    } else if (answer.port == Port::hears_nothing) {
      evidence.last_life = now_;
      answer_probe(answer.ticket, ProbeVerdict::of_silence());
    } else if (answer.port == Port::is_stalled) {
      answer_probe(answer.ticket, ProbeVerdict::of_nothing());
    } else {
      bool const refused = answer.port == Port::refuses;
      answer_probe(answer.ticket,
                   ProbeVerdict(Error(refused ? Errc::pod_refused : Errc::stream_failed, "no")));
    }
  }

  void take() {
    for (Action const& action : std::exchange(actions_, {})) {
      if (auto const* change = std::get_if<StatusChange>(&action)) {
        std::string line = fmt::format("{}{}-> {}", events::to_word(change->old),
                                       change->first ? "" : " ", events::to_word(change->status));
        if (change->first) line = fmt::format("-> {}", events::to_word(change->status));
        if (change->reason != Reason::none) {
          line += fmt::format(" {}", events::to_word(change->reason));
        }
        events_.push_back(line);
        last_change_ = *change;
      } else if (std::holds_alternative<BecameStale>(action)) {
        ++stale_events_;
      } else if (auto const* probe = std::get_if<StartProbe>(&action)) {
        probes_.push_back(elapsed());
        last_probe_ = probe->ticket;
        last_method_ = probe->method;
        if (port != Port::is_silent) {
          TimePoint const at = port == Port::hears_nothing ? probe->deadline : now_ + kAnswerTime;
          answers_.push_back({at, probe->ticket, true, port});
        }
      } else if (auto const* ping = std::get_if<StartPing>(&action)) {
        pings_.push_back(elapsed());
        last_ping_ = ping->ticket;
        if (pings_answered) answers_.push_back({now_ + kAnswerTime, ping->ticket, false, port});
      }
    }
  }

  TimePoint now_ = kBegin;
  Actions actions_;
  config::HealthCheck settings_;
  HealthTracker tracker_;
  Generation generation_ = 0;
  std::vector<Answer> answers_;
  std::vector<std::string> events_;
  StatusChange last_change_;
  int stale_events_ = 0;
  std::vector<Duration> probes_, pings_;
  Ticket last_probe_, last_ping_;
  config::ProbeMethod last_method_{};
  bool spun_ = false;
};

}  // namespace kportal::healthcheck
