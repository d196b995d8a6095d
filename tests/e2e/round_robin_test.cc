// SPDX-License-Identifier: MIT
// `balance: round-robin`: connections go to the Ready pods in turn, whatever happens to a pod.
#include <algorithm>
#include <cstdlib>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

class RoundRobinTest : public E2eTest {
 protected:
  static constexpr char const* kWeb =
      "resource: deployment/web, port: 8080, localPort: auto, alias: web, balance: round-robin";

  Program balanced(std::string const& head = kQuick) { return up({std::string(kWeb)}, head); }
  bool wait_for_tunnels(std::size_t wanted) {
    return lab_.wait_for([=](Lab& lab) { return lab.server.open_tunnels() == wanted; });
  }
  bool delete_pod(std::string const& name, Duration grace = lab::Cluster::kGrace) {
    return lab_.call(
        [&](Lab& lab) { return lab.cluster.delete_pod(lab::PodName("default", name), grace); });
  }
  static std::size_t count(Program const& program, std::string_view text) {
    auto const lines = program.lines();
    return static_cast<std::size_t>(std::ranges::count_if(
        lines, [&](OutputLine const& line) { return line.text.find(text) != std::string::npos; }));
  }
  std::uint64_t tunnels_ever() {
    return lab_.call([](Lab& lab) { return lab.server.tunnels(); });
  }

  // Until so many requests in a row were answered by as many pods.
  static void wait_for_turns(std::uint16_t port, std::size_t pods) {
    TimePoint const deadline = Clock::now() + kPatience;
    while (ask(port, static_cast<int>(pods)).size() != pods) ASSERT_LT(Clock::now(), deadline);
  }
  // Who answered how many of `n` requests, each by a connection of its own; "" is nobody.
  static std::map<std::string, int> ask(std::uint16_t port, int n) {
    std::map<std::string, int> answers;
    for (int i = 0; i < n; ++i) ++answers[pod_of(http_get(port))];
    return answers;
  }
  void expect_even(std::map<std::string, int> const& answers, std::size_t pods, int each) {
    EXPECT_EQ(answers.size(), pods) << fmt::format("{}", answers);
    for (auto const& [pod, n] : answers) {
      EXPECT_FALSE(pod.empty());
      EXPECT_LE(std::abs(n - each), 1) << fmt::format("{}", answers);
    }
  }
};

TEST_F(RoundRobinTest, ConnectionsGoToAllReadyPodsInTurnOverWarmTunnels) {
  add_deployment("web", 3);
  Program program = balanced(std::string(kQuick) + "reliability: { maxTunnels: 3 }\n");
  std::uint16_t const port = active_port(program, "web:auto");
  wait_for_turns(port, 3);
  expect_even(ask(port, 300), 3, 100);
  EXPECT_EQ(tunnels_ever(), 3U);
  // One forward, one story: the further tunnels are no events.
  EXPECT_EQ(count(program, "\"forward.connected\""), 1U);
  EXPECT_EQ(program.errors(), "");
}

TEST_F(RoundRobinTest, ADeletedPodFailsNobodyAndItsSuccessorJoins) {
  add_deployment("web", 3, 1s);
  Program program = balanced();
  std::uint16_t const port = active_port(program, "web:auto");
  wait_for_turns(port, 3);
  std::string const victim = pods_of("web").front();
  std::size_t const mark = program.mark();
  expect_even(ask(port, 30), 3, 10);
  ASSERT_TRUE(delete_pod(victim));
  auto const after = ask(port, 60);
  EXPECT_EQ(after.count(""), 0U) << fmt::format("{}", after);
  // The successor is Ready by and by, and takes its turns from then on.
  wait_for_turns(port, 3);
  expect_even(ask(port, 30), 3, 10);
  // And one that goes without a second's grace.
  ASSERT_TRUE(delete_pod(pods_of("web").front(), Duration::zero()));
  EXPECT_FALSE(ask(port, 60).contains(""));
  EXPECT_FALSE(program.wait_for_line("connection.failed", mark, 0s));
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", mark, 0s));
  EXPECT_FALSE(program.wait_for_line("health.status_changed", mark, 0s));
}

TEST_F(RoundRobinTest, TheLossOfAllTunnelsIsOneLossAndHeldConnectionsAreSpread) {
  add_deployment("web", 3);
  Program program = balanced();
  std::uint16_t const port = active_port(program, "web:auto");
  wait_for_turns(port, 3);
  lab_.stop_server();
  ASSERT_TRUE(program.wait_for_event("forward.disconnected", "web:auto"));
  std::vector<Client> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back(port);
    EXPECT_TRUE(clients.back().send("GET / HTTP/1.1\r\n\r\n"));
  }
  lab_.start_server();
  for (Client& client : clients) EXPECT_EQ(client.read(12), "HTTP/1.1 200");
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  wait_for_turns(port, 3);
  EXPECT_EQ(count(program, "\"forward.disconnected\""), 1U);
  EXPECT_EQ(count(program, "\"forward.connected\""), 2U);
}

