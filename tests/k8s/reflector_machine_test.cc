// SPDX-License-Identifier: MIT
#include "k8s/reflector_machine.h"

#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using Step = ReflectorMachine::Step;
using Kind = Step::Kind;

Error const kNetwork(Errc::network, "cut");
Error const kGone(Errc::gone, "too old");
Error const kForbidden(Errc::forbidden, "no");

class ReflectorMachineTest : public testing::Test {
 protected:
  // The wait that next() asks for; zero when there is something to do.
  Duration wait() {
    auto const step = machine_.next(now_);
    return step.kind == Kind::wait ? step.until - now_ : Duration::zero();
  }
  // Takes the time of a wait.
  Step next() {
    auto step = machine_.next(now_);
    if (step.kind != Kind::wait) return step;
    now_ = step.until;
    return machine_.next(now_);
  }
  void list(std::string version) {
    ASSERT_EQ(next().kind, Kind::list);
    ASSERT_TRUE(machine_.page(std::move(version), "", now_));
  }
  void open_watch() {
    ASSERT_EQ(next().kind, Kind::watch);
    ASSERT_TRUE(machine_.watch_opened(now_));
  }

  TimePoint now_{1000h};
  ReflectorMachine machine_{ReflectorOptions()};
};

TEST_F(ReflectorMachineTest, ListsFirstThenWatchesFromThere) {
  auto const first = machine_.next(now_);
  EXPECT_EQ(first.kind, Kind::list);
  EXPECT_EQ(first.continue_token, "");
  EXPECT_TRUE(machine_.page("77", "", now_));
  auto const second = machine_.next(now_);
  EXPECT_EQ(second.kind, Kind::watch);
  EXPECT_EQ(second.resource_version, "77");
  EXPECT_FALSE(second.fresh_connection);
}

TEST_F(ReflectorMachineTest, FollowsPagesToTheLast) {
  next();
  EXPECT_FALSE(machine_.page("5", "second", now_));
  EXPECT_EQ(next().continue_token, "second");
  EXPECT_FALSE(machine_.page("5", "third", now_));
  EXPECT_EQ(next().continue_token, "third");
  EXPECT_TRUE(machine_.page("5", "", now_));
  EXPECT_EQ(next().resource_version, "5");
}

TEST_F(ReflectorMachineTest, HurryEndsTheWaitAfterAFailure) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(next().kind, Kind::list);
    machine_.list_failed(kNetwork, now_);
  }
  EXPECT_GT(wait(), 1s);
  machine_.hurry();
  EXPECT_EQ(wait(), 0s);
  EXPECT_EQ(next().kind, Kind::list);
  machine_.list_failed(kNetwork, now_);
  EXPECT_EQ(wait(), 0s);  // the back-off begins anew
}

TEST_F(ReflectorMachineTest, HurryDisturbsNothingThatWorksAndNoWaitThatTheServerAskedFor) {
  list("5");
  open_watch();
  machine_.hurry();
  machine_.event("6", now_);
  EXPECT_FALSE(machine_.watch_ended(std::nullopt, now_ + 10s));
  now_ += 10s;
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "6");
  Error busy(Errc::server, "busy");
  busy.retry_after = 7s;
  machine_.watch_refused(busy, now_);
  machine_.hurry();
  EXPECT_EQ(wait(), 7s);
}

TEST_F(ReflectorMachineTest, GivesUpAListWithoutEnd) {
  next();
  for (int i = 1; i < ReflectorMachine::kMaxPages; ++i) {
    ASSERT_FALSE(machine_.is_last_page());
    ASSERT_FALSE(machine_.page("5", "more", now_));
    ASSERT_EQ(next().continue_token, "more");
  }
  EXPECT_TRUE(machine_.is_last_page());
  machine_.list_failed(Error(Errc::limit, "the list does not end"), now_);
  EXPECT_EQ(next().continue_token, "");
}

