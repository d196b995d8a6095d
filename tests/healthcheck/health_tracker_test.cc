// SPDX-License-Identifier: MIT
#include "healthcheck/health_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/healthcheck/scenario.h"

namespace kportal::healthcheck {
namespace {

using Port = Scenario::Port;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

config::HealthCheck defaults() {
  return {};
}

config::HealthCheck with_method(config::ProbeMethod method) {
  config::HealthCheck settings;
  settings.method = method;
  return settings;
}

// Connected, Active for `span`, nothing recorded.
Scenario active_for(Duration span, config::HealthCheck settings = {}) {
  Scenario s(settings);
  s.connect();
  s.advance(span);
  EXPECT_EQ(s.status(), Status::active);
  s.events();
  s.probes();
  s.pings();
  return s;
}

// The first status and rest

TEST(HealthTrackerTest, FirstStatusIsAnEventWithoutAnOldOne) {
  EXPECT_THAT(Scenario(defaults()).events(), ElementsAre("-> Starting"));
  EXPECT_THAT(Scenario(defaults(), Status::idle).events(), ElementsAre("-> Idle"));
  EXPECT_THAT(Scenario(defaults(), Status::disabled).events(), ElementsAre("-> Disabled"));
}

TEST(HealthTrackerTest, IdleAndDisabledWaitForNothing) {
  for (Status const initial : {Status::idle, Status::disabled}) {
    Scenario s(defaults(), initial);
    EXPECT_EQ(s.tracker().deadline(), kNever);
    s.advance(hours(24));
    s.lose();
    s.fail(Reason::network);
    EXPECT_EQ(s.status(), initial);
    EXPECT_THAT(s.pings(), IsEmpty());
  }
}

TEST(HealthTrackerTest, IdleEndsTheChecks) {
  Scenario s = active_for(seconds(5));
  s.idle();
  EXPECT_THAT(s.events(), ElementsAre("Active -> Idle"));
  s.advance(hours(1));
  EXPECT_THAT(s.pings(), IsEmpty());
  EXPECT_THAT(s.probes(), IsEmpty());
  s.start();
  s.connect();
  s.advance(seconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Idle -> Starting", "Starting -> Active"));
}

TEST(HealthTrackerTest, ATakenPortIsToldOfAnIdleForwardToo) {
  Scenario s(defaults(), Status::idle);
  s.fail(Reason::port_in_use, "port 8080 is taken by nginx (pid 12)");
  EXPECT_EQ(s.status(), Status::error);
  s.idle();
  EXPECT_THAT(s.events(), ElementsAre("-> Idle", "Idle -> Error port-in-use", "Error -> Idle"));
}

// Active

TEST(HealthTrackerTest, ATunnelAloneIsNotActive) {
  Scenario s;
  s.port = Port::is_silent;
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::starting);
  s.answer_probe(s.last_probe(), ProbeVerdict());
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Active"));
}

TEST(HealthTrackerTest, ChecksAtOnceWhenConnected) {
  Scenario s;
  s.advance(milliseconds(1234));
  s.connect();
  EXPECT_THAT(s.probes(), ElementsAre(milliseconds(1234)));
  EXPECT_THAT(s.pings(), ElementsAre(milliseconds(1234)));
  EXPECT_EQ(s.last_change().pod, "");
  s.advance(Scenario::kAnswerTime);
  EXPECT_EQ(s.status(), Status::active);
  EXPECT_EQ(s.last_change().pod, "web-1");
  EXPECT_EQ(s.last_change().reason, Reason::none);
}

TEST(HealthTrackerTest, AByteFromThePodMakesActiveAtOnce) {
  Scenario s;
  s.port = Port::is_silent;
  s.connect();
  s.advance(milliseconds(100));
  s.activity();
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Active"));
}

TEST(HealthTrackerTest, AByteFromThePodIsSeenAtTheNextCheck) {
  Scenario s;
  s.port = Port::refuses;
  s.connect();
  s.advance(seconds(1));
  s.user_byte();
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(seconds(2));
  EXPECT_EQ(s.status(), Status::active);
}

TEST(HealthTrackerTest, BytesFromBeforeTheTunnelProveNothing) {
  Scenario s = active_for(seconds(5));
  s.user_byte();
  s.lose();
  s.advance(seconds(1));
  s.port = Port::is_silent;
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::reconnecting);
}

TEST(HealthTrackerTest, BytesWithoutATunnelProveNothing) {
  Scenario s = active_for(seconds(5));
  s.lose();
  s.activity();
  EXPECT_EQ(s.status(), Status::reconnecting);
}

TEST(HealthTrackerTest, BytesFromBeforeABadVerdictProveNothing) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.user_byte();
  s.advance(milliseconds(5));
  s.doubt();
  s.advance(milliseconds(30));
  EXPECT_EQ(s.status(), Status::error);
  s.advance(seconds(10));
  EXPECT_EQ(s.status(), Status::error);
}

// Grace

TEST(HealthTrackerTest, AFailingProbeIsStartingWithinTheGraceAndErrorAfterIt) {
  Scenario s;
  s.port = Port::refuses;
  s.advance(seconds(4));
  s.connect();
  s.advance(seconds(10) - milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting"));
  EXPECT_EQ(s.tracker().reason(), Reason::refused);
  s.advance(milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Starting -> Error refused"));
}

TEST(HealthTrackerTest, AfterAShortActiveTheGraceGoesOn) {
  Scenario s;
  s.connect();
  s.advance(seconds(2));
  EXPECT_EQ(s.status(), Status::active);
  s.port = Port::refuses;
  s.doubt();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(seconds(7));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Active",
                                      "Active -> Starting refused", "Starting -> Error refused"));
}

TEST(HealthTrackerTest, AFlappingForwardCannotHideInTheGrace) {
  Scenario s = active_for(seconds(2));
  s.lose();
  s.advance(seconds(9));
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::active);
  s.port = Port::refuses;
  s.doubt();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::error);
}

