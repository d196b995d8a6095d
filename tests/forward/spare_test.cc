// SPDX-License-Identifier: MIT
// Tunnels beside the first one: when the machine dials them, who gets one, when they go, and who
// must give way on a shared one.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "tests/forward/machine_fixture.h"

namespace kportal::forward {
namespace {

class SpareTest : public WorkerMachineTest {
 protected:
  explicit SpareTest(std::size_t max_tunnels = 8) { machine_.set_max_tunnels(max_tunnels); }

  // A connection that is placed at once; its tunnel.
  TunnelId placed(ConnectionId id) {
    accept(id);
    return only<PlaceConnection>().tunnel;
  }
  // One that takes the first tunnel, and the dial of the spare that it causes.
  TunnelId busy_and_spare(ConnectionId id) {
    placed(id);
    return only<Dial>().tunnel;
  }
  void move(ConnectionId id) { machine_.moved(id, now_), take(); }
  void left(ConnectionId id, TunnelId tunnel) {
    machine_.connection_ended(id, tunnel, now_, ConnectionEnd(), now_);
    take();
  }
  void full(ConnectionId id, bool is_full = true) {
    machine_.buffer_full(id, is_full, now_);
    take();
  }
  std::size_t up() const { return machine_.pool().all(TunnelInfo::State::up).size(); }
  std::size_t dialing() const { return machine_.pool().all(TunnelInfo::State::dialing).size(); }
  // Lets time pass as a driver does, at each deadline; all that was done on the way.
  Actions pass(Duration by) {
    Actions done;
    for (TimePoint const end = now_ + by; now_ < end;) {
      now_ = std::min(end, std::max(now_, machine_.deadline()));
      machine_.tick(now_);
      for (Action& action : machine_.take_actions()) done.push_back(std::move(action));
    }
    actions_ = done;
    return done;
  }
  void expect_silence() {
    EXPECT_TRUE(all<MarkConnected>().empty());
    EXPECT_TRUE(all<MarkMoved>().empty());
    EXPECT_TRUE(all<MarkDisconnected>().empty());
    EXPECT_TRUE(all<MarkReconnecting>().empty());
    EXPECT_TRUE(all<MarkFailed>().empty());
  }
};

class OneTunnelTest : public SpareTest {
 protected:
  OneTunnelTest() : SpareTest(1) {}
};

TEST_F(SpareTest, AnIdleForwardHasOneTunnel) {
  serving();
  EXPECT_TRUE(all<Dial>().empty());
  pass(10min);
  EXPECT_TRUE(actions_.empty());
}

TEST_F(SpareTest, ABusyConnectionHasASpareDialledSilently) {
  TunnelId const first = serving();
  EXPECT_EQ(placed(1), first);
  TunnelId const spare = only<Dial>().tunnel;
  EXPECT_EQ(only<Dial>().choice.pod, "a");
  dialled(spare);
  expect_silence();
  EXPECT_TRUE(all<Dial>().empty());  // one is enough
  EXPECT_EQ(machine_.pool().primary(), first);
  EXPECT_EQ(placed(2), spare);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(SpareTest, ANewConnectionWaitsForTheOneThatIsDialled) {
  serving();
  TunnelId const spare = busy_and_spare(1);
  accept(2);
  EXPECT_TRUE(all<PlaceConnection>().empty());
  dialled(spare);
  EXPECT_EQ(only<PlaceConnection>().tunnel, spare);
}

TEST_F(SpareTest, AfterAHundredMillisecondsItShares) {
  TunnelId const first = serving();
  busy_and_spare(1);
  accept(2);
  EXPECT_EQ(machine_.deadline(), now_ + 100ms);
  tick(99ms);
  EXPECT_TRUE(all<PlaceConnection>().empty());
  tick(1ms);
  EXPECT_EQ(only<PlaceConnection>().tunnel, first);
}

class NotHoldingSpareTest : public WorkerMachineTest {
 protected:
  NotHoldingSpareTest() : WorkerMachineTest(0s) { machine_.set_max_tunnels(8); }
};

TEST_F(NotHoldingSpareTest, WithoutHoldingItWaitsForASpareAllTheSame) {
  serving();
  accept(1);
  TunnelId const spare = only<Dial>().tunnel;
  accept(2);
  EXPECT_TRUE(actions_.empty());
  dialled(spare);
  EXPECT_EQ(only<PlaceConnection>().tunnel, spare);
}

TEST_F(NotHoldingSpareTest, WhoWaitsForASpareIsResetIfAllTunnelsAreLost) {
  TunnelId const first = serving();
  accept(1);
  accept(2);
  closed(first);
  EXPECT_EQ(only<ResetConnection>().connection, 2u);
}

TEST_F(SpareTest, EachOfThoseThatWaitGetsATunnel) {
  serving();
  std::set<TunnelId> spares{busy_and_spare(1)};
  for (ConnectionId id = 2; id <= 8; ++id) {
    accept(id);
    for (Dial const& dial : all<Dial>()) spares.insert(dial.tunnel);
  }
  EXPECT_EQ(spares.size(), 7u);
  for (TunnelId const spare : spares) {
    dialled(spare);
    EXPECT_EQ(only<PlaceConnection>().tunnel, spare);
  }
  EXPECT_EQ(up(), 8u);
  EXPECT_EQ(dialing(), 0u);
}

TEST_F(SpareTest, BeyondTheNumberTheLeastBusyIsShared) {
  machine_.set_max_tunnels(2);
  TunnelId const first = serving();
  TunnelId const second = busy_and_spare(1);
  dialled(second);
  EXPECT_EQ(placed(2), second);
  EXPECT_TRUE(all<Dial>().empty());
  EXPECT_EQ(placed(3), first);
  EXPECT_EQ(placed(4), second);
  left(1, first);
  left(3, first);
  EXPECT_EQ(placed(5), first);
}

TEST_F(OneTunnelTest, WithOneTunnelAllShareIt) {
  TunnelId const only_one = serving();
  for (ConnectionId id = 1; id < 20; ++id) EXPECT_EQ(placed(id), only_one);
  EXPECT_EQ(dialing(), 0u);
}

TEST_F(SpareTest, AConnectionThatMovesNothingIsNoReasonForATunnelOfOnesOwn) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  pass(1s);
  EXPECT_EQ(placed(2), spare);       // it is emptier,
  EXPECT_TRUE(all<Dial>().empty());  // but the first one is free, too
  EXPECT_EQ(machine_.pool().free(now_), std::vector<TunnelId>{first});
}

TEST_F(SpareTest, AByteMakesAConnectionBusyForFiveSeconds) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  pass(2s);
  move(1);
  pass(4999ms);
  EXPECT_EQ(machine_.pool().free(now_), std::vector<TunnelId>{spare});
  pass(1ms);
  EXPECT_EQ(machine_.pool().free(now_), (std::vector<TunnelId>{first, spare}));
}

TEST_F(SpareTest, AnIdleConnectionThatBeginsToMoveHasASpareDialled) {
  machine_.set_max_tunnels(1);
  serving();
  placed(1);
  pass(2s);
  machine_.set_max_tunnels(2);
  EXPECT_TRUE(all<Dial>().empty());
  move(1);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(SpareTest, ASpareGoesHalfAMinuteAfterTheLastBusyConnection) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  for (int i = 0; i < 60; ++i) {
    move(1);
    pass(1s);
    EXPECT_TRUE(actions_.empty());
  }
  left(1, first);
  pass(29s);
  EXPECT_TRUE(actions_.empty());
  pass(1s);
  EXPECT_EQ(only<CloseTunnel>().tunnel, spare);
  EXPECT_EQ(machine_.deadline(), kNever);
  EXPECT_EQ(up(), 1u);
}

TEST_F(SpareTest, OfSeveralThatAreEmptyOneIsKeptWhileAConnectionIsBusy) {
  TunnelId const first = serving();
  TunnelId const second = busy_and_spare(1);
  dialled(second);
  placed(2);
  TunnelId const third = only<Dial>().tunnel;
  dialled(third);
  left(2, second);
  for (int i = 0; i < 29; ++i) {
    move(1);
    pass(1s);
  }
  EXPECT_TRUE(all<CloseTunnel>().empty());
  move(1);
  pass(1s);
  EXPECT_EQ(only<CloseTunnel>().tunnel, third);
  EXPECT_EQ(up(), 2u);
  left(1, first);
}

TEST_F(SpareTest, AnExtraStaysWhileItHasAConnection) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  placed(2);
  dialled(only<Dial>().tunnel);
  left(1, first);
  pass(10min);
  EXPECT_TRUE(machine_.pool().is_up(spare));
  EXPECT_EQ(up(), 2u);
  left(2, spare);
  pass(30s);
  EXPECT_EQ(only<CloseTunnel>().tunnel, spare);
}

