// SPDX-License-Identifier: MIT
// Login plugins as processes: shell scripts that do what plugins do and what they should not.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "base/log.h"
#include "k8s/credentials.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_fixture.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

class ExecPluginRunTest : public test::LoopFixture {
 protected:
  void SetUp() override {
    char name[] = "/tmp/exec_plugin_test.XXXXXX";
    directory_ = ::mkdtemp(name);
    descriptors_ = open_descriptors();
    ExecOptions& options = plugins_.options();
    options.variables = {"PATH=/usr/bin:/bin", "FROM_PARENT=1", "TWICE=parent"};
    options.time_limit = 20s;
    options.has_terminal = [] { return false; };
  }
  // Whatever a test did, nothing is left: no process, no zombie, no descriptor.
  void TearDown() override {
    credentials_.clear();
    run(plugins_.stop());
    EXPECT_EQ(plugins_.running(), 0U);
    EXPECT_FALSE(has_children());
    EXPECT_EQ(open_descriptors(), descriptors_);
    std::filesystem::remove_all(directory_);
  }

  std::string path(std::string const& name) const { return directory_ + "/" + name; }
  std::string read_file(std::string const& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::size_t runs() const {
    std::string const log = read_file("runs");
    return static_cast<std::size_t>(std::count(log.begin(), log.end(), '\n'));
  }
  // A script that notes each run in the file "runs".
  ExecConfig script(std::string const& name, std::string const& body) const {
    std::ofstream(path(name)) << "#!/bin/sh\necho run >> " << path("runs") << "\n" << body << "\n";
    std::filesystem::permissions(path(name), std::filesystem::perms::owner_all);
    ExecConfig exec;
    exec.api_version = "client.authentication.k8s.io/v1";
    exec.command = path(name);
    exec.interactive_mode = "IfAvailable";
    return exec;
  }
  static std::string prints(std::string const& members) {
    return "cat <<END\n{\"apiVersion\": \"client.authentication.k8s.io/v1\", "
           "\"kind\": \"ExecCredential\", \"status\": {" +
           members + "}}\nEND\n";
  }
  static std::string prints_token(std::string const& token) {
    return prints("\"token\": \"" + token + "\"");
  }

  Credentials& credentials(ExecConfig const& exec, Impersonation as = {}) {
    Auth auth;
    auth.exec = exec;
    auth.impersonation = std::move(as);
    net::TlsConfig tls;
    tls.insecure = true;
    credentials_.push_back(
        std::make_unique<Credentials>(auth, system_environment().read_file, tls, plugins_));
    return *credentials_.back();
  }
  using Answer = std::optional<Result<SharedIdentity>>;
  awaitable<void> ask(Credentials& credentials, std::uint64_t refused, Answer& answer) {
    if (refused == 0) {
      answer = co_await credentials.identity();
    } else {
      answer = co_await credentials.renewed(refused);
    }
  }
  awaitable<void> ask_and_note(Credentials& credentials, Answer& answer, int& left) {
    answer = co_await credentials.identity();
    if (--left == 0) done_.set();
  }
  // The plugin's own coroutine waits for more, so the loop is run for as long as the answer takes.
  Result<SharedIdentity> identity_of(Credentials& credentials, std::uint64_t refused = 0) {
    Answer answer;
    spawn(ask(credentials, refused, answer));
    run_until([&] { return answer.has_value(); });
    if (!answer) return Error(Errc::closed, "no answer");
    return *answer;
  }
  template <class Condition>
  void run_until(Condition const& holds) {
    TimePoint const deadline = Clock::now() + kDeadline;
    loop_.restart();
    bool held = holds();
    while (!held && Clock::now() < deadline) {
      loop_.run_one_for(20ms);
      held = holds();
    }
    EXPECT_TRUE(held) << "nothing came";
  }
  std::string authorization(Credentials& credentials, std::uint64_t refused = 0) {
    auto const identity = identity_of(credentials, refused);
    if (identity.has_error()) return identity.error().text;
    for (auto const& [name, value] : (*identity)->headers) {
      if (name == "Authorization") return value;
    }
    return "";
  }
  std::string problem(ExecConfig const& exec) {
    auto const identity = identity_of(credentials(exec));
    if (identity.has_value()) return "";
    EXPECT_EQ(identity.error().code, Errc::auth_plugin);
    return identity.error().text;
  }

  std::string directory_;
  std::size_t descriptors_ = 0;
  ExecPlugins plugins_{executor(), ExecOptions()};
  std::vector<std::unique_ptr<Credentials>> credentials_;
  Wakeup done_{executor()};
};

TEST_F(ExecPluginRunTest, GivesItsTokenAndImpersonation) {
  auto& credentials = this->credentials(script("login", prints_token("abc")), {"jane", "", {}, {}});
  auto const identity = identity_of(credentials);
  ASSERT_TRUE(identity) << identity.error().text;
  EXPECT_THAT((*identity)->headers,
              ElementsAre(Pair("Authorization", "Bearer abc"), Pair("Impersonate-User", "jane")));
  EXPECT_GT((*identity)->login_time, 0s);
  EXPECT_EQ(credentials.plugin(), "login");
  EXPECT_EQ((*identity)->tls, nullptr);
}

TEST_F(ExecPluginRunTest, FiveHundredForwardsAreOneRun) {
  ExecConfig const exec = script("login", "sleep 0.1\n" + prints_token("abc"));
  std::vector<Answer> answers(500);
  int left = 500;
  for (Answer& answer : answers) spawn(ask_and_note(credentials(exec), answer, left));
  run_until([&] { return left == 0; });
  for (Answer const& answer : answers) ASSERT_TRUE(answer && *answer);
  EXPECT_EQ(runs(), 1U);
  EXPECT_EQ(authorization(credentials(exec)), "Bearer abc");
  EXPECT_EQ(runs(), 1U);
}

TEST_F(ExecPluginRunTest, AFailureIsSharedToo) {
  ExecConfig const exec = script("login", "sleep 0.1; echo 'no luck' >&2; exit 7");
  std::vector<Answer> answers(500);
  int left = 500;
  for (Answer& answer : answers) spawn(ask_and_note(credentials(exec), answer, left));
  run_until([&] { return left == 0; });
  for (Answer const& answer : answers) {
    ASSERT_TRUE(answer && answer->has_error());
    EXPECT_EQ(answer->error().text, "login plugin login ended with exit code 7: no luck");
  }
  EXPECT_EQ(problem(exec), "login plugin login ended with exit code 7: no luck");
  EXPECT_EQ(runs(), 1U);
}

// It waits for an answer from a network that is no more.
TEST_F(ExecPluginRunTest, OneThatHangsIsRunAnewWhenTheNetworkIsBack) {
  plugins_.options().hang = 0s;
  auto& credentials = this->credentials(script(
      "login", "[ $(wc -l < " + path("runs") + ") = 1 ] && exec sleep 60\n" + prints_token("abc")));
  Answer answer;
  spawn(ask(credentials, 0, answer));
  run_until([&] { return runs() == 1; });
  credentials.retry();
  run_until([&] { return answer.has_value(); });
  ASSERT_TRUE(answer->has_value()) << answer->error().text;
  EXPECT_EQ(runs(), 2U);
}

// What it says may be where to log in, and a code to type there.
TEST_F(ExecPluginRunTest, OneThatHasSaidSomethingIsLeftAlone) {
  plugins_.options().hang = 0s;
  auto& credentials = this->credentials(
      script("login", "echo 'the code is 1234' >&2; touch " + path("said") + "\nwhile [ ! -e " +
                          path("go") + " ]; do sleep 0.02; done\n" + prints_token("abc")));
  Answer answer;
  spawn(ask(credentials, 0, answer));
  run_until([&] { return std::filesystem::exists(path("said")); });
  loop_.restart();
  loop_.poll();
  credentials.retry();
  loop_.poll();
  std::ofstream(path("go")) << "\n";
  run_until([&] { return answer.has_value(); });
  ASSERT_TRUE(answer->has_value()) << answer->error().text;
  EXPECT_EQ(runs(), 1U);
}

TEST_F(ExecPluginRunTest, HasTheEnvironmentOfBothAndTheExecInfo) {
  ExecConfig exec = script("login", "env > " + path("env") + "\n" + prints_token("abc"));
  exec.args = {"a b", "$HOME"};
  exec.env = {{"TWICE", "kubeconfig"}, {"FROM_KUBECONFIG", "1"}};
  EXPECT_EQ(authorization(credentials(exec)), "Bearer abc");
  std::string const env = "\n" + read_file("env");
  EXPECT_THAT(env, HasSubstr("\nFROM_PARENT=1\n"));
  EXPECT_THAT(env, HasSubstr("\nFROM_KUBECONFIG=1\n"));
  EXPECT_THAT(env, HasSubstr("\nTWICE=kubeconfig\n"));
  EXPECT_THAT(env, testing::Not(HasSubstr("TWICE=parent")));
  EXPECT_THAT(env, HasSubstr("\nKUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":"
                             "\"client.authentication.k8s.io/v1\",\"spec\":{\"interactive\":"
                             "false}}\n"));
}

TEST_F(ExecPluginRunTest, SaysWhatWentWrong) {
  plugins_.options().time_limit = 20s;
  EXPECT_THAT(problem(script("garbage", "echo s3cret")), HasSubstr("something else"));
  EXPECT_THAT(problem(script("newline", prints_token("a\\nb"))), HasSubstr("line breaks"));
  EXPECT_THAT(problem(script("signal", "kill -9 $$")), HasSubstr("signal 9 (Killed)"));
  EXPECT_THAT(problem(script("much", "head -c 104857600 /dev/zero")),
              HasSubstr("wrote more than any login needs"));
  EXPECT_THAT(problem(script("expired", prints("\"token\": \"t\", \"expirationTimestamp\": "
                                               "\"2020-01-01T00:00:00Z\""))),
              HasSubstr("expired already"));
  ExecConfig missing = script("x", "");
  missing.command = path("missing");
  EXPECT_THAT(problem(missing), HasSubstr("is not there, or its interpreter"));
  ExecConfig const plain = script("plain", "");
  std::filesystem::permissions(plain.command, std::filesystem::perms::owner_read);
  EXPECT_THAT(problem(plain), HasSubstr("is not executable"));
}

TEST_F(ExecPluginRunTest, AHangingOneIsEndedWhenTimeIsUp) {
  plugins_.options().time_limit = 300ms;
  TimePoint const began = Clock::now();
  EXPECT_THAT(problem(script("hang", "echo waiting for you >&2; sleep 600 & sleep 600")),
              HasSubstr("did not end within 0.3s"));
  EXPECT_LT(Clock::now() - began, 15s);
}

TEST_F(ExecPluginRunTest, ASlowOneIsToldOfWithItsWords) {
  std::string logged;
  log::set_output([&](std::string line) {
    if (line.find("has run for") == std::string::npos) return;
    logged += line;
    std::ofstream(path("go")) << "\n";
  });
  plugins_.options().slow = 300ms;
  ExecConfig const exec =
      script("login", "echo 'type XY at https://x.example' >&2\nwhile ! [ -e " + path("go") +
                          " ]; do sleep 0.01; done\n" + prints_token("abc"));
  EXPECT_EQ(authorization(credentials(exec)), "Bearer abc");
  log::reset_output();
  EXPECT_THAT(logged, HasSubstr("login plugin login has run for 0.3s and may for 20s: type XY at "
                                "https://x.example"));
}

TEST_F(ExecPluginRunTest, AHangingOneDelaysNobodyElse) {
  auto& hanging = credentials(script("hang", "sleep 600"));
  Answer never;
  spawn(ask(hanging, 0, never));
  EXPECT_EQ(authorization(credentials(script("login", prints_token("abc")))), "Bearer abc");
  EXPECT_FALSE(never);
  cancel_tasks();
}

TEST_F(ExecPluginRunTest, WhatItLeavesRunningIsNotWaitedFor) {
  ExecConfig const exec =
      script("login", "sleep 600 & echo $! > " + path("pid") + "\n" + prints_token("abc"));
  EXPECT_EQ(authorization(credentials(exec)), "Bearer abc");
  pid_t const left = std::stoi(read_file("pid"));
  // The shell's copy has more open until it is a sleep.
  std::string const table = "/proc/" + std::to_string(left) + "/fd";
  run_until([&] { return std::distance(std::filesystem::directory_iterator(table), {}) == 3; });
  ::kill(left, SIGKILL);
}

TEST_F(ExecPluginRunTest, RunsAgainAfterARefusal) {
  auto& credentials = this->credentials(
      script("login", "n=$(wc -l < " + path("runs") + ")\n" + prints("\"token\": \"t$n\"")));
  auto const first = identity_of(credentials);
  ASSERT_TRUE(first) << first.error().text;
  EXPECT_EQ((*first)->headers.front().second, "Bearer t1");
  auto const generation = (*first)->generation;
  EXPECT_EQ(authorization(credentials, generation), "Bearer t2");
  EXPECT_EQ(authorization(credentials, generation), "Bearer t2");  // somebody has got it already
  EXPECT_EQ(authorization(credentials), "Bearer t2");
  EXPECT_EQ(runs(), 2U);
}

TEST_F(ExecPluginRunTest, RenewsWithoutBeingAsked) {
  auto& credentials = this->credentials(
      script("login", "n=$(wc -l < " + path("runs") + ")\n" +
                          prints("\"token\": \"t$n\", \"expirationTimestamp\": \"$(date -u -d '+5 "
                                 "seconds' +%FT%TZ)\"")));
  ASSERT_TRUE(identity_of(credentials));
  run_until([&] { return runs() >= 2; });
}

TEST_F(ExecPluginRunTest, GivesAClientCertificateOrSaysWhatIsWrongWithIt) {
  test::CertificateAuthority const ca("ca");
  auto const one = ca.issue({});
  auto const other = ca.issue({});
  auto const json = [](std::string text) {
    for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) {
      text.replace(at, 1, "\\\\n");
    }
    return "\"" + text + "\"";
  };
  auto const pair = [&](std::string const& cert, std::string const& key) {
    return prints("\"clientCertificateData\": " + json(cert) + ", \"clientKeyData\": " + json(key));
  };
  auto const good = identity_of(credentials(script("good", pair(one.cert_pem, one.key_pem))));
  ASSERT_TRUE(good) << good.error().text;
  EXPECT_EQ((*good)->cert_pem, one.cert_pem);
  EXPECT_NE((*good)->tls, nullptr);
  EXPECT_EQ((*good)->headers.size(), 0U);
  EXPECT_THAT(problem(script("mixed", pair(one.cert_pem, other.key_pem))),
              HasSubstr("client key does not belong to the certificate"));
  EXPECT_THAT(problem(script("cut", pair(one.cert_pem.substr(0, 200), one.key_pem))),
              HasSubstr("a client certificate that is of no use"));
  EXPECT_THAT(problem(script("half", prints("\"clientKeyData\": " + json(one.key_pem)))),
              HasSubstr("client key without its certificate"));
}

