// SPDX-License-Identifier: MIT
// Stale tunnels: the new one is up before the old one is left, no connection notices, and a refresh
// that fails or is not wanted changes nothing.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/e2e/history.h"
#include "tests/e2e/pulse.h"
#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1024 * 1024;

// Calls `look` on the lab's loop at each change there, until the object goes.
class Watcher {
 public:
  Watcher(LabThread& lab, std::function<void(Lab&)> look) : lab_(lab) {
    thread_ = std::thread([this, look = std::move(look)] {
      lab_.wait_for(
          [&](Lab& each) {
            look(each);
            return ended_.load();
          },
          120s);
    });
  }
  ~Watcher() {
    ended_ = true;
    lab_.call([](Lab& each) { each.cluster.changed().notify(); });
    thread_.join();
  }
  Watcher(Watcher const&) = delete;
  Watcher& operator=(Watcher const&) = delete;

 private:
  LabThread& lab_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

class RefreshTest : public E2eTest {
 protected:
  static constexpr char const* kSoonStale =
      "healthCheck: { method: tcp-dial, interval: 100ms, timeout: 2s, maxConnectionAge: 600ms, "
      "maxIdleTime: 300ms }\n";

  static bool is_refresh(OutputLine const& line, std::string const& id) {
    auto const event = line.event();
    auto const* const fact = event ? std::get_if<events::ForwardConnected>(&event->fact) : nullptr;
    return fact != nullptr && fact->refresh && fact->forward.id == id;
  }
  static bool wait_for_refresh(Program const& program, std::string const& id, std::size_t from) {
    return program.wait_for([&](OutputLine const& line) { return is_refresh(line, id); }, from)
        .has_value();
  }
  static std::size_t refreshes(Program const& program, std::string const& id) {
    auto const lines = program.lines();
    return static_cast<std::size_t>(
        std::ranges::count_if(lines, [&](OutputLine const& line) { return is_refresh(line, id); }));
  }
  std::uint64_t tunnels_ever() {
    return lab_.call([](Lab& lab) { return lab.server.tunnels(); });
  }
  static bool echoes(Client& client, std::string const& text) {
    return client.send(text) && client.read(text.size()) == text;
  }
};

TEST_F(RefreshTest, TheNewTunnelIsUpBeforeTheOldOneEndsAndIsToldOnce) {
  add_pod("solo");
  std::vector<std::size_t> open;  // of the lab's loop
  {
    Watcher const watcher(lab_, [&](Lab& lab) {
      std::size_t const now = lab.server.open_tunnels();
      if (open.empty() || open.back() != now) open.push_back(now);
    });
    Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"}, kSoonStale);
    ASSERT_TRUE(lab_.wait_for(
        [](Lab& lab) { return lab.server.tunnels() >= 3 && lab.server.open_tunnels() == 1; }));
    ASSERT_TRUE(program.wait_for_status("x:auto", Status::active));
    program.signal(SIGTERM);
    ASSERT_EQ(program.wait(), 0);
    std::uint64_t const tunnels = tunnels_ever();
    History const history(program.lines());
    EXPECT_EQ(refreshes(program, "x:auto"), tunnels - 1);
    EXPECT_EQ(history.count("forward.connected"), tunnels);
    EXPECT_EQ(history.count("forward.disconnected"), 0U);
    // Each time: it is Stale, that is told as a fact, a new tunnel is up and proven.
    std::vector<std::string> told;
    for (OutputLine const& line : program.lines()) {
      auto const event = line.event();
      if (event) told.emplace_back(events::type_of(event->fact));
    }
    std::string const change = "health.status_changed";
    std::vector<std::string> const head{"forward.starting", change, "forward.connected", change};
    std::vector<std::string> const each{change, "health.stale", "forward.connected", change};
    ASSERT_GE(told.size(), 4 + 2 * each.size());
    EXPECT_TRUE(std::equal(head.begin(), head.end(), told.begin()));
    for (std::size_t i = 0; i < 2 * each.size(); ++i) EXPECT_EQ(told[4 + i], each[i % 4]) << i;
  }
  // From the first tunnel to the end of the program: a second, then the first ends.
  auto const first = std::ranges::find(open, 1U);
  ASSERT_GE(open.end() - first, 5);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(first[i], i % 2 == 0 ? 1U : 2U) << i;
}

TEST_F(RefreshTest, NobodyNotices) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: page",
                        "resource: pod/solo, port: 7000, localPort: auto, alias: echo",
                        "resource: pod/solo, port: 8080, localPort: auto, alias: big"},
                       kSoonStale);
  std::uint16_t const port = active_port(program, "page:auto");
  Client open(active_port(program, "echo:auto"));
  ASSERT_TRUE(echoes(open, "hello"));
  Client download(active_port(program, "big:auto"));
  ASSERT_TRUE(download.send("GET /bytes?n=67108864 HTTP/1.1\r\nConnection: close\r\n\r\n"));
  std::uint64_t received = download.skip(kMiB);
  // A connection that is asked for just then meets the old tunnel, both, or the new one.
  lab_.call(
      [](Lab& lab) { lab.server.faults().delay(lab::RequestKind::upgrade_websocket, 150ms); });
  int asked = 0;
  for (int round = 0; round < 3; ++round) {
    std::size_t const mark = program.mark();
    ASSERT_TRUE(program.wait_for_event("health.stale", "page:auto", mark));
    Pulse pulse(port, 20ms);
    ASSERT_TRUE(wait_for_refresh(program, "page:auto", mark));
    ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 5));
    pulse.stop();
    PulseCount const count = pulse.count();
    EXPECT_EQ(count.answered, count.asked);
    asked += count.asked;
    EXPECT_TRUE(echoes(open, "still here"));
    received += download.skip(4 * kMiB);
  }
  for (std::string const id : {"echo:auto", "big:auto"}) {
    EXPECT_GE(refreshes(program, id), 2U) << id;
  }
  EXPECT_GT(asked, 20);
  received += download.skip(100 * kMiB);
  EXPECT_GT(received, 64 * kMiB);  // and the head of the answer
  EXPECT_EQ(download.end(), End::eof);
  EXPECT_TRUE(echoes(open, "to the end"));
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
}