TEST_F(ReflectorMachineTest, ExpiredContinueTokenRestartsTheListAtOnce) {
  next();
  machine_.page("5", "second", now_);
  next();
  machine_.list_failed(kGone, now_);
  EXPECT_EQ(wait(), 0s);
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::list);
  EXPECT_EQ(step.continue_token, "");
}

TEST_F(ReflectorMachineTest, TokensThatAlwaysExpireAreSpacedOut) {
  machine_.list_failed(kGone, now_);
  EXPECT_EQ(wait(), 0s);
  next();
  machine_.list_failed(kGone, now_);
  next();
  machine_.list_failed(kGone, now_);
  EXPECT_GT(wait(), 400ms);
}

TEST_F(ReflectorMachineTest, WatchLengthIsRandomWithinItsBounds) {
  list("1");
  auto shortest = 1000s, longest = 0s;
  for (int i = 0; i < 200; ++i) {
    auto const step = machine_.next(now_);
    ASSERT_EQ(step.kind, Kind::watch);
    shortest = std::min(shortest, step.timeout);
    longest = std::max(longest, step.timeout);
  }
  EXPECT_GE(shortest, 240s);
  EXPECT_LE(longest, 480s);
  EXPECT_GT(longest - shortest, 100s);
}

TEST_F(ReflectorMachineTest, EventsAndBookmarksMoveTheVersion) {
  list("1");
  open_watch();
  machine_.event("8", now_);
  machine_.event("9", now_);
  now_ += 300s;
  EXPECT_FALSE(machine_.watch_ended(std::nullopt, now_));
  EXPECT_EQ(wait(), 0s);
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "9");
}

TEST_F(ReflectorMachineTest, ACutConnectionResumesWithoutAList) {
  list("1");
  open_watch();
  machine_.event("8", now_);
  EXPECT_FALSE(machine_.watch_ended(kNetwork, now_));
  EXPECT_EQ(wait(), 0s);
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "8");
  EXPECT_FALSE(step.fresh_connection);
}

TEST_F(ReflectorMachineTest, WatchesThatEndAtOnceAreSpacedOut) {
  list("1");
  Duration last{};
  for (int i = 0; i < 7; ++i) {
    open_watch();
    machine_.event("2", now_);
    machine_.watch_ended(std::nullopt, now_);
    last = wait();
  }
  EXPECT_GE(last, 9s);
  open_watch();
  now_ += 5s;
  machine_.watch_ended(std::nullopt, now_);
  EXPECT_EQ(wait(), 0s);
}

TEST_F(ReflectorMachineTest, EmptyWatchesThatEndAtOnceLeadToAList) {
  list("1");
  for (int i = 0; i < ReflectorMachine::kMaxWatchFailures; ++i) {
    open_watch();
    machine_.watch_ended(std::nullopt, now_);
  }
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, AVersionTooOldIsListedAtOnceButNotAgainAndAgain) {
  list("1");
  open_watch();
  EXPECT_FALSE(machine_.watch_ended(kGone, now_));
  EXPECT_EQ(wait(), 0s);
  list("2");
  next();
  EXPECT_FALSE(machine_.watch_refused(kGone, now_));
  list("3");
  next();
  machine_.watch_refused(kGone, now_);
  EXPECT_GT(wait(), 400ms);
  // A good watch proves that it was no loop.
  list("4");
  open_watch();
  now_ += 60s;
  machine_.watch_ended(kGone, now_);
  EXPECT_EQ(wait(), 0s);
}

TEST_F(ReflectorMachineTest, FailingListsBackOff) {
  next();
  machine_.list_failed(kNetwork, now_);
  EXPECT_EQ(wait(), 0s);
  next();
  machine_.list_failed(kNetwork, now_);
  EXPECT_GE(wait(), 450ms);
  EXPECT_LE(wait(), 550ms);
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, MissingRightsAreAskedForSlowly) {
  for (auto const code : {Errc::unauthorized, Errc::forbidden, Errc::not_found}) {
    ASSERT_EQ(next().kind, Kind::list);
    machine_.list_failed(Error(code, "no"), now_);
    EXPECT_EQ(wait(), 10s);
  }
}