TEST_F(ExecPluginRunTest, AProgramOnPathIsFound) {
  ExecConfig exec = script("login-on-path", prints_token("abc"));
  exec.command = "login-on-path";
  plugins_.options().variables = {"PATH=:relative:/nowhere:" + directory_ + ":/usr/bin:/bin"};
  EXPECT_EQ(authorization(credentials(exec)), "Bearer abc");
}

TEST_F(ExecPluginRunTest, TheWorkingDirectoryIsNotSearched) {
  ExecConfig exec = script("login-here", prints_token("abc"));
  exec.command = "login-here";
  plugins_.options().variables = {"PATH=:.:/usr/bin:/bin"};
  auto const before = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  EXPECT_THAT(problem(exec), HasSubstr("is not on PATH"));
  std::filesystem::current_path(before);
}

TEST_F(ExecPluginRunTest, TheLoginShellsPathHelpsAService) {
  ExecConfig exec =
      script("login-on-path", "echo \"$PATH\" > " + path("path") + "\n" + prints_token("abc"));
  exec.command = "login-on-path";
  script("shell", "echo Welcome; PATH=" + directory_ +
                      ":/usr/bin:/bin; export PATH\n"
                      "[ \"$1\" = -lc ] && eval \"$2\"; echo bye");
  plugins_.options().variables = {"PATH=/usr/bin:/bin", "INVOCATION_ID=1",
                                  "SHELL=" + path("shell")};
  EXPECT_EQ(authorization(credentials(exec)), "Bearer abc");
  EXPECT_EQ(read_file("path"), directory_ + ":/usr/bin:/bin\n");
  exec.command = "nowhere-at-all";
  exec.install_hint = "get it at x.example";
  EXPECT_EQ(problem(exec),
            "login plugin nowhere-at-all is not on PATH: get it at x.example (PATH is "
            "/usr/bin:/bin, and of the login shell: " +
                directory_ + ":/usr/bin:/bin)");
}

