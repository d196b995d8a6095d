// SPDX-License-Identifier: MIT
// Connections through the program: bytes, ends and resets, by both transports; what one connection
// does to the others.
#include <algorithm>
#include <csignal>
#include <poll.h>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = 1024 * 1024;

std::string random_bytes(std::size_t n) {
  std::mt19937_64 random(20'261'123);
  std::string text(n, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// One connection that sends a text, ends its side, and compares what comes back.
class EchoUser {
 public:
  EchoUser(std::uint16_t port, std::string_view text) : client_(port), text_(text) {}

  bool done() const { return client_.end() != End::open; }
  bool whole() const { return client_.end() == End::eof && received_ == text_.size() && same_; }
  pollfd wanted() const {
    short const out = sent_ < text_.size() ? POLLOUT : 0;
    return {client_.descriptor(), static_cast<short>(POLLIN | out), 0};
  }
  void step() {
    if (sent_ < text_.size()) {
      sent_ += client_.send_now(text_.substr(sent_));
      if (sent_ == text_.size()) client_.shutdown_send();
    }
    char buffer[64 * 1024];
    std::size_t const n = client_.connected() ? client_.read_now(buffer, sizeof buffer) : 0;
    same_ =
        same_ && text_.substr(std::min(received_, text_.size()), n) == std::string_view(buffer, n);
    received_ += n;
  }
  std::size_t received() const { return received_; }
  End end() const { return client_.end(); }

 private:
  Client client_;
  std::string_view text_;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  bool same_ = true;
};

void run_all(std::vector<EchoUser>& users, Duration within) {
  TimePoint const deadline = Clock::now() + within;
  while (Clock::now() < deadline) {
    std::vector<pollfd> waiting;
    for (EchoUser const& user : users) {
      if (!user.done()) waiting.push_back(user.wanted());
    }
    if (waiting.empty()) return;
    ::poll(waiting.data(), waiting.size(), 100);
    for (EchoUser& user : users) {
      if (!user.done()) user.step();
    }
  }
}

class RelayTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
  }
  // On one tunnel what a connection does to the others shows.
  Program relay(std::string const& port, std::string const& more = {}) {
    return up({"resource: pod/solo, port: " + port + ", localPort: auto, alias: x" + more},
              kOneTunnel);
  }
  bool pod_is_left_alone() {
    return lab_.wait_for([](Lab& lab) {
      return lab.server.open_pod_connections(lab::PodName("default", "solo")) == 0;
    });
  }
  static Reason failure_of(Program& program, std::size_t from = 0) {
    auto const event = program.wait_for_event("connection.failed", "x:auto", from);
    return event ? std::get<events::ConnectionFailed>(event->fact).reason : Reason::none;
  }
};

struct Way {
  char const* name;
  lab::WebSocketGate gate;
};
// In the names of the tests.
void PrintTo(Way const& way, std::ostream* out) {
  *out << way.name;
}
class BothTransportsTest : public RelayTest, public testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    RelayTest::SetUp();
    lab_.call([](Lab& lab) { lab.server.faults().websocket = GetParam().gate; });
  }
  static void expect_transport(Program& program) {
    auto const event = program.wait_for_event("forward.connected", "x:auto");
    ASSERT_TRUE(event);
    EXPECT_EQ(std::get<events::ForwardConnected>(event->fact).transport, GetParam().name);
  }
};
INSTANTIATE_TEST_SUITE_P(Transports, BothTransportsTest,
                         testing::Values(Way{"websocket", lab::WebSocketGate::open},
                                         Way{"spdy", lab::WebSocketGate::refused_400}),
                         [](auto const& tested) { return std::string(tested.param.name); });

