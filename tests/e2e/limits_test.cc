// SPDX-License-Identifier: MIT
// What the program costs, and that nobody can hold it up: a pipe that nobody reads, a name server
// that does not answer, downloads in progress.
#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

class LimitsTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
  }
  static void expect_end(Program& program, int number = SIGINT) {
    TimePoint const asked = Clock::now();
    program.signal(number);
    EXPECT_EQ(program.wait(), 0);
    auto const took = Clock::now() - asked;
    std::printf("it ended within %lld ms\n",
                static_cast<long long>(
                    std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
    EXPECT_LT(took, 3s);
  }
};

TEST_F(LimitsTest, AHundredIdleForwardsCostLittle) {
  constexpr int kForwards = 100;
  constexpr auto kWatched = 12s;
  std::vector<std::string> lines;
  for (int i = 0; i < kForwards; ++i) {
    lines.push_back("resource: pod/solo, port: 9004, localPort: auto, alias: f" +
                    std::to_string(i));
  }
  Program program = up(lines, "");
  for (int i = 0; i < kForwards; ++i) {
    ASSERT_NE(active_port(program, "f" + std::to_string(i) + ":auto"), 0);
  }
  Duration const before = program.cpu_time();
  TimePoint const begin = Clock::now();
  std::this_thread::sleep_for(kWatched);  // what is measured is what it does when nothing happens
  using Seconds = std::chrono::duration<double>;
  double const share = Seconds(program.cpu_time() - before) / Seconds(Clock::now() - begin);
  std::size_t const memory = program.memory_kib("VmRSS");
  std::printf("100 idle forwards: %zu KiB resident, %.2f %% of a core\n", memory, share * 100);
  EXPECT_EQ(lab_.open_tunnels(), 100u);
  if (kRelease && !kSanitized) {
    EXPECT_LT(memory, 30u * 1024);
    EXPECT_LT(share, 0.01);
  }
}

TEST_F(LimitsTest, AnOutputThatNobodyReadsHoldsUpNobody) {
  std::vector<std::string> lines;
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < 20; ++i) {
    ports.push_back(free_port());
    auto const number = std::to_string(i);
    lines.push_back("resource: pod/solo, port: 8080, alias: f" + number +
                    ", localPort: " + std::to_string(ports.back()));
  }
  dir_.write("forwards.yaml", forwards(lines, kOneTunnel));
  ProgramOptions options;
  options.read_output = false;
  Program program(up_arguments(), options);
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 20; }));
  // Each round is some 50 KiB of lines, and the pipe takes 4.
  for (int round = 0; round < 5; ++round) {
    for (std::uint16_t const port : ports) ASSERT_EQ(http_get(port).status, 200);
    program.signal(SIGHUP);
    lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
    std::uint64_t const tunnels = 20u * static_cast<std::uint64_t>(round + 2);
    ASSERT_TRUE(lab_.wait_for([&](Lab& lab) {
      return lab.server.tunnels() >= tunnels && lab.server.open_tunnels() == 20;
    }));
  }
  EXPECT_GT(program.unread(), 0u);
  expect_end(program);
}

TEST_F(LimitsTest, DownloadsInProgressDoNotHoldUpTheEnd) {
  Program program = up({"resource: pod/solo, port: 9001, localPort: auto, alias: source",
                        "resource: pod/solo, port: 9004, localPort: auto, alias: silent"});
  std::uint16_t const source = active_port(program, "source:auto");
  std::uint16_t const silent = active_port(program, "silent:auto");
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back(source);
    // It reads no more. They share a tunnel, which the first of them may stop for all.
    if (i == 0) {
      ASSERT_EQ(clients.back().skip(1), 1u);
    }
    clients.emplace_back(silent);
    ASSERT_TRUE(clients.back().send("hello"));
  }
  expect_end(program, SIGTERM);
}

TEST_F(LimitsTest, AServerThatIsFrozenDoesNotHoldUpTheEnd) {
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: x"});
  std::uint16_t const port = active_port(program, "x:auto");
  lab_.call([](Lab& lab) { lab.server.freeze(); });
  Client client(port);
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\n\r\n"));
  expect_end(program);
}

// Takes the questions that come to port 53 of an address of its own, and answers none.
class SilentNameServer {
 public:
  static constexpr char const* kAddress = "127.0.53.53";

  SilentNameServer() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    inet_pton(AF_INET, kAddress, &address.sin_addr);
    bound_ = ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~SilentNameServer() { ::close(fd_); }
  SilentNameServer(SilentNameServer const&) = delete;
  SilentNameServer& operator=(SilentNameServer const&) = delete;

  bool bound() const { return bound_; }
  bool wait_for_question(std::chrono::milliseconds within) const {
    pollfd waiting{fd_, POLLIN, 0};
    return ::poll(&waiting, 1, static_cast<int>(within.count())) == 1;
  }

 private:
  int fd_;
  bool bound_ = false;
};

TEST_F(LimitsTest, ANameServerThatDoesNotAnswerHoldsUpNobody) {
  SilentNameServer server;
  bool const may =
      ::geteuid() == 0 && server.bound() && std::system("unshare -m true >/dev/null 2>&1") == 0;
  if (!may) GTEST_SKIP() << "needs root and mount namespaces, to give the program a name server";

  lab::KubeconfigOptions lost;
  lost.server = "https://api.somewhere.example:6443";
  dir_.write("lost", lab_.kubeconfig(lost));
  lab::KubeconfigOptions named;
  named.server =
      lab_.call([](Lab& lab) { return "https://localhost:" + std::to_string(lab.server.port()); });
  dir_.write("kubeconfig", lab_.kubeconfig(named));
  std::string text =
      forwards({"resource: pod/solo, port: 8080, localPort: auto, alias: good"}, kOneTunnel);
  text +=
      "  - name: lab\n"
      "    kubeconfig: lost\n"
      "    namespaces:\n"
      "      - name: default\n"
      "        forwards:\n"
      "          - { resource: pod/solo, port: 8080, localPort: auto, alias: lost }\n";
  dir_.write("forwards.yaml", text);
  dir_.write("resolv.conf", std::string("nameserver ") + SilentNameServer::kAddress +
                                "\noptions timeout:30 attempts:5\n");
  ProgramOptions options;
  options.wrapper = {
      "unshare",
      "-m",
      "sh",
      "-c",
      "mount --bind " + dir_.file("resolv.conf") + " /etc/resolv.conf && exec \"$@\"",
      "sh"};
  Program program(up_arguments(), options);
  ASSERT_TRUE(server.wait_for_question(10s)) << "the program asks another name server";
  std::uint16_t const port = active_port(program, "good:auto");
  EXPECT_EQ(http_get(port).status, 200);
  // The named server is looked up again for a new tunnel, while the other question hangs.
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  ASSERT_TRUE(program.wait_for_status("good:auto", Status::reconnecting));
  ASSERT_NE(active_port(program, "good:auto", 5s), 0);
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_TRUE(program.wait_for_status("lost:auto", Status::starting, 0s));
  expect_end(program);
}

}  // namespace
}  // namespace kportal::test