TEST_F(ExecPluginRunTest, OneThatMustAskNeedsATerminal) {
  ExecConfig exec = script("login", prints_token("abc"));
  exec.interactive_mode = "Always";
  EXPECT_THAT(problem(exec), HasSubstr("standard input is no terminal"));
  plugins_.options().input_in_use = true;
  exec.args = {"other"};
  EXPECT_THAT(problem(exec), HasSubstr("holds the configuration (-f -)"));
  EXPECT_EQ(runs(), 0U);
}

TEST_F(ExecPluginRunTest, ThoseOnTheTerminalTakeTurns) {
  plugins_.options().has_terminal = [] { return true; };
  std::string const body = "mkdir " + path("lock") + " || exit 9\nsleep 0.1\nrmdir " +
                           path("lock") + "\nn=$KUBERNETES_EXEC_INFO\n" + prints_token("abc");
  std::vector<Answer> answers(4);
  int left = 4;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    ExecConfig const exec = script("login" + std::to_string(i), body);
    spawn(ask_and_note(credentials(exec), answers[i], left));
  }
  run_until([&] { return left == 0; });
  for (Answer const& answer : answers) {
    EXPECT_TRUE(answer && *answer) << answer->error().text;
  }
}

TEST_F(ExecPluginRunTest, NobodyNeedsItAnyMore) {
  auto& credentials = this->credentials(script("hang", "echo $$ > " + path("pid") + "; sleep 600"));
  Answer never;
  spawn(ask(credentials, 0, never));
  run_until([&] { return !read_file("pid").empty(); });
  cancel_tasks();
  poll();
  EXPECT_EQ(plugins_.running(), 1U);
  credentials_.clear();
  run_until([&] { return plugins_.running() == 0; });
  EXPECT_NE(::kill(std::stoi(read_file("pid")), 0), 0);
}

}  // namespace
}  // namespace kportal::k8s
