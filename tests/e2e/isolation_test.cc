// SPDX-License-Identifier: MIT
// One bad connection ends only itself: whatever the runtime says of it, in each runtime's way and
// by both transports, beside fifty transfers on the same tunnel; and what a tunnel is given up for.
#include <algorithm>
#include <array>
#include <atomic>
#include <poll.h>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using lab::Failure;
using lab::PodName;
using lab::PortBehaviour;
using lab::RuntimeFlavour;
using lab::SessionEnd;

// From a refusal to the client's end and to the event, at the worst.
constexpr Duration kAtOnce = kSanitized ? 500ms : 100ms;

// Connections that send a block, read it back, and so on until stopped, in a thread.
class Transfers {
 public:
  Transfers(std::uint16_t port, std::size_t connections) {
    for (std::size_t i = 0; i < connections; ++i) users_.emplace_back(port, i);
    thread_ = std::thread([this] { run(); });
  }
  ~Transfers() { stop(); }
  Transfers(Transfers const&) = delete;
  Transfers& operator=(Transfers const&) = delete;

  // How many are broken; then none goes on.
  std::size_t stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return static_cast<std::size_t>(
        std::ranges::count_if(users_, [](User const& user) { return user.broken; }));
  }
  std::uint64_t received() const { return received_; }
  // How many have got something back.
  std::size_t begun() const { return begun_; }

 private:
  static constexpr std::size_t kBlock = 8 * 1024;

  struct User {
    User(std::uint16_t port, std::size_t number)
        : client(port), block(kBlock, static_cast<char>('!' + number)) {}
    Client client;
    std::string block;
    std::size_t sent = 0;
    std::size_t back = 0;
    bool begun = false;
    bool broken = false;
  };

  void run() {
    while (!stopping_) {
      std::vector<pollfd> waiting;
      for (User const& user : users_) {
        short const out = user.sent < kBlock ? POLLOUT : 0;
        int const descriptor = user.broken ? -1 : user.client.descriptor();
        waiting.push_back({descriptor, static_cast<short>(POLLIN | out), 0});
      }
      ::poll(waiting.data(), waiting.size(), 20);
      for (User& user : users_) {
        if (!user.broken) step(user);
      }
    }
  }
  void step(User& user) {
    if (user.sent < kBlock) {
      user.sent += user.client.send_now(std::string_view(user.block).substr(user.sent));
    }
    std::array<char, kBlock> buffer{};
    std::size_t const n =
        user.client.connected() ? user.client.read_now(buffer.data(), kBlock - user.back) : 0;
    bool const same =
        std::string_view(buffer.data(), n) == std::string_view(user.block).substr(user.back, n);
    if (n > 0 && !std::exchange(user.begun, true)) ++begun_;
    user.back += n;
    received_ += n;
    user.broken = !same || user.client.end() != End::open;
    if (user.back == kBlock) user.sent = user.back = 0;
  }

  std::vector<User> users_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> received_ = 0;
  std::atomic<std::size_t> begun_ = 0;
  std::thread thread_;
};

class IsolationTest : public E2eTest {
 protected:
  static constexpr char const* kOneTunnel =
      "reliability: { maxTunnels: 1, pingInterval: 300ms, pingTimeout: 300ms }\n"
      "healthCheck: { method: tcp-dial, interval: 200ms }\n";

  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
    // Runtimes wait for a second with the end of a connection that the pod has reset.
    lab_.call([](Lab& lab) { lab.server.runtime().half_close_wait = 20ms; });
  }
  template <class Fn>
  auto cluster(Fn fn) {
    return lab_.call([&](Lab& lab) { return fn(lab.cluster); });
  }
  std::uint64_t tunnels() {
    return lab_.call([](Lab& lab) { return lab.server.tunnels(); });
  }
  std::uint64_t pod_accepted() {
    return cluster([&](lab::Cluster& c) { return c.find_pod(kSolo)->sandbox->connections(); });
  }
  static int status_changes(Program const& program, std::size_t from = 0) {
    int changes = 0;
    for (OutputLine const& line : program.lines(from)) {
      auto const event = line.event();
      if (event && std::holds_alternative<events::HealthStatusChanged>(event->fact)) ++changes;
    }
    return changes;
  }
  // A connection that fails, at once, and is told of with this reason.
  static void expect_failure(Program const& program, std::uint16_t port, Reason reason,
                             std::string const& what, std::string const& first_bytes = "hello") {
    std::size_t const mark = program.mark();
    TimePoint const asked = Clock::now();
    Client client(port);
    client.send(first_bytes);
    EXPECT_EQ(client.read_to_end(), "") << what;
    TimePoint const ended = Clock::now();
    EXPECT_EQ(client.end(), End::reset) << what;
    auto const line = program.wait_for_line("\"connection.failed\"", mark);
    ASSERT_TRUE(line) << what;
    auto const& failed = std::get<events::ConnectionFailed>(line->event()->fact);
    EXPECT_EQ(failed.reason, reason) << what << ": " << failed.message;
    auto const ms = [asked](TimePoint at) {
      return std::chrono::duration<double, std::milli>(at - asked).count();
    };
    std::printf("%s: reset after %.1f ms, told after %.1f ms\n", what.c_str(), ms(ended),
                ms(line->at));
    EXPECT_LT(ended - asked, kAtOnce) << what;
    EXPECT_LT(line->at - asked, kAtOnce) << what;
  }

  PodName const kSolo{"default", "solo"};
};

