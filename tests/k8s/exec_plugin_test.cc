// SPDX-License-Identifier: MIT
// What login plugins are told, what their answers mean, and when they run: the pure parts.
#include <csignal>

#include <gmock/gmock.h>

#include "k8s/exec_plugin_format.h"
#include "k8s/exec_plugin_machine.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Machine = ExecPluginMachine;

std::string const kV1 = "client.authentication.k8s.io/v1";
WallTime const kWall = *parse_timestamp("2026-11-23T14:00:00Z");

ExecConfig config() {
  ExecConfig exec;
  exec.api_version = kV1;
  exec.command = "/opt/bin/aws";
  exec.interactive_mode = "IfAvailable";
  return exec;
}

ChildEnd exited(int code, std::string output, std::string errors = "") {
  ChildEnd end;
  end.number = code;
  end.output = std::move(output);
  end.errors = std::move(errors);
  return end;
}
ChildEnd ended(ChildEnd::How how, int number = 0) {
  ChildEnd end = exited(number, "");
  end.how = how;
  return end;
}

ChildEnd status(std::string const& members) {
  return exited(
      0, R"({"apiVersion":")" + kV1 + R"(","kind":"ExecCredential","status":{)" + members + "}}\n");
}

Result<PluginCredential> read(ChildEnd const& end) {
  return read_plugin_answer(config(), end, 60s, kWall);
}
std::string problem(ChildEnd const& end) {
  auto const result = read(end);
  if (result.has_value()) return "";
  EXPECT_EQ(result.error().code, Errc::auth_plugin);
  return result.error().text;
}

// ---- exec_info

TEST(ExecInfoTest, IsAnExecCredentialWithSpec) {
  EXPECT_EQ(exec_info(config(), std::nullopt, false),
            R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",)"
            R"("spec":{"interactive":false}})");
}

TEST(ExecInfoTest, TellsTheClusterWhereAskedTo) {
  ExecClusterInfo cluster;
  cluster.server = "https://api.example:6443";
  EXPECT_EQ(exec_info(config(), cluster, true),
            R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",)"
            R"("spec":{"interactive":true,"cluster":{"server":"https://api.example:6443",)"
            R"("config":null}}})");
  cluster.tls_server_name = "api";
  cluster.insecure_skip_tls_verify = true;
  cluster.ca_pem = "pem";
  cluster.proxy_url = "socks5://p:1";
  cluster.disable_compression = true;
  cluster.config = R"({"audience":"x","n":[1,true]})";
  EXPECT_THAT(exec_info(config(), cluster, true),
              HasSubstr(R"("tls-server-name":"api","insecure-skip-tls-verify":true,)"
                        R"("certificate-authority-data":"cGVt","proxy-url":"socks5://p:1",)"
                        R"("disable-compression":true,)"
                        R"("config":{"audience":"x","n":[1,true]}})"));
}

// ---- answers

TEST(PluginAnswerTest, GivesATokenAndItsEnd) {
  auto const token = read(status(R"("token":"abc")"));
  ASSERT_TRUE(token) << token.error().text;
  EXPECT_EQ(token->token, "abc");
  EXPECT_EQ(token->expires, std::nullopt);
  auto const until =
      read(status(R"("token":"abc","expirationTimestamp":"2026-11-23T15:00:00+00:30")"));
  ASSERT_TRUE(until) << until.error().text;
  EXPECT_EQ(until->expires, kWall + 30min);
}

TEST(PluginAnswerTest, GivesACertificateWithItsKey) {
  auto const pair = read(status(R"("clientCertificateData":"C","clientKeyData":"K")"));
  ASSERT_TRUE(pair) << pair.error().text;
  EXPECT_EQ(pair->token, "");
  EXPECT_EQ(pair->cert_pem, "C");
  EXPECT_EQ(pair->key_pem, "K");
}