TEST_F(SpareTest, AFailedDialOfASpareIsSilentHoldsUpNobodyAndBacksOff) {
  TunnelId const first = serving();
  TunnelId spare = busy_and_spare(1);
  accept(2);
  dial_failed(spare, Errc::network);
  expect_silence();
  EXPECT_EQ(only<PlaceConnection>().tunnel, first);  // nothing to wait for
  Duration const expected[] = {500ms, 1s, 2s, 4s, 8s, 10s};
  for (Duration const wait : expected) {
    EXPECT_TRUE(all<Dial>().empty());
    TimePoint const failed = now_;
    while (all<Dial>().empty() && now_ < failed + 20s) {
      move(1);
      if (all<Dial>().empty()) pass(50ms);
    }
    EXPECT_GE(now_ - failed, wait * 9 / 10 - 50ms);
    EXPECT_LE(now_ - failed, wait * 11 / 10 + 50ms);
    dial_failed(only<Dial>().tunnel, Errc::network);
    expect_silence();
  }
}

TEST_F(SpareTest, ASpareThatHangsHoldsUpNobody) {
  TunnelId const first = serving();
  busy_and_spare(1);
  for (ConnectionId id = 2; id < 6; ++id) {
    accept(id);
    pass(100ms);
    EXPECT_EQ(only<PlaceConnection>().tunnel, first);
  }
}

