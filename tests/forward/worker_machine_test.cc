// SPDX-License-Identifier: MIT
#include "forward/worker_machine.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/forward/machine_fixture.h"

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;
using events::Reason;

class NotHoldingTest : public WorkerMachineTest {
 protected:
  NotHoldingTest() : WorkerMachineTest(0s) {}
};

TEST_F(WorkerMachineTest, DialsThePodOnceItIsKnown) {
  start();
  EXPECT_TRUE(actions_.empty());
  resolve(pod("a"));
  EXPECT_EQ(only<Dial>().choice.pod, "a");
  dialled(only<Dial>().tunnel);
  EXPECT_FALSE(only<MarkConnected>().refresh);
  EXPECT_EQ(machine_.current_pod(), "a");
  EXPECT_EQ(machine_.deadline(), kNever);
}

TEST_F(WorkerMachineTest, PlacesAConnectionAtOnceWhileATunnelIsUp) {
  TunnelId const tunnel = serving();
  accept(1);
  EXPECT_EQ(only<PlaceConnection>().tunnel, tunnel);
}

TEST_F(WorkerMachineTest, HoldsConnectionsUntilATunnelIsUp) {
  start();
  resolve(pod("a"));
  TunnelId const tunnel = only<Dial>().tunnel;
  accept(1);
  accept(2);
  EXPECT_TRUE(actions_.empty());
  dialled(tunnel);
  EXPECT_EQ(all<PlaceConnection>().size(), 2u);
}

TEST_F(WorkerMachineTest, ResetsAHeldConnectionAfterHold) {
  start();
  accept(1);
  EXPECT_EQ(machine_.deadline(), now_ + 10s);
  tick(10s);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::hold_timeout);
}

TEST_F(NotHoldingTest, ResetsAtOnceWithoutATunnelButPlacesWithOne) {
  TunnelId const tunnel = serving();
  accept(1);
  EXPECT_EQ(only<PlaceConnection>().tunnel, tunnel);
  closed(tunnel);
  accept(2);
  EXPECT_EQ(only<ResetConnection>().connection, 2u);
}

TEST_F(WorkerMachineTest, HoldsNoMoreThanItsBound) {
  start();
  for (ConnectionId id = 1; id <= TunnelPool::kMaxHeld; ++id) accept(id);
  EXPECT_TRUE(actions_.empty());
  accept(TunnelPool::kMaxHeld + 1);
  EXPECT_EQ(only<ResetConnection>().connection, TunnelPool::kMaxHeld + 1);
}

TEST_F(WorkerMachineTest, RedialsALostTunnelAtOnce) {
  TunnelId const tunnel = serving();
  closed(tunnel);
  EXPECT_EQ(only<MarkDisconnected>().reason, Reason::network);
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
  EXPECT_EQ(only<Dial>().choice.pod, "a");
}

TEST_F(WorkerMachineTest, WaitsLongerAfterEachFailedDial) {
  TunnelId const first = serving();
  closed(first);
  TunnelId tunnel = only<Dial>().tunnel;
  Duration const expected[] = {500ms, 1s, 2s, 4s, 8s, 10s, 10s};
  for (Duration const wait : expected) {
    dial_failed(tunnel, Errc::network);
    Duration const delay = only<MarkReconnecting>().delay;
    EXPECT_GE(delay, wait * 9 / 10);
    EXPECT_LE(delay, wait * 11 / 10);
    EXPECT_TRUE(all<Dial>().empty());
    EXPECT_EQ(machine_.deadline(), now_ + delay);
    tick(delay);
    tunnel = only<Dial>().tunnel;
  }
}

TEST_F(WorkerMachineTest, ANetworkThatIsBackEndsTheWaitAndResetsTheBackoff) {
  closed(serving());
  for (int i = 0; i < 5; ++i) {
    dial_failed(only<Dial>().tunnel, Errc::network);
    if (i < 4) tick(only<MarkReconnecting>().delay);
  }
  EXPECT_GT(only<MarkReconnecting>().delay, 7s);
  machine_.network_back(now_);
  take();
  dial_failed(only<Dial>().tunnel, Errc::network);
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
}

TEST_F(WorkerMachineTest, ATunnelWithoutProofOfLifeDoesNotResetTheBackoff) {
  TunnelId tunnel = serving();
  closed(tunnel, true);
  tunnel = only<Dial>().tunnel;
  dialled(tunnel);
  closed(tunnel, false);
  EXPECT_GT(only<MarkReconnecting>().delay, 400ms);
}

TEST_F(WorkerMachineTest, ProofOfLifeResetsTheBackoff) {
  serving("a");
  resolve(pod("b"), true);
  EXPECT_EQ(only<MarkReconnecting>().attempt, 1);
  dialled(only<Dial>().tunnel);
  machine_.proved_alive(machine_.pool().primary().value());
  resolve(pod("c"), true);
  EXPECT_EQ(only<MarkReconnecting>().attempt, 1);
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
}

