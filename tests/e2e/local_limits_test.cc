// SPDX-License-Identifier: MIT
// The limits of the user's own machine: no descriptor left, a full disk, an output that nobody
// reads, a port that is taken or breaks while it is in use, thousands of connections at once.
#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

class LocalLimitsTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
  }
  static std::string line(std::string const& alias, std::uint16_t port,
                          std::string const& more = "") {
    return "resource: pod/solo, port: 8080, alias: " + alias +
           ", localPort: " + (port == 0 ? "auto" : std::to_string(port)) + more;
  }
  // Until it holds; the test's thread has nothing to wait on.
  static bool eventually(std::function<bool()> const& holds, Duration within = kPatience) {
    for (TimePoint const end = Clock::now() + within; !holds();) {
      if (Clock::now() > end) return false;
      ::usleep(10'000);
    }
    return true;
  }
};

// What the program's socket that listens on this port is, as a descriptor of ours; -1 = not found
// or not allowed.
int listening_socket_of(pid_t pid, std::uint16_t port) {
  int const process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  for (int fd = 3; process >= 0 && fd < 200; ++fd) {
    int const ours = static_cast<int>(::syscall(SYS_pidfd_getfd, process, fd, 0));
    if (ours < 0) continue;
    int listens = 0;
    socklen_t size = sizeof listens;
    sockaddr_in address{};
    socklen_t length = sizeof address;
    if (::getsockopt(ours, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens == 1 &&
        ::getsockname(ours, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
        ntohs(address.sin_port) == port) {
      ::close(process);
      return ours;
    }
    ::close(ours);
  }
  if (process >= 0) ::close(process);
  return -1;
}

TEST_F(LocalLimitsTest, WithoutDescriptorsConnectionsWaitAndNobodyElseSuffers) {
  constexpr rlim_t kLimit = 64;
  std::uint16_t const port = free_port();
  dir_.write("forwards.yaml",
             forwards({line("web", port),
                       "resource: pod/solo, port: 7000, alias: echo, localPort: auto"}));
  ProgramOptions options;
  options.wrapper = {"prlimit", "--nofile=40:" + std::to_string(kLimit)};
  Program program(up_arguments(), options);
  ASSERT_EQ(active_port(program, "web:" + std::to_string(port)), port);
  std::uint16_t const echo_port = active_port(program, "echo:auto");
  Client echo(echo_port);
  ASSERT_TRUE(echo.send("before"));
  ASSERT_EQ(echo.read(6), "before");

  std::vector<Client> clients;
  for (rlim_t i = 0; i < kLimit; ++i) clients.emplace_back(port);
  ASSERT_TRUE(program.wait_for_error_text("connections wait to be accepted"));
  EXPECT_TRUE(program.wait_for_error_text("(this program may have 64: `ulimit -n` or"));
  EXPECT_GT(program.open_files(), 60u) << "the limit was not raised to the hard one";

  Duration const cpu = program.cpu_time();
  TimePoint const begin = Clock::now();
  while (Clock::now() < begin + 1s) {  // what is open goes on meanwhile
    ASSERT_TRUE(echo.send("during"));
    ASSERT_EQ(echo.read(6), "during");
    ::usleep(100'000);
  }
  double const share = Seconds(program.cpu_time() - cpu) / Seconds(Clock::now() - begin);
  std::printf("without descriptors: %.1f %% of a core\n", share * 100);
  if (!kSanitized) {
    EXPECT_LT(share, 0.05);
  }

  // A tunnel that is lost now cannot be replaced, and the reason is told.
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  auto const event = program.wait_for_event("forward.reconnecting", "web:" + std::to_string(port));
  ASSERT_TRUE(event);
  clients.clear();
  ASSERT_NE(active_port(program, "web:" + std::to_string(port)), 0);
  ASSERT_NE(active_port(program, "echo:auto"), 0);
  EXPECT_EQ(http_get(port).status, 200);
  std::string const errors = program.errors();
  std::size_t const first = errors.find("connections wait to be accepted");
  EXPECT_EQ(errors.find("connections wait to be accepted", first + 1), std::string::npos);
}

TEST_F(LocalLimitsTest, APortThatBreaksIsOpenedAnew) {
  std::uint16_t const port = free_port();
  Program program = up({line("web", port)});
  ASSERT_EQ(active_port(program, "web:" + std::to_string(port)), port);
  Client client(port);
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_EQ(client.read(4), "HTTP");
  int const socket = listening_socket_of(program.pid(), port);
  if (socket < 0) GTEST_SKIP() << "needs the right to look into a child";
  ASSERT_EQ(::shutdown(socket, SHUT_RDWR), 0);
  ::close(socket);
  ASSERT_TRUE(program.wait_for_error_text("the port is opened anew"));
  HttpAnswer answer;
  ASSERT_TRUE(eventually([&] {
    answer = http_get(port);
    return answer.status == 200;
  }));
  EXPECT_EQ(client.read(4), "/1.1") << "an open connection was ended";
  EXPECT_TRUE(program.wait_for_status("web:" + std::to_string(port), Status::active, 0s));
}

TEST_F(LocalLimitsTest, APortThatBreaksAndIsTakenIsAnErrorUntilItIsFree) {
  std::uint16_t const port = free_port();
  std::string const id = "web:" + std::to_string(port);
  Program program = up({line("web", port)});
  ASSERT_EQ(active_port(program, id), port);
  int const socket = listening_socket_of(program.pid(), port);
  if (socket < 0) GTEST_SKIP() << "needs the right to look into a child";
  // With SO_REUSEADDR the port can be bound beside a socket that does not listen, and taken the
  // moment that it is broken; the program is stopped for it.
  program.signal(SIGSTOP);
  ASSERT_EQ(::shutdown(socket, SHUT_RDWR), 0);
  int const thief = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int const on = 1;
  ::setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(thief, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << errno;
  ASSERT_EQ(::listen(thief, 1), 0);
  ::close(socket);
  program.signal(SIGCONT);
  auto const* const change = program.wait_for_status(id, Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, Reason::port_in_use);
  EXPECT_NE(change->message.find("127.0.0.1:" + std::to_string(port)), std::string::npos);
  EXPECT_NE(change->message.find("pid " + std::to_string(::getpid())), std::string::npos);
  ::close(thief);
  program.signal(SIGHUP);  // a wish to look again: it would do so within 10 s
  EXPECT_EQ(active_port(program, id), port);
  EXPECT_EQ(http_get(port).status, 200);
}

}  // namespace
}  // namespace kportal::test
