// SPDX-License-Identifier: MIT
#include "healthcheck/checker.h"

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "events/bus.h"
#include "tests/support/loop_fixture.h"

namespace kportal::healthcheck {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

events::ForwardRef ref(std::string id) {
  events::ForwardRef forward;
  forward.id = std::move(id);
  forward.context = "staging";
  forward.local_port = 8080;
  return forward;
}

// A worker as far as the checker knows it.
class FakeSubject final : public Subject {
 public:
  enum class Manner { at_once, never };

  FakeSubject(Checker& checker, std::string id) : checker_(checker), id_(std::move(id)) {}

  void start_probe(Ticket ticket, config::ProbeMethod, TimePoint) override {
    ++probes;
    last_probe = ticket;
    if (manner == Manner::at_once) checker_.probe_result(id_, ticket, verdict);
  }
  void start_ping(Ticket ticket, TimePoint) override {
    ++pings;
    if (on_ping) on_ping();
    if (manner == Manner::at_once) checker_.ping_result(id_, ticket, true);
  }
  Evidence evidence() const override { return known; }

  Manner manner = Manner::at_once;
  ProbeVerdict verdict;
  Evidence known;
  std::function<void()> on_ping;
  int probes = 0;
  int pings = 0;
  Ticket last_probe;

 private:
  Checker& checker_;
  std::string id_;
};

class CheckerTest : public test::LoopFixture {
 protected:
  CheckerTest() {
    subscription_ = bus_.subscribe([this](events::Event const& event) {
      if (auto const* change = std::get_if<events::HealthStatusChanged>(&event.fact)) {
        changes_.push_back(*change);
        words_.push_back(fmt::format("{} {}", change->forward.id, to_word(change->status)));
      } else if (auto const* stale = std::get_if<events::HealthStale>(&event.fact)) {
        words_.push_back(fmt::format("{} is stale", stale->forward.id));
      }
    });
  }

  std::vector<std::string> words() {
    poll();
    return std::exchange(words_, {});
  }
  FakeSubject& add(std::string id, Status initial = Status::starting) {
    subjects_.emplace_back(checker_, id);
    checker_.register_forward(ref(std::move(id)), settings_, subjects_.back(), initial);
    return subjects_.back();
  }
  // As the loop would, but in the test's own time.
  void advance(Duration span) {
    TimePoint const until = now_ + span;
    for (TimePoint next = checker_.tick(); next <= until; next = checker_.tick()) {
      now_ = std::max(next, now_ + Checker::kTick);
      ++ticks_;
    }
    now_ = until;
  }

  TimePoint now_ = TimePoint(std::chrono::hours(1));
  events::Bus bus_{executor()};
  Checker checker_{executor(), bus_, [this] { return now_; }};
  config::HealthCheck settings_;
  std::deque<FakeSubject> subjects_;
  events::Subscription subscription_;
  std::vector<events::HealthStatusChanged> changes_;
  std::vector<std::string> words_;
  int ticks_ = 0;
};

TEST_F(CheckerTest, PublishesEachStatusOnce) {
  add("a");
  checker_.mark_connected("a", 1, "web-1");
  advance(seconds(30));
  checker_.mark_reconnecting("a", Reason::network, "reset by peer");
  checker_.mark_failed("a", Reason::server, "503");
  EXPECT_THAT(words(), ElementsAre("a Starting", "a Active", "a Reconnecting"));
  EXPECT_TRUE(changes_[0].first);
  EXPECT_FALSE(changes_[1].first);
  EXPECT_EQ(changes_[1].old, Status::starting);
  EXPECT_EQ(changes_[1].pod, "web-1");
  EXPECT_EQ(changes_[1].forward, ref("a"));
  EXPECT_EQ(changes_[2].reason, Reason::network);
  EXPECT_EQ(changes_[2].message, "reset by peer");
  EXPECT_EQ(checker_.status("a")->reason, Reason::server);
}

TEST_F(CheckerTest, AnAnswerBeforeTheQuestionReturnsKeepsTheOrder) {
  FakeSubject& a = add("a");
  a.verdict = ProbeVerdict(Error(Errc::pod_refused, "refused"));
  settings_.startup_grace = milliseconds(0);
  checker_.update_settings("a", settings_);
  checker_.mark_connected("a", 1, "web-1");
  EXPECT_THAT(words(), ElementsAre("a Starting", "a Error"));
  EXPECT_EQ(a.probes, 2);
  EXPECT_EQ(changes_[1].reason, Reason::refused);
}

// Three forwards to which random things happen, also while one of them is being asked.
class CheckerChaosTest : public CheckerTest {
 protected:
  CheckerChaosTest() {
    settings_.startup_grace = seconds(1);
    settings_.max_idle_time = seconds(20);
    for (char const* const id : {"a", "b", "c"}) add(id).on_ping = [this] { interrupt(); };
  }