TEST(PluginAnswerTest, SaysWhatIsWrongAndNeverShowsTheOutput) {
  struct Row {
    ChildEnd end;
    std::string says;
  };
  Row const rows[] = {
      {exited(0, ""), "login plugin aws printed nothing"},
      {exited(0, "s3cret"), "printed something else than an ExecCredential"},
      {exited(0, "[\"s3cret\"]"), "printed something else"},
      {exited(0, std::string(1000000, '[')), "printed something else"},
      {exited(0, R"({"kind":"Pod","apiVersion":"v1"})"), "printed something else"},
      {exited(0, R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1",)"
                 R"("status":{"token":"s3cret"}})"),
       "answered in apiVersion \"client.authentication.k8s.io/v1beta1\", but the kubeconfig says " +
           kV1},
      {exited(0, R"({"kind":"ExecCredential","apiVersion":")" + kV1 + R"("})"),
       "answered without a status"},
      {status(""), "gave neither a token nor a client certificate"},
      {status(R"("token":7)"), "gave neither a token nor a client certificate"},
      {status(R"("token":"s3cret\n")"), "gave a token with spaces, line breaks"},
      {status(R"("clientCertificateData":"s3cret")"), "gave a client certificate without its key"},
      {status(R"("token":"t","clientKeyData":"s3cret")"),
       "gave a client key without its certificate"},
      {status(R"("token":"s3cret","expirationTimestamp":"tomorrow")"),
       "gave an expirationTimestamp that is none"},
      {status(R"("token":"s3cret","expirationTimestamp":"2026-11-23T13:59:59Z")"),
       "gave a credential that expired already, at 2026-11-23T13:59:59.000Z"},
      {ended(ChildEnd::How::timed_out), "did not end within 60s (reliability.authTimeout)"},
      {ended(ChildEnd::How::too_much_output), "wrote more than any login needs"},
      {ended(ChildEnd::How::signalled, SIGKILL), "was ended by signal 9 (Killed)"},
  };
  for (Row const& row : rows) {
    EXPECT_THAT(problem(row.end), AllOf(HasSubstr(row.says), Not(HasSubstr("s3cret"))));
  }
}

TEST(PluginAnswerTest, AFailureShowsTheLastLinesOfStandardError) {
  EXPECT_EQ(
      problem(exited(255, "", "Traceback\n\n  one\n two\nthree\n\x1b[31mno \x1b]credentials.\r\n")),
      "login plugin aws ended with exit code 255: one; two; three; no credentials");
  EXPECT_THAT(problem(exited(1, "s3cret")), HasSubstr("exit code 1, and says nothing"));
  ChildEnd shown = exited(1, "");
  shown.errors_shown = true;
  EXPECT_EQ(problem(shown),
            "login plugin aws ended with exit code 1; what it said is on the terminal");
  EXPECT_LT(problem(exited(1, "", std::string(100000, 'x'))).size(), 1000U);
  EXPECT_THAT(problem(exited(1, "", "a\x07 b\xff")), HasSubstr("a\\x07 b"));
}

TEST(PluginNotStartedTest, NamesPathAndHint) {
  namespace errc = boost::system::errc;
  ExecConfig exec = config();
  auto const missing = make_error_code(errc::no_such_file_or_directory);
  EXPECT_THAT(plugin_not_started(exec, missing, {}).text, HasSubstr("is not there"));
  exec.command = "aws";
  EXPECT_EQ(plugin_not_started(exec, missing, {"/bin", "/opt/bin"}),
            Error(Errc::auth_plugin,
                  "login plugin aws is not on PATH: install it, or write its whole path into the "
                  "kubeconfig (PATH is /bin, and of the login shell: /opt/bin)"));
  exec.install_hint = "\n  Install \x1b[1maws\x1b[0m:\n\n  see https://x.example/\x07\n";
  EXPECT_EQ(plugin_not_started(exec, missing, {"/bin"}).text,
            "login plugin aws is not on PATH: Install aws:; see https://x.example/\\x07 (PATH is "
            "/bin)");
  exec.install_hint = std::string(100000, 'x');
  EXPECT_LT(plugin_not_started(exec, missing, {std::string(10000, 'p')}).text.size(), 2000U);
  EXPECT_THAT(plugin_not_started(exec, make_error_code(errc::permission_denied), {}).text,
              HasSubstr("is not executable"));
  // What passes is no fault of the plugin.
  for (auto const each : {errc::too_many_files_open, errc::too_many_files_open_in_system,
                          errc::not_enough_memory, errc::resource_unavailable_try_again}) {
    EXPECT_EQ(plugin_not_started(exec, make_error_code(each), {}).code, Errc::local);
  }
  EXPECT_THAT(plugin_not_started(exec, make_error_code(errc::too_many_files_open), {}).text,
              HasSubstr("could not be started: Too many open files (this program may have "));
  EXPECT_THAT(plugin_not_started(exec, make_error_code(errc::argument_list_too_long), {}).text,
              HasSubstr("could not be started: Argument list too long"));
}