TEST_F(WorkerMachineTest, KeepsToItsBudgetOfDials) {
  TunnelId tunnel = serving();
  int dials = 1;
  for (int i = 0; i < 20; ++i) {
    closed(tunnel, true);
    if (all<Dial>().empty()) break;
    ++dials;
    tunnel = only<Dial>().tunnel;
    dialled(tunnel);
  }
  EXPECT_EQ(dials, 10);
  EXPECT_EQ(machine_.deadline(), now_ + WorkerMachine::kDialWindow);
  tick(WorkerMachine::kDialWindow);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(WorkerMachineTest, LeavesAGonePodAndHoldsUntilAnotherIsReady) {
  TunnelId const tunnel = serving("a");
  accept(1);
  resolve(Error(Errc::no_ready_pod, "none"), true);
  EXPECT_EQ(only<MarkDisconnected>().reason, Reason::pod_gone);
  EXPECT_TRUE(all<CloseTunnel>().empty());  // connection 1 may go on
  accept(2);
  EXPECT_TRUE(actions_.empty());
  resolve(pod("b"));
  TunnelId const next = only<Dial>().tunnel;
  dialled(next);
  EXPECT_EQ(only<PlaceConnection>().connection, 2u);
  EXPECT_EQ(only<PlaceConnection>().tunnel, next);
  machine_.connection_ended(1, tunnel, now_, ConnectionEnd(), now_);
  take();
  EXPECT_EQ(only<CloseTunnel>().tunnel, tunnel);
}

TEST_F(WorkerMachineTest, LeavesAWorkingPodOnlyWhenTheNextTunnelIsUp) {
  TunnelId const tunnel = serving("a");
  resolve(pod("b"));
  TunnelId const next = only<Dial>().tunnel;
  accept(1);
  EXPECT_EQ(only<PlaceConnection>().tunnel, tunnel);
  dialled(next);
  EXPECT_TRUE(only<MarkConnected>().refresh);
  accept(2);
  EXPECT_EQ(only<PlaceConnection>().tunnel, next);
}

TEST_F(WorkerMachineTest, RefreshBringsTheNewTunnelBeforeTheOldOneIsLeft) {
  TunnelId const tunnel = serving();
  machine_.refresh(now_);
  take();
  TunnelId const next = only<Dial>().tunnel;
  EXPECT_TRUE(all<CloseTunnel>().empty());
  dialled(next);
  EXPECT_EQ(only<CloseTunnel>().tunnel, tunnel);
  EXPECT_TRUE(only<MarkConnected>().refresh);
}

TEST_F(WorkerMachineTest, AFailedRefreshLeavesTheForwardAsItIs) {
  serving();
  machine_.refresh(now_);
  take();
  dial_failed(only<Dial>().tunnel, Errc::network);
  EXPECT_TRUE(all<MarkFailed>().empty());
  EXPECT_TRUE(all<MarkReconnecting>().empty());
  accept(1);
  EXPECT_EQ(all<PlaceConnection>().size(), 1u);
}

TEST_F(WorkerMachineTest, GivesUpTheDialToAPodThatIsNoLongerWanted) {
  start();
  resolve(pod("a"));
  TunnelId const first = only<Dial>().tunnel;
  resolve(pod("b"));
  EXPECT_EQ(only<CloseTunnel>().tunnel, first);
  EXPECT_EQ(only<Dial>().choice.pod, "b");
  dialled(first);  // too late
  EXPECT_TRUE(actions_.empty());
}

TEST_F(WorkerMachineTest, ResetsAtOnceUnderAPermanentError) {
  start();
  accept(1);
  resolve(Error(Errc::no_such_port, "service/a has no port 7"));
  EXPECT_EQ(only<ResetConnection>().reason, Reason::no_such_port);
  EXPECT_EQ(only<MarkFailed>().reason, Reason::no_such_port);
  accept(2);
  EXPECT_EQ(only<ResetConnection>().message, "service/a has no port 7");
}

TEST_F(WorkerMachineTest, TellsAnErrorOfTheTargetOnce) {
  start();
  resolve(Error(Errc::not_found, "no pod a"));
  EXPECT_TRUE(only<MarkFailed>().news);
  resolve(Error(Errc::not_found, "still no pod a"));
  EXPECT_FALSE(only<MarkFailed>().news);
  EXPECT_EQ(only<MarkFailed>().message, "still no pod a");
}

TEST_F(WorkerMachineTest, RetriesAPermanentErrorOfADialEachTenSeconds) {
  start();
  resolve(pod("a"));
  dial_failed(only<Dial>().tunnel, Errc::forbidden);
  EXPECT_EQ(machine_.deadline(), now_ + 10s);
}

// As after a restart of the kubelet: first nobody is there, then it has to learn of its pods.
TEST_F(WorkerMachineTest, ANodeThatIsBackAndDoesNotKnowThePodYetIsAskedSoonOnce) {
  machine_ = WorkerMachine(10s, 7, [](Reason) { return false; });
  closed(serving());
  Errc const failures[] = {Errc::server, Errc::server,    Errc::server,    Errc::server,
                           Errc::server, Errc::not_found, Errc::not_found, Errc::not_found,
                           Errc::server, Errc::not_found};
  Duration const expected[] = {500ms, 1s, 2s, 4s, 8s, 500ms, 1s, 2s, 4s, 8s};
  for (std::size_t i = 0; i < std::size(failures); ++i) {
    dial_failed(only<Dial>().tunnel, failures[i]);
    Duration const delay = only<MarkReconnecting>().delay;
    EXPECT_GE(delay, expected[i] * 9 / 10) << i;
    EXPECT_LE(delay, expected[i] * 11 / 10) << i;
    tick(delay);
  }
}

// It was away for so long that its refusals are no longer excused.
TEST_F(WorkerMachineTest, AServerThatIsBackIsAskedForRightsSoonAtFirst) {
  start();
  resolve(pod("a"));
  dial_failed(only<Dial>().tunnel, Errc::network);
  dial_failed(only<Dial>().tunnel, Errc::network);
  machine_.network_back(now_);
  take();
  TimePoint const back = now_;
  TunnelId tunnel = only<Dial>().tunnel;
  Duration const expected[] = {500ms, 500ms, 1s, 2s, 4s, 8s, 10s};
  for (Duration const wait : expected) {
    dial_failed(tunnel, Errc::forbidden);
    Duration const delay = only<MarkReconnecting>().delay;
    EXPECT_GE(delay, wait * 9 / 10);
    EXPECT_LE(delay, wait * 11 / 10);
    tick(delay);
    tunnel = only<Dial>().tunnel;
  }
  // After a while that is what it means.
  now_ = back + WorkerMachine::kWarmUp;
  machine_.hurry(now_);
  dial_failed(tunnel, Errc::forbidden);
  EXPECT_EQ(only<MarkReconnecting>().delay, WorkerMachine::kPermanentRetry);
}

TEST_F(WorkerMachineTest, AServerThatIsBackIsNotAskedToLogInAtOnce) {
  start();
  resolve(pod("a"));
  dial_failed(only<Dial>().tunnel, Errc::network);
  dial_failed(only<Dial>().tunnel, Errc::network);
  machine_.network_back(now_);
  take();
  dial_failed(only<Dial>().tunnel, Errc::unauthorized);
  EXPECT_EQ(only<MarkReconnecting>().delay, WorkerMachine::kLoginRetry);
  tick(2s);
  dial_failed(only<Dial>().tunnel, Errc::auth_plugin);
  EXPECT_EQ(only<MarkReconnecting>().delay, WorkerMachine::kPermanentRetry);
}

TEST_F(WorkerMachineTest, ObeysRetryAfter) {
  start();
  resolve(pod("a"));
  Error busy(Errc::server, "too many requests");
  busy.retry_after = 7s;
  machine_.dial_failed(only<Dial>().tunnel, busy, now_);
  take();
  EXPECT_EQ(machine_.deadline(), now_ + 7s);
}

TEST_F(WorkerMachineTest, AFailureOfOneConnectionLeavesTheTunnelAlone) {
  TunnelId const tunnel = serving();
  accept(1);
  accept(2);
  ended(1, tunnel, Errc::pod_refused, true);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::refused);
  EXPECT_TRUE(all<CloseTunnel>().empty());
  EXPECT_TRUE(all<MarkDisconnected>().empty());
  EXPECT_EQ(machine_.current_pod(), "a");
}