TEST_F(RoundRobinTest, APodThatRefusesThePortIsPassedOver) {
  add_deployment("web", 3);
  std::string const closed = pods_of("web").front();
  lab_.call([&](Lab& lab) { lab.cluster.unlisten(lab::PodName("default", closed), 8080); });
  Program program = balanced(
      "healthCheck: { method: tcp-dial, interval: 200ms, timeout: 400ms, startupGrace: 100ms }\n");
  std::uint16_t const port = active_port(program, "web:auto");
  ASSERT_TRUE(wait_for_tunnels(3));
  auto const answers = ask(port, 60);
  EXPECT_EQ(answers.size(), 2U) << fmt::format("{}", answers);
  EXPECT_FALSE(answers.contains("") || answers.contains(closed)) << fmt::format("{}", answers);
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", 0, 0s));
  // Only when all of them refuse is the forward in Error, and one that does not is enough.
  auto const others = pods_of("web");
  for (std::string const& pod : others) {
    lab_.call([&](Lab& lab) { lab.cluster.unlisten(lab::PodName("default", pod), 8080); });
  }
  // A connection that a pod accepted speaks for it while it is open: each failure asks anew.
  events::HealthStatusChanged const* change = nullptr;
  for (TimePoint const end = Clock::now() + kPatience; !change && Clock::now() < end;) {
    EXPECT_EQ(pod_of(http_get(port)), "");
    change = program.wait_for_status("web:auto", Status::error, 500ms);
  }
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, Reason::refused);
  lab_.call([&](Lab& lab) {
    lab.cluster.listen(lab::PodName("default", closed), 8080, lab::PortBehaviour::http);
  });
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  EXPECT_EQ(pod_of(http_get(port)), closed);
}

TEST_F(RoundRobinTest, ALostTunnelIsReplacedWithoutAWordWhileOthersServe) {
  add_deployment("web", 2);
  Program program = up({"resource: deployment/web, port: 7000, localPort: auto, alias: echo, "
                        "balance: round-robin"},
                       std::string(kQuick) + "reliability: { maxTunnels: 2 }\n");
  std::uint16_t const port = active_port(program, "echo:auto");
  ASSERT_TRUE(wait_for_tunnels(2));
  std::size_t const mark = program.mark();
  for (std::string const& pod : pods_of("web")) {
    Client one(port);
    ASSERT_TRUE(one.send("a") && one.read(1) == "a");
    Client other(port);
    ASSERT_TRUE(other.send("a") && other.read(1) == "a");
    std::uint64_t const before = tunnels_ever();
    lab_.call([&](Lab& lab) {
      lab.server.drop_tunnels(lab::SessionEnd::cut, lab::PodName("default", pod));
    });
    ASSERT_TRUE(lab_.wait_for([=](Lab& lab) {
      return lab.server.tunnels() == before + 1 && lab.server.open_tunnels() == 2;
    }));
    // Of the two connections one was on each pod.
    int alive = 0;
    for (Client* client : {&one, &other}) alive += client->send("b") && client->read(1) == "b";
    EXPECT_EQ(alive, 1);
  }
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", mark, 0s));
  EXPECT_FALSE(program.wait_for_line("health.status_changed", mark, 0s));
}

TEST_F(RoundRobinTest, MaxTunnelsBoundsThePodsAndChangesWithoutARestart) {
  auto const head = [](int tunnels) {
    return fmt::format("reliability: {{ maxTunnels: {} }}\n{}", tunnels, kQuick);
  };
  auto const file = [&](int tunnels) { return forwards({std::string(kWeb)}, head(tunnels)); };
  add_deployment("web", 4);
  Program program = balanced(head(2));
  std::uint16_t const port = active_port(program, "web:auto");
  wait_for_turns(port, 2);
  expect_even(ask(port, 40), 2, 20);
  EXPECT_EQ(tunnels_ever(), 2U);
  dir_.write("forwards.yaml", file(3));
  wait_for_turns(port, 3);
  dir_.write("forwards.yaml", file(1));
  ASSERT_TRUE(wait_for_tunnels(1));
  EXPECT_EQ(ask(port, 4).size(), 1U);
}

TEST_F(RoundRobinTest, AnUnreadyPodGetsNothingNewAndKeepsWhatItHas) {
  add_deployment("web", 3);
  Program program =
      up({"resource: deployment/web, port: 7000, localPort: auto, alias: echo, "
          "balance: round-robin",
          std::string(kWeb)});
  std::uint16_t const echo = active_port(program, "echo:auto");
  std::uint16_t const port = active_port(program, "web:auto");
  wait_for_turns(port, 3);
  std::string const pod = pods_of("web").front();
  std::vector<Client> open;
  while (pod_connections(pod) == 0) {
    open.emplace_back(echo);
    ASSERT_TRUE(open.back().send("a") && open.back().read(1) == "a");
  }
  lab_.call([&](Lab& lab) { lab.cluster.set_ready({"default", pod}, false); });
  TimePoint const deadline = Clock::now() + kPatience;
  while (ask(port, 6).contains(pod)) ASSERT_LT(Clock::now(), deadline);
  for (Client& client : open) EXPECT_TRUE(client.send("b") && client.read(1) == "b");
  lab_.call([&](Lab& lab) { lab.cluster.set_ready({"default", pod}, true); });
  wait_for_turns(port, 3);
}

TEST_F(RoundRobinTest, AStaleForwardsTunnelsAreReplacedOneByOneAndNothingIsCut) {
  add_deployment("web", 2);
  Program program = up({"resource: deployment/web, port: 7000, localPort: auto, alias: echo, "
                        "balance: round-robin"},
                       "healthCheck: { method: tcp-dial, interval: 200ms, timeout: 200ms, "
                       "maxConnectionAge: 500ms, maxIdleTime: 500ms }\n");
  std::uint16_t const port = active_port(program, "echo:auto");
  std::vector<Client> open;
  for (int i = 0; i < 4; ++i) {
    open.emplace_back(port);
    ASSERT_TRUE(open.back().send("a") && open.back().read(1) == "a");
  }
  ASSERT_TRUE(program.wait_for_event("health.stale", "echo:auto"));
  ASSERT_TRUE(program.wait_for_line("\"refresh\":true"));
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.tunnels() >= 4; }));
  for (Client& client : open) EXPECT_TRUE(client.send("b") && client.read(1) == "b");
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
}

}  // namespace
}  // namespace kportal::test