  unsigned below(unsigned n) { return static_cast<unsigned>(random_()) % n; }

  void fact() {
    std::string const id(1, static_cast<char>('a' + below(3)));
    FakeSubject& subject = subjects_[static_cast<std::size_t>(id[0] - 'a')];
    subject.manner = below(3) == 0 ? FakeSubject::Manner::never : FakeSubject::Manner::at_once;
    subject.verdict = below(2) == 0 ? ProbeVerdict() : ProbeVerdict(Error(Errc::pod_refused, "no"));
    auto const reason = static_cast<Reason>(1 + below(static_cast<unsigned>(Reason::server)));
    switch (below(10)) {
      case 0:
        return checker_.mark_starting(id);
      case 1:
        return checker_.mark_reconnecting(id, reason, "lost");
      case 2:
        return checker_.mark_failed(id, reason, "failed");
      case 3:
        return checker_.record_activity(id);
      case 4:
        return checker_.doubt(id);
      case 5:
        return below(4) == 0 ? checker_.mark_disabled(id) : checker_.note(id, "a note");
      default:
        return checker_.mark_connected(id, ++generation_, "web");
    }
  }
  void interrupt() {
    if (depth_ >= 3 || below(4) != 0) return;
    ++depth_;
    fact();
    --depth_;
  }

  // What a listener heard is the status, and nothing was said twice.
  void check() {
    for (; heard_ < changes_.size(); ++heard_) {
      events::HealthStatusChanged const& change = changes_[heard_];
      auto const known = told_.find(change.forward.id);
      ASSERT_EQ(change.first, known == told_.end());
      ASSERT_TRUE(change.first || change.old == known->second) << "an event was lost";
      ASSERT_TRUE(change.first || change.old != change.status) << "an event without a change";
      told_[change.forward.id] = change.status;
    }
    for (auto const& [id, status] : told_) ASSERT_EQ(checker_.status(id)->status, status);
  }

