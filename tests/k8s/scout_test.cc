// SPDX-License-Identifier: MIT
#include "k8s/scout.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/support/loop_fixture.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;

class ScoutTest : public test::LoopFixture, public Scout::Owner {
 public:
  // Answers by `answers` in turn; where there is none it hangs until the deadline.
  awaitable<std::optional<Error>> knock(TimePoint deadline) override {
    struct Count {
      explicit Count(std::size_t& c) : count(c) { ++count; }
      ~Count() { --count; }
      std::size_t& count;
    } const in_flight(in_flight_);
    most_ = std::max(most_, in_flight_);
    knocks_.push_back(Clock::now());
    if (answers_.empty()) {
      co_await sleep_until(deadline);
      co_return Error(Errc::timeout, "no answer");
    }
    auto const answer = answers_.front();
    answers_.erase(answers_.begin());
    co_return answer;
  }
  TimePoint last_heard() const override { return last_heard_; }
  void network_is_back() override { ++back_; }

  awaitable<void> wait(std::vector<std::string>& log) {
    auto const unreached = co_await scout_.alive();
    log.push_back(unreached ? unreached->text : "alive");
  }
  awaitable<void> hang(bool patient, std::vector<std::string>& log) {
    Scout::Attempt attempt(scout_, patient);
    co_await attempt.given_up();
    log.push_back("given up");
  }
  awaitable<void> stop_when(std::function<bool()> condition) {
    while (!condition()) co_await sleep_until(Clock::now() + 5ms);
    co_await scout_.stop();
    cancel_tasks();
  }

  std::vector<std::optional<Error>> answers_;
  std::vector<TimePoint> knocks_;
  std::size_t in_flight_ = 0;
  std::size_t most_ = 0;
  int back_ = 0;
  TimePoint last_heard_{};
  Scout scout_{executor(), *this};
};

TEST_F(ScoutTest, NobodyWaitsWhileTheClusterLives) {
  std::vector<std::string> log;
  run(wait(log));
  EXPECT_EQ(log, std::vector<std::string>{"alive"});
  EXPECT_TRUE(knocks_.empty());
}

TEST_F(ScoutTest, WhatAnotherTunnelHeardIsLife) {
  TimePoint const asked = Clock::now();
  last_heard_ = asked + 1ms;
  scout_.doubt(asked);
  EXPECT_FALSE(scout_.dark());
}

TEST_F(ScoutTest, AllThatWaitHearOfTheFirstAnswer) {
  answers_ = {std::nullopt};
  scout_.doubt(Clock::now());
  EXPECT_TRUE(scout_.dark());
  std::vector<std::string> log;
  for (int i = 0; i < 3; ++i) spawn(wait(log));
  run();
  EXPECT_EQ(log, std::vector<std::string>(3, "alive"));
  EXPECT_EQ(knocks_.size(), 1u);
  EXPECT_EQ(back_, 0) << "it was only a question that failed";
}

TEST_F(ScoutTest, AllThatWaitHearWhyThereIsNoAnswer) {
  Error const refused(Errc::network, "refused");
  answers_ = {refused, refused, std::nullopt};
  scout_.doubt(Clock::now());
  std::vector<std::string> log;
  for (int i = 0; i < 2; ++i) spawn(wait(log));
  run();
  EXPECT_EQ(log, std::vector<std::string>(2, "refused"));
  EXPECT_FALSE(scout_.dark());
  ASSERT_EQ(knocks_.size(), 3u);
  EXPECT_GE(knocks_[1] - knocks_[0], ScoutMachine::kMinPause);
  EXPECT_LT(knocks_[2] - knocks_[0], 2 * ScoutMachine::kBeat) << "it cost nothing to ask";
  EXPECT_EQ(back_, 1);
}

TEST_F(ScoutTest, AtMostThreeKnocksHang) {
  scout_.doubt(Clock::now());
  run(stop_when([this] { return knocks_.size() == 5; }));
  EXPECT_EQ(most_, 3u);
  EXPECT_EQ(in_flight_, 0u);
}

TEST_F(ScoutTest, ADialThatHearsNothingIsADoubtAndIsGivenUp) {
  std::vector<std::string> log;
  spawn(hang(false, log));
  spawn(hang(true, log));
  TimePoint const began = Clock::now();
  run(stop_when([&] { return !log.empty() && !knocks_.empty(); }));
  EXPECT_EQ(log, std::vector<std::string>{"given up"});  // the patient one goes on
  EXPECT_GE(Clock::now() - began, ScoutMachine::kBeat);
}

TEST_F(ScoutTest, ADialThatFailsWithoutAWordIsADoubt) {
  for (Errc const code : {Errc::tls, Errc::server, Errc::forbidden, Errc::local}) {
    Scout::Attempt(scout_, false).failed(Error(code, "answered"));
    EXPECT_FALSE(scout_.dark());
  }
  {
    Scout::Attempt attempt(scout_, false);
    attempt.heard();
    attempt.failed(Error(Errc::network, "reset"));
    EXPECT_FALSE(scout_.dark());
  }
  Scout::Attempt(scout_, false).failed(Error(Errc::network, "refused"));
  EXPECT_TRUE(scout_.dark());
  run(scout_.stop());
}

TEST_F(ScoutTest, WhatHangsWhenTheNetworkIsBackBeginsAnew) {
  std::vector<std::string> log;
  spawn(hang(false, log));
  poll();
  scout_.doubt(Clock::now());
  struct Heal {
    ScoutTest& test;
    awaitable<void> run() {
      co_await sleep_until(Clock::now() + ScoutMachine::kBlink);
      test.scout_.heard(Clock::now());
    }
  } heal{*this};
  spawn(heal.run());
  TimePoint const began = Clock::now();
  run();
  EXPECT_EQ(log, std::vector<std::string>{"given up"});
  EXPECT_LT(Clock::now() - began, ScoutMachine::kBeat);  // by itself it would have waited longer
  EXPECT_EQ(back_, 1);
}

// By the old way a patient one would wait for all of its time.
TEST_F(ScoutTest, WhatHangsOnANetworkThatIsNoMoreBeginsAnew) {
  std::vector<std::string> log;
  spawn(hang(true, log));
  poll();
  scout_.network_changed();
  run();
  EXPECT_EQ(log, std::vector<std::string>{"given up"});
}

TEST_F(ScoutTest, ANewNetworkIsAskedAtOnce) {
  scout_.doubt(Clock::now());
  struct Change {
    ScoutTest& test;
    awaitable<void> run() {
      while (test.knocks_.empty()) co_await sleep_until(Clock::now() + 1ms);
      test.answers_ = {std::nullopt};
      test.scout_.network_changed();
    }
  } change{*this};
  run(change.run());
  EXPECT_FALSE(scout_.dark());
  ASSERT_EQ(knocks_.size(), 2u);
  EXPECT_LT(knocks_[1] - knocks_[0], ScoutMachine::kBeat);
}

}  // namespace
}  // namespace kportal::k8s