TEST(TimestampTest, ReadsRfc3339) {
  EXPECT_EQ(parse_timestamp("1970-01-01T00:00:10Z"), WallTime(10s));
  EXPECT_EQ(parse_timestamp("1970-01-01t00:00:10.987654321z"), WallTime(10s));
  EXPECT_EQ(parse_timestamp("2026-11-23T14:00:00-08:00"), kWall + 8h);
  EXPECT_EQ(parse_timestamp("9999-12-31T23:59:59Z"), parse_timestamp("2200-01-01T00:00:00Z"));
  EXPECT_EQ(parse_timestamp("0000-01-01T00:00:00Z"), WallTime());
  for (char const* const bad :
       {"", "2026-11-23", "2026-11-23T14:00:00", "2026-11-23 14:00:00Z", "2026-02-30T14:00:00Z",
        "2026-11-23T24:00:00Z", "2026-11-23T14:00:00+1:00", "2026-11-23T14:00:00.5",
        "2026-11-23T14:00:-1Z", "1764000000", "2026-11-23T14:00:00Zx"}) {
    EXPECT_EQ(parse_timestamp(bad), std::nullopt) << bad;
  }
}

// ---- when it runs

class ExecPluginMachineTest : public testing::Test {
 protected:
  Machine::Now now() const { return {steady_, kWall + passed_}; }
  void pass(Duration time) {
    steady_ += time;
    passed_ += std::chrono::duration_cast<WallTime::duration>(time);
  }
  // What ask() says: the token, the error or "wait".
  std::string ask(std::uint64_t refused = 0) {
    auto const answer = machine_.ask(refused, now());
    if (!answer) return "wait";
    if (answer->has_error()) return answer->error().text;
    generation_ = (**answer)->generation;
    return (**answer)->credential.token;
  }
  bool runs() const { return machine_.next(now()).run; }
  void succeed(std::string token, std::optional<Duration> lifetime = std::nullopt) {
    PluginCredential credential;
    credential.token = std::move(token);
    if (lifetime) {
      credential.expires = kWall + passed_ + *lifetime;
    }
    machine_.finished(std::move(credential), 1s, now());
  }
  void fail(std::string why) {
    machine_.finished(Error(Errc::auth_plugin, std::move(why)), 0s, now());
  }

  Machine machine_{true};
  TimePoint steady_ = TimePoint(1h);
  WallTime::duration passed_{};
  std::uint64_t generation_ = 0;
};

TEST_F(ExecPluginMachineTest, RunsOnceForAllWhoAsk) {
  EXPECT_FALSE(runs());
  EXPECT_EQ(ask(), "wait");
  EXPECT_EQ(ask(), "wait");
  EXPECT_TRUE(runs());
  succeed("a");
  EXPECT_FALSE(runs());
  EXPECT_EQ(ask(), "a");
  pass(1000h);
  EXPECT_EQ(ask(), "a");
  EXPECT_FALSE(runs());
}

TEST_F(ExecPluginMachineTest, RenewsBeforeTheEndAndUsesTheOldMeanwhile) {
  ask();
  succeed("a", 1h);
  auto const step = machine_.next(now());
  EXPECT_EQ(step.until, steady_ + Machine::kLook);
  pass(1h - Machine::kMaxMargin - 1s);
  EXPECT_FALSE(runs());
  EXPECT_EQ(machine_.next(now()).until, steady_ + 1s);
  pass(1s);
  EXPECT_TRUE(runs());
  EXPECT_EQ(ask(), "a");
  succeed("b", 1h);
  EXPECT_FALSE(runs());
  EXPECT_EQ(ask(), "b");
  EXPECT_EQ(generation_, 2U);
}

TEST_F(ExecPluginMachineTest, AShortLifeIsRenewedInItsLastFifth) {
  ask();
  succeed("a", 100s);
  pass(79s);
  EXPECT_FALSE(runs());
  pass(1s);
  EXPECT_TRUE(runs());
  // A plugin with a cache of its own may give the same again: no reason to hurry.
  succeed("a", 20s);
  EXPECT_EQ(ask(), "a");
  EXPECT_EQ(generation_, 1U);
  pass(15s);
  EXPECT_FALSE(runs());
  pass(1s);
  EXPECT_TRUE(runs());
}

TEST_F(ExecPluginMachineTest, WhatExpiresAtOnceIsNotRenewedWithoutEnd) {
  ask();
  succeed("a", 1ms);
  EXPECT_FALSE(runs());
  pass(1ms);
  EXPECT_FALSE(runs());
  EXPECT_EQ(machine_.next(now()).until, kNever);
  EXPECT_EQ(ask(), "wait");
  EXPECT_TRUE(runs());
}

TEST_F(ExecPluginMachineTest, AnExpiredOneIsNotGivenAway) {
  ask();
  succeed("a", 1h);
  passed_ += 2h;  // the machine slept; the steady clock did, too
  EXPECT_EQ(ask(), "wait");
  EXPECT_TRUE(runs());
}