TEST_F(ReflectorMachineTest, ObeysRetryAfterEvenOnRefresh) {
  next();
  Error busy(Errc::server, "busy");
  busy.retry_after = 7s;
  machine_.list_failed(busy, now_);
  EXPECT_EQ(wait(), 7s);
  machine_.refresh();
  EXPECT_EQ(wait(), 7s);
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, ObeysRetryAfterOfAWatch) {
  list("1");
  next();
  Error busy(Errc::server, "busy");
  busy.retry_after = 3s;
  EXPECT_TRUE(machine_.watch_refused(busy, now_));
  EXPECT_EQ(wait(), 3s);
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "1");
}

TEST_F(ReflectorMachineTest, ARefusedWatchIsTriedFiveTimesBeforeTheList) {
  list("1");
  for (int i = 0; i < ReflectorMachine::kMaxWatchFailures; ++i) {
    ASSERT_EQ(next().kind, Kind::watch);
    EXPECT_TRUE(machine_.watch_refused(Error(Errc::server, "broken"), now_));
  }
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, RefusedCredentialsOfAWatchAreToldAndWaited) {
  list("1");
  next();
  EXPECT_TRUE(machine_.watch_refused(Error(Errc::unauthorized, "no"), now_));
  EXPECT_EQ(wait(), 2s);
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, NonsenseInAWatchLeadsToAList) {
  for (auto const code : {Errc::protocol, Errc::limit}) {
    list("1");
    open_watch();
    EXPECT_TRUE(machine_.watch_ended(Error(code, "nonsense"), now_));
  }
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, AnErrorEventOfTheServerResumesLater) {
  list("1");
  open_watch();
  machine_.event("4", now_);
  EXPECT_TRUE(machine_.watch_ended(Error(Errc::server, "etcd"), now_));
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "4");
}

TEST_F(ReflectorMachineTest, ASilentWatchIsAskedAnewOnAnotherConnection) {
  list("1");
  open_watch();
  EXPECT_EQ(machine_.silent_at(), now_ + 150s);
  now_ += 100s;
  machine_.event("6", now_);
  EXPECT_EQ(machine_.silent_at(), now_ + 150s);
  now_ += 150s;
  EXPECT_FALSE(machine_.watch_ended(Error(Errc::timeout, "silent"), now_));
  auto const step = machine_.next(now_);
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "6");
  EXPECT_TRUE(step.fresh_connection);
  EXPECT_FALSE(machine_.next(now_).fresh_connection);
}

TEST_F(ReflectorMachineTest, WatchesThatStaySilentLeadToAList) {
  list("1");
  for (int i = 0; i < ReflectorMachine::kMaxWatchFailures; ++i) {
    open_watch();
    now_ += 150s;
    machine_.watch_ended(Error(Errc::timeout, "silent"), now_);
  }
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, WhereWatchingIsForbiddenItPolls) {
  list("1");
  next();
  EXPECT_FALSE(machine_.polling());
  EXPECT_FALSE(machine_.watch_refused(kForbidden, now_));
  EXPECT_TRUE(machine_.polling());
  for (int i = 1; i < ReflectorMachine::kPollsPerWatch; ++i) {
    ASSERT_EQ(wait(), 10s);
    list("2");
    ASSERT_TRUE(machine_.polling());
  }
  EXPECT_EQ(wait(), 10s);
  list("3");
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "3");
  EXPECT_TRUE(machine_.watch_opened(now_));
  EXPECT_FALSE(machine_.polling());
}

TEST_F(ReflectorMachineTest, RefreshEndsAWait) {
  next();
  machine_.list_failed(kForbidden, now_);
  machine_.refresh();
  EXPECT_EQ(wait(), 0s);
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, RefreshEndsAWatchWithAList) {
  list("1");
  open_watch();
  machine_.refresh();
  EXPECT_FALSE(machine_.watch_ended(Error(Errc::closed, "by us"), now_));
  EXPECT_EQ(wait(), 0s);
  EXPECT_EQ(next().kind, Kind::list);
}

