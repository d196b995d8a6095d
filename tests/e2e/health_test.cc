// SPDX-License-Identifier: MIT
// The statuses of the program against what pods and networks really do: silence, refusal, ports
// that come and go, tunnels that fall silent.
#include <algorithm>
#include <csignal>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

class HealthTest : public E2eTest {
 protected:
  std::uint64_t probes_of(std::string const& pod) {
    return lab_.call([&](Lab& lab) {
      return lab.cluster.find_pod(lab::PodName("default", pod))->sandbox->connections();
    });
  }
  void listen(std::uint16_t port) {
    lab_.call([&](Lab& lab) {
      lab.cluster.listen(lab::PodName("default", "solo"), port, lab::PortBehaviour::echo);
    });
  }
  void unlisten(std::uint16_t port) {
    lab_.call([&](Lab& lab) { lab.cluster.unlisten(lab::PodName("default", "solo"), port); });
  }
  static events::HealthStatusChanged change_to(Program& program, std::string const& forward,
                                               Status status) {
    auto const* const change = program.wait_for_status(forward, status);
    EXPECT_NE(change, nullptr) << forward << " is not " << events::to_word(status);
    return change == nullptr ? events::HealthStatusChanged() : *change;
  }
};

// The times between the beginnings of a pod's connections.
class Cycles {
 public:
  // At each change: so many began so far.
  void look(std::uint64_t began, TimePoint now) {
    if (began == began_) return;
    if (began_ != 0) {
      longest_ = std::max(longest_, now - last_);
      ++number_;
    }
    began_ = began;
    last_ = now;
  }
  std::size_t number() const { return number_; }
  Duration longest() const { return longest_; }

 private:
  std::uint64_t began_ = 0;
  TimePoint last_{};
  Duration longest_{};
  std::size_t number_ = 0;
};

// Each forward has a pod of its own, whose connections are the probes of that forward and nothing
// else: the longest time between the beginnings of two of them is the longest cycle.
TEST_F(HealthTest, ACycleOverTwoHundredSilentForwardsTakesLessThanIntervalPlusTimeout) {
  constexpr std::size_t kForwards = 200;
  constexpr std::size_t kCycles = 5;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < kForwards; ++i) {
    std::string const name = "silent" + std::to_string(i);
    add_pod(name);
    lines.push_back("resource: pod/" + name + ", port: 9004, localPort: auto, alias: " + name);
  }
  Program program =
      up(lines, "healthCheck: { interval: 1s, timeout: 1s, podProbe: 1s, startupGrace: 30s }\n");
  for (std::size_t i = 0; i < kForwards; ++i) {
    ASSERT_NE(active_port(program, "silent" + std::to_string(i) + ":auto"), 0);
  }
  std::vector<Cycles> all(kForwards);  // written on the lab's loop only
  bool const measured = lab_.wait_for(
      [&](Lab& lab) {
        TimePoint const now = Clock::now();
        std::size_t done = 0;
        for (std::size_t i = 0; i < kForwards; ++i) {
          auto const* const pod =
              lab.cluster.find_pod(lab::PodName("default", "silent" + std::to_string(i)));
          all[i].look(pod->sandbox->connections(), now);
          done += all[i].number() >= kCycles ? 1 : 0;
        }
        return done == kForwards;
      },
      60s);
  ASSERT_TRUE(measured) << "not every port is probed again and again";
  Duration longest{};
  for (Cycles const& cycles : all) longest = std::max(longest, cycles.longest());
  auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(longest).count();
  std::printf("200 silent forwards, interval 1 s, timeout 1 s: the longest cycle took %lld ms\n",
              static_cast<long long>(ms));
  if (!kSanitized) {
    EXPECT_LT(longest, 2s);
  }
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", 0, 0s));
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Reconnecting\"", 0, 0s));
}

TEST_F(HealthTest, ARefusedPortIsNeverActive) {
  add_pod("solo");
  TimePoint const begin = Clock::now();
  Program program = up({"resource: pod/solo, port: 9999, localPort: auto, alias: x"},
                       "healthCheck: { interval: 200ms, timeout: 500ms, startupGrace: 1s }\n");
  auto const change = change_to(program, "x:auto", Status::error);
  EXPECT_EQ(change.old, Status::starting);
  EXPECT_EQ(change.reason, Reason::refused);
  EXPECT_NE(change.message.find("9999"), std::string::npos) << change.message;
  EXPECT_GE(Clock::now() - begin, 1s);
  std::uint64_t const probes = probes_of("solo");
  // A refusal is no connection; the retries show as streams.
  EXPECT_EQ(probes, 0u);
  std::uint64_t const streams = lab_.call([](Lab& lab) { return lab.server.streams(); });
  ASSERT_TRUE(lab_.wait_for([&](Lab& lab) { return lab.server.streams() >= streams + 4; }));
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Active\"", 0, 0s));
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 1u);
}