  std::mt19937 random_{7};
  std::map<std::string, Status> told_;
  std::size_t heard_ = 0;
  Generation generation_ = 0;
  int depth_ = 0;
};

TEST_F(CheckerChaosTest, EachChangeIsOneEvent) {
  for (int step = 0; step < 20'000 && !HasFailure(); ++step) {
    fact();
    if (below(4) == 0) advance(milliseconds(below(5'000)));
    poll();
    check();
  }
  EXPECT_GT(heard_, 2'000U);
}

TEST_F(CheckerTest, StatusOfNobodyIsEmpty) {
  EXPECT_FALSE(checker_.status("nobody").has_value());
  EXPECT_EQ(checker_.last_check_time("nobody"), TimePoint{});
  checker_.mark_connected("nobody", 1, "web-1");
  checker_.record_activity("nobody");
  checker_.unregister("nobody");
  EXPECT_THAT(words(), IsEmpty());
}

TEST_F(CheckerTest, LastCheckTimeIsOfTheNewestVerdict) {
  add("a");
  checker_.mark_connected("a", 1, "web-1");
  TimePoint const connected = now_;
  EXPECT_EQ(checker_.last_check_time("a"), connected);
  advance(seconds(4));
  EXPECT_EQ(checker_.last_check_time("a"), connected + seconds(3));
}

TEST_F(CheckerTest, AllErrorsAreThoseInErrorOrStale) {
  add("b");
  add("a");
  add("c");
  checker_.mark_failed("b", Reason::forbidden, "may not create pods/portforward");
  checker_.mark_failed("c", Reason::network, "passing");
  EXPECT_THAT(checker_.all_errors(), ElementsAre(Pair("b", "may not create pods/portforward")));
  EXPECT_TRUE(checker_.is_final("a", Reason::forbidden));
  EXPECT_FALSE(checker_.is_final("a", Reason::network));
}

TEST_F(CheckerTest, StaleIsAStatusAndAFact) {
  add("a");
  checker_.mark_connected("a", 1, "web-1");
  advance(std::chrono::minutes(26));
  EXPECT_THAT(words(), ElementsAre("a Starting", "a Active", "a Stale", "a is stale"));
  EXPECT_THAT(checker_.all_errors(), ElementsAre(Pair("a", testing::HasSubstr("25m old"))));
}

TEST_F(CheckerTest, UnregisteredIsForgotten) {
  FakeSubject& a = add("a");
  a.manner = FakeSubject::Manner::never;
  checker_.mark_connected("a", 1, "web-1");
  checker_.unregister("a");
  checker_.probe_result("a", a.last_probe, ProbeVerdict());
  advance(std::chrono::minutes(5));
  EXPECT_THAT(words(), ElementsAre("a Starting"));
  EXPECT_EQ(a.pings, 1);
}

TEST_F(CheckerTest, AnswersToTheFormerOfTheSameIdChangeNothing) {
  FakeSubject& former = add("a");
  former.manner = FakeSubject::Manner::never;
  checker_.mark_connected("a", 1, "web-1");
  Ticket const old = former.last_probe;
  FakeSubject& next = add("a");
  next.manner = FakeSubject::Manner::never;
  checker_.mark_connected("a", 1, "web-1");
  checker_.probe_result("a", old, ProbeVerdict());
  EXPECT_THAT(words(), ElementsAre("a Starting", "a Starting"));
  checker_.probe_result("a", next.last_probe, ProbeVerdict());
  EXPECT_THAT(words(), ElementsAre("a Active"));
}

TEST_F(CheckerTest, ASubjectMayUnregisterWhileItIsAsked) {
  FakeSubject& a = add("a");
  add("b");
  checker_.mark_connected("a", 1, "web-1");
  checker_.mark_connected("b", 1, "web-1");
  a.on_ping = [this] {
    checker_.unregister("a");
    checker_.unregister("b");
  };
  advance(seconds(10));
  EXPECT_FALSE(checker_.status("a").has_value());
  EXPECT_FALSE(checker_.status("b").has_value());
}

TEST_F(CheckerTest, SetRefShowsInLaterEvents) {
  add("a");
  events::ForwardRef bound = ref("a");
  bound.local_port = 40'001;
  checker_.set_ref(bound);
  checker_.mark_connected("a", 1, "web-1");
  poll();
  EXPECT_EQ(changes_[1].forward.local_port, 40'001);
}

TEST_F(CheckerTest, ANoteIsShownWithoutAnEvent) {
  add("a");
  checker_.mark_connected("a", 1, "web-1");
  words();
  checker_.note("a", "the pod is not Ready");
  EXPECT_EQ(checker_.status("a")->message, "the pod is not Ready");
  EXPECT_THAT(words(), IsEmpty());
}

TEST_F(CheckerTest, StoppedNothingIsCheckedChangedOrPublished) {
  FakeSubject& a = add("a");
  checker_.mark_connected("a", 1, "web-1");
  words();
  int const pings = a.pings;
  checker_.stop();
  checker_.mark_reconnecting("a", Reason::network, "the program ends");
  add("b");
  now_ += std::chrono::hours(1);
  checker_.tick();
  EXPECT_THAT(words(), IsEmpty());
  EXPECT_EQ(a.pings, pings);
  EXPECT_EQ(checker_.status("a")->status, Status::active);
}

// 200 forwards fall silent at the same time: each is noticed within interval + timeout, for no
// check waits for another's answer.
TEST_F(CheckerTest, ACycleOverSilentForwardsTakesAtMostIntervalPlusTimeout) {
  constexpr int kForwards = 200;
  for (int i = 0; i < kForwards; ++i) {
    add(fmt::format("f{}", i));
    checker_.mark_connected(fmt::format("f{}", i), 1, "web-1");
    advance(milliseconds(7));
  }
  words();
  for (FakeSubject& subject : subjects_) subject.manner = FakeSubject::Manner::never;
  advance(settings_.interval + settings_.timeout + kAnswerSlack + Checker::kTick);
  std::set<std::string> lost;
  words();
  for (auto const& change : changes_) {
    if (change.status == Status::reconnecting) lost.insert(change.forward.id);
  }
  EXPECT_EQ(lost.size(), std::size_t{kForwards});
}

// The same with tunnels that live but a port that does not answer: once more the timeout for the
// second probe, which confirms the first.
TEST_F(CheckerTest, AConfirmedCycleTakesTwiceTheTimeout) {
  constexpr int kForwards = 200;
  settings_.startup_grace = milliseconds(1);
  for (int i = 0; i < kForwards; ++i) {
    add(fmt::format("f{}", i));
    checker_.mark_connected(fmt::format("f{}", i), 1, "web-1");
  }
  advance(seconds(1));
  words();
  for (FakeSubject& subject : subjects_) {
    subject.manner = FakeSubject::Manner::never;
    subject.known.last_life = now_ + std::chrono::hours(1);
  }
  for (int i = 0; i < kForwards; ++i) checker_.doubt(fmt::format("f{}", i));
  advance(2 * (settings_.timeout + kAnswerSlack + Checker::kTick));
  words();
  int bad = 0;
  for (auto const& change : changes_) bad += change.reason == Reason::probe_failed ? 1 : 0;
  EXPECT_EQ(bad, kForwards);
}

TEST_F(CheckerTest, WakeUpsAreGathered) {
  for (int i = 0; i < 500; ++i) {
    add(fmt::format("f{}", i));
    checker_.mark_connected(fmt::format("f{}", i), 1, "web-1");
    now_ += milliseconds(6);
  }
  ticks_ = 0;
  advance(seconds(30));
  EXPECT_LE(ticks_, 30 * 20);
  for (FakeSubject const& subject : subjects_) EXPECT_GE(subject.pings, 10);
}

// With the loop's own clock.
class CheckerLoopTest : public test::LoopFixture {
 protected:
  events::Bus bus_{executor()};
  Checker checker_{executor(), bus_};
};

TEST_F(CheckerLoopTest, RunsTheChecksThatAreDueUntilStopped) {
  config::HealthCheck settings;
  settings.interval = milliseconds(1);
  FakeSubject subject(checker_, "a");
  checker_.register_forward(ref("a"), settings, subject, Status::starting);
  checker_.mark_connected("a", 1, "web-1");
  subject.on_ping = [&] {
    if (subject.pings == 4) checker_.stop();
  };
  run(checker_.run());
  EXPECT_EQ(subject.pings, 4);
}

TEST_F(CheckerLoopTest, WakesUpForAForwardThatIsRegisteredWhileItSleeps) {
  spawn(checker_.run());
  poll();
  config::HealthCheck settings;
  settings.interval = milliseconds(1);
  FakeSubject subject(checker_, "a");
  checker_.register_forward(ref("a"), settings, subject, Status::starting);
  checker_.mark_connected("a", 1, "web-1");
  subject.on_ping = [&] { checker_.stop(); };
  run();
  EXPECT_EQ(subject.pings, 2);
}

TEST_F(CheckerLoopTest, EndsByCancellation) {
  spawn(checker_.run());
  poll();
  cancel_tasks();
  run();
}

}  // namespace
}  // namespace kportal::healthcheck