TEST_F(SpareTest, AFailedSpareLeavesTheRedialOfALossAtOnce) {
  TunnelId const first = serving();
  dial_failed(busy_and_spare(1), Errc::server);
  pass(600ms);
  dial_failed(only<Dial>().tunnel, Errc::server);
  closed(first);
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(SpareTest, SparesLeaveRoomInTheBudgetForALoss) {
  std::vector<TunnelId> tunnels{serving()};
  std::size_t dials = 1;
  placed(1);
  while (!all<Dial>().empty()) {
    // Spares that the server ends at once, though they lived.
    ++dials;
    TunnelId const spare = only<Dial>().tunnel;
    dialled(spare);
    closed(spare, true);
  }
  EXPECT_EQ(dials, WorkerMachine::kMaxDials - WorkerMachine::kReservedDials);
  EXPECT_NE(machine_.deadline(), kNever);
  closed(tunnels.front());
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(SpareTest, ABurstOfShortConnectionsNeedsNoMoreThanTheNumberOfTunnels) {
  TunnelId const first = serving();
  std::size_t dials = 0;
  std::size_t closes = 0;
  for (ConnectionId id = 1; id < 2000; id += 20) {
    for (ConnectionId each = id; each < id + 20; ++each) {
      accept(each);
      auto const dialled_now = all<Dial>();
      dials += dialled_now.size();
      for (Dial const& dial : dialled_now) dialled(dial.tunnel);
    }
    pass(100ms);
    closes += all<CloseTunnel>().size();
    for (ConnectionId each = id; each < id + 20; ++each) left(each, first);
  }
  EXPECT_EQ(dials, 7u);
  EXPECT_EQ(closes, 0u);
}

TEST_F(SpareTest, AnExtraTakesTheLostOnesPlaceWithoutAWord) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  closed(first);
  EXPECT_EQ(only<MarkMoved>().tunnel, spare);
  EXPECT_TRUE(all<MarkDisconnected>().empty());
  EXPECT_TRUE(all<Dial>().empty());  // its connection goes with it
  ended(1, first, Errc::network, false);
  EXPECT_EQ(placed(2), spare);
}

TEST_F(SpareTest, TheLossOfASpareIsSilent) {
  serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  closed(spare, true);
  expect_silence();
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(SpareTest, TheLossOfAllTunnelsIsOneAndRedialledAtOnce) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);  // it never proved life
  closed(first, true);
  closed(spare, false);
  EXPECT_EQ(only<MarkDisconnected>().pod, "a");
  EXPECT_EQ(only<MarkReconnecting>().delay, 0s);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(SpareTest, ADialOfASpareServesForALossToo) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  closed(first);
  EXPECT_EQ(all<MarkDisconnected>().size(), 1u);
  EXPECT_TRUE(all<Dial>().empty());
  dialled(spare);
  EXPECT_FALSE(only<MarkConnected>().refresh);
}