TEST_F(HealthTest, APortThatBeginsAndStopsToListen) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 9999, localPort: auto, alias: x"},
                       "healthCheck: { interval: 200ms, timeout: 300ms, startupGrace: 500ms, "
                       "podProbe: 500ms }\n");
  EXPECT_EQ(change_to(program, "x:auto", Status::error).reason, Reason::refused);
  listen(9999);
  std::uint16_t const port = change_to(program, "x:auto", Status::active).forward.local_port;
  Client client(port);
  EXPECT_TRUE(client.send("hello"));
  EXPECT_EQ(client.read(5), "hello");
  unlisten(9999);
  // The user's connection that is open is good evidence, so nothing changes until it is over.
  EXPECT_TRUE(client.send("still"));
  EXPECT_EQ(client.read(5), "still");
  client.reset();
  EXPECT_EQ(change_to(program, "x:auto", Status::error).reason, Reason::refused);
  listen(9999);
  change_to(program, "x:auto", Status::active);
}

TEST_F(HealthTest, ATalkativePortAndOneThatResetsAreTold) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 9001, localPort: auto, alias: source",
                        "resource: pod/solo, port: 9003, localPort: auto, alias: banner",
                        "resource: pod/solo, port: 9006, localPort: auto, alias: bye",
                        "resource: pod/solo, port: 9005, localPort: auto, alias: resets"},
                       "healthCheck: { interval: 300ms, timeout: 2s, startupGrace: 1s }\n");
  for (std::string const good : {"source", "banner", "bye"}) {
    change_to(program, good + ":auto", Status::active);
  }
  EXPECT_EQ(change_to(program, "resets:auto", Status::error).reason, Reason::probe_failed);
}

TEST_F(HealthTest, AnIdleTunnelIsPingedAndTheAnswersKeepItActive) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 9004, localPort: auto, alias: x"},
                       "healthCheck: { method: tcp-dial, interval: 200ms, podProbe: 0 }\n");
  ASSERT_NE(active_port(program, "x:auto"), 0);
  // The first probes are over by then.
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.pings() >= 10; }));
  std::uint64_t const streams = lab_.call([](Lab& lab) { return lab.server.streams(); });
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.pings() >= 25; }));
  // No port was opened for it, and nothing changed.
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.streams(); }), streams);
  EXPECT_FALSE(program.wait_for_line("\"old\":\"Active\"", 0, 0s));
}

TEST_F(HealthTest, TunnelsThatFallSilentAreNoticedInTimeAndReplaced) {
  add_pod("solo");
  for (auto const direction :
       {lab::Direction::both, lab::Direction::to_client, lab::Direction::to_server}) {
    Program program =
        up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"},
           "reliability: { pingInterval: 500ms, pingTimeout: 500ms }\n" + std::string(kQuick));
    std::uint16_t const port = active_port(program, "x:auto");
    ASSERT_NE(port, 0);
    std::uint64_t const tunnels = lab_.call([](Lab& lab) { return lab.server.tunnels(); });
    std::size_t const mark = program.mark();
    TimePoint const begin = Clock::now();
    EXPECT_EQ(lab_.call([&](Lab& lab) { return lab.server.freeze_tunnels(direction); }), 1u);
    ASSERT_TRUE(lab_.wait_for([&](Lab& lab) { return lab.server.tunnels() > tunnels; }));
    // The contract's second, and what a loaded machine adds.
    EXPECT_LT(Clock::now() - begin, 1s + (kSanitized ? 2s : 500ms)) << static_cast<int>(direction);
    EXPECT_EQ(http_get(port).status, 200);
    // The second tunnel was there before the first was condemned.
    EXPECT_FALSE(program.wait_for_line("forward.disconnected", mark, 0s));
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait(), 0);
    lab_.call([](Lab& lab) { lab.server.thaw_tunnels(); });
    ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 0; }));
  }
}

TEST_F(HealthTest, AFrozenServerIsSurvived) {
  add_pod("solo");
  Program program =
      up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"},
         "reliability: { pingInterval: 500ms, pingTimeout: 500ms, dialTimeout: 1s }\n" +
             std::string(kQuick));
  std::uint16_t const port = active_port(program, "x:auto");
  lab_.call([](Lab& lab) { lab.server.freeze(); });
  ASSERT_TRUE(program.wait_for_status("x:auto", Status::reconnecting));
  std::size_t const mark = program.mark();
  Client held(port);
  ASSERT_TRUE(held.send("GET / HTTP/1.1\r\n\r\n"));
  // An attempt ends at its deadline while the server is frozen.
  ASSERT_TRUE(program.wait_for_event("forward.reconnecting", "x:auto", mark));
  lab_.call([](Lab& lab) { lab.server.thaw(); });
  EXPECT_EQ(held.read(15), "HTTP/1.1 200 OK") << to_word(held.end());
  EXPECT_TRUE(program.wait_for_status("x:auto", Status::active));
}

}  // namespace
}  // namespace kportal::test
