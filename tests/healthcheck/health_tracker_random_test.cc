// SPDX-License-Identifier: MIT
// Whatever happens to a forward, in whatever order: what must hold of its status holds.
#include <cstdlib>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "healthcheck/health_tracker.h"

namespace kportal::healthcheck {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A forward to which random things happen. Keeps its own account of the good evidence there was.
class Chaos {
 public:
  explicit Chaos(std::uint64_t seed)
      : random_(seed),
        settings_(random_settings()),
        tracker_(settings_, pick_initial(), 0, now_, actions_) {
    take();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      pass(milliseconds(below(one_in(8) ? 40'000 : 1'500)));
      act();
    }
  }

  // From now on all is well: the forward becomes Active (and Stale, if it may soon be that).
  void heal() {
    quiet_ = true;
    evidence_ = {};
    port_good_ = pings_good_ = true;
    if (!tracker_.connected()) tracker_.mark_starting(now_, actions_);
    take();
    active_seen_ = false;
    connect();
    pass(settings_.interval + 2 * settings_.timeout + seconds(2));
    EXPECT_TRUE(active_seen_);
  }
  // From now on nothing from the pod is good: the forward is not Active for long.
  void ail() {
    quiet_ = true;
    evidence_ = {};
    evidence_.pod_ready = false;
    port_good_ = false;
    connect();
    pass(good_for() + seconds(1));
    EXPECT_NE(tracker_.status(), Status::active);
  }

