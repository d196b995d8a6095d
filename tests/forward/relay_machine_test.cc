// SPDX-License-Identifier: MIT
#include "forward/relay_machine.h"

#include <string>

#include <gtest/gtest.h>

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;
using config::HalfClose;

TimePoint at(Duration since_start) {
  return TimePoint() + 1h + since_start;
}

TEST(RelayMachineTest, PassesTheEndOfStreamOneSecondAfterTheAnswerFellSilent) {
  RelayMachine machine(HalfClose::pass);
  machine.sent(as_bytes("hello"), at(0s));
  machine.received(at(100ms));
  machine.local_ended();
  EXPECT_EQ(machine.fin_due(), at(1100ms));
  machine.received(at(900ms));
  EXPECT_EQ(machine.fin_due(), at(1900ms));
}

TEST(RelayMachineTest, WaitsTwoSecondsWhereTheLastByteIsNotAnswered) {
  RelayMachine machine(HalfClose::pass);
  machine.received(at(0s));
  machine.sent(as_bytes("hello"), at(1s));
  machine.local_ended();
  EXPECT_EQ(machine.fin_due(), at(3s));
}

TEST(RelayMachineTest, KeepsTheEndOfStreamBackWhileTheClientStillSends) {
  RelayMachine machine(HalfClose::pass);
  machine.sent(as_bytes("hello"), at(0s));
  EXPECT_EQ(machine.fin_due(), kNever);
}

TEST(RelayMachineTest, HoldKeepsTheEndOfStreamBackForEver) {
  RelayMachine machine(HalfClose::hold);
  machine.sent(as_bytes("hello"), at(0s));
  machine.local_ended();
  EXPECT_EQ(machine.fin_due(), kNever);
}

TEST(RelayMachineTest, TrustsAnEndWithoutAHalfClose) {
  RelayMachine machine(HalfClose::pass);
  machine.received(at(0s));
  EXPECT_TRUE(machine.end_is_trusted(at(1s)));
}

TEST(RelayMachineTest, TrustsAnEndWhenNothingCameAfterOurFin) {
  RelayMachine machine(HalfClose::pass);
  machine.received(at(0s));
  machine.local_ended();
  machine.fin_sent(at(1s));
  EXPECT_TRUE(machine.end_is_trusted(at(2s)));
}

TEST(RelayMachineTest, DoesNotTrustAnEndOneSecondAfterOurFinWithBytesBetween) {
  RelayMachine machine(HalfClose::pass);
  machine.local_ended();
  machine.fin_sent(at(1s));
  machine.received(at(1500ms));
  EXPECT_TRUE(machine.end_is_trusted(at(1700ms)));
  EXPECT_FALSE(machine.end_is_trusted(at(2s)));
  EXPECT_FALSE(machine.end_is_trusted(at(2400ms)));
  EXPECT_TRUE(machine.end_is_trusted(at(3s)));
}

TEST(RelayMachineTest, KeepsFirstBytesUntilThePodAnswers) {
  RelayMachine machine(HalfClose::pass);
  machine.sent(as_bytes("GET "), at(0s));
  machine.sent(as_bytes("/"), at(0s));
  EXPECT_EQ(as_text(machine.kept()), "GET /");
  EXPECT_TRUE(machine.movable(Errc::pod_gone));
  EXPECT_TRUE(machine.movable(Errc::pod_refused));
  machine.received(at(1s));
  EXPECT_TRUE(machine.kept().empty());
  EXPECT_FALSE(machine.movable(Errc::pod_gone));
}

TEST(RelayMachineTest, GivesUpKeepingBeyondItsBound) {
  RelayMachine machine(HalfClose::pass);
  std::string const full(RelayMachine::kMaxKept, 'x');
  machine.sent(as_bytes(full), at(0s));
  EXPECT_TRUE(machine.movable(Errc::pod_gone));
  machine.sent(as_bytes("y"), at(0s));
  EXPECT_TRUE(machine.kept().empty());
  EXPECT_FALSE(machine.movable(Errc::pod_gone));
}

TEST(RelayMachineTest, MovesFromABrokenTunnelOnlyWhatNobodyCanHaveSeen) {
  RelayMachine silent(HalfClose::pass);
  EXPECT_TRUE(silent.movable(Errc::network));
  EXPECT_TRUE(silent.movable(Errc::ping_timeout));
  RelayMachine spoken(HalfClose::pass);
  spoken.sent(as_bytes("x"), at(0s));
  EXPECT_FALSE(spoken.movable(Errc::network));
}

TEST(RelayMachineTest, NeverMovesWhatTheApplicationReset) {
  RelayMachine machine(HalfClose::pass);
  EXPECT_FALSE(machine.movable(Errc::pod_reset));
  EXPECT_FALSE(machine.movable(Errc::half_close_cut));
}

}  // namespace
}  // namespace kportal::forward