TEST_F(WorkerMachineTest, MovesAConnectionThatAGonePodNeverAccepted) {
  TunnelId const tunnel = serving("a");
  accept(1);
  ended(1, tunnel, Errc::pod_gone, true);
  EXPECT_TRUE(all<ResetConnection>().empty());
  EXPECT_EQ(only<MarkDisconnected>().reason, Reason::pod_gone);
  EXPECT_EQ(all<ResolveAgain>().size(), 1u);
  resolve(pod("b"));
  dialled(only<Dial>().tunnel);
  EXPECT_EQ(only<PlaceConnection>().connection, 1u);
}

TEST_F(WorkerMachineTest, LeavesATunnelWhosePodAProbeFoundGone) {
  TunnelId const tunnel = serving("a");
  machine_.pod_gone(tunnel, Error(Errc::pod_gone, "sandbox closed"), now_);
  take();
  EXPECT_EQ(only<MarkDisconnected>().reason, Reason::pod_gone);
  EXPECT_EQ(all<ResolveAgain>().size(), 1u);
  EXPECT_EQ(only<CloseTunnel>().tunnel, tunnel);
  EXPECT_EQ(all<Dial>().size(), 1u);  // the watch may be late, or the sandbox is a new one
}

TEST_F(WorkerMachineTest, ResetsAConnectionOfAGonePodThatWasAnswered) {
  TunnelId const tunnel = serving("a");
  accept(1);
  ended(1, tunnel, Errc::pod_gone, false);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::pod_gone);
}