TEST_F(ReflectorMachineTest, RefreshWhileAWatchOpensIsNotForgotten) {
  list("1");
  ASSERT_EQ(next().kind, Kind::watch);
  machine_.refresh();
  EXPECT_FALSE(machine_.watch_opened(now_));
  EXPECT_EQ(next().kind, Kind::list);
}

// Each of many forwards may ask for it while a list of a hundred pages comes.
TEST_F(ReflectorMachineTest, NoNumberOfRefreshesKeepsALongListFromItsEnd) {
  next();
  EXPECT_FALSE(machine_.page("1", "second", now_));
  for (int i = 0; i < 50; ++i) {
    machine_.refresh();
    auto const step = next();
    EXPECT_EQ(step.kind, Kind::list);
    EXPECT_EQ(step.continue_token, "second");
  }
  machine_.refresh();
  EXPECT_TRUE(machine_.page("1", "", now_));
  // What came since the first page comes by the watch.
  auto const step = next();
  EXPECT_EQ(step.kind, Kind::watch);
  EXPECT_EQ(step.resource_version, "1");
}

TEST_F(ReflectorMachineTest, WithoutAWatchARefreshDuringAListIsFollowedByAnother) {
  list("1");
  next();
  machine_.watch_refused(kForbidden, now_);
  ASSERT_EQ(next().kind, Kind::list);
  machine_.refresh();
  EXPECT_TRUE(machine_.page("2", "", now_));
  EXPECT_EQ(wait(), 0s);
  list("3");
  EXPECT_EQ(wait(), 10s);
}

// A server that starts again forbids everything until it has read its rules.
TEST_F(ReflectorMachineTest, WhatWorkedBeforeIsAskedForSoonAtFirst) {
  for (auto const code : {Errc::forbidden, Errc::not_found}) {
    machine_ = ReflectorMachine(ReflectorOptions());
    list("1");
    next();
    machine_.watch_refused(Error(Errc::gone, "too old"), now_);
    Duration waited{};
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(next().kind, Kind::list);
      machine_.list_failed(Error(code, "no"), now_);
      EXPECT_GE(wait(), 450ms);
      waited += wait();
    }
    EXPECT_LE(waited, 8500ms);
    for (int i = 0; i < 3; ++i) {
      next();
      machine_.list_failed(Error(code, "no"), now_);
      EXPECT_LE(wait(), 10s);
    }
    EXPECT_GE(wait(), 9s);
  }
}

TEST_F(ReflectorMachineTest, AFailedLoginIsNotHurried) {
  list("1");
  next();
  machine_.watch_refused(Error(Errc::auth_plugin, "no"), now_);
  EXPECT_EQ(wait(), 10s);
}

TEST_F(ReflectorMachineTest, AWatchThatWorkedIsNotGivenUpForAFewRefusals) {
  list("1");
  open_watch();
  EXPECT_FALSE(machine_.watch_ended(kNetwork, now_));
  for (int i = 0; i < ReflectorMachine::kMaxForbiddenWatches; ++i) {
    ASSERT_EQ(next().kind, Kind::watch);
    machine_.watch_refused(kForbidden, now_);
    EXPECT_FALSE(machine_.polling());
    list("2");
  }
  ASSERT_EQ(next().kind, Kind::watch);
  machine_.watch_refused(kForbidden, now_);
  EXPECT_TRUE(machine_.polling());
}

TEST_F(ReflectorMachineTest, HurryEndsTheWaitForRightsAndLoginsToo) {
  for (auto const code : {Errc::auth_plugin, Errc::forbidden, Errc::unauthorized}) {
    next();
    machine_.list_failed(Error(code, "no"), now_);
    EXPECT_GT(wait(), 0s);
    machine_.hurry();
    EXPECT_EQ(wait(), 0s);
  }
}

}  // namespace
}  // namespace kportal::k8s
