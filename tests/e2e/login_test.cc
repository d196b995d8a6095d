// SPDX-License-Identifier: MIT
// Login plugins as users have them: a script named in the kubeconfig, tokens that end, servers that
// refuse, plugins that hang or leave something running.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class LoginTest : public E2eTest {
 protected:
  void SetUp() override {
    add_pod("solo");
    add_user("dev", "first");
    write_kubeconfig({{"lab", script("login", "")}});
    dir_.write("token", "first");
  }

  void add_user(std::string const& user, std::string const& token) {
    lab_.call([&](Lab& lab) {
      lab.server.access().add_user(user, token);
      lab.server.access().allow(user, {{"*"}, {"*"}});
    });
  }

  // A plugin that notes its run, does `body`, and gives the token in the file `token` for as many
  // seconds as the file `seconds` says. It answers with the file `status` instead, if there is one.
  std::string script(std::string const& name, std::string const& body) {
    std::string const text = fmt::format(
        "#!/bin/sh\ncd {}\necho $$ >> {}.runs\n{}\n"
        "status=\"\\\"token\\\": \\\"$(cat token)\\\"\"\n"
        "[ -e status ] && status=$(cat status)\n"
        "[ -e seconds ] && status=\"$status, \\\"expirationTimestamp\\\": "
        "\\\"$(date -u -d \"+$(cat seconds) seconds\" +%FT%TZ)\\\"\"\n"
        "echo \"{{\\\"apiVersion\\\": \\\"client.authentication.k8s.io/v1\\\", \\\"kind\\\": "
        "\\\"ExecCredential\\\", \\\"status\\\": {{$status}}}}\"\n",
        dir_.path(), name, body);
    std::string const path = dir_.write(name, text);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  std::vector<pid_t> runs(std::string const& name = "login") const {
    std::ifstream file(dir_.file(name + ".runs"));
    return {std::istream_iterator<pid_t>(file), {}};
  }
  bool wait_for_runs(std::size_t count, std::string const& name = "login") const {
    TimePoint const deadline = Clock::now() + kPatience;
    while (runs(name).size() < count && Clock::now() < deadline) std::this_thread::sleep_for(5ms);
    return runs(name).size() >= count;
  }

  // Contexts by name, each with a user whose plugin is that command.
  void write_kubeconfig(std::vector<std::pair<std::string, std::string>> const& contexts) {
    std::vector<lab::KubeconfigOptions> all;
    for (auto const& [name, command] : contexts) {
      auto& options = all.emplace_back();
      options.context = name;
      options.token = "of " + name;
    }
    std::string text = lab_.call([&](Lab& lab) { return lab.server.kubeconfig(all); });
    for (auto const& [name, command] : contexts) {
      std::string const placeholder = "token: \"of " + name + "\"";
      text.replace(text.find(placeholder), placeholder.size(),
                   "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: "
                   "IfAvailable, command: " +
                       command + "}");
    }
    dir_.write("kubeconfig", text);
  }

  static std::string forward(std::string const& alias, std::string const& port = "8080") {
    return "resource: pod/solo, port: " + port + ", localPort: auto, alias: " + alias;
  }
  static bool echoes(Client& client, std::string const& text) {
    return client.send(text) && client.read(text.size()) == text;
  }
  std::uint64_t tunnels() {
    return lab_.call([](Lab& lab) { return lab.server.tunnels(); });
  }
  // All that is open at the server ends: each part of the program must ask again.
  void cut_all() {
    lab_.call([](Lab& lab) { return lab.server.cut_connections(); });
  }
  // Until a forward that lost its tunnel has another.
  static bool connected_again(Program& program, std::string const& id, std::size_t mark) {
    return program.wait_for_event("forward.connected", id, mark) != nullptr &&
           program.wait_for_status(id, Status::active) != nullptr;
  }
};

TEST_F(LoginTest, OneRunIsEnoughForAllForwards) {
  std::vector<std::string> lines;
  for (int i = 0; i < 20; ++i) lines.push_back(forward("a" + std::to_string(i)));
  Program program = up(lines);
  for (int i = 0; i < 20; ++i) {
    std::uint16_t const port = active_port(program, "a" + std::to_string(i) + ":auto");
    EXPECT_EQ(http_get(port).status, 200);
  }
  EXPECT_EQ(runs().size(), 1U);
}