TEST_F(WorkerMachineTest, ANewPodEndsTheWait) {
  TunnelId tunnel = serving("a");
  closed(tunnel);
  dial_failed(only<Dial>().tunnel, Errc::network);
  EXPECT_TRUE(all<Dial>().empty());
  resolve(pod("b"));
  EXPECT_EQ(only<Dial>().choice.pod, "b");
}

TEST_F(WorkerMachineTest, APodThatBecomesReadyEndsTheWait) {
  start();
  Result<k8s::Choice> unready = pod("db-0");
  unready->message = "pod db-0 is not Ready";
  resolve(unready);
  dial_failed(only<Dial>().tunnel, Errc::server);
  dial_failed(only<Dial>().tunnel, Errc::server);  // the first retry came at once
  resolve(unready);
  EXPECT_TRUE(all<Dial>().empty());
  resolve(pod("db-0"));
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(WorkerMachineTest, HoldsAgainOnceThePermanentErrorOfTheTargetIsCured) {
  start();
  resolve(Error(Errc::not_found, "no pod a"));
  resolve(pod("a"));
  TunnelId const tunnel = only<Dial>().tunnel;
  accept(1);
  EXPECT_TRUE(actions_.empty());
  dialled(tunnel);
  EXPECT_EQ(all<PlaceConnection>().size(), 1u);
}

TEST_F(WorkerMachineTest, ResetsAtOnceWhileTheSamePodIsForbidden) {
  start();
  resolve(pod("a"));
  dial_failed(only<Dial>().tunnel, Errc::forbidden);
  EXPECT_EQ(only<MarkReconnecting>().attempt, 1);
  EXPECT_EQ(only<MarkReconnecting>().delay, WorkerMachine::kPermanentRetry);
  resolve(pod("a"));
  accept(1);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::forbidden);
}

TEST_F(WorkerMachineTest, AnErrorOfTheTargetLeavesATunnelThatIsUpAlone) {
  TunnelId const tunnel = serving();
  for (int i = 0; i < 5; ++i) {
    resolve(Error(Errc::not_found, "no service a"));
    EXPECT_TRUE(actions_.empty());
  }
  accept(1);
  EXPECT_EQ(only<PlaceConnection>().tunnel, tunnel);
}

TEST_F(WorkerMachineTest, ALossWhileTheTargetIsInErrorSaysTheErrorToo) {
  TunnelId const tunnel = serving();
  resolve(Error(Errc::not_found, "no service a"));
  closed(tunnel);
  EXPECT_EQ(only<MarkDisconnected>().reason, Reason::network);
  EXPECT_EQ(only<MarkFailed>().reason, Reason::not_found);
  EXPECT_TRUE(all<Dial>().empty());
  accept(1);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::not_found);
}

TEST_F(WorkerMachineTest, AnErrorOfTheTargetIsNoAttempt) {
  TunnelId const tunnel = serving();
  for (int i = 0; i < 5; ++i) resolve(Error(Errc::no_ready_pod, "none"));
  resolve(pod("a"));
  EXPECT_TRUE(all<Dial>().empty());
  closed(tunnel);
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
}

TEST_F(WorkerMachineTest, GivesUpTheDialToAPodThatIsNoLongerEligible) {
  start();
  resolve(pod("a"));
  TunnelId const tunnel = only<Dial>().tunnel;
  resolve(Error(Errc::no_ready_pod, "a is not Ready"));
  EXPECT_EQ(only<CloseTunnel>().tunnel, tunnel);
  dialled(tunnel);
  EXPECT_TRUE(actions_.empty());
}

TEST_F(WorkerMachineTest, TheDialInPlaceOfAPodThatIsGoneIsTheFirstAttempt) {
  serving("a");
  resolve(pod("b"), true);
  EXPECT_EQ(only<MarkReconnecting>().attempt, 1);
  dial_failed(only<Dial>().tunnel, Errc::network);
  EXPECT_EQ(only<MarkReconnecting>().attempt, 2);
  EXPECT_GE(only<MarkReconnecting>().delay, 450ms);
}

TEST_F(WorkerMachineTest, ADeletedPodWithAKnownSuccessorIsReplacedAtOnce) {
  serving("a");
  for (char const* const next : {"b", "c", "d"}) {  // none of them ever proves life
    resolve(pod(next), true);
    EXPECT_EQ(only<MarkDisconnected>().reason, Reason::pod_gone);
    EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
    EXPECT_EQ(only<Dial>().choice.pod, next);
    dialled(only<Dial>().tunnel);
  }
}