TEST_F(SpareTest, ADialOfASpareThatFailsAfterALossIsAnAttempt) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  closed(first);
  dial_failed(spare, Errc::network);
  EXPECT_EQ(all<MarkReconnecting>().size(), 1u);
}

TEST_F(SpareTest, ARefreshReplacesAllTunnelsAndCutsNobody) {
  TunnelId const first = serving();
  TunnelId const second = busy_and_spare(1);
  dialled(second);
  placed(2);
  TunnelId const third = only<Dial>().tunnel;
  dialled(third);
  machine_.refresh(now_);
  take();
  TunnelId const next = only<Dial>().tunnel;
  dialled(next);
  EXPECT_TRUE(only<MarkConnected>().refresh);
  EXPECT_EQ(only<MarkConnected>().tunnel, next);
  EXPECT_EQ(only<CloseTunnel>().tunnel, third);  // the others have connections
  EXPECT_EQ(placed(3), next);
  left(1, first);
  EXPECT_EQ(only<CloseTunnel>().tunnel, first);
  left(2, second);
  EXPECT_EQ(only<CloseTunnel>().tunnel, second);
}

TEST_F(SpareTest, AnotherPodReplacesAllTunnels) {
  TunnelId const first = serving("a");
  TunnelId const second = busy_and_spare(1);
  dialled(second);
  resolve(pod("b"));
  TunnelId const next = only<Dial>().tunnel;
  EXPECT_EQ(only<Dial>().choice.pod, "b");
  dialled(next);
  EXPECT_EQ(only<CloseTunnel>().tunnel, second);
  EXPECT_EQ(placed(2), next);
  EXPECT_FALSE(machine_.pool().is_up(first));
}

TEST_F(SpareTest, ASpareToThePodOfBeforeComesTooLate) {
  TunnelId const first = serving("a");
  TunnelId const spare = busy_and_spare(1);
  resolve(pod("b"));
  EXPECT_EQ(only<CloseTunnel>().tunnel, spare);  // the dial is given up
  dialled(only<Dial>().tunnel);
  dialled(spare);
  EXPECT_TRUE(actions_.empty());
  EXPECT_FALSE(machine_.pool().is_up(first));
  EXPECT_EQ(machine_.current_pod(), "b");
}