TEST_F(LoginTest, ACredentialThatEndsIsRenewedAndTunnelsLiveOn) {
  dir_.write("seconds", "4");
  Program program = up({forward("echo", "7000")}, kOneTunnel);
  Client client(active_port(program, "echo:auto"));
  EXPECT_TRUE(echoes(client, "before"));
  add_user("dev", "second");
  dir_.replace("token", "second");
  // The second run may have begun before the file was there.
  ASSERT_TRUE(wait_for_runs(3));
  lab_.call([](Lab& lab) { lab.server.access().revoke_token("first"); });
  EXPECT_TRUE(echoes(client, "after"));
  EXPECT_EQ(tunnels(), 1U);
  EXPECT_EQ(program.wait_for_event("forward.disconnected", {}, 0, 0s), nullptr);
}

TEST_F(LoginTest, ARevokedTokenIsReplacedByOneRun) {
  Program program = up({forward("a"), forward("b")});
  active_port(program, "a:auto");
  active_port(program, "b:auto");
  add_user("dev", "second");
  dir_.replace("token", "second");
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) { lab.server.access().revoke_token("first"); });
  cut_all();
  EXPECT_TRUE(connected_again(program, "a:auto", mark));
  EXPECT_TRUE(connected_again(program, "b:auto", mark));
  EXPECT_EQ(http_get(active_port(program, "a:auto")).status, 200);
  EXPECT_EQ(runs().size(), 2U);
}

TEST_F(LoginTest, ARefusedTokenThatThePluginGivesAgainIsUnauthorized) {
  dir_.replace("token", "unknown");
  Program program = up({forward("a")});
  auto const* const change = program.wait_for_status("a:auto", Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, Reason::unauthorized);
  EXPECT_LE(runs().size(), 3U);
}

TEST_F(LoginTest, AHangingPluginIsEndedInTimeAndDelaysNobodyElse) {
  write_kubeconfig({{"lab", script("login", "")},
                    {"slow", script("hang", "echo 'open https://login.example' >&2; sleep 600")}});
  std::string text = forwards(
      {forward("quick")}, "healthCheck: { method: tcp-dial }\nreliability: { authTimeout: 3s }\n");
  text +=
      "  - name: slow\n    kubeconfig: kubeconfig\n    namespaces:\n      - name: default\n"
      "        forwards:\n          - { " +
      forward("slow") + " }\n";
  dir_.write("forwards.yaml", text);
  TimePoint const began = Clock::now();
  Program program(up_arguments());
  active_port(program, "quick:auto");
  EXPECT_LT(Clock::now() - began, 3s);
  auto const* const change = program.wait_for_status("slow:auto", Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_GE(Clock::now() - began, 3s);
  EXPECT_EQ(change->reason, Reason::auth_plugin);
  EXPECT_THAT(change->message,
              HasSubstr("login plugin hang did not end within 3s (reliability.authTimeout)"));
  EXPECT_THAT(change->message, HasSubstr("open https://login.example"));
  ASSERT_EQ(runs("hang").size(), 1U);
  EXPECT_NE(::kill(runs("hang").front(), 0), 0);
}

// Somebody may be typing a password.
TEST_F(LoginTest, AReloadDuringALoginDoesNotBeginItAnew) {
  write_kubeconfig({{"lab", script("login", "while [ ! -e go ]; do sleep 0.05; done")}});
  Program program = up({forward("a")});
  ASSERT_TRUE(wait_for_runs(1));
  for (char const* const change : {", halfClose: hold", "", ", allowUnready: true"}) {
    std::size_t const mark = program.mark();
    dir_.replace("forwards.yaml", forwards({forward("a", "7000") + change}));
    ASSERT_TRUE(program.wait_for_event("config.reloaded", {}, mark));
  }
  dir_.write("go", "");
  active_port(program, "a:auto");
  EXPECT_EQ(runs().size(), 1U);
}

TEST_F(LoginTest, AnEditDuringALoginEndsIt) {
  write_kubeconfig({{"lab", script("hang", "sleep 600")}});
  Program program =
      up({forward("a")}, "healthCheck: { method: tcp-dial }\nreliability: { authTimeout: 10m }\n");
  ASSERT_TRUE(wait_for_runs(1, "hang"));
  write_kubeconfig({{"lab", script("login", "")}});
  active_port(program, "a:auto");
  pid_t const hanging = runs("hang").front();
  TimePoint const deadline = Clock::now() + 20s;  // before the sweep that ends what is forgotten
  while (::kill(hanging, 0) == 0 && Clock::now() < deadline) std::this_thread::sleep_for(5ms);
  EXPECT_NE(::kill(hanging, 0), 0);
}

TEST_F(LoginTest, TheProgramEndsWithItsPluginsAtOnce) {
  write_kubeconfig({{"lab", script("login", "trap '' TERM\nsleep 600\nsleep 600")}});
  Program program = up({forward("a")});
  ASSERT_TRUE(wait_for_runs(1));
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(10s), 0);
  EXPECT_NE(::kill(runs().front(), 0), 0);
}