struct Way {
  char const* name;
  lab::WebSocketGate gate;
  RuntimeFlavour flavour;
};
void PrintTo(Way const& way, std::ostream* out) {
  *out << way.name;
}
class EveryRuntimeTest : public IsolationTest, public testing::WithParamInterface<Way> {};

constexpr auto kWebSocket = lab::WebSocketGate::open;
constexpr auto kSpdy = lab::WebSocketGate::refused_400;
INSTANTIATE_TEST_SUITE_P(
    Ways, EveryRuntimeTest,
    testing::Values(Way{"websocket_message_and_reset", kWebSocket,
                        RuntimeFlavour::message_and_reset},
                    Way{"websocket_message_and_fin", kWebSocket, RuntimeFlavour::message_and_fin},
                    Way{"websocket_reset_only", kWebSocket, RuntimeFlavour::reset_only},
                    Way{"spdy_message_and_reset", kSpdy, RuntimeFlavour::message_and_reset},
                    Way{"spdy_message_and_fin", kSpdy, RuntimeFlavour::message_and_fin},
                    Way{"spdy_reset_only", kSpdy, RuntimeFlavour::reset_only}),
    [](auto const& tested) { return std::string(tested.param.name); });

TEST_P(EveryRuntimeTest, ABadConnectionEndsOnlyItselfBesideFiftyTransfersOnItsTunnel) {
  lab_.call([](Lab& lab) {
    lab.server.faults().websocket = GetParam().gate;
    lab.server.runtime().flavour = GetParam().flavour;
  });
  Program program = up({"resource: pod/solo, port: 7000, localPort: auto, alias: x"}, kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  Transfers transfers(port, 50);
  TimePoint const patience = Clock::now() + kPatience;
  while (transfers.begun() < 50 && Clock::now() < patience) std::this_thread::sleep_for(1ms);
  ASSERT_EQ(transfers.begun(), 50u);
  int const changes = status_changes(program);
  // Runtimes that end the streams of a refused connection by FIN stop over what was sent for it:
  // see AnOldRuntimeThatStops.
  bool const resets = GetParam().flavour == RuntimeFlavour::message_and_reset;
  std::string const first = resets ? "hello" : "";
  for (int round = 0; round < 3; ++round) {
    cluster([&](lab::Cluster& c) { return c.refuse_next(kSolo, 1); });
    expect_failure(program, port, Reason::refused, "refused", first);
    cluster([&](lab::Cluster& c) { return c.refuse_next(kSolo, 1, "no one knows these words"); });
    expect_failure(program, port, Reason::reset, "error text", first);
    cluster([&](lab::Cluster& c) { return c.listen(kSolo, 7000, PortBehaviour::reset); });
    expect_failure(program, port, Reason::reset, "reset by the application");
    cluster([&](lab::Cluster& c) { return c.listen(kSolo, 7000, PortBehaviour::echo); });
  }
  std::uint64_t const before = transfers.received();
  TimePoint const deadline = Clock::now() + kPatience;
  while (transfers.received() < before + 50 * 8192 && Clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_GE(transfers.received(), before + 50 * 8192) << "they stand still";
  EXPECT_EQ(transfers.stop(), 0u);
  EXPECT_EQ(tunnels(), 1u);
  EXPECT_EQ(status_changes(program), changes);
}

// Its worker waits for somebody to read what was sent for the refused connection: every fifth
// stream and ping is lost. A new tunnel takes the new connections, and the old one stays for those
// it has.
TEST_F(IsolationTest, AnOldRuntimeThatStopsOverARefusedConnectionIsLeftForANewTunnel) {
  lab_.call([](Lab& lab) { lab.server.runtime().flavour = RuntimeFlavour::message_and_fin; });
  Program program = up({"resource: pod/solo, port: 7000, localPort: auto, alias: x"}, kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  Client open(port);
  ASSERT_TRUE(open.send("one"));
  ASSERT_EQ(open.read(3), "one");
  int const changes = status_changes(program);
  // A refusal that comes before the client's bytes have left leaves nothing that waits.
  bool left = false;
  for (int tries = 0; tries < 5 && !left; ++tries) {
    cluster([&](lab::Cluster& c) { return c.refuse_next(kSolo, 1); });
    expect_failure(program, port, Reason::refused, "refused by an old runtime");
    left = lab_.wait_for([](Lab& lab) { return lab.server.tunnels() == 2; }, 3s);
  }
  ASSERT_TRUE(left);
  ASSERT_TRUE(program.wait_for_line("\"refresh\":true"));
  for (int i = 0; i < 10; ++i) {
    Client next(port);
    ASSERT_TRUE(next.send("?"));
    EXPECT_EQ(next.read(1), "?") << i << ": " << to_word(next.end());
  }
  ASSERT_TRUE(open.send("two"));
  EXPECT_EQ(open.read(3), "two") << to_word(open.end());
  EXPECT_EQ(status_changes(program), changes);
  EXPECT_EQ(tunnels(), 2u);
}

// The checker doubts the port then, tries it, and has nothing to tell.
TEST_F(IsolationTest, ARefusedConnectionOnAGoodPortChangesNoStatus) {
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"}, kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  // The second time the first probe is refused as well, and another one confirms nothing.
  for (int const refusals : {1, 2}) {
    SCOPED_TRACE(refusals);
    int const changes = status_changes(program);
    std::uint64_t const accepted = pod_accepted();
    cluster([&](lab::Cluster& c) { return c.refuse_next(kSolo, refusals); });
    expect_failure(program, port, Reason::refused, "refused");
    ASSERT_TRUE(lab_.wait_for([&](Lab& lab) {
      return lab.cluster.find_pod(kSolo)->sandbox->connections() > accepted;
    })) << "no probe";
    std::uint64_t const pings = lab_.call([](Lab& lab) { return lab.server.pings(); });
    ASSERT_TRUE(lab_.wait_for([&](Lab& lab) { return lab.server.pings() > pings + 2; }));
    EXPECT_EQ(status_changes(program), changes);
  }
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_EQ(tunnels(), 1u);
}

TEST_F(IsolationTest, WhatATunnelIsNotGivenUpFor) {
  Program program = up({"resource: pod/solo, port: 7000, localPort: auto, alias: x"}, kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  Client open(port);
  ASSERT_TRUE(open.send("!"));
  ASSERT_EQ(open.read(1), "!");
  auto const still = [&](char const* what) {
    ASSERT_TRUE(open.send("?")) << what;
    ASSERT_EQ(open.read(1), "?") << what << ": " << to_word(open.end());
    EXPECT_EQ(tunnels(), 1u) << what;
  };
  auto const faults = [&](lab::StreamFate fate) {
    lab_.call([&](Lab& lab) { lab.server.faults().new_streams = fate; });
  };
  cluster([&](lab::Cluster& c) { return c.refuse_next(kSolo, 1); });
  expect_failure(program, port, Reason::refused, "refused");
  still("refused");
  cluster([&](lab::Cluster& c) { return c.refuse_next(kSolo, 1, "no one knows these words"); });
  expect_failure(program, port, Reason::reset, "error text");
  still("error text");
  faults(lab::StreamFate::reject);
  expect_failure(program, port, Reason::reset, "a stream that is rejected");
  still("a stream that is rejected");
  faults(lab::StreamFate::never_reply);
  Client silent(port);
  ASSERT_TRUE(silent.send("?"));
  std::uint64_t const streams = lab_.call([](Lab& lab) { return lab.server.streams(); });
  ASSERT_TRUE(lab_.wait_for([&](Lab& lab) { return lab.server.streams() >= streams; }));
  silent.reset();
  faults(lab::StreamFate::normal);
  still("a stream without a reply");
  cluster([&](lab::Cluster& c) { return c.listen(kSolo, 7000, PortBehaviour::reset); });
  expect_failure(program, port, Reason::reset, "reset by the application");
  cluster([&](lab::Cluster& c) { return c.listen(kSolo, 7000, PortBehaviour::echo); });
  still("reset by the application");
  Client leaves(port);
  ASSERT_TRUE(leaves.send("?"));
  ASSERT_EQ(leaves.read(1), "?");
  leaves.reset();
  still("reset by the client");
  cluster([&](lab::Cluster& c) { return c.set_ready(kSolo, false); });
  still("not ready");
  cluster([&](lab::Cluster& c) { return c.set_ready(kSolo, true); });
  lab_.call([](Lab& lab) { lab.server.cut_watches(true); });
  still("the watch is cut");
  cluster([&](lab::Cluster& c) { return c.restart_container(kSolo); });
  EXPECT_EQ(open.read_to_end(), "");
  Client next(port);
  ASSERT_TRUE(next.send("!"));
  EXPECT_EQ(next.read(1), "!") << "after the container's restart";
  EXPECT_EQ(tunnels(), 1u);
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
}

TEST_F(IsolationTest, WhatATunnelIsGivenUpFor) {
  add_deployment("web", 1);
  Program program =
      up({"resource: deployment/web, port: 8080, localPort: auto, alias: x"}, kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  std::uint64_t count = 1;
  auto const replaced = [&](char const* what, auto fault) {
    std::size_t const mark = program.mark();
    lab_.call([&](Lab& lab) {
      fault(lab, PodName(lab.cluster.pods_of(lab::ObjectName("default", "web")).at(0)));
    });
    auto const lost = program.wait_for_event("forward.disconnected", "x:auto", mark);
    ASSERT_TRUE(lost) << what;
    std::printf("%s: %s\n", what,
                std::get<events::ForwardDisconnected>(lost->fact).message.c_str());
    EXPECT_EQ(http_get(port).status, 200) << what;
    EXPECT_EQ(tunnels(), ++count) << what;
    ASSERT_TRUE(program.wait_for_status("x:auto", Status::active)) << what;
  };
  replaced("transport error",
           [](Lab& lab, auto const&) { lab.server.drop_tunnels(SessionEnd::cut); });
  replaced("end of stream",
           [](Lab& lab, auto const&) { lab.server.drop_tunnels(SessionEnd::eof); });
  replaced("GOAWAY", [](Lab& lab, auto const&) { lab.server.drop_tunnels(SessionEnd::goaway); });
  {
    Client open(port);  // so that there is a stream to reset
    ASSERT_TRUE(open.send("GET /sleep?ms=100000 HTTP/1.1\r\n\r\n"));
    ASSERT_TRUE(
        lab_.wait_for([](Lab& lab) { return lab.cluster.requests_seen("/sleep?ms=100000") > 0; }));
    replaced("RST and GOAWAY",
             [](Lab& lab, auto const&) { lab.server.drop_tunnels(SessionEnd::resets_and_goaway); });
    EXPECT_EQ(open.read_to_end(), "");
    EXPECT_EQ(open.end(), End::reset);
  }
  replaced("close frame", [](Lab& lab, auto const&) { lab.server.close_websockets(1001); });
  // Its successor is up before it is given up.
  lab_.call([](Lab& lab) { lab.server.freeze_tunnels(); });
  ASSERT_TRUE(lab_.wait_for([&](Lab& lab) { return lab.server.tunnels() == count + 1; }));
  ++count;
  EXPECT_EQ(http_get(port).status, 200) << "ping timeout";
  replaced("its pod is gone", [](Lab& lab, auto const& pod) { lab.cluster.delete_pod(pod); });
  std::size_t const mark = program.mark();
  lab_.call([&](Lab& lab) {
    lab.server.silence_watches(true);
    lab.cluster.delete_pod(lab.cluster.pods_of(lab::ObjectName("default", "web")).at(0), 0s);
  });
  EXPECT_EQ(http_get(port).status, 200) << "sandbox closed";
  EXPECT_TRUE(program.wait_for_event("forward.disconnected", "x:auto", mark));
  EXPECT_EQ(tunnels(), ++count) << "sandbox closed";
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", 0, 0s));
}

}  // namespace
}  // namespace kportal::test