TEST_F(SpareTest, AGonePodTakesAllItsTunnels) {
  serving("a");
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  auto const leaving = machine_.pool().all(TunnelInfo::State::up);
  machine_.resolved(Error(Errc::no_ready_pod, "none"), leaving, now_);
  take();
  EXPECT_TRUE(all<MarkMoved>().empty());
  EXPECT_EQ(all<MarkDisconnected>().size(), 1u);
  EXPECT_EQ(only<CloseTunnel>().tunnel, spare);
  EXPECT_TRUE(all<Dial>().empty());
  accept(2);
  EXPECT_TRUE(all<PlaceConnection>().empty());
}

TEST_F(SpareTest, AClosedSandboxIsGoneByWhicheverTunnel) {
  TunnelId const first = serving("a");
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  placed(2);
  ended(2, spare, Errc::pod_gone, false);
  EXPECT_EQ(all<MarkDisconnected>().size(), 1u);
  EXPECT_TRUE(all<MarkMoved>().empty());
  EXPECT_FALSE(machine_.pool().is_up(first));
  EXPECT_FALSE(machine_.pool().is_up(spare));
}

TEST_F(SpareTest, ARefusalIsThePodsAndNotTriedAgainOnAnotherTunnel) {
  TunnelId const first = serving("a");
  dialled(busy_and_spare(1));
  ended(1, first, Errc::pod_refused, true);
  EXPECT_EQ(only<ResetConnection>().reason, Reason::refused);
}

TEST_F(SpareTest, ATunnelThatIsBlockedForGoodIsLeftForTheOneBesideIt) {
  TunnelId const first = serving("a");
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  placed(2);
  ConnectionEnd end;
  end.error = Error(Errc::pod_refused, "why");
  end.blocks_tunnel = true;
  machine_.connection_ended(1, first, now_, end, now_);
  take();
  EXPECT_EQ(only<MarkMoved>().tunnel, spare);
  EXPECT_EQ(only<CloseTunnel>().tunnel, first);
  EXPECT_TRUE(all<MarkDisconnected>().empty());
}

TEST_F(SpareTest, ATunnelThatIsBlockedWhileNoPodIsKnownIsLeftOnceOneIs) {
  TunnelId const first = serving("a");
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  placed(2);
  resolve(Error(Errc::no_such_port, "none"));
  ConnectionEnd end;
  end.error = Error(Errc::pod_refused, "why");
  end.blocks_tunnel = true;
  machine_.connection_ended(1, first, now_, end, now_);
  take();
  resolve(pod("a"));
  EXPECT_EQ(only<MarkMoved>().tunnel, spare);
  EXPECT_EQ(only<CloseTunnel>().tunnel, first);
}

TEST_F(SpareTest, AnotherClusterEndsTheDialOfASpare) {
  serving("a");
  TunnelId const spare = busy_and_spare(1);
  machine_.renew(now_);
  take();
  EXPECT_EQ(only<CloseTunnel>().tunnel, spare);
}

// Stalls.

TEST_F(SpareTest, NewConnectionsAvoidAStalledTunnel) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  full(1);
  pass(10min);  // nobody moves a byte
  EXPECT_TRUE(all<EvictConnection>().empty());
  EXPECT_TRUE(all<CloseTunnel>().empty());  // it is kept at hand
  for (ConnectionId id = 2; id < 5; ++id) {
    TunnelId const tunnel = placed(id);
    EXPECT_NE(tunnel, first);
    for (Dial const& dial : all<Dial>()) dialled(dial.tunnel);
  }
  full(1, false);
  EXPECT_EQ(machine_.pool().free(now_).front(), first);
}

