// SPDX-License-Identifier: MIT
// The limits of the user's own machine: no descriptor left, a full disk, an output that nobody
// reads, a port that is taken or breaks while it is in use, thousands of connections at once.
#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <netinet/in.h>
#include <optional>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"
#include "tests/support/listening_socket.h"

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
    if (listens_on(ours, port)) {
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
  EXPECT_GT(program.open_files(), 50u) << "the limit was not raised to the hard one";

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

  // Tunnels that are lost now are replaced, though clients wait for each descriptor.
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  auto const lost = program.wait_for_line("forward.disconnected\",\"forward\":\"echo:auto", mark);
  auto const back = program.wait_for_line("forward.connected\",\"forward\":\"echo:auto", mark);
  ASSERT_TRUE(lost && back);
  double const took = Seconds(back->at - lost->at).count();
  std::printf("without descriptors a tunnel was replaced in %.2f s\n", took);
  EXPECT_LT(took, 5);  // with none for it, it would be when clients go
  Client anew(echo_port);
  clients.clear();
  ASSERT_TRUE(anew.send("anew"));
  EXPECT_EQ(anew.read(4), "anew");
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

// Sets a limit of a running program.
bool limit(pid_t pid, __rlimit_resource resource, rlim_t soft) {
  rlimit both{};
  if (::prlimit(pid, resource, nullptr, &both) != 0) return false;
  both.rlim_cur = soft;
  return ::prlimit(pid, resource, &both, nullptr) == 0;
}

TEST_F(LocalLimitsTest, WhatCannotGetADescriptorSaysSoAndComesBackByItself) {
  std::uint16_t const port = free_port();
  std::string const id = "web:" + std::to_string(port);
  dir_.write("forwards.yaml", forwards({line("web", port)}));
  Program program(up_arguments({"--log-file", dir_.file("log")}));
  ASSERT_EQ(active_port(program, id), port);
  rlimit before{};
  ASSERT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
  ASSERT_TRUE(limit(program.pid(), RLIMIT_NOFILE, 6));

  // A dial.
  std::size_t mark = program.mark();
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  auto const told = program.wait_for(
      [](OutputLine const& each) {
        return each.text.find("Too many open files (this program may have 6: ") !=
                   std::string::npos &&
               each.text.find("forward.reconnecting") != std::string::npos;
      },
      mark);
  ASSERT_TRUE(told);
  EXPECT_NE(told->text.find("\"reason\":\"network\""), std::string::npos);
  // An edit of the kubeconfig, the log after its rotation, an edit of the configuration.
  std::filesystem::rename(dir_.file("log"), dir_.file("log.1"));
  program.signal(SIGUSR1);
  EXPECT_TRUE(program.wait_for_error_text(dir_.file("log") + ": it was moved away"));
  mark = program.mark();
  program.signal(SIGHUP);
  auto const rejected = program.wait_for_event("config.rejected", "", mark);
  ASSERT_TRUE(rejected);
  EXPECT_NE(
      program.wait_for_line("forwards.yaml", mark)->text.find("cannot be read: Too many open"),
      std::string::npos);

  ASSERT_TRUE(limit(program.pid(), RLIMIT_NOFILE, before.rlim_cur));
  EXPECT_EQ(active_port(program, id), port);
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_TRUE(eventually([&] {
    program.signal(SIGUSR1);
    return std::filesystem::exists(dir_.file("log"));
  }));
  program.signal(SIGHUP);
  EXPECT_TRUE(program.wait_for_event("config.reloaded"));
}

// That of the whole machine, at the calls that take a descriptor for a connection or a plugin.
TEST_F(LocalLimitsTest, AFullTableOfTheSystemIsToldAndWaitedFor) {
#ifndef KPORTAL_FULL_TABLE
  GTEST_SKIP() << "needs a library that is loaded before the C library";
#else
  if (kSanitized) GTEST_SKIP() << "a sanitizer wants to be the first library";
  std::uint16_t const port = free_port();
  std::string const id = "web:" + std::to_string(port);
  dir_.write("forwards.yaml",
             forwards({line("web", port),
                       "resource: pod/solo, port: 7000, alias: echo, localPort: auto"}));
  ProgramOptions options;
  options.environment = {std::string("LD_PRELOAD=") + KPORTAL_FULL_TABLE,
                         "KPORTAL_FULL_TABLE=" + dir_.file("full")};
  Program program(up_arguments(), options);
  ASSERT_EQ(active_port(program, id), port);
  Client echo(active_port(program, "echo:auto"));
  ASSERT_TRUE(echo.send("before"));
  ASSERT_EQ(echo.read(6), "before");

  std::string const cause = "Too many open files in system (sysctl fs.file-max raises the limit)";
  dir_.write("full", "");
  Client waits(port);
  ASSERT_TRUE(waits.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_TRUE(program.wait_for_error_text(
      "connections wait to be accepted: 127.0.0.1:" + std::to_string(port) + ": accept: " + cause));
  ASSERT_TRUE(echo.send("during"));
  EXPECT_EQ(echo.read(6), "during");
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  auto const told = program.wait_for([&](OutputLine const& each) {
    return each.text.find("forward.reconnecting") != std::string::npos &&
           each.text.find(cause) != std::string::npos;
  });
  ASSERT_TRUE(told);
  EXPECT_NE(told->text.find("\"reason\":\"network\""), std::string::npos);

  std::filesystem::remove(dir_.file("full"));
  EXPECT_EQ(waits.read(12), "HTTP/1.1 200");
  EXPECT_NE(active_port(program, "echo:auto"), 0);
  EXPECT_EQ(active_port(program, id), port);
#endif
}

std::string content_of(std::string const& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}
std::size_t count_in(std::string const& text, std::string const& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_F(LocalLimitsTest, AFullDiskStopsNoForwardAndIsToldOnce) {
  std::uint16_t const port = free_port();
  dir_.write("forwards.yaml", forwards({line("web", port)}));
  ProgramOptions options;
  std::string const output = dir_.file("output");
  options.wrapper = {"sh", "-c", "exec \"$@\" >" + output, "sh"};
  Program program(up_arguments({"--log-file", dir_.file("log")}), options);
  auto const lines = [&] { return count_in(content_of(output), "\n"); };
  ASSERT_TRUE(eventually([&] { return content_of(output).find("Active") != std::string::npos; }));
  std::size_t const before = lines();
  std::string const log_before = content_of(dir_.file("log"));
  ASSERT_TRUE(limit(program.pid(), RLIMIT_FSIZE, 0));  // as full as a disk can be
  for (int i = 0; i < 3; ++i) {
    program.signal(SIGHUP);   // an event, and
    program.signal(SIGUSR1);  // lines of the log
    EXPECT_EQ(http_get(port).status, 200);
  }
  EXPECT_TRUE(program.wait_for_error_text("standard output: File too large; the forwards go on"));
  EXPECT_TRUE(program.wait_for_error_text(dir_.file("log") + ": File too large"));
  EXPECT_EQ(lines(), before);
  EXPECT_EQ(content_of(dir_.file("log")), log_before);
  ASSERT_TRUE(limit(program.pid(), RLIMIT_FSIZE, RLIM_INFINITY));
  EXPECT_TRUE(program.wait_for_error_text("standard output: it takes lines again"));
  EXPECT_TRUE(program.wait_for_error_text(dir_.file("log") + ": it takes lines again"));
  EXPECT_TRUE(eventually([&] { return lines() > before; }));
  EXPECT_NE(content_of(dir_.file("log")).find("state: web"), std::string::npos);
  EXPECT_EQ(count_in(program.errors(), "File too large"), 2u);
  // Nothing is missing, and the order is as it was.
  std::ifstream file(output);
  std::uint64_t seq = 0;
  for (std::string each; std::getline(file, each);) {
    EXPECT_TRUE(each.starts_with("{\"seq\":" + std::to_string(++seq) + ",")) << each;
  }
}

TEST_F(LocalLimitsTest, AnOutputWhoseReaderIsGoneEndsTheProgram) {
  std::uint16_t const port = free_port();
  dir_.write("forwards.yaml", forwards({line("web", port)}));
  ProgramOptions options;
  options.wrapper = {"bash", "-o", "pipefail", "-c", "\"$@\" | head -1", "bash"};
  Program program(up_arguments(), options);
  EXPECT_EQ(program.wait(), 1);
  EXPECT_EQ(program.lines().size(), 1u);
  EXPECT_NE(program.errors().find("standard output: nobody can read it any more: Broken pipe"),
            std::string::npos);
}

// A signal that hurries such an end makes no success of it.
TEST_F(LocalLimitsTest, AnEndForWantOfAReaderIsAFailureAlsoWhenItIsHurried) {
  std::uint16_t const port = free_port();
  dir_.write("forwards.yaml", forwards({"resource: pod/solo, port: 7000, alias: echo, localPort: " +
                                        std::to_string(port)}));
  ProgramOptions options;
  std::string const go = dir_.file("go");
  options.wrapper = {"bash", "-c",
                     "exec \"$@\" > >(while ! [ -e " + go + " ]; do sleep 0.01; done)", "bash"};
  Program program(up_arguments(), options);
  std::optional<Client> open;
  ASSERT_TRUE(eventually([&] {
    open.emplace(port);
    return open->send("hold me") && open->read(7, 1s) == "hold me";
  }));
  dir_.write("go", "");
  ASSERT_TRUE(program.wait_for_error_text("standard output: nobody can read it any more"));
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 1);
}

TEST_F(LocalLimitsTest, TheEndComesWithTheLastConnection) {
  std::string const echo = "resource: pod/solo, port: 7000, alias: echo, localPort: auto";
  Program program = up({echo});
  std::uint16_t const port = active_port(program, "echo:auto");
  Client client(port);
  ASSERT_TRUE(client.send("before"));
  ASSERT_EQ(client.read(6), "before");
  TimePoint const asked = Clock::now();
  program.signal(SIGTERM);
  // Not before: a connection that is made and ended just then is one more that ends.
  ASSERT_TRUE(program.wait_for_event("forward.stopped", "echo:auto"));
  EXPECT_TRUE(eventually([&] { return Client(port).end() == End::refused; }));
  ASSERT_TRUE(client.send("during"));  // what is open goes on
  ASSERT_EQ(client.read(6), "during");
  client.reset();
  EXPECT_EQ(program.wait(), 0);
  double const took = Seconds(Clock::now() - asked).count();
  std::printf("it ended %.2f s after the signal, when its connection had ended\n", took);
  if (!kSanitized) {
    EXPECT_LT(took, 1.5);
  }
}

TEST_F(LocalLimitsTest, AConnectionThatStaysOpenPutsTheEndOff) {
  Program program = up({"resource: pod/solo, port: 7000, alias: echo, localPort: auto"});
  Client client(active_port(program, "echo:auto"));
  ASSERT_TRUE(client.send("before"));
  ASSERT_EQ(client.read(6), "before");
  TimePoint const asked = Clock::now();
  program.signal(SIGTERM);
  int answers = 0;
  while (client.send("during") && client.read(6) == "during") ++answers;
  auto const cut = Clock::now() - asked;
  EXPECT_GT(answers, 0);
  EXPECT_GT(cut, 2300ms);
  EXPECT_EQ(program.wait(), 0);
  if (!kSanitized) {
    EXPECT_LT(Clock::now() - asked, 3s);
  }
}

// Connections of all kinds, opened and ended at once.
void flood(std::uint16_t port, int rounds) {
  constexpr int kAtOnce = 50;
  for (int round = 0; round < rounds; ++round) {
    std::vector<Client> clients;
    for (int i = 0; i < 4 * kAtOnce; ++i) {
      clients.emplace_back(port);
      if (i % 4 >= 2) clients.back().send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (int i = 0; i < 4 * kAtOnce; ++i) {
      Client& client = clients[static_cast<std::size_t>(i)];
      if (i % 4 == 1) client.reset();  // without a word
      if (i % 4 == 2) {
        EXPECT_EQ(client.read(4), "HTTP");
      }
      if (i % 4 == 3) client.reset();  // in the middle of the answer
    }
  }  // and those that said nothing end in order
}

TEST_F(LocalLimitsTest, ThousandsOfConnectionsLeaveNothingBehind) {
  std::uint16_t const port = free_port();
  std::uint16_t const other = free_port();
  Program program = up({line("web", port), line("other", other)},
                       std::string(kQuick) + "reliability: { maxTunnels: 1 }\n");
  ASSERT_EQ(active_port(program, "web:" + std::to_string(port)), port);
  ASSERT_EQ(active_port(program, "other:" + std::to_string(other)), other);
  auto const quiet = [&] { return pod_connections("solo") == 0; };
  std::size_t files = 0;
  std::size_t memory = 0;
  Duration slowest{};
  Duration took{};
  for (bool const warm : {false, true}) {
    if (warm) {
      files = program.open_files();
      memory = program.memory_kib("VmRSS");
    }
    TimePoint const begin = Clock::now();
    std::thread flooding([port] { flood(port, 13); });
    for (int i = 0; i < 5; ++i) {
      HttpAnswer const answer = http_get(other);
      EXPECT_EQ(answer.status, 200);
      slowest = std::max(slowest, answer.took);
    }
    flooding.join();
    took += Clock::now() - begin;
    ASSERT_TRUE(eventually(quiet));
  }
  EXPECT_TRUE(eventually([&] { return program.open_files() <= files; }));
  std::size_t const after = program.memory_kib("VmRSS");
  std::printf(
      "5200 connections in %.1f s; another forward answered within %.0f ms; %zu -> %zu KiB, "
      "%zu -> %zu descriptors\n",
      Seconds(took).count(), Seconds(slowest).count() * 1e3, memory, after, files,
      program.open_files());
  EXPECT_LT(slowest, kSanitized ? 5s : 1s);
  if (!kSanitized) {
    EXPECT_LT(after, memory + 2048);
  }
  EXPECT_TRUE(program.wait_for_status("web:" + std::to_string(port), Status::active, 0s));
}

// Downloads that nobody reads, in an address space that cannot hold them.
TEST_F(LocalLimitsTest, WithoutMemoryTunnelsEndAndTheProgramNeverSilently) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need more address space than any limit";
  Program program = up({"resource: pod/solo, port: 9001, alias: source, localPort: auto",
                        "resource: pod/solo, port: 8080, alias: web, localPort: auto"});
  std::uint16_t const source = active_port(program, "source:auto");
  std::uint16_t const web = active_port(program, "web:auto");
  ASSERT_EQ(http_get(web).status, 200);
  ASSERT_TRUE(limit(program.pid(), RLIMIT_AS, (program.memory_kib("VmSize") + 2048) * 1024));
  std::vector<Client> clients;
  for (int i = 0; i < 16; ++i) clients.emplace_back(source);
  // Each tunnel that finds no memory ends, its connections with it, and another takes its place.
  int answers = 0;
  for (int i = 0; i < 20; ++i) {
    ::usleep(50'000);
    if (http_get(web, "/", "127.0.0.1", 5s).status == 200) ++answers;
  }
  clients.clear();
  if (auto const code = program.wait(1s)) {
    EXPECT_EQ(code, 1);
    EXPECT_NE(program.errors().find("no memory is left; ending"), std::string::npos);
    std::printf("without memory it ended, and said why\n");
    return;
  }
  std::printf("without memory the other forward answered %d of 20\n", answers);
  ASSERT_TRUE(limit(program.pid(), RLIMIT_AS, RLIM_INFINITY));
  EXPECT_NE(active_port(program, "source:auto"), 0);
  EXPECT_EQ(http_get(web).status, 200);
}

class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    ::grantpt(master_);
    ::unlockpt(master_);
  }
  ~Terminal() { close(); }
  Terminal(Terminal const&) = delete;
  Terminal& operator=(Terminal const&) = delete;
  std::string name() const { return ::ptsname(master_); }
  void close() {
    if (master_ >= 0) ::close(std::exchange(master_, -1));
  }

 private:
  int master_;
};

TEST_F(LocalLimitsTest, ATerminalThatIsClosedEndsTheProgramUnlessNohupWasAskedFor) {
  for (bool const nohup : {false, true}) {
    std::uint16_t const port = free_port();
    dir_.write("forwards.yaml", forwards({line("web", port)}));
    Terminal terminal;
    ProgramOptions options;
    std::string const run = nohup ? "trap '' HUP; exec \"$@\"" : "exec \"$@\"";
    // The first terminal that the leader of a new session opens is its own.
    options.wrapper = {"setsid", "sh", "-c", ": <" + terminal.name() + "; " + run, "sh"};
    Program program(up_arguments(), options);
    ASSERT_EQ(active_port(program, "web:" + std::to_string(port)), port);
    program.signal(SIGHUP);
    EXPECT_TRUE(program.wait_for_event("config.reloaded")) << "with its terminal it is a reload";
    rlimit before{};
    ASSERT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
    ASSERT_TRUE(limit(program.pid(), RLIMIT_NOFILE, 6));
    program.signal(SIGHUP);
    EXPECT_TRUE(program.wait_for_event("config.rejected")) << "it cannot look, that is all";
    ASSERT_TRUE(limit(program.pid(), RLIMIT_NOFILE, before.rlim_cur));
    std::size_t const mark = program.mark();
    terminal.close();
    if (nohup) {
      EXPECT_TRUE(program.wait_for_event("config.reloaded", "", mark));
      program.signal(SIGTERM);
    }
    EXPECT_EQ(program.wait(), 0);
  }
}

TEST_F(LocalLimitsTest, AnAddressThatComesLaterIsTaken) {
  if (::geteuid() != 0 || std::system("unshare -n ip link set lo up 2>/dev/null") != 0) {
    GTEST_SKIP() << "needs root, network namespaces and ip";
  }
  std::uint16_t const port = free_port();
  std::string const id = "web:" + std::to_string(port);
  dir_.write("forwards.yaml", forwards({line("web", port, ", address: 192.0.2.77")},
                                       "healthCheck: { startupGrace: 100ms }\n"));
  ProgramOptions options;
  options.wrapper = {"unshare", "-n", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"};
  Program program(up_arguments(), options);
  auto const* const change = program.wait_for_status(id, Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, Reason::network);
  EXPECT_EQ(change->message, "192.0.2.77:" + std::to_string(port) +
                                 ": not an address of this machine now (is the interface or the "
                                 "VPN up?)");
  std::string const add =
      "nsenter -n -t " + std::to_string(program.pid()) + " ip address add 192.0.2.77/32 dev lo";
  ASSERT_EQ(std::system(add.c_str()), 0);
  char entry[32];
  std::snprintf(entry, sizeof entry, "4D0200C0:%04X", port);
  EXPECT_TRUE(eventually([&] {
    return content_of("/proc/" + std::to_string(program.pid()) + "/net/tcp").find(entry) !=
           std::string::npos;
  }));
}

}  // namespace
}  // namespace kportal::test