TEST_P(BothTransportsTest, TwoHundredConnectionsEchoAMebibyteEach) {
  Program program = relay("7000");
  std::uint16_t const port = active_port(program, "x:auto");
  ASSERT_NE(port, 0);
  expect_transport(program);
  constexpr std::size_t kUsers = 200;
  constexpr std::size_t kShift = 4099;
  std::string const bytes = random_bytes(kMiB + kUsers * kShift);
  std::vector<EchoUser> users;
  users.reserve(kUsers);
  TimePoint const begin = Clock::now();
  for (std::size_t i = 0; i < kUsers; ++i) {
    users.emplace_back(port, std::string_view(bytes).substr(i * kShift, kMiB));
  }
  run_all(users, 100s);
  auto const took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  std::printf("200 x 1 MiB by %s: %lld ms, peak memory %zu KiB\n", GetParam().name,
              static_cast<long long>(took.count()), program.memory_kib("VmHWM"));
  for (std::size_t i = 0; i < kUsers; ++i) {
    EXPECT_TRUE(users[i].whole()) << "connection " << i << ": " << users[i].received()
                                  << " bytes, then " << to_word(users[i].end());
  }
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 1u);
  EXPECT_TRUE(pod_is_left_alone());
}

TEST_P(BothTransportsTest, ARefusedPortEndsThatConnectionOnly) {
  Program program = relay("7000");
  std::uint16_t const port = active_port(program, "x:auto");
  Client open(port);
  ASSERT_TRUE(open.send("before"));
  ASSERT_EQ(open.read(6), "before");
  lab_.call([](Lab& lab) { lab.cluster.unlisten(lab::PodName("default", "solo"), 7000); });
  Client refused(port);
  refused.send("hello");
  EXPECT_EQ(refused.read_to_end(), "");
  EXPECT_EQ(refused.end(), End::reset);
  EXPECT_EQ(failure_of(program), Reason::refused);
  ASSERT_TRUE(open.send("after"));
  EXPECT_EQ(open.read(5), "after");
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 1u);
}

TEST_P(BothTransportsTest, AnApplicationsResetArrivesAsOne) {
  Program program = relay("9005");
  Client client(active_port(program, "x:auto"));
  ASSERT_TRUE(client.send("?"));
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_EQ(client.end(), End::reset);
  EXPECT_EQ(failure_of(program), Reason::reset);
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 1u);
}

TEST_P(BothTransportsTest, WhatThePodSaidBeforeItsEndIsDelivered) {
  Program program = relay("9006");
  std::uint16_t const port = active_port(program, "x:auto");
  std::vector<Client> clients;
  for (int i = 0; i < 30; ++i) clients.emplace_back(port);
  for (Client& client : clients) {
    EXPECT_EQ(client.read_to_end(), "BYE\r\n");
    EXPECT_EQ(client.end(), End::eof);
  }
}

TEST_P(BothTransportsTest, AServerMaySpeakFirst) {
  Program program = relay("9003");
  std::uint16_t const port = active_port(program, "x:auto");
  std::vector<Client> clients;
  for (int i = 0; i < 30; ++i) clients.emplace_back(port);
  for (Client& client : clients) EXPECT_EQ(client.read(12), "READY solo\r\n");
}

TEST_P(BothTransportsTest, AClientsResetLeavesNothingBehind) {
  Program program = relay("9001");
  std::uint16_t const port = active_port(program, "x:auto");
  std::size_t const files = program.open_files();
  for (int i = 0; i < 10; ++i) {
    Client client(port);
    ASSERT_EQ(client.skip(kMiB), kMiB) << to_word(client.end());
    client.reset();
  }
  EXPECT_TRUE(pod_is_left_alone());
  TimePoint const deadline = Clock::now() + kPatience;
  while (program.open_files() > files && Clock::now() < deadline) std::this_thread::sleep_for(5ms);
  EXPECT_LE(program.open_files(), files);
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 1u);
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
}