TEST_F(SpareTest, AStalledTunnelHasASpareDialled) {
  machine_.set_max_tunnels(1);
  serving();
  placed(1);
  pass(10s);
  machine_.set_max_tunnels(8);
  full(1);
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(OneTunnelTest, OneThatBlocksAnotherForFiveSecondsMustGiveWay) {
  TunnelId const tunnel = serving();
  placed(1);
  placed(2);
  full(1);
  pass(4999ms);
  EXPECT_TRUE(all<EvictConnection>().empty());
  pass(1ms);
  EXPECT_EQ(only<EvictConnection>().connection, 1u);
  EXPECT_EQ(only<EvictConnection>().error.code, Errc::stalled);
  Error const why = only<EvictConnection>().error;
  pass(10s);
  EXPECT_TRUE(actions_.empty());
  ConnectionEnd end;
  end.error = why;
  machine_.connection_ended(1, tunnel, now_, end, now_);
  take();
  EXPECT_EQ(only<ResetConnection>().reason, Reason::stalled);
}

TEST_F(OneTunnelTest, AloneItMayWaitForEver) {
  serving();
  placed(1);
  full(1);
  pass(1h);
  EXPECT_TRUE(all<EvictConnection>().empty());
  placed(2);  // it blocks somebody from now on
  pass(4999ms);
  EXPECT_TRUE(all<EvictConnection>().empty());
  pass(1ms);
  EXPECT_EQ(only<EvictConnection>().connection, 1u);
}

TEST_F(OneTunnelTest, OfTwoThatBlockEachOtherOneGivesWay) {
  TunnelId const tunnel = serving();
  placed(1);
  placed(2);
  full(1);
  full(2);
  pass(5s);
  ConnectionId const gone = only<EvictConnection>().connection;
  left(gone, tunnel);
  pass(1h);
  EXPECT_TRUE(all<EvictConnection>().empty());
}

TEST_F(OneTunnelTest, OneThatReadsOnInTimeStays) {
  serving();
  placed(1);
  placed(2);
  for (int i = 0; i < 10; ++i) {
    full(1);
    pass(4s);
    full(1, false);
    pass(1s);
  }
  EXPECT_TRUE(all<EvictConnection>().empty());
}

TEST_F(SpareTest, ATunnelWhoseWritesAreBlockedIsStalled) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  dialled(spare);
  machine_.writing(first, now_);
  pass(20s);
  EXPECT_NE(machine_.deadline(), kNever);  // to look at it again
  EXPECT_EQ(placed(2), spare);
  EXPECT_EQ(all<Dial>().size(), 1u);
  machine_.writing(first, kNever);
  EXPECT_EQ(machine_.pool().free(now_), std::vector<TunnelId>{first});
}

TEST_F(SpareTest, ProbesGoThroughTheTunnelWithTheLeastToDisturb) {
  TunnelId const first = serving();
  TunnelId const spare = busy_and_spare(1);
  EXPECT_EQ(machine_.next_to_probe(now_), first);  // there is no other
  dialled(spare);
  EXPECT_EQ(machine_.next_to_probe(now_), spare);
  EXPECT_EQ(machine_.next_to_probe(now_), spare);
  placed(2);
  left(1, first);
  EXPECT_EQ(machine_.next_to_probe(now_), first);
  machine_.answer_late(first, now_);
  EXPECT_EQ(machine_.next_to_probe(now_), spare);
}

// Late answers.

TEST_F(OneTunnelTest, ALateAnswerHasASecondTunnelDialledBeside) {
  TunnelId const first = serving();
  machine_.answer_late(first, now_);
  take();
  TunnelId const second = only<Dial>().tunnel;
  expect_silence();
  dialled(second);
  expect_silence();
  EXPECT_TRUE(all<Dial>().empty());
  EXPECT_EQ(placed(1), second);
  closed(first, true);
  EXPECT_EQ(only<MarkMoved>().tunnel, second);
  EXPECT_TRUE(all<MarkDisconnected>().empty());
}

TEST_F(OneTunnelTest, OnceTheLateAnswerCameTheSecondTunnelGoesInTime) {
  TunnelId const first = serving();
  machine_.answer_late(first, now_);
  take();
  TunnelId const second = only<Dial>().tunnel;
  dialled(second);
  pass(1min);
  EXPECT_TRUE(all<CloseTunnel>().empty());
  machine_.answer_came(first, now_);
  take();
  EXPECT_EQ(placed(1), first);
  left(1, first);
  pass(30s);
  EXPECT_EQ(only<CloseTunnel>().tunnel, second);
  expect_silence();
}