// Who may no longer see pods takes the name at its word, and the tunnel is one to that name.
TEST_F(WorkerMachineTest, APodThatMayNoLongerBeSeenKeepsItsTunnel) {
  serving("a");
  k8s::Choice unseen = *pod("a");
  unseen.uid.clear();
  resolve(unseen);
  EXPECT_TRUE(all<Dial>().empty());
  unseen.pod = "b";
  resolve(unseen);
  EXPECT_EQ(only<Dial>().choice.pod, "b");
}

TEST_F(WorkerMachineTest, SaysNothingOnceStopped) {
  TunnelId const tunnel = serving("a");
  accept(1);
  accept(2);
  machine_.refresh(now_);
  take();
  TunnelId const next = only<Dial>().tunnel;
  machine_.stop();
  dialled(next);
  EXPECT_TRUE(actions_.empty());
  machine_.pod_gone(tunnel, Error(Errc::pod_gone, "sandbox closed"), now_);
  take();
  EXPECT_TRUE(actions_.empty());
  resolve(pod("b"), true);
  EXPECT_TRUE(actions_.empty());
  ended(1, tunnel, Errc::pod_gone, true);
  EXPECT_EQ(only<ResetConnection>().connection, 1u);  // nobody would place it any more
  closed(tunnel);
  EXPECT_TRUE(actions_.empty());
}

TEST_F(WorkerMachineTest, StoppingResetsWhatIsHeldAndDialsNoMore) {
  TunnelId const tunnel = serving();
  closed(tunnel);
  accept(1);
  machine_.stop();
  take();
  EXPECT_EQ(all<ResetConnection>().size(), 1u);
  tick(1min);
  EXPECT_TRUE(all<Dial>().empty());
}

// A machine that keeps tunnels to as many as four pods.
TEST_F(WorkerMachineTest, ADialThatFailsIsFollowedByOneToAnotherPodThatIsReady) {
  start();
  k8s::Choices const both{*pod("a"), *pod("b")};
  machine_.resolved(both, {}, now_), take();
  EXPECT_EQ(only<Dial>().choice.pod, "a");
  dial_failed(only<Dial>().tunnel, Errc::server);
  EXPECT_EQ(only<Dial>().choice.pod, "b");
  // The cluster's word that nothing changed changes nothing.
  TunnelId const second = only<Dial>().tunnel;
  machine_.resolved(both, {}, now_), take();
  EXPECT_TRUE(actions_.empty());
  dial_failed(second, Errc::server);
  tick(550ms);
  EXPECT_EQ(only<Dial>().choice.pod, "a");
}

TEST_F(WorkerMachineTest, ATunnelThatDiedSilentlyIsFollowedByOneToAnotherPod) {
  TunnelId const first = serving("a");
  k8s::Choices const both{*pod("a"), *pod("b")};
  machine_.resolved(both, {}, now_), take();
  EXPECT_TRUE(all<Dial>().empty());
  machine_.tunnel_closed(first, Error(Errc::ping_timeout, "silent"), true, now_), take();
  EXPECT_EQ(only<Dial>().choice.pod, "b");
}

TEST_F(WorkerMachineTest, ATunnelThatWasCutIsFollowedByOneToTheSamePod) {
  TunnelId const first = serving("a");
  k8s::Choices const both{*pod("a"), *pod("b")};
  machine_.resolved(both, {}, now_), take();
  closed(first);
  EXPECT_EQ(only<Dial>().choice.pod, "a");
}

TEST_F(WorkerMachineTest, WhatAPodRefusesThatIsAboutToBeLeftWaitsForTheNextOne) {
  TunnelId const first = serving("a");
  accept(1);
  resolve(pod("b"));
  TunnelId const second = only<Dial>().tunnel;
  ended(1, first, Errc::pod_refused, true);
  EXPECT_TRUE(all<ResetConnection>().empty());
  EXPECT_TRUE(all<PlaceConnection>().empty());
  accept(2);
  EXPECT_TRUE(all<PlaceConnection>().empty());
  dialled(second);
  EXPECT_EQ(all<PlaceConnection>().size(), 2u);
}

TEST_F(WorkerMachineTest, TheBudgetOfDialsHasRoomForANewPod) {
  TunnelId tunnel = serving("a");
  for (std::size_t i = 1; i < WorkerMachine::kMaxDials; ++i) {
    closed(tunnel);
    tunnel = only<Dial>().tunnel;
    dialled(tunnel);
  }
  closed(tunnel);
  EXPECT_TRUE(all<Dial>().empty());
  for (std::string const name : {"b", "c", "d"}) {
    resolve(pod(name));
    EXPECT_EQ(only<Dial>().choice.pod, name);
    dialled(only<Dial>().tunnel);
  }
}