TEST(HealthTrackerTest, TheGraceBeginsAnewAfterALongActive) {
  Scenario s = active_for(seconds(11));
  s.lose();
  s.advance(seconds(1));
  s.port = Port::refuses;
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(seconds(9));
  EXPECT_THAT(s.events(),
              ElementsAre("Active -> Reconnecting network", "Reconnecting -> Starting refused",
                          "Starting -> Error refused"));
}

TEST(HealthTrackerTest, TheGraceIsOfTheConnectionNotOfALaterFailure) {
  Scenario s = active_for(minutes(5));
  s.port = Port::refuses;
  s.doubt();
  s.advance(seconds(2));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused"));
}

TEST(HealthTrackerTest, ARefreshToAnotherPodAfterALongActiveHasItsGrace) {
  Scenario s = active_for(minutes(1));
  s.port = Port::refuses;
  s.connect("web-2");
  s.advance(seconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Starting refused"));
}

TEST(HealthTrackerTest, WithoutGraceAFailingProbeIsErrorAtOnce) {
  config::HealthCheck settings;
  settings.startup_grace = milliseconds(0);
  Scenario s(settings);
  s.port = Port::fails;
  s.connect();
  s.advance(milliseconds(20));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Error probe-failed"));
}

TEST(HealthTrackerTest, AWokenIdleForwardDoesNotGetANewGrace) {
  Scenario s = active_for(seconds(2));
  s.idle();
  s.advance(minutes(1));
  s.port = Port::refuses;
  s.start();
  s.connect();
  s.advance(seconds(1));
  EXPECT_THAT(s.events(),
              ElementsAre("Active -> Idle", "Idle -> Starting", "Starting -> Error refused"));
}

TEST(HealthTrackerTest, ARestartBeginsEverythingAnew) {
  Scenario s = active_for(seconds(2));
  s.lose();
  s.advance(minutes(1));
  EXPECT_EQ(s.status(), Status::error);
  s.start();
  s.fail(Reason::network);
  s.advance(seconds(9));
  EXPECT_EQ(s.status(), Status::starting);
  s.port = Port::refuses;
  s.connect();
  s.advance(seconds(9));
  EXPECT_EQ(s.status(), Status::starting);
}

TEST(HealthTrackerTest, StartingTwiceChangesNothing) {
  Scenario s;
  s.fail(Reason::network);
  s.advance(seconds(6));
  s.start();
  s.advance(seconds(4));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Error network"));
}

// Never Active, lost, permanent

TEST(HealthTrackerTest, NeverActiveIsErrorAfterTheGraceWithTheLastReason) {
  Scenario s;
  s.fail(Reason::network, "no route");
  s.advance(seconds(6));
  s.fail(Reason::server, "503");
  s.advance(seconds(4) - milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting"));
  s.advance(milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Starting -> Error server"));
  EXPECT_EQ(s.last_change().message, "503");
}

TEST(HealthTrackerTest, AFirstAttemptThatDoesNotEndIsATimeout) {
  Scenario s;
  s.advance(seconds(10));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Error timeout"));
  EXPECT_THAT(s.last_change().message, testing::HasSubstr("10s"));
}

// Somebody may be typing a password: that is bounded by the plugin's own limit.
TEST(HealthTrackerTest, ALoginThatLastsIsNoFailure) {
  Scenario s;
  s.evidence.logging_in = true;
  s.advance(seconds(55));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting"));
  s.evidence.logging_in = false;
  s.advance(seconds(10));
  EXPECT_THAT(s.events(), ElementsAre("Starting -> Error timeout"));
}

TEST(HealthTrackerTest, APluginThatFailsIsErrorAtOnce) {
  Scenario s;
  s.evidence.logging_in = true;
  s.advance(seconds(60));
  s.fail(Reason::auth_plugin, "did not end");
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Error auth-plugin"));
  s.advance(minutes(10));
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, ALoginAfterALossIsReconnectingUntilItIsOver) {
  Scenario s = active_for(seconds(20));
  s.lose();
  s.evidence.logging_in = true;
  s.advance(seconds(50));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting network"));
  s.evidence.logging_in = false;
  s.advance(seconds(30));
  EXPECT_THAT(s.events(), ElementsAre("Reconnecting -> Error network"));
}

TEST(HealthTrackerTest, WithoutGraceTheFirstAttemptMayBegin) {
  config::HealthCheck settings;
  settings.startup_grace = milliseconds(0);
  Scenario s(settings);
  s.advance(milliseconds(500));
  EXPECT_EQ(s.status(), Status::starting);
  s.fail(Reason::no_ready_pod);
  EXPECT_EQ(s.status(), Status::error);
}

TEST(HealthTrackerTest, NeverActiveAndLostStaysStarting) {
  Scenario s;
  s.port = Port::is_silent;
  s.connect();
  s.advance(seconds(1));
  s.lose(Reason::network);
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(seconds(9));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Error network"));
}

TEST(HealthTrackerTest, ALossIsReconnectingForThirtySecondsThenErrorWithTheLastReason) {
  Scenario s = active_for(seconds(5));
  s.lose(Reason::network, "connection reset");
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting network"));
  EXPECT_EQ(s.last_change().message, "connection reset");
  s.advance(seconds(20));
  s.fail(Reason::timeout, "dial timed out");
  s.advance(seconds(10) - milliseconds(1));
  EXPECT_THAT(s.events(), IsEmpty());
  s.advance(milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Reconnecting -> Error timeout"));
  EXPECT_EQ(s.last_change().message, "dial timed out");
}

TEST(HealthTrackerTest, AFailedAttemptWithATunnelMeansThatItIsLost) {
  Scenario s = active_for(seconds(5));
  s.fail(Reason::network);
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting network"));
  s.advance(seconds(10));
  EXPECT_THAT(s.pings(), IsEmpty());
}

TEST(HealthTrackerTest, ReconnectingAndProvenIsActive) {
  Scenario s = active_for(seconds(5));
  s.lose();
  s.advance(seconds(1));
  s.connect("web-2");
  EXPECT_EQ(s.status(), Status::reconnecting);
  s.advance(seconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting network", "Reconnecting -> Active"));
  EXPECT_EQ(s.last_change().pod, "web-2");
}

TEST(HealthTrackerTest, TheLimitDoesNotCutAnAnswerInProgress) {
  Scenario s = active_for(seconds(5));
  s.lose();
  s.advance(seconds(30) - milliseconds(5));
  s.connect();
  s.advance(seconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting network", "Reconnecting -> Active"));
}

TEST(HealthTrackerTest, TunnelsThatBreakBeforeAProofStayInError) {
  Scenario s = active_for(seconds(5));
  s.port = Port::is_silent;
  s.lose();
  s.advance(seconds(30));
  s.events();
  for (int i = 0; i < 20; ++i) {
    s.connect();
    s.advance(seconds(1));
    s.lose();
    s.advance(seconds(1));
  }
  EXPECT_THAT(s.events(), IsEmpty());
  EXPECT_EQ(s.status(), Status::error);
}

TEST(HealthTrackerTest, TunnelsThatBreakBeforeAProofAreErrorAfterTheLimit) {
  Scenario s = active_for(seconds(5));
  s.port = Port::is_silent;
  s.lose();
  for (int i = 0; i < 20; ++i) {
    s.advance(seconds(1));
    s.connect();
    s.advance(seconds(1));
    s.lose();
  }
  EXPECT_THAT(s.events(),
              ElementsAre("Active -> Reconnecting network", "Reconnecting -> Error network"));
}

TEST(HealthTrackerTest, LosingATunnelThatHeldIsReconnectingAgain) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(minutes(10));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused"));
  s.lose();
  s.advance(seconds(30));
  EXPECT_THAT(s.events(),
              ElementsAre("Error -> Reconnecting network", "Reconnecting -> Error network"));
}

class PermanentReasonTest : public testing::TestWithParam<Reason> {};

TEST_P(PermanentReasonTest, IsErrorAtOnceAtTheStart) {
  Scenario s;
  EXPECT_TRUE(s.tracker().is_final(GetParam(), s.now()));
  s.fail(GetParam(), "why");
  EXPECT_EQ(s.status(), Status::error);
  EXPECT_EQ(s.last_change().reason, GetParam());
  EXPECT_EQ(s.last_change().message, "why");
}

TEST_P(PermanentReasonTest, IsErrorAtOnceLongAfterTheLoss) {
  Scenario s = active_for(seconds(5));
  s.lose();
  s.advance(seconds(29));
  bool const excusable = GetParam() == Reason::unauthorized || GetParam() == Reason::forbidden ||
                         GetParam() == Reason::not_found;
  s.fail(GetParam());
  EXPECT_EQ(s.status(), excusable ? Status::reconnecting : Status::error);
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::error);
  EXPECT_EQ(s.tracker().reason(), GetParam());
  EXPECT_TRUE(s.tracker().is_final(GetParam(), s.now()));
}

TEST_P(PermanentReasonTest, IsCuredByAProvenTunnelOnly) {
  Scenario s;
  s.fail(GetParam());
  s.fail(Reason::network);
  EXPECT_EQ(s.status(), Status::error);
  s.connect();
  EXPECT_EQ(s.status(), Status::error);
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::active);
}

INSTANTIATE_TEST_SUITE_P(HealthTrackerTest, PermanentReasonTest,
                         testing::Values(Reason::port_in_use, Reason::no_such_context,
                                         Reason::kubeconfig, Reason::unauthorized,
                                         Reason::auth_plugin, Reason::forbidden, Reason::not_found,
                                         Reason::no_such_port, Reason::unsupported, Reason::tls));

TEST(HealthTrackerTest, PassingReasonsAreNotFinal) {
  Scenario s;
  for (Reason const reason : {Reason::no_ready_pod, Reason::refused, Reason::probe_failed,
                              Reason::network, Reason::timeout, Reason::server}) {
    EXPECT_FALSE(s.tracker().is_final(reason, s.now()));
    s.fail(reason);
    EXPECT_EQ(s.status(), Status::starting);
  }
}

TEST(HealthTrackerTest, ExcusedWhileActiveAndForThirtySecondsAfter) {
  Scenario s = active_for(minutes(5));
  s.fail(Reason::forbidden);
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting forbidden"));
  s.advance(seconds(10));
  EXPECT_FALSE(s.tracker().is_final(Reason::unauthorized, s.now()));
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::active);
}

TEST(HealthTrackerTest, ARestartDoesNotForgetThatItWasActive) {
  Scenario s = active_for(minutes(5));
  s.start();
  s.fail(Reason::not_found);
  EXPECT_EQ(s.status(), Status::starting);
}

// Verdicts

TEST(HealthTrackerTest, PingsEachIntervalWithoutBytes) {
  Scenario s = active_for(seconds(1));
  s.advance(seconds(12));
  EXPECT_THAT(s.pings(), ElementsAre(seconds(3), seconds(6), seconds(9), seconds(12)));
  EXPECT_THAT(s.probes(), IsEmpty());
  EXPECT_EQ(s.tracker().last_check(), TimePoint(hours(1)) + seconds(12));
}

TEST(HealthTrackerTest, BytesSinceTheLastVerdictNeedNoPing) {
  Scenario s = active_for(seconds(1));
  s.advance(seconds(1));
  s.user_byte();
  s.advance(seconds(2));
  s.activity();
  s.advance(seconds(5));
  EXPECT_THAT(s.pings(), ElementsAre(seconds(9)));
}

TEST(HealthTrackerTest, AnyByteFromThePeerAnswersAPing) {
  Scenario s = active_for(seconds(1));
  s.pings_answered = false;
  for (int i = 0; i < 100; ++i) {
    s.evidence.last_life = s.now();
    s.advance(milliseconds(300));
  }
  EXPECT_EQ(s.status(), Status::active);
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, APingTimeoutNeedsNoSecond) {
  Scenario s = active_for(seconds(1));
  s.pings_answered = false;
  s.advance(seconds(4));
  EXPECT_THAT(s.events(), IsEmpty());
  s.advance(milliseconds(100));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting timeout"));
  EXPECT_THAT(s.pings(), ElementsAre(seconds(3)));
  EXPECT_THAT(s.probes(), IsEmpty());
}

TEST(HealthTrackerTest, APingThatFailsEarlyIsATimeoutToo) {
  Scenario s = active_for(seconds(1));
  s.pings_answered = false;
  s.advance(seconds(2));
  s.answer_ping(s.last_ping(), false);
  EXPECT_EQ(s.status(), Status::reconnecting);
}

TEST(HealthTrackerTest, ASilentTunnelIsErrorAfterTheLimit) {
  Scenario s = active_for(seconds(20));
  s.pings_answered = false;
  s.port = Port::is_silent;
  s.advance(seconds(40));
  EXPECT_THAT(s.events(),
              ElementsAre("Active -> Reconnecting timeout", "Reconnecting -> Error timeout"));
}

TEST(HealthTrackerTest, ATunnelThatAnswersAgainIsProbedBeforeItIsActive) {
  Scenario s = active_for(seconds(1));
  s.pings_answered = false;
  s.port = Port::is_silent;
  s.advance(seconds(5));
  EXPECT_EQ(s.status(), Status::reconnecting);
  s.pings_answered = true;
  s.port = Port::answers;
  s.probes();
  s.advance(seconds(5));
  EXPECT_THAT(s.probes(), SizeIs(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting timeout", "Reconnecting -> Active"));
}

TEST(HealthTrackerTest, ABusyLoopCondemnsNobody) {
  for (Duration const late : {Duration(milliseconds(2'301)), Duration(seconds(20))}) {
    Scenario s = active_for(seconds(1));
    s.pings_answered = false;
    s.advance(seconds(3));
    Ticket const ping = s.last_ping();
    s.stand_still(late);
    s.step();
    EXPECT_EQ(s.status(), Status::active);
    s.answer_ping(ping, true);
    EXPECT_THAT(s.events(), IsEmpty());
  }
}

TEST(HealthTrackerTest, APingThatStaysUnansweredAfterABusyLoopCounts) {
  Scenario s = active_for(seconds(1));
  s.pings_answered = false;
  s.advance(seconds(3));
  s.stand_still(seconds(20));
  s.advance(milliseconds(100));
  EXPECT_EQ(s.status(), Status::reconnecting);
}

TEST(HealthTrackerTest, ALoopThatIsAlwaysLateHidesNoDeadTunnel) {
  Scenario s = active_for(seconds(1));
  s.pings_answered = false;
  s.advance(seconds(3));
  s.stand_still(seconds(2));
  for (int i = 0; i <= kMaxStalls; ++i) {
    s.stand_still(milliseconds(250));
    EXPECT_EQ(s.status(), Status::active) << i;
    s.step();
  }
  EXPECT_EQ(s.status(), Status::reconnecting);
  EXPECT_FALSE(s.spun());
}

// Probes

TEST(HealthTrackerTest, ThePortIsTriedByPodProbe) {
  Scenario s = active_for(seconds(1));
  s.advance(seconds(130));
  EXPECT_THAT(s.probes(), ElementsAre(seconds(60), seconds(120)));
}

TEST(HealthTrackerTest, AFirstProbeThatOutlastsIntervalsIsTheOnlyOne) {
  config::HealthCheck settings;
  settings.interval = milliseconds(100);
  Scenario s(settings);
  s.port = Port::hears_nothing;
  s.connect();
  s.advance(seconds(30));
  EXPECT_EQ(s.status(), Status::active);
  EXPECT_THAT(s.probes(), ElementsAre(seconds(0)));
}

TEST(HealthTrackerTest, UserTrafficPutsTheProbeOff) {
  Scenario s = active_for(seconds(1));
  for (int i = 0; i < 100; ++i) {
    s.advance(seconds(5));
    s.user_byte();
  }
  EXPECT_THAT(s.probes(), IsEmpty());
  s.advance(seconds(61));
  EXPECT_THAT(s.probes(), SizeIs(1));
}

TEST(HealthTrackerTest, PodProbeZeroTriesOnlyForAReason) {
  config::HealthCheck settings;
  settings.pod_probe = milliseconds(0);
  settings.max_connection_age = milliseconds(0);
  Scenario s = active_for(seconds(1), settings);
  s.advance(hours(2));
  EXPECT_THAT(s.probes(), IsEmpty());
  s.doubt();
  EXPECT_THAT(s.probes(), SizeIs(1));
}

TEST(HealthTrackerTest, TheMethodIsPassedOn) {
  Scenario s(with_method(config::ProbeMethod::tcp_dial));
  s.connect();
  EXPECT_EQ(s.last_method(), config::ProbeMethod::tcp_dial);
}

TEST(HealthTrackerTest, ADoubtProbesAtOnce) {
  Scenario s = active_for(milliseconds(4'500));
  s.doubt();
  EXPECT_THAT(s.probes(), ElementsAre(milliseconds(4'500)));
  s.advance(seconds(20));
  EXPECT_THAT(s.probes(), IsEmpty());
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, ManyDoubtsAreFewProbes) {
  Scenario s = active_for(seconds(4));
  for (int i = 0; i < 1000; ++i) {
    s.doubt();
    s.advance(milliseconds(10));
  }
  EXPECT_THAT(s.probes(), SizeIs(testing::Le(11U)));
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, ADoubtDuringAProbeIsFollowedByAnother) {
  Scenario s = active_for(seconds(4));
  s.port = Port::is_silent;
  s.doubt();
  Ticket const before = s.last_probe();
  s.advance(milliseconds(500));
  s.port = Port::refuses;
  s.doubt();
  s.answer_probe(before, ProbeVerdict());
  EXPECT_EQ(s.status(), Status::active);
  s.advance(seconds(2));
  EXPECT_THAT(s.probes(), SizeIs(3));  // the second doubt's, and its confirmation
  EXPECT_THAT(s.events(), ElementsAre("Active -> Starting refused"));
}

TEST(HealthTrackerTest, AFailedProbeIsConfirmedByASecondAtOnce) {
  Scenario s = active_for(seconds(20));
  s.port = Port::fails;
  s.doubt();
  s.advance(milliseconds(19));
  EXPECT_THAT(s.events(), IsEmpty());
  EXPECT_THAT(s.probes(), ElementsAre(seconds(20), seconds(20) + milliseconds(10)));
  s.advance(milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error probe-failed"));
}

TEST(HealthTrackerTest, AGoodSecondProbeLeavesTheStatus) {
  Scenario s = active_for(seconds(20));
  s.port = Port::fails;
  s.doubt();
  s.port = Port::answers;
  s.advance(seconds(1));
  EXPECT_THAT(s.probes(), SizeIs(2));
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, AByteFromThePodOutweighsAProbeThatBeganBefore) {
  Scenario s = active_for(seconds(20));
  s.port = Port::fails;
  s.doubt();
  s.advance(milliseconds(5));
  s.user_byte();
  s.advance(seconds(1));
  EXPECT_THAT(s.probes(), SizeIs(1));
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, AProbeNobodyAnswersFailsByItself) {
  Scenario s = active_for(seconds(20));
  s.port = Port::is_silent;
  s.doubt();
  s.advance(milliseconds(4'199));
  EXPECT_THAT(s.events(), IsEmpty());
  s.advance(milliseconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error probe-failed"));
  EXPECT_THAT(s.last_change().message, testing::HasSubstr("not answered within 2s"));
}

TEST(HealthTrackerTest, ABadPortIsTriedEachIntervalDoublingUpToThirtySeconds) {
  Scenario s;
  s.port = Port::refuses;
  s.connect();
  s.advance(seconds(150));
  std::vector<Duration> const at = s.probes();
  ASSERT_GE(at.size(), 8U);
  std::vector<Duration> gaps;
  for (std::size_t i = 2; i < at.size(); ++i) {
    gaps.push_back(at[i] - at[i - 1] - Scenario::kAnswerTime);
  }
  EXPECT_THAT(gaps, ElementsAre(seconds(3), seconds(6), seconds(12), seconds(24), seconds(30),
                                seconds(30), seconds(30)));
}

TEST(HealthTrackerTest, DoubtsAboutABadPortDoNotLengthenTheWait) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(milliseconds(20));
  for (int i = 0; i < 10; ++i) {
    s.advance(seconds(1));
    s.doubt();
  }
  s.probes();
  s.advance(milliseconds(3'010));
  EXPECT_THAT(s.probes(), SizeIs(1));
}

TEST(HealthTrackerTest, OneGoodProbeIsRecovery) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(seconds(1));
  s.port = Port::answers;
  s.advance(seconds(3));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused", "Error -> Active"));
}

TEST(HealthTrackerTest, SilenceMendsABadPortOnlyWhenAskedTwice) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(milliseconds(500));
  s.probes();
  s.port = Port::hears_nothing;
  s.advance(seconds(3));  // the retry, which waits for the whole timeout
  s.advance(milliseconds(2'100));
  EXPECT_THAT(s.probes(), SizeIs(2));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused"));
  s.advance(milliseconds(2'000));
  EXPECT_THAT(s.events(), ElementsAre("Error -> Active"));
}

TEST(HealthTrackerTest, SilenceIsNotAskedTwiceBesideAnAcceptedConnection) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::error);
  s.port = Port::hears_nothing;
  s.probes();
  s.advance(milliseconds(2'500));
  s.evidence.accepted_connection_open = true;
  s.advance(seconds(3));
  EXPECT_THAT(s.probes(), SizeIs(1));
  EXPECT_EQ(s.status(), Status::active);
}

TEST(HealthTrackerTest, AProbeThatFindsNothingOutMendsNoBadPort) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(milliseconds(500));
  s.events();
  s.probes();
  s.port = Port::is_stalled;
  s.advance(seconds(30));
  EXPECT_THAT(s.events(), IsEmpty());
  auto const probes = s.probes();
  EXPECT_GE(probes.size(), 8U);
  EXPECT_LE(probes.size(), 10U);  // no second one at once
  s.port = Port::answers;
  s.advance(seconds(4));
  EXPECT_THAT(s.events(), ElementsAre("Error -> Active"));
  EXPECT_FALSE(s.spun());
}

TEST(HealthTrackerTest, AProbeThatFindsNothingOutIsNoProofOfANewTunnel) {
  Scenario s;
  s.port = Port::is_stalled;
  s.connect();
  s.advance(seconds(9));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting"));
  EXPECT_THAT(s.probes(), SizeIs(3));
  s.port = Port::answers;
  s.advance(seconds(3));
  EXPECT_THAT(s.events(), ElementsAre("Starting -> Active"));
  EXPECT_FALSE(s.spun());
}

TEST(HealthTrackerTest, AProbeThatFindsNothingOutLeavesAnActiveForwardInDoubt) {
  Scenario s = active_for(seconds(20));
  s.port = Port::is_stalled;
  s.doubt();
  s.advance(seconds(1));
  EXPECT_THAT(s.events(), IsEmpty());
  s.port = Port::refuses;
  s.advance(seconds(4));  // it is tried again without another reason
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused"));
}

TEST(HealthTrackerTest, ANewTunnelThatIsStalledIsAnErrorWithAReasonAfterTheGrace) {
  Scenario s;
  s.port = Port::is_stalled;
  s.connect();
  s.advance(milliseconds(9'900));
  EXPECT_EQ(s.status(), Status::starting);
  EXPECT_EQ(s.tracker().reason(), Reason::probe_failed);
  s.advance(milliseconds(200));
  EXPECT_EQ(s.status(), Status::error);
  EXPECT_EQ(s.tracker().reason(), Reason::probe_failed);
  EXPECT_THAT(s.tracker().message(), testing::HasSubstr("web-1"));
  s.port = Port::answers;
  s.advance(seconds(4));
  EXPECT_EQ(s.status(), Status::active);
  EXPECT_FALSE(s.spun());
}

TEST(HealthTrackerTest, AStalledTunnelAfterALossIsAnErrorAfterThirtySeconds) {
  Scenario s = active_for(seconds(60));
  s.lose();
  s.advance(seconds(15));
  s.port = Port::is_stalled;
  s.connect();
  s.advance(milliseconds(14'900));
  EXPECT_EQ(s.status(), Status::reconnecting);
  s.advance(milliseconds(200));
  EXPECT_EQ(s.status(), Status::error);
  EXPECT_EQ(s.tracker().reason(), Reason::probe_failed);
}

TEST(HealthTrackerTest, AConfirmationThatFindsNothingOutConfirmsNothing) {
  Scenario s = active_for(seconds(20));
  s.port = Port::is_silent;
  s.doubt();
  s.answer_probe(s.last_probe(), ProbeVerdict(Error(Errc::pod_refused, "no")));
  s.answer_probe(s.last_probe(), ProbeVerdict::of_nothing());
  s.advance(milliseconds(2'900));
  EXPECT_EQ(s.status(), Status::active);
  s.port = Port::refuses;
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::error);
}

TEST(HealthTrackerTest, ARefusalThatComesLateDoesNotMakeTheForwardActive) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(milliseconds(500));
  s.port = Port::hears_nothing;
  s.advance(seconds(4));  // the retry waits and will hear nothing; then it is asked again
  s.port = Port::refuses;
  s.advance(seconds(10));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused"));
}

TEST(HealthTrackerTest, PingsDoNotMendABadPort) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(minutes(5));
  EXPECT_GT(s.pings().size(), 90U);
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error refused"));
}

TEST(HealthTrackerTest, NoProbeWhileAnAcceptedConnectionIsOpen) {
  Scenario s = active_for(seconds(1));
  s.evidence.accepted_connection_open = true;
  s.advance(minutes(5));
  s.doubt();
  s.advance(seconds(10));
  EXPECT_THAT(s.probes(), IsEmpty());
  EXPECT_THAT(s.events(), IsEmpty());
  EXPECT_FALSE(s.spun());
  s.evidence.accepted_connection_open = false;
  s.advance(seconds(61));
  EXPECT_THAT(s.probes(), SizeIs(1));
}

TEST(HealthTrackerTest, AnAcceptedConnectionOnALiveTunnelIsTheEvidence) {
  Scenario s;
  s.port = Port::is_silent;
  s.evidence.accepted_connection_open = true;
  s.connect();
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(Scenario::kAnswerTime);
  EXPECT_EQ(s.status(), Status::active);
  EXPECT_THAT(s.probes(), IsEmpty());
}

TEST(HealthTrackerTest, AnAcceptedConnectionOnADeadTunnelIsNone) {
  Scenario s = active_for(seconds(1));
  s.evidence.accepted_connection_open = true;
  s.pings_answered = false;
  s.advance(seconds(5));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting timeout"));
}

TEST(HealthTrackerTest, ADoubtWaitsForTheAcceptedConnectionToEndOrToAnswer) {
  Scenario s = active_for(milliseconds(3'500));
  s.evidence.accepted_connection_open = true;
  s.doubt();
  EXPECT_THAT(s.probes(), IsEmpty());
  s.evidence.accepted_connection_open = false;
  s.advance(seconds(3));
  EXPECT_THAT(s.probes(), ElementsAre(seconds(6)));
}

TEST(HealthTrackerTest, ADoubtIsNotPutOffByAConnectionThatWasOpenBefore) {
  Scenario s = active_for(milliseconds(3'500));
  s.evidence.accepted_connection_open = true;
  s.doubt();
  s.evidence.accepted_connection_open = false;
  s.advance(milliseconds(500));
  s.doubt();
  EXPECT_THAT(s.probes(), ElementsAre(seconds(4)));
}

// Late verdicts

TEST(HealthTrackerTest, AnswersOfAnOldGenerationChangeNothing) {
  Scenario s;
  s.port = Port::is_silent;
  s.pings_answered = false;
  s.connect();
  Ticket const old_probe = s.last_probe();
  Ticket const old_ping = s.last_ping();
  s.connect();
  s.events();
  s.answer_probe(old_probe, ProbeVerdict());
  s.answer_ping(old_ping, false);
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(seconds(1));
  s.answer_probe(s.last_probe(), ProbeVerdict());
  EXPECT_EQ(s.status(), Status::active);
  s.answer_probe(old_probe, ProbeVerdict(Error(Errc::pod_refused, "late")));
  s.advance(milliseconds(1));
  EXPECT_EQ(s.status(), Status::active);
}

TEST(HealthTrackerTest, AnswersAfterALossChangeNothing) {
  Scenario s = active_for(seconds(5));
  s.port = Port::is_silent;
  s.doubt();
  Ticket const probe = s.last_probe();
  s.lose();
  s.answer_probe(probe, ProbeVerdict());
  EXPECT_EQ(s.status(), Status::reconnecting);
}

TEST(HealthTrackerTest, AnAnswerGivenTwiceCountsOnce) {
  Scenario s = active_for(seconds(20));
  s.port = Port::is_silent;
  s.doubt();
  Ticket const probe = s.last_probe();
  s.answer_probe(probe, ProbeVerdict(Error(Errc::pod_refused, "no")));
  s.answer_probe(probe, ProbeVerdict(Error(Errc::pod_refused, "no")));
  EXPECT_THAT(s.events(), IsEmpty());
  EXPECT_EQ(s.status(), Status::active);
}

TEST(HealthTrackerTest, AnAnswerAfterItWasGivenUpChangesNothing) {
  Scenario s = active_for(seconds(20));
  s.port = Port::is_silent;
  s.doubt();
  Ticket const probe = s.last_probe();
  s.advance(seconds(5));
  s.events();
  s.answer_probe(probe, ProbeVerdict());
  EXPECT_THAT(s.events(), IsEmpty());
  EXPECT_EQ(s.status(), Status::error);
}

// Stale

TEST(HealthTrackerTest, AnOldTunnelWithoutTrafficIsStale) {
  Scenario s = active_for(minutes(24));
  s.advance(minutes(1));
  EXPECT_EQ(s.status(), Status::active);
  s.advance(seconds(4));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Stale"));
  EXPECT_EQ(s.stale_events(), 1);
  EXPECT_THAT(s.last_change().message, testing::HasSubstr("25m old"));
  s.advance(hours(1));
  EXPECT_EQ(s.stale_events(), 1);
  EXPECT_EQ(s.status(), Status::stale);
}

TEST(HealthTrackerTest, AnOldTunnelWithTrafficIsNotStale) {
  Scenario s = active_for(seconds(1));
  for (int i = 0; i < 20; ++i) {
    s.advance(minutes(9));
    s.user_byte();
  }
  EXPECT_EQ(s.status(), Status::active);
  s.advance(minutes(10) + seconds(4));
  EXPECT_EQ(s.status(), Status::stale);
}

TEST(HealthTrackerTest, ZeroIsNeverStale) {
  config::HealthCheck no_age;
  no_age.max_connection_age = milliseconds(0);
  config::HealthCheck no_idle;
  no_idle.max_idle_time = milliseconds(0);
  for (auto const& settings : {no_age, no_idle}) {
    Scenario s = active_for(hours(30), settings);
    EXPECT_EQ(s.stale_events(), 0);
  }
}

TEST(HealthTrackerTest, NoProofOfLifeAtAllIsStale) {
  Scenario s = active_for(seconds(10));
  s.stand_still(minutes(11));
  s.step();
  EXPECT_THAT(s.events(), ElementsAre("Active -> Stale"));
  EXPECT_THAT(s.last_change().message, testing::HasSubstr("no proof of life for 11m"));
  s.advance(seconds(3));
  EXPECT_THAT(s.events(), ElementsAre("Stale -> Active"));
}

TEST(HealthTrackerTest, PingsAndProbesAreProofOfLife) {
  config::HealthCheck settings;
  settings.max_connection_age = milliseconds(0);
  settings.max_idle_time = milliseconds(500);
  Scenario s = active_for(minutes(10), settings);
  EXPECT_EQ(s.stale_events(), 0);
}

TEST(HealthTrackerTest, TrafficEndsStale) {
  Scenario s = active_for(minutes(24));
  s.advance(minutes(2));
  ASSERT_EQ(s.status(), Status::stale);
  s.activity();
  EXPECT_THAT(s.events(), ElementsAre("Active -> Stale", "Stale -> Active"));
  s.advance(minutes(9));
  EXPECT_EQ(s.stale_events(), 1);
  s.advance(minutes(2));
  EXPECT_EQ(s.stale_events(), 2);
}

TEST(HealthTrackerTest, ARefreshEndsStaleOnceItIsProven) {
  Scenario s = active_for(minutes(24));
  s.advance(minutes(2));
  ASSERT_EQ(s.status(), Status::stale);
  s.connect();
  EXPECT_EQ(s.status(), Status::stale);
  s.advance(seconds(1));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Stale", "Stale -> Active"));
}

// Else nobody would ever replace it: the status does not change any more.
TEST(HealthTrackerTest, ARefreshedTunnelThatGrowsStaleUnprovenIsToldOfToo) {
  Scenario s = active_for(minutes(24));
  s.advance(minutes(2));
  ASSERT_EQ(s.stale_events(), 1);
  s.stand_still(minutes(1));
  s.connect();
  s.stand_still(minutes(26));
  s.step();
  s.advance(seconds(3));
  EXPECT_EQ(s.status(), Status::stale);
  EXPECT_EQ(s.stale_events(), 2);
  s.advance(hours(1));
  EXPECT_EQ(s.stale_events(), 2);
}

TEST(HealthTrackerTest, ADeadTunnelIsNoticedWhileStale) {
  Scenario s = active_for(minutes(24));
  s.advance(minutes(2));
  s.pings_answered = false;
  s.advance(seconds(6));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Stale", "Stale -> Reconnecting timeout"));
}

// method none

TEST(HealthTrackerTest, WithMethodNoneThePortIsNeverTried) {
  Scenario s(with_method(config::ProbeMethod::none));
  s.connect();
  EXPECT_EQ(s.status(), Status::starting);
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::active);
  s.doubt();
  s.advance(minutes(10));
  EXPECT_THAT(s.probes(), IsEmpty());
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Active"));
}

TEST(HealthTrackerTest, OnceTheMethodIsNoneNoProbeIsRepeated) {
  Scenario s = active_for(seconds(20));
  s.port = Port::refuses;
  s.doubt();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::error);
  s.port = Port::hears_nothing;
  s.probes();
  s.advance(milliseconds(2'500));
  EXPECT_THAT(s.probes(), SizeIs(1)) << "the next try is under way";
  config::HealthCheck settings;
  settings.method = config::ProbeMethod::none;
  s.update(settings);
  s.advance(seconds(20));
  EXPECT_THAT(s.probes(), IsEmpty());
  EXPECT_EQ(s.status(), Status::active);
}

TEST(HealthTrackerTest, WithMethodNoneAnUnreadyPodIsBad) {
  Scenario s = active_for(seconds(20), with_method(config::ProbeMethod::none));
  s.evidence.pod_ready = false;
  s.doubt();
  EXPECT_THAT(s.events(), ElementsAre("Active -> Error no-ready-pod"));
  s.advance(seconds(30));
  EXPECT_THAT(s.events(), IsEmpty());
  s.evidence.pod_ready = true;
  s.advance(seconds(4));
  EXPECT_THAT(s.events(), ElementsAre("Error -> Active"));
}

TEST(HealthTrackerTest, WithMethodNoneAUserConnectionSpeaksForAnUnreadyPod) {
  Scenario s(with_method(config::ProbeMethod::none));
  s.evidence.pod_ready = false;
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::starting);
  s.evidence.accepted_connection_open = true;
  s.advance(minutes(1));
  EXPECT_THAT(s.events(), ElementsAre("-> Starting", "Starting -> Active"));
}

// The tunnel is in question then, not the pod.
TEST(HealthTrackerTest, WithMethodNoneAnUnreadyPodBehindADeadTunnelIsReconnecting) {
  config::HealthCheck settings;
  settings.method = config::ProbeMethod::none;
  Scenario s(settings);
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.status(), Status::active);
  s.events();
  s.pings_answered = false;
  s.advance(seconds(5));
  s.evidence.pod_ready = false;
  s.doubt();
  s.advance(seconds(10));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting timeout"));
}

TEST(HealthTrackerTest, WithMethodNoneAPingTimeoutCounts) {
  Scenario s = active_for(seconds(20), with_method(config::ProbeMethod::none));
  s.pings_answered = false;
  s.advance(seconds(6));
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting timeout"));
  s.pings_answered = true;
  s.advance(seconds(6));
  EXPECT_THAT(s.events(), ElementsAre("Reconnecting -> Active"));
}

// Words and settings

TEST(HealthTrackerTest, AChangeOfWordsAloneIsNoEvent) {
  Scenario s = active_for(seconds(5));
  s.lose(Reason::network, "one");
  s.events();
  s.fail(Reason::server, "two");
  EXPECT_THAT(s.events(), IsEmpty());
  EXPECT_EQ(s.tracker().reason(), Reason::server);
  EXPECT_EQ(s.tracker().message(), "two");
}

TEST(HealthTrackerTest, ANoteIsTheMessageWhileThereIsNoOther) {
  Scenario s = active_for(seconds(5));
  s.tracker().note("the pod is not Ready");
  EXPECT_EQ(s.tracker().message(), "the pod is not Ready");
  s.lose(Reason::network, "lost");
  EXPECT_EQ(s.tracker().message(), "lost");
  s.connect();
  s.advance(seconds(1));
  EXPECT_EQ(s.last_change().message, "the pod is not Ready");
  s.connect("web-2");
  EXPECT_EQ(s.tracker().message(), "");
  EXPECT_THAT(s.events(), ElementsAre("Active -> Reconnecting network", "Reconnecting -> Active"));
}

TEST(HealthTrackerTest, SinceIsTheTimeOfTheChange) {
  Scenario s = active_for(seconds(5));
  s.lose();
  TimePoint const lost = s.now();
  s.advance(seconds(5));
  s.fail();
  EXPECT_EQ(s.tracker().since(), lost);
}

TEST(HealthTrackerTest, NewSettingsApplyAtOnce) {
  config::HealthCheck settings;
  settings.interval = minutes(10);
  Scenario s = active_for(seconds(10), settings);
  settings.interval = seconds(1);
  s.update(settings);
  s.advance(seconds(3));
  EXPECT_THAT(s.pings(), SizeIs(3));
  settings.method = config::ProbeMethod::none;
  s.update(settings);
  s.advance(minutes(5));
  EXPECT_THAT(s.probes(), IsEmpty());
  settings.method = config::ProbeMethod::tcp_dial;
  s.update(settings);
  s.advance(seconds(1));
  EXPECT_THAT(s.probes(), SizeIs(1));
  EXPECT_THAT(s.events(), IsEmpty());
}

TEST(HealthTrackerTest, MonstrousSettingsAreBounded) {
  config::HealthCheck settings;
  settings.interval = milliseconds::max();
  settings.timeout = milliseconds::max();
  settings.pod_probe = milliseconds::max();
  settings.startup_grace = milliseconds::max();
  settings.max_connection_age = milliseconds::max();
  settings.max_idle_time = milliseconds::max();
  Scenario s(settings);
  s.connect();
  s.advance(hours(24 * 365));
  EXPECT_EQ(s.status(), Status::active);
  settings.interval = milliseconds(0);
  settings.timeout = milliseconds(-1);
  s.update(settings);
  s.advance(seconds(1));
  EXPECT_FALSE(s.spun());
}

TEST(HealthTrackerTest, AVerdictNamesItsReason) {
  EXPECT_EQ(ProbeVerdict().reason(), Reason::none);
  EXPECT_EQ(ProbeVerdict::of_nothing().reason(), Reason::none);
  EXPECT_FALSE(ProbeVerdict::of_nothing().good() || ProbeVerdict::of_nothing().bad());
  EXPECT_EQ(ProbeVerdict(Error(Errc::pod_refused, "")).reason(), Reason::refused);
  for (Errc const code : {Errc::pod_gone, Errc::pod_reset, Errc::stream_failed, Errc::timeout}) {
    EXPECT_EQ(ProbeVerdict(Error(code, "")).reason(), Reason::probe_failed);
  }
}

}  // namespace
}  // namespace kportal::healthcheck
