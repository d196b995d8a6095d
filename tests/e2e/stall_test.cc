// SPDX-License-Identifier: MIT
// Connections that are busy at the same time have tunnels of their own: a reader that stops, or a
// pod that does not read, holds up nobody else.
#include <algorithm>
#include <poll.h>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = 1024 * 1024;

class StallTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
  }
  Program forward(std::string const& port, std::string const& head = kQuick) {
    return up({"resource: pod/solo, port: " + port + ", localPort: auto, alias: x",
               "resource: pod/solo, port: 8080, localPort: auto, alias: other"},
              head);
  }
  bool wait_for_tunnels(std::size_t wanted) {
    return lab_.wait_for([=](Lab& lab) { return lab.server.open_tunnels() >= wanted; });
  }
  // Reads from all of them at once until each has got so much more; how many got it.
  static std::size_t read_each(std::vector<Client>& clients, std::uint64_t wanted) {
    std::vector<std::uint64_t> got(clients.size());
    std::vector<char> buffer(256 * 1024);
    auto const missing = [&] {
      return std::ranges::count_if(got, [=](std::uint64_t n) { return n < wanted; });
    };
    for (TimePoint const end = Clock::now() + 60s; missing() != 0 && Clock::now() < end;) {
      std::vector<pollfd> waiting;
      for (Client& client : clients) waiting.push_back({client.descriptor(), POLLIN, 0});
      ::poll(waiting.data(), waiting.size(), 100);
      for (std::size_t i = 0; i < clients.size(); ++i) {
        if (clients[i].end() == End::open)
          got[i] += clients[i].read_now(buffer.data(), buffer.size());
      }
    }
    return clients.size() - static_cast<std::size_t>(missing());
  }
  // As much as the way to the pod takes; true once nothing went for so long.
  static std::size_t send_until_blocked(Client& client, std::string_view text) {
    std::size_t sent = 0;
    pollfd waiting{client.descriptor(), POLLOUT, 0};
    while (sent < text.size() && ::poll(&waiting, 1, 1500) == 1) {
      sent += client.send_now(text.substr(sent));
    }
    return sent;
  }
};

TEST_F(StallTest, OneReaderOfEightStopsAndTheOthersGoOn) {
  Program program = forward("9001");
  std::uint16_t const port = active_port(program, "x:auto");
  ASSERT_TRUE(wait_for_tunnels(2));  // one of each forward
  std::vector<Client> clients;
  for (std::size_t i = 0; i < 8; ++i) {
    clients.emplace_back(port);
    ASSERT_EQ(clients.back().skip(1), 1u);
    if (i < 7) {
      ASSERT_TRUE(wait_for_tunnels(3 + i));
    }
  }
  ASSERT_EQ(read_each(clients, 4 * kMiB), 8u);
  std::size_t const before = program.memory_kib("VmRSS");
  Client stopped = std::move(clients.back());
  clients.pop_back();
  ASSERT_EQ(read_each(clients, 32 * kMiB), 7u);
  std::size_t const after = program.memory_kib("VmRSS");
  std::printf("memory: %zu KiB, with a reader that stopped %zu KiB\n", before, after);
  if (!kSanitized) {
    EXPECT_LT(after, before + 2048);
  }
  // Nobody was in its way: it may read on.
  EXPECT_EQ(stopped.skip(8 * kMiB), 8 * kMiB) << to_word(stopped.end());
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
}

TEST_F(StallTest, WhoBlocksAnotherOnASharedTunnelGivesWayButNotWhoIsAlone) {
  Program program = forward("9001", kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  std::uint16_t const other = active_port(program, "other:auto");
  Client stopped(port);
  ASSERT_EQ(stopped.skip(1), 1u);
  // Longer than one that blocks others may.
  for (TimePoint const until = Clock::now() + 6s; Clock::now() < until;) {
    EXPECT_EQ(http_get(other).status, 200);
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
  Client second(port);
  EXPECT_EQ(second.skip(8 * kMiB), 8 * kMiB) << to_word(second.end());
  auto const event = program.wait_for_event("connection.failed", "x:auto");
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<events::ConnectionFailed>(event->fact).reason, Reason::stalled);
  stopped.read_to_end();
  EXPECT_EQ(stopped.end(), End::reset);
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
}

TEST_F(StallTest, APodThatReadsLateGetsEveryByteAndHoldsUpNobody) {
  Program program = forward("8080");
  std::uint16_t const port = active_port(program, "x:auto");
  std::string const body(64 * kMiB, 'x');
  Client upload(port);
  ASSERT_TRUE(upload.send("POST /late HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) +
                          "\r\n\r\n"));
  std::size_t const sent = send_until_blocked(upload, body);
  ASSERT_LT(sent, body.size());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(http_get(port).status, 200);
  EXPECT_EQ(http_get(port, "/open").status, 200);
  EXPECT_TRUE(upload.send(std::string_view(body).substr(sent))) << to_word(upload.end());
  upload.shutdown_send();
  EXPECT_TRUE(upload.read_to_end().ends_with("\r\n" + std::to_string(body.size()) + "\n"));
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", 0, 0s));
}

// What waits in the program for a reader that left goes with it, and the tunnel is read on.
TEST_F(StallTest, ACancelledDownloadLeavesNothingBehind) {
  Program program = forward("9001", kOneTunnel);
  std::uint16_t const port = active_port(program, "x:auto");
  for (int i = 0; i < 20; ++i) {
    Client client(port);
    ASSERT_EQ(client.skip(3 * kMiB), 3 * kMiB) << to_word(client.end());
    if (i % 2 == 0) client.reset();
  }
  EXPECT_TRUE(lab_.wait_for([](Lab& lab) {
    return lab.server.open_pod_connections(lab::PodName("default", "solo")) == 0;
  }));
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 2u);  // one of each forward
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
}

}  // namespace
}  // namespace kportal::test