// The shortage is this machine's and passes: it is no failure of the plugin, which would be final.
TEST_F(LoginTest, APluginThatCannotBeStartedForWantOfDescriptorsIsStartedLater) {
  dir_.write("seconds", "2");
  Program program = up({forward("a")});
  std::uint16_t const port = active_port(program, "a:auto");
  rlimit before{};
  ASSERT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
  rlimit none = before;
  none.rlim_cur = 6;  // it has more than that open
  ASSERT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  std::size_t const mark = program.mark();
  cut_all();
  // First it is the socket that cannot be had; then the credential ends.
  auto const told = program.wait_for(
      [](OutputLine const& line) {
        return line.text.find(
                   "login plugin login could not be started: Too many open files (this "
                   "program may have 6: ") != std::string::npos;
      },
      mark);
  ASSERT_TRUE(told);
  EXPECT_THAT(told->text, HasSubstr("\"reason\":\"network\""));
  EXPECT_FALSE(program.wait_for_line("auth-plugin", mark, 0s));
  EXPECT_TRUE(program.wait_for_status("a:auto", Status::reconnecting, 0s));
  dir_.write("seconds", "600");
  ASSERT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, &before, nullptr), 0);
  EXPECT_EQ(active_port(program, "a:auto"), port);
  EXPECT_EQ(http_get(port).status, 200);
}

TEST_F(LoginTest, WhatAPluginLeavesRunningHoldsNoPort) {
  write_kubeconfig({{"lab", script("login", "sleep 600 & echo $! > left")}});
  Program program = up({forward("a"), forward("b")});
  std::uint16_t const a = active_port(program, "a:auto");
  std::uint16_t const b = active_port(program, "b:auto");
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  std::ifstream file(dir_.file("left"));
  pid_t left = 0;
  file >> left;
  ASSERT_EQ(::kill(left, 0), 0) << "it should still sleep";
  for (std::uint16_t const port : {a, b}) {
    int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    int const on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr const*>(&address), sizeof address), 0) << port;
    EXPECT_EQ(::listen(fd, 1), 0) << port;
    ::close(fd);
  }
  ::kill(left, SIGKILL);
}

TEST_F(LoginTest, AClientCertificateIsRenewedForRestAndTunnels) {
  auto const status_of = [&](std::string const& user) {
    auto const pair = lab_.call([&](Lab& lab) {
      lab.server.access().allow(user, {{"*"}, {"*"}});
      return *lab.server.client_certificate(user, {});
    });
    auto const json = [](std::string text) {
      for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) {
        text.replace(at, 1, "\\n");
      }
      return "\"" + text + "\"";
    };
    return "\"clientCertificateData\": " + json(pair.certificate_pem) +
           ", \"clientKeyData\": " + json(pair.key_pem);
  };
  dir_.write("status", status_of("before"));
  dir_.write("seconds", "4");
  // printf, for echo would turn \n into a line break.
  std::string const body = "echo() { printf '%s\\n' \"$1\"; }";
  write_kubeconfig({{"lab", script("login", body)}});
  Program program = up({forward("echo", "7000")}, kOneTunnel);
  std::uint16_t const port = active_port(program, "echo:auto");
  Client client(port);
  EXPECT_TRUE(echoes(client, "one"));
  dir_.replace("status", status_of("after"));
  ASSERT_TRUE(wait_for_runs(runs().size() + 2));
  lab_.call([](Lab& lab) { lab.server.access().forbid_all("before"); });
  EXPECT_TRUE(echoes(client, "two"));
  EXPECT_EQ(tunnels(), 1U);
  // REST: the watch is asked for anew, and must see the other pod.
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) { lab.server.cut_watches(); });
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  EXPECT_TRUE(connected_again(program, "echo:auto", mark));
  Client again(port);
  EXPECT_TRUE(echoes(again, "three"));
}

}  // namespace
}  // namespace kportal::test