TEST_F(RelayTest, AReaderThatStopsForAWhileHarmsNobodyAfterwards) {
  Program program = up({"resource: pod/solo, port: 9001, localPort: auto, alias: x",
                        "resource: pod/solo, port: 8080, localPort: auto, alias: other"});
  std::uint16_t const port = active_port(program, "x:auto");
  std::uint16_t const other = active_port(program, "other:auto");
  Client slow(port);
  ASSERT_EQ(slow.skip(1000), 1000u);
  // It does not read, while another forward is in use: 3 s, longer than a ping may take.
  for (TimePoint const until = Clock::now() + 3s; Clock::now() < until;) {
    EXPECT_EQ(http_get(other).status, 200);
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(slow.skip(32 * kMiB), 32 * kMiB) << to_word(slow.end());
  Client second(port);
  EXPECT_EQ(second.skip(4 * kMiB), 4 * kMiB) << to_word(second.end());
  slow.reset();
  Client third(port);
  EXPECT_EQ(third.skip(4 * kMiB), 4 * kMiB) << to_word(third.end());
  std::size_t const peak = program.memory_kib("VmHWM");
  std::printf("peak memory with a reader that stopped: %zu KiB\n", peak);
  if (!kSanitized) {
    EXPECT_LT(peak, 64u * 1024);
  }
}

TEST_F(RelayTest, AReaderThatStoppedAndLeftHarmsNobody) {
  Program program = relay("9001");
  std::uint16_t const port = active_port(program, "x:auto");
  std::vector<Client> stopped;
  for (int i = 0; i < 5; ++i) stopped.emplace_back(port);
  // Of the first only: on their one tunnel the first that is full stops the others.
  ASSERT_EQ(stopped.front().skip(1), 1u);
  // Long enough for every buffer between them and the pod to be full.
  std::this_thread::sleep_for(2s);
  stopped.clear();
  EXPECT_TRUE(pod_is_left_alone());
  Client next(port);
  EXPECT_EQ(next.skip(4 * kMiB), 4 * kMiB) << to_word(next.end());
}

TEST_F(RelayTest, AnAnswerAfterTheClientsEndOfStreamArrivesWhole) {
  Program program = relay("8080");
  Client client(active_port(program, "x:auto"));
  client.send("GET /sleep?ms=1500 HTTP/1.1\r\nConnection: close\r\n\r\n");
  client.shutdown_send();
  EXPECT_TRUE(client.read_to_end().ends_with("slept 1500\n"));
  EXPECT_EQ(client.end(), End::eof);
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
}

TEST_F(RelayTest, HeldBackTheEndOfStreamCutsNothingHoweverLateTheAnswer) {
  Program program = relay("8080", ", halfClose: hold");
  Client client(active_port(program, "x:auto"));
  client.send("GET /sleep?ms=4000 HTTP/1.1\r\nConnection: close\r\n\r\n");
  client.shutdown_send();
  EXPECT_TRUE(client.read_to_end().ends_with("slept 4000\n")) << to_word(client.end());
  EXPECT_EQ(client.end(), End::eof);
}

TEST_F(RelayTest, AnEndThatTheRuntimesTimeoutMayHaveMadeIsNotTrusted) {
  Program program = relay("8080");
  Client client(active_port(program, "x:auto"));
  // The end of stream is passed on after 2 s of silence, and 1 s later the runtime closes all.
  client.send("GET /sleep?ms=2400 HTTP/1.1\r\n\r\n");
  client.shutdown_send();
  client.read_to_end();
  EXPECT_EQ(client.end(), End::reset);
  EXPECT_EQ(failure_of(program), Reason::half_close_cut);
}

TEST_F(RelayTest, UploadsArriveWhole) {
  Program program = relay("8080");
  Client client(active_port(program, "x:auto"));
  std::string const body = random_bytes(8 * kMiB);
  client.send("POST /count HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) +
              "\r\n\r\n");
  ASSERT_TRUE(client.send(body));
  client.shutdown_send();
  EXPECT_TRUE(client.read_to_end().ends_with("\r\n" + std::to_string(body.size()) + "\n"));
}

}  // namespace
}  // namespace kportal::test