 private:
  struct Answer {
    TimePoint at;
    Ticket ticket;
    bool probe;
    bool good;
    bool unknown;  // or, of a good probe, silent
    TimePoint asked;
    TimePoint deadline;
  };

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  config::HealthCheck random_settings() {
    config::HealthCheck settings;
    settings.interval = milliseconds(100 + below(5'000));
    settings.timeout = milliseconds(100 + below(5'000));
    settings.pod_probe = seconds(1 + below(60));
    settings.startup_grace = milliseconds(below(20'000));
    settings.max_connection_age = seconds(below(100));
    settings.max_idle_time = seconds(below(30));
    if (one_in(4)) settings.method = config::ProbeMethod::none;
    return settings;
  }
  Status pick_initial() { return one_in(5) ? Status::idle : Status::starting; }

  // How long one good piece of evidence may carry an Active.
  Duration good_for() const {
    Duration const asked =
        settings_.method == config::ProbeMethod::none ? Duration() : settings_.pod_probe;
    return asked + 2 * settings_.interval + 2 * (settings_.timeout + kAnswerSlack) + kDoubtGap;
  }

  void connect() {
    evidence_.tunnel_since = now_;
    tracker_.mark_connected(++generation_, one_in(2) ? "a" : "b", evidence_, now_, actions_);
    take();
  }

  void act() {
    switch (below(17)) {
      case 0:
      case 1:
      case 2:
        connect();
        break;
      case 3:
        tracker_.mark_reconnecting(Reason::network, "lost", now_, actions_);
        break;
      case 4:
        tracker_.mark_failed(any_reason(), "failed", now_, actions_);
        break;
      case 5:
        port_good_ = !port_good_;
        break;
      case 6:
        pings_good_ = !pings_good_;
        break;
      case 7:
        byte();
        break;
      case 8:
        byte();
        tracker_.record_activity(now_, actions_);
        break;
      case 9:
        tracker_.doubt(evidence_, now_, actions_);
        break;
      case 10:
        evidence_.accepted_connection_open = !evidence_.accepted_connection_open;
        break;
      case 11:
        evidence_.pod_ready = !evidence_.pod_ready;
        break;
      case 12:
        lies();
        break;
      case 13:
        evidence_.logging_in = !evidence_.logging_in;
        break;
      case 14:
        tracker_.note("of the worker");
        break;
      case 15:
        if (one_in(4)) retune();
        break;
      default:
        if (one_in(6)) rest();
        break;
    }
    take();
  }

  void retune() {
    settings_ = random_settings();
    longest_good_for_ = std::max(longest_good_for_, good_for());
    tracker_.update_settings(settings_, now_);
    tracker_.tick(evidence_, now_, actions_);  // something may be due already
  }

  void rest() {
    switch (below(3)) {
      case 0:
        tracker_.mark_idle(now_, actions_);
        break;
      case 1:
        tracker_.mark_disabled(now_, actions_);
        break;
      default:
        tracker_.mark_starting(now_, actions_);
        break;
    }
  }

  // Answers that nobody waits for.
  void lies() {
    Ticket const old(generation_, below(50));
    if (waits_for(old)) return;
    tracker_.probe_result(old, ProbeVerdict(), evidence_, now_, actions_);
    take();
    tracker_.ping_result(old, one_in(2), evidence_, now_, actions_);
  }
  bool waits_for(Ticket ticket) const {
    return std::any_of(answers_.begin(), answers_.end(),
                       [&](Answer const& a) { return a.ticket == ticket; });
  }

  Reason any_reason() {
    return static_cast<Reason>(1 + below(static_cast<std::uint64_t>(Reason::server)));
  }

  void byte() {
    if (!tracker_.connected()) return;
    evidence_.last_pod_byte = evidence_.last_traffic = evidence_.last_life = now_;
    last_good_ = now_;
  }

  void pass(Duration span) {
    TimePoint const until = now_ + span;
    for (;;) {
      TimePoint next = tracker_.deadline();
      for (Answer const& answer : answers_) next = std::min(next, answer.at);
      if (next > until) break;
      ASSERT_GE(next, now_) << "a deadline was missed";
      now_ = next;
      answer_due();
      if (tracker_.deadline() <= now_) {
        tracker_.tick(evidence_, now_, actions_);
        take();
        ASSERT_GT(tracker_.deadline(), now_) << "the loop would spin";
      }
    }
    now_ = until;
  }

  void answer_due() {
    for (std::size_t i = 0; i < answers_.size();) {
      Answer const answer = answers_[i];
      if (answer.at > now_) {
        ++i;
        continue;
      }
      answers_.erase(answers_.begin() + static_cast<std::ptrdiff_t>(i));
      give(answer);
    }
  }

  void give(Answer const& answer) {
    bool const current = answer.ticket.generation == generation_ && tracker_.connected();
    bool const alive = answer.good || evidence_.last_life > answer.asked;
    if (answer.good && current) evidence_.last_life = now_;
    if (answer.probe) {
      probing_ = false;
      // Nothing was found out: what was known before may carry on.
      bool const carries = answer.good || answer.unknown;
      if (carries && current) last_good_ = std::max(last_good_, answer.good ? answer.asked : now_);
      tracker_.probe_result(answer.ticket, verdict_of(answer), evidence_, now_, actions_);
    } else {
      bool const vouched = settings_.method == config::ProbeMethod::none && evidence_.pod_ready;
      if (alive && current && (vouched || evidence_.accepted_connection_open)) {
        last_good_ = now_;
      }
      tracker_.ping_result(answer.ticket, answer.good, evidence_, now_, actions_);
    }
    take();
  }

  static ProbeVerdict verdict_of(Answer const& answer) {
    if (answer.good) return answer.unknown ? ProbeVerdict::of_silence() : ProbeVerdict();
    if (answer.unknown) return ProbeVerdict::of_nothing();
    return ProbeVerdict(Error(Errc::stream_failed, "no"));
  }

  // Does and checks what the tracker asked for.
  void take() {
    for (Action const& action : std::exchange(actions_, {})) {
      if (auto const* change = std::get_if<StatusChange>(&action)) {
        check(*change);
      } else if (std::holds_alternative<BecameStale>(action)) {
        EXPECT_EQ(told_, Status::stale);
      } else if (auto const* probe = std::get_if<StartProbe>(&action)) {
        EXPECT_NE(settings_.method, config::ProbeMethod::none);
        EXPECT_FALSE(evidence_.accepted_connection_open);
        bool const replaced = probe->ticket.generation != probing_generation_;
        EXPECT_TRUE(!probing_ || replaced) << "two probes of one tunnel at once";
        probing_ = true;
        probing_generation_ = probe->ticket.generation;
        ask(probe->ticket, true, port_good_, probe->deadline);
      } else if (auto const* ping = std::get_if<StartPing>(&action)) {
        ask(ping->ticket, false, pings_good_, ping->deadline);
      }
    }
    check_now();
  }

  void ask(Ticket ticket, bool probe, bool good, TimePoint deadline) {
    Duration const longest = settings_.timeout;
    Duration const takes = quiet_
                               ? Duration(milliseconds(1))
                               : Duration(below(static_cast<std::uint64_t>(longest.count()) + 1));
    bool const unknown = probe && !quiet_ && one_in(6);
    answers_.push_back({now_ + takes, ticket, probe, good, unknown, now_, deadline});
  }

  void check(StatusChange const& change) {
    EXPECT_EQ(change.first, !told_.has_value());
    if (told_) {
      EXPECT_EQ(change.old, *told_) << "an event was lost";
      EXPECT_NE(change.old, change.status) << "an event without a change";
    }
    if (change.status == Status::error) {
      EXPECT_NE(change.reason, Reason::none);
    }
    told_ = change.status;
  }

  void check_now() {
    active_seen_ = active_seen_ || tracker_.status() == Status::active;
    EXPECT_EQ(tracker_.status(), told_) << "a change without an event";
    if (tracker_.status() == Status::active) {
      EXPECT_TRUE(tracker_.connected());
      EXPECT_LE(now_ - last_good_, longest_good_for_) << "Active without evidence";
    }
    if (tracker_.status() == Status::idle || tracker_.status() == Status::disabled) {
      EXPECT_EQ(tracker_.deadline(), kNever);
    }
  }

  std::mt19937_64 random_;
  TimePoint now_ = TimePoint(std::chrono::hours(1));
  Actions actions_;
  config::HealthCheck settings_;
  HealthTracker tracker_;
  Generation generation_ = 0;
  Evidence evidence_;
  Duration longest_good_for_ = good_for();
  bool port_good_ = true;
  bool pings_good_ = true;
  bool quiet_ = false;
  bool active_seen_ = false;
  bool probing_ = false;
  Generation probing_generation_ = 0;
  std::vector<Answer> answers_;
  std::optional<Status> told_;
  TimePoint last_good_{};
};

std::uint64_t first_seed() {
  char const* const given = std::getenv("KPORTAL_TEST_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

TEST(HealthTrackerRandomTest, WhatMustHoldHoldsInTenThousandSchedules) {
  std::uint64_t const first = first_seed();
  for (std::uint64_t seed = first; seed < first + 10'000; ++seed) {
    Chaos chaos(seed);
    chaos.run(40);
    chaos.heal();
    chaos.ail();
    ASSERT_FALSE(HasFailure()) << "KPORTAL_TEST_SEED=" << seed;
  }
}

}  // namespace
}  // namespace kportal::healthcheck