TEST_F(OneTunnelTest, WhereAllAnswersAreLateThereIsOneTunnelTooMany) {
  TunnelId const first = serving();
  machine_.answer_late(first, now_);
  take();
  TunnelId const second = only<Dial>().tunnel;
  dialled(second);
  machine_.answer_late(second, now_);
  take();
  EXPECT_TRUE(all<Dial>().empty());
}

TEST_F(OneTunnelTest, TheSecondDialBecomesTheRedialOfACondemnedOne) {
  TunnelId const first = serving();
  machine_.answer_late(first, now_);
  take();
  TunnelId const second = only<Dial>().tunnel;
  closed(first);
  EXPECT_EQ(all<MarkDisconnected>().size(), 1u);
  EXPECT_TRUE(all<Dial>().empty());
  dialled(second);
  EXPECT_EQ(all<MarkConnected>().size(), 1u);
}

// Round-robin.

class SpreadTest : public SpareTest {
 protected:
  SpreadTest() { machine_.set_max_pods(4); }
  void choose(std::vector<std::string> const& names) {
    Result<k8s::Choices> choices = k8s::Choices();
    for (std::string const& name : names) choices->push_back(*pod(name));
    machine_.resolved(std::move(choices), {}, now_);
    take();
  }
};

TEST_F(SpreadTest, TheNumberOfTunnelsIsTheSumOverThePods) {
  machine_.set_max_tunnels(4);
  start();
  choose({"a", "b", "c"});
  for (Dial const& dial : all<Dial>()) dialled(dial.tunnel);
  std::string pods;
  for (ConnectionId id = 1; id <= 3; ++id) pods += machine_.pool().find(placed(id))->pod;
  EXPECT_EQ(pods, "abc");
  TunnelId const spare = only<Dial>().tunnel;
  dialled(spare);
  EXPECT_EQ(placed(4), spare);
  EXPECT_EQ(dialing(), 0u);
}

TEST_F(SpreadTest, SparesLeadToThePodWithTheFewestTunnels) {
  start();
  choose({"a", "b"});
  for (Dial const& dial : all<Dial>()) dialled(dial.tunnel);
  std::multiset<std::string> pods;
  for (ConnectionId id = 1; id <= 8; ++id) {
    accept(id);
    for (Dial const& dial : all<Dial>()) {
      pods.insert(dial.choice.pod);
      dialled(dial.tunnel);
    }
  }
  EXPECT_EQ(pods.count("a"), 3u);
  EXPECT_EQ(pods.count("b"), 3u);
}

TEST_F(SpreadTest, APodThatCannotBeDialledMakesRoomForAnother) {
  machine_.set_max_pods(2);
  start();
  choose({"a", "b", "c"});
  auto const dials = all<Dial>();
  ASSERT_EQ(dials.size(), 2u);
  dialled(dials[0].tunnel);
  dial_failed(dials[1].tunnel, Errc::network);
  EXPECT_EQ(only<Dial>().choice.pod, "c");
  dialled(only<Dial>().tunnel);
  pass(1min);
  EXPECT_TRUE(all<Dial>().empty());
}

TEST_F(SpreadTest, WherePodsInTurnCannotBeDialledEachIsTriedAtItsOwnPace) {
  machine_.set_max_pods(1);
  machine_.set_max_pods(2);
  start();
  choose({"a", "b", "c"});
  std::size_t dials = 0;
  for (int i = 0; i < 2000; ++i) {
    for (Dial const& dial : all<Dial>()) {
      ++dials;
      machine_.dial_failed(dial.tunnel, Error(Errc::network, "no way"), now_);
    }
    take();
    if (all<Dial>().empty()) pass(50ms);
  }
  EXPECT_LT(dials, 60u);  // three pods, of which each is tried every ten seconds in the end
  EXPECT_GT(dials, 20u);
}

}  // namespace
}  // namespace kportal::forward