// Of one pod that comes and goes a new dial is wanted each time: the budget bounds them.
TEST_F(WorkerMachineTest, AFlappingListOfPodsDoesNotVoidTheBudget) {
  serving("a");
  std::size_t dials = 1;
  for (int i = 0; i < 50; ++i) {
    now_ += 10ms;
    resolve(Error(Errc::no_ready_pod, "none"), machine_.pool().primary().has_value());
    resolve(pod("a"));
    for (Dial const& dial : all<Dial>()) {
      ++dials;
      dialled(dial.tunnel);
    }
  }
  EXPECT_EQ(dials, WorkerMachine::kMaxDials);
}

TEST_F(WorkerMachineTest, PodsInTurnDoNotVoidTheBudget) {
  serving("a");
  std::size_t dials = 1;
  for (int i = 1; i < 50; ++i) {
    now_ += 10ms;
    resolve(pod(i % 2 == 0 ? "a" : "b"));
    for (Dial const& dial : all<Dial>()) {
      ++dials;
      dialled(dial.tunnel);
    }
  }
  EXPECT_EQ(dials, WorkerMachine::kMaxDials + 1);  // "b" was new once
}

TEST_F(WorkerMachineTest, PodsThatAreRenamedAllTheTimeAreBounded) {
  serving("a");
  std::size_t dials = 1;
  for (int i = 0; i < 100; ++i) {
    now_ += 10ms;
    resolve(pod("a" + std::to_string(i)));
    for (Dial const& dial : all<Dial>()) {
      ++dials;
      dialled(dial.tunnel);
    }
  }
  EXPECT_EQ(dials, 2 * WorkerMachine::kMaxDials);
  tick(WorkerMachine::kDialWindow);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(WorkerMachineTest, AHeldClientThatLeavesMakesRoomAndIsForgotten) {
  start();
  resolve(pod("a"));
  TunnelId const id = only<Dial>().tunnel;
  for (ConnectionId i = 1; i <= TunnelPool::kMaxHeld; ++i) accept(i);
  machine_.client_left(1, now_), take();
  EXPECT_TRUE(actions_.empty());
  accept(5000);
  EXPECT_TRUE(actions_.empty());
  dialled(id);
  auto const placed = all<PlaceConnection>();
  ASSERT_EQ(placed.size(), TunnelPool::kMaxHeld);
  EXPECT_EQ(placed.front().connection, 2u);
  EXPECT_EQ(placed.back().connection, 5000u);
}

TEST_F(WorkerMachineTest, ATunnelThatAConnectionBlocksIsReplacedButNotAgainAtOnce) {
  TunnelId const first = serving("a");
  auto const block = [&](ConnectionId connection, TunnelId tunnel) {
    accept(connection);
    ConnectionEnd end;
    end.error = Error(Errc::pod_refused, "refused");
    end.blocks_tunnel = true;
    machine_.connection_ended(connection, tunnel, now_, end, now_);
    take();
    EXPECT_EQ(only<ResetConnection>().reason, Reason::refused);
  };
  block(1, first);
  TunnelId const second = only<Dial>().tunnel;
  EXPECT_TRUE(all<CloseTunnel>().empty());
  dialled(second);
  EXPECT_TRUE(only<MarkConnected>().refresh);
  EXPECT_EQ(only<CloseTunnel>().tunnel, first);
  block(2, second);
  EXPECT_TRUE(all<Dial>().empty());
  tick(WorkerMachine::kReplacePause);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

class RoundRobinMachineTest : public WorkerMachineTest {
 protected:
  RoundRobinMachineTest() { machine_.set_max_pods(4); }

  void choose(std::vector<std::string> const& names, std::vector<TunnelId> const& gone = {}) {
    Result<k8s::Choices> choices = k8s::Choices();
    for (std::string const& name : names) choices->push_back(*pod(name));
    machine_.resolved(std::move(choices), gone, now_);
    take();
  }
  // With a tunnel up to each; in their order.
  std::vector<TunnelId> serving_all(std::vector<std::string> const& names) {
    start();
    choose(names);
    std::vector<TunnelId> ids;
    for (Dial const& dial : all<Dial>()) ids.push_back(dial.tunnel);
    EXPECT_EQ(ids.size(), names.size());
    for (TunnelId const id : ids) dialled(id);
    return ids;
  }
  // The pods that the next `n` connections go to, with what they wait for a tunnel on its way.
  std::string next(int n) {
    std::string pods;
    for (int i = 0; i < n; ++i) {
      accept(++last_connection_);
      if (all<PlaceConnection>().empty()) tick(TunnelPool::kMaxWait);
      auto const placed = all<PlaceConnection>();
      if (placed.empty()) return pods + "-";
      pods += machine_.pool().find(placed.front().tunnel)->pod;
    }
    return pods;
  }

  ConnectionId last_connection_ = 100;
};

TEST_F(RoundRobinMachineTest, DialsAllPodsAtOnceAndTakesThemInTurn) {
  serving_all({"a", "b", "c"});
  EXPECT_EQ(next(7), "abcabca");
}

TEST_F(RoundRobinMachineTest, OnlyTheFirstTunnelUpIsToldAndItTakesConnectionsAlone) {
  start();
  choose({"a", "b"});
  auto const dials = all<Dial>();
  dialled(dials[1].tunnel);
  EXPECT_EQ(only<MarkConnected>().tunnel, dials[1].tunnel);
  EXPECT_FALSE(only<MarkConnected>().refresh);
  EXPECT_EQ(next(2), "bb");
  dialled(dials[0].tunnel);
  EXPECT_TRUE(all<MarkConnected>().empty());
  EXPECT_EQ(next(2), "ab");
}

TEST_F(RoundRobinMachineTest, DistributesWhatWasHeld) {
  start();
  accept(1);
  accept(2);
  choose({"a", "b"});
  auto const dials = all<Dial>();
  for (Dial const& dial : dials) {
    dialled(dial.tunnel);
    EXPECT_EQ(only<PlaceConnection>().tunnel, dial.tunnel);
  }
}

TEST_F(RoundRobinMachineTest, KeepsToItsNumberOfPodsAndNoNewPodPushesOneOut) {
  serving_all({"a", "b", "c", "d"});
  choose({"new", "a", "b", "c", "d"});
  EXPECT_TRUE(all<Dial>().empty());
  EXPECT_EQ(next(4), "abcd");
  choose({"new", "a", "c", "d"});
  EXPECT_EQ(only<Dial>().choice.pod, "new");
}

TEST_F(RoundRobinMachineTest, AnUnreadyPodIsLeftAtOnceAndItsConnectionsGoOn) {
  auto const ids = serving_all({"a", "b", "c"});
  EXPECT_EQ(next(3), "abc");
  choose({"a", "c"});
  EXPECT_TRUE(all<CloseTunnel>().empty());
  EXPECT_EQ(next(4), "acac");
  machine_.connection_ended(102, ids[1], now_, ConnectionEnd(), now_);
  take();
  EXPECT_EQ(only<CloseTunnel>().tunnel, ids[1]);
}

TEST_F(RoundRobinMachineTest, APodThatIsNotWantedStaysUntilAnotherIsUp) {
  auto const ids = serving_all({"a"});
  choose({"b"});
  EXPECT_EQ(next(2), "aa");
  dialled(ids[0] + 1);
  EXPECT_TRUE(only<MarkConnected>().refresh);
  EXPECT_EQ(next(2), "bb");
}

TEST_F(RoundRobinMachineTest, ANewPodJoins) {
  serving_all({"a", "b"});
  choose({"c", "a", "b"});
  dialled(only<Dial>().tunnel);
  EXPECT_TRUE(all<MarkConnected>().empty());
  EXPECT_EQ(next(3), "abc");
}

TEST_F(RoundRobinMachineTest, OnlyTheLossOfTheLastTunnelIsOne) {
  auto const ids = serving_all({"a", "b"});
  closed(ids[0]);
  EXPECT_TRUE(all<MarkDisconnected>().empty());
  EXPECT_EQ(only<MarkMoved>().tunnel, ids[1]);
  EXPECT_EQ(only<Dial>().choice.pod, "a");
  EXPECT_EQ(next(2), "bb");
  closed(ids[1]);
  EXPECT_EQ(only<MarkDisconnected>().pod, "b");
  EXPECT_EQ(next(1), "-");
}

TEST_F(RoundRobinMachineTest, AGonePodIsLeftSilentlyWhileOthersServe) {
  auto const ids = serving_all({"a", "b"});
  choose({"b"}, {ids[0]});
  EXPECT_TRUE(all<MarkDisconnected>().empty());
  EXPECT_EQ(only<MarkMoved>().tunnel, ids[1]);
  EXPECT_EQ(only<CloseTunnel>().tunnel, ids[0]);
  EXPECT_EQ(next(2), "bb");
}

TEST_F(RoundRobinMachineTest, WhereAllPodsGoTogetherTheForwardMovesToNone) {
  auto const ids = serving_all({"a", "b"});
  machine_.resolved(Error(Errc::no_ready_pod, "none"), ids, now_);
  take();
  EXPECT_TRUE(all<MarkMoved>().empty());
  EXPECT_EQ(only<MarkDisconnected>().pod, "a");
  EXPECT_EQ(only<MarkFailed>().reason, Reason::no_ready_pod);
}

TEST_F(RoundRobinMachineTest, AnotherNumberOfPodsCountsFromTheNextLookAtTheCluster) {
  serving_all({"a", "b", "c"});
  machine_.set_max_pods(1);
  EXPECT_EQ(next(3), "abc");
  tick(1s);
  EXPECT_TRUE(all<Dial>().empty());
  choose({"a", "b", "c"});
  dialled(only<Dial>().tunnel);
  EXPECT_EQ(next(2), "aa");
}

TEST_F(RoundRobinMachineTest, APodThatCannotBeDialledStopsNobodyAndHasItsOwnPace) {
  start();
  choose({"a", "b"});
  auto const dials = all<Dial>();
  dial_failed(dials[0].tunnel, Errc::network);  // `b` may come yet
  EXPECT_TRUE(all<MarkFailed>().empty());
  TunnelId const again = only<Dial>().tunnel;
  dialled(dials[1].tunnel);
  dial_failed(again, Errc::network);
  EXPECT_TRUE(all<MarkFailed>().empty());
  EXPECT_TRUE(all<Dial>().empty());
  EXPECT_EQ(next(2), "bb");
  closed(dials[1].tunnel);
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
  EXPECT_EQ(only<Dial>().choice.pod, "b");
}

TEST_F(RoundRobinMachineTest, SaysSoWhenNoPodCanBeDialled) {
  start();
  choose({"a", "b"});
  auto const dials = all<Dial>();
  dial_failed(dials[0].tunnel, Errc::network);
  EXPECT_TRUE(all<MarkFailed>().empty());
  dial_failed(dials[1].tunnel, Errc::network);
  EXPECT_EQ(only<MarkFailed>().reason, Reason::network);
}

TEST_F(RoundRobinMachineTest, ARefusedConnectionGoesToAnotherPodAndThePodIsPassedOver) {
  auto const ids = serving_all({"a", "b", "c"});
  accept(1);
  ended(1, ids[0], Errc::pod_refused, true);
  EXPECT_EQ(only<PlaceConnection>().tunnel, ids[1]);
  EXPECT_TRUE(all<ResetConnection>().empty());
  EXPECT_EQ(next(4), "cbcb");
  now_ += WorkerMachine::kShun;
  EXPECT_EQ(next(3), "cab");
}

TEST_F(RoundRobinMachineTest, WhatAllPodsRefuseIsReset) {
  auto const ids = serving_all({"a", "b"});
  accept(1);
  ended(1, ids[0], Errc::pod_refused, true);
  ended(1, ids[1], Errc::pod_refused, true);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::refused);
  EXPECT_EQ(next(2), "ab");  // none is good: all have their turn
}

TEST_F(RoundRobinMachineTest, WhatAPodMayHaveSeenIsNotMoved) {
  auto const ids = serving_all({"a", "b"});
  accept(1);
  ended(1, ids[0], Errc::pod_refused, false);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::refused);
}