TEST_F(ExecPluginMachineTest, AFailureIsEverybodysForAWhile) {
  ask();
  fail("no");
  EXPECT_EQ(ask(), "no");
  EXPECT_FALSE(runs());
  pass(Machine::kFailurePause - 1ms);
  EXPECT_EQ(ask(), "no");
  pass(1ms);
  EXPECT_EQ(ask(), "wait");
  EXPECT_TRUE(runs());
}

TEST_F(ExecPluginMachineTest, AFailureIsForgottenWhenTheNetworkIsAnother) {
  ask();
  fail("no");
  EXPECT_EQ(ask(), "no");
  machine_.retry();
  EXPECT_FALSE(runs());  // nobody asks
  EXPECT_EQ(ask(), "wait");
  EXPECT_TRUE(runs());
}

TEST_F(ExecPluginMachineTest, ARunThatHangsOnTheNetworkOfBeforeIsRunAnewButNotForEver) {
  machine_.retry();
  ask();
  for (int i = 0; i < Machine::kMaxRestarts; ++i) {
    EXPECT_TRUE(runs());
    machine_.began(steady_ + 2s);
    EXPECT_EQ(machine_.give_up_at(), kNever);  // what was before it is not its network
    pass(1s);
    machine_.retry();
    EXPECT_EQ(machine_.give_up_at(), steady_ + 1s);
    pass(1s);
    machine_.given_up();
    EXPECT_EQ(machine_.give_up_at(), kNever);
  }
  EXPECT_EQ(ask(), "wait");
  EXPECT_TRUE(runs());
  machine_.began(steady_ + 2s);
  machine_.retry();
  EXPECT_EQ(machine_.give_up_at(), kNever);  // it may only be slow
  succeed("a");
  EXPECT_FALSE(runs());
  pass(1h);
  ask(1);
  machine_.began(steady_ + 2s);
  machine_.retry();
  EXPECT_EQ(machine_.give_up_at(), steady_ + 2s);
  fail("no");
  EXPECT_EQ(machine_.give_up_at(), kNever);
}

TEST_F(ExecPluginMachineTest, AFailedRenewalLeavesTheOldOneAndIsTriedAgain) {
  ask();
  succeed("a", 100s);
  pass(80s);
  fail("no");
  EXPECT_EQ(ask(), "a");
  EXPECT_FALSE(runs());
  pass(Machine::kFailurePause);
  EXPECT_TRUE(runs());
  succeed("b");
  EXPECT_EQ(ask(), "b");
}

TEST_F(ExecPluginMachineTest, ARefusedOneIsReplacedOnceForAll) {
  ask();
  succeed("a");
  EXPECT_EQ(ask(1), "wait");
  EXPECT_TRUE(runs());
  EXPECT_EQ(ask(1), "wait");
  EXPECT_EQ(ask(), "wait");  // nobody else is to be refused
  succeed("b");
  EXPECT_EQ(ask(1), "b");
  EXPECT_FALSE(runs());  // somebody else got it meanwhile
  EXPECT_EQ(ask(1), "b");
}

TEST_F(ExecPluginMachineTest, TheSameAgainAfterARefusalIsNoAnswer) {
  ask();
  succeed("a");
  ask(1);
  succeed("a");
  EXPECT_EQ(ask(1), "the login plugin has no other credential");
  EXPECT_EQ(ask(), "a");
  EXPECT_EQ(generation_, 1U);
  EXPECT_FALSE(runs());
  pass(Machine::kRefusedPause);
  EXPECT_EQ(ask(1), "wait");
  EXPECT_TRUE(runs());
}

TEST_F(ExecPluginMachineTest, AServerThatRefusesAllDoesNotMakeItRunEachTime) {
  ask();
  succeed("a");
  ask(1);
  succeed("b");
  EXPECT_EQ(ask(1), "b");
  EXPECT_EQ(ask(2), "the login plugin has no other credential");
  EXPECT_FALSE(runs());
}

TEST_F(ExecPluginMachineTest, AFailureAfterARefusalLeavesNothing) {
  ask();
  succeed("a");
  ask(1);
  fail("no");
  EXPECT_EQ(ask(1), "no");
  EXPECT_EQ(ask(), "no");
  pass(Machine::kFailurePause);
  EXPECT_EQ(ask(), "wait");
}

TEST_F(ExecPluginMachineTest, OneThatAsksSomebodyIsNotRunUnasked) {
  machine_ = Machine(false);
  ask();
  succeed("a", 100s);
  pass(99s);
  EXPECT_FALSE(runs());
  EXPECT_EQ(machine_.next(now()).until, kNever);
  EXPECT_EQ(ask(), "a");
}

}  // namespace
}  // namespace kportal::k8s