TEST_F(RefreshTest, WithoutRetryItIsOnlyTold) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"},
                       std::string(kSoonStale) + "reliability: { retryOnStale: false }\n");
  std::uint16_t const port = active_port(program, "x:auto");
  ASSERT_TRUE(program.wait_for_status("x:auto", Status::stale));
  // It is still looked at, and pings are no traffic.
  std::uint64_t const pings = lab_.call([](Lab& lab) { return lab.server.pings(); });
  ASSERT_TRUE(lab_.wait_for([=](Lab& lab) { return lab.server.pings() >= pings + 5; }));
  EXPECT_TRUE(program.wait_for_status("x:auto", Status::stale, 0s));
  EXPECT_EQ(tunnels_ever(), 1U);
  EXPECT_EQ(http_get(port).status, 200);
  std::size_t const mark = program.mark();
  ASSERT_TRUE(program.wait_for_status("x:auto", Status::active));
  ASSERT_TRUE(program.wait_for_event("health.stale", "x:auto", mark));
  History const history(program.lines());
  EXPECT_EQ(history.words("x:auto"), "Starting, Active, Stale, Active, Stale");
  EXPECT_EQ(history.count("health.stale"), 2U);
  EXPECT_EQ(history.count("forward.connected"), 1U);
}

TEST_F(RefreshTest, OneThatFailsLeavesTheOldTunnel) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"}, kSoonStale);
  std::uint16_t const port = active_port(program, "x:auto");
  lab_.call([](Lab& lab) {
    for (auto const kind : {lab::RequestKind::upgrade_websocket, lab::RequestKind::upgrade_spdy}) {
      lab.server.faults().fail(kind, lab::Failure(503));
    }
  });
  // Dials and fails, again and again.
  ASSERT_TRUE(lab_.wait_for(
      [](Lab& lab) { return lab.server.requests(lab::RequestKind::upgrade_websocket) >= 3; }));
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_EQ(tunnels_ever(), 1U);
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) { lab.server.faults().clear(); });
  ASSERT_TRUE(wait_for_refresh(program, "x:auto", mark));
  History const history(program.lines());
  for (Status const bad : {Status::error, Status::reconnecting}) {
    EXPECT_FALSE(history.ever("x:auto", bad)) << history.words("x:auto");
  }
  for (char const* const type : {"forward.disconnected", "forward.reconnecting", "forward.error"}) {
    EXPECT_EQ(history.count(type), 0U) << type;
  }
}

TEST_F(RefreshTest, FiftyAtOnceGoThroughTheGate) {
  constexpr std::size_t kForwards = 50;
  add_pod("solo");
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < kForwards; ++i) {
    lines.push_back(fmt::format("resource: pod/solo, port: 8080, localPort: auto, alias: f{}", i));
  }
  Program program =
      up(lines, fmt::format("healthCheck: {{ method: tcp-dial, interval: 300ms, maxIdleTime: "
                            "500ms, maxConnectionAge: {} }}\n",
                            kSanitized ? "10s" : "2s"));
  for (std::size_t i = 0; i < kForwards; ++i) {
    ASSERT_NE(active_port(program, fmt::format("f{}:auto", i)), 0);
  }
  std::uint64_t most = 0;  // of the lab's loop
  lab_.call(
      [](Lab& lab) { lab.server.faults().delay(lab::RequestKind::upgrade_websocket, 500ms); });
  {
    Watcher const watcher(lab_, [&](Lab& lab) {
      auto const asked = lab.server.requests(lab::RequestKind::upgrade_websocket);
      most = std::max(most, asked - lab.server.tunnels());
    });
    for (std::size_t i = 0; i < kForwards; ++i) {
      ASSERT_TRUE(wait_for_refresh(program, fmt::format("f{}:auto", i), 0)) << i;
    }
  }
  EXPECT_EQ(most, 20U);
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
  for (char const* const bad : {"\"status\":\"Error\"", "\"status\":\"Reconnecting\""}) {
    EXPECT_FALSE(program.wait_for_line(bad, 0, 0s));
  }
}

}  // namespace
}  // namespace kportal::test