TEST_F(RoundRobinMachineTest, AProbeThatFailsLeavesThePodOutUntilOneSucceeds) {
  auto const ids = serving_all({"a", "b"});
  EXPECT_EQ(machine_.next_to_probe(now_), ids[0]);
  machine_.probed(ids[0], false, now_);
  EXPECT_EQ(next(2), "bb");
  EXPECT_EQ(machine_.next_to_probe(now_), ids[1]);
  EXPECT_EQ(machine_.next_to_probe(now_), ids[1]);
  machine_.probed(ids[0], true, now_);
  EXPECT_EQ(next(2), "ab");
}

TEST_F(RoundRobinMachineTest, ARefreshReplacesEachTunnelAndIsToldOnce) {
  auto const ids = serving_all({"a", "b"});
  machine_.refresh(now_);
  take();
  auto const dials = all<Dial>();
  ASSERT_EQ(dials.size(), 2u);
  EXPECT_EQ(next(2), "ab");
  dialled(dials[0].tunnel);
  EXPECT_TRUE(only<MarkConnected>().refresh);
  dialled(dials[1].tunnel);
  EXPECT_TRUE(all<MarkConnected>().empty());
  EXPECT_EQ(next(2), "ab");
  EXPECT_FALSE(machine_.pool().is_up(ids[0]) || machine_.pool().is_up(ids[1]));
  EXPECT_TRUE(all<Dial>().empty());
}

TEST_F(RoundRobinMachineTest, TheBudgetOfDialsIsForEachPod) {
  auto const ids = serving_all({"a", "b"});
  TunnelId tunnel = ids[0];
  int dials = 2;
  for (int i = 0; i < 40; ++i) {
    closed(tunnel, true);
    if (all<Dial>().empty()) break;
    ++dials;
    tunnel = only<Dial>().tunnel;
    dialled(tunnel);
  }
  EXPECT_EQ(dials, 20);
}

TEST_F(RoundRobinMachineTest, AnotherClusterReplacesAllTunnels) {
  serving_all({"a", "b"});
  machine_.renew(now_);
  choose({"a", "b"});
  EXPECT_EQ(all<Dial>().size(), 2u);
  EXPECT_EQ(next(2), "ab");
}

}  // namespace
}  // namespace kportal::forward
