// SPDX-License-Identifier: MIT
// The file changes while the program runs: what is unchanged is not touched, what is wrong changes
// nothing, ports move without a gap.
#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1024 * 1024;

class ReloadTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
  }
  std::string line(std::string const& alias, std::string const& port, std::string const& local,
                   std::string const& more = {}) {
    return "resource: pod/solo, port: " + port + ", localPort: " + local + ", alias: " + alias +
           more;
  }
  // Writes the file and waits for the event that tells it is applied.
  static events::ConfigReloaded reloaded(Program& program, std::size_t from) {
    auto const event = program.wait_for_event("config.reloaded", {}, from);
    EXPECT_TRUE(event) << "no config.reloaded";
    return event ? std::get<events::ConfigReloaded>(event->fact) : events::ConfigReloaded();
  }
  events::ConfigReloaded rewrite(Program& program, std::vector<std::string> const& lines,
                                 std::string const& head = kQuick) {
    std::size_t const mark = program.mark();
    dir_.replace("forwards.yaml", forwards(lines, head));
    return reloaded(program, mark);
  }
  // "READY solo" or "pod=solo": which of the two ports it is.
  static bool is_banner(std::uint16_t port) { return Client(port).read(12) == "READY solo\r\n"; }
};

TEST_F(ReloadTest, ADownloadOnAnUnchangedForwardSurvivesTwentyReloads) {
  constexpr std::uint64_t kReloads = 20;
  std::uint64_t const step = (kSanitized ? 8 : 50) * kMiB;
  std::uint64_t const total = kSanitized ? 256 * kMiB : 1024 * kMiB;
  std::string const kept = line("kept", "8080", "auto");
  std::string const changing = line("changing", "8080", "auto");
  Program program = up({kept, changing});
  Client download(active_port(program, "kept:auto"));
  download.send("GET /bytes?n=" + std::to_string(total) + " HTTP/1.1\r\n\r\n");
  std::string head;
  while (!head.ends_with("\r\n\r\n") && download.end() == End::open) head += download.read(1);
  std::uint64_t have = 0;
  for (std::uint64_t i = 0; i < kReloads; ++i) {
    auto const number = std::to_string(i);
    std::vector<std::string> lines{line("changing", i % 2 == 0 ? "9003" : "8080", "auto"), kept,
                                   line("new" + number, "9003", "auto")};
    if (i % 3 == 0) std::reverse(lines.begin(), lines.end());
    auto const event = rewrite(program, lines);
    EXPECT_EQ(event.unchanged, std::vector<std::string>{"kept:auto"});
    EXPECT_EQ(event.changed, std::vector<std::string>{"changing:auto"});
    EXPECT_EQ(event.added, std::vector<std::string>{"new" + number + ":auto"});
    EXPECT_EQ(event.removed.size(), i == 0 ? 0u : 1u);
    have += download.skip(step);
    ASSERT_EQ(have, (i + 1) * step) << "after reload " << i << ": " << to_word(download.end());
  }
  have += download.skip(total - have, 90s);
  EXPECT_EQ(have, total) << to_word(download.end());
  EXPECT_EQ(download.end(), End::open);
  std::printf("%llu MiB through 20 reloads\n", static_cast<unsigned long long>(have / kMiB));
  EXPECT_FALSE(program.wait_for_event("forward.stopped", "kept:auto", 0, 0s));
  EXPECT_FALSE(program.wait_for_event("forward.disconnected", "kept:auto", 0, 0s));
}

TEST_F(ReloadTest, TwoForwardsSwapTheirPorts) {
  std::uint16_t const a = free_port();
  std::uint16_t const b = free_port();
  auto const one = std::to_string(a);
  auto const two = std::to_string(b);
  Program program = up({line("banner", "9003", one), line("page", "8080", two)});
  ASSERT_EQ(active_port(program, "banner:" + one), a);
  ASSERT_EQ(active_port(program, "page:" + two), b);
  EXPECT_TRUE(is_banner(a));
  EXPECT_EQ(http_get(b).status, 200);
  rewrite(program, {line("banner", "9003", two), line("page", "8080", one)});
  EXPECT_EQ(active_port(program, "banner:" + two), b);
  EXPECT_EQ(active_port(program, "page:" + one), a);
  EXPECT_TRUE(is_banner(b));
  EXPECT_EQ(http_get(a).status, 200);
  EXPECT_FALSE(program.wait_for_line("port-in-use", 0, 0s));
}

TEST_F(ReloadTest, ARenamedForwardsPortNeverRefuses) {
  std::uint16_t const port = free_port();
  auto const number = std::to_string(port);
  Program program = up({line("name0", "8080", number)});
  ASSERT_EQ(active_port(program, "name0:" + number), port);
  std::atomic<bool> over = false;
  std::atomic<int> asked = 0;
  std::thread user([&] {
    while (!over) {
      HttpAnswer const answer = http_get(port);
      EXPECT_EQ(answer.status, 200) << to_word(answer.end);
      ++asked;
    }
  });
  for (int i = 1; i <= 5; ++i) {
    auto const name = "name" + std::to_string(i);
    rewrite(program, {line(name, "8080", number)});
    EXPECT_EQ(active_port(program, name + ":" + number), port);
  }
  over = true;
  user.join();
  EXPECT_GT(asked.load(), 5);
}

TEST_F(ReloadTest, AChangedForwardKeepsItsListener) {
  std::uint16_t const port = free_port();
  auto const number = std::to_string(port);
  Program program = up({line("x", "8080", number)});
  ASSERT_EQ(active_port(program, "x:" + number), port);
  std::atomic<bool> over = false;
  std::thread user([&] {
    while (!over) {
      HttpAnswer const answer = http_get(port);
      EXPECT_EQ(answer.status, 200) << to_word(answer.end);
    }
  });
  for (int i = 0; i < 5; ++i) {
    auto const event =
        rewrite(program, {line("x", "8080", number, i % 2 == 0 ? ", halfClose: hold" : "")});
    EXPECT_EQ(event.changed, std::vector<std::string>{"x:" + number});
    EXPECT_EQ(active_port(program, "x:" + number), port);
  }
  over = true;
  user.join();
  // And another port of the pod behind the same local one.
  rewrite(program, {line("x", "9003", number)});
  EXPECT_TRUE(is_banner(port));
}

TEST_F(ReloadTest, ABadFileChangesNothingAndSaysWhy) {
  Program program = up({line("x", "7000", "auto")});
  Client open(active_port(program, "x:auto"));
  ASSERT_TRUE(open.send("one"));
  ASSERT_EQ(open.read(3), "one");
  std::size_t const mark = program.mark();
  std::string const file =
      dir_.replace("forwards.yaml", forwards({line("x", "7000", "auto", ", colour: red")}));
  auto const event = program.wait_for_event("config.rejected", {}, mark);
  ASSERT_TRUE(event);
  auto const& problems = std::get<events::ConfigRejected>(event->fact).problems;
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_TRUE(problems[0].starts_with(file + ":8:")) << problems[0];
  EXPECT_NE(problems[0].find("colour"), std::string::npos);
  EXPECT_TRUE(program.wait_for_error_text("colour"));
  ASSERT_TRUE(open.send("two"));
  EXPECT_EQ(open.read(3), "two") << to_word(open.end());
  // Files that are gone or empty are bad files too.
  std::size_t const gone = program.mark();
  std::filesystem::remove(file);
  ASSERT_TRUE(program.wait_for_event("config.rejected", {}, gone));
  std::size_t const empty = program.mark();
  dir_.write("forwards.yaml", "");
  ASSERT_TRUE(program.wait_for_event("config.rejected", {}, empty));
  ASSERT_TRUE(open.send("end"));
  EXPECT_EQ(open.read(3), "end") << to_word(open.end());
  auto const good = rewrite(program, {line("x", "7000", "auto"), line("y", "7000", "auto")});
  EXPECT_EQ(good.unchanged, std::vector<std::string>{"x:auto"});
  EXPECT_NE(active_port(program, "y:auto"), 0);
}

TEST_F(ReloadTest, HealthSettingsApplyLive) {
  Program program = up({line("x", "9004", "auto")},
                       "healthCheck: { method: tcp-dial, interval: 1h, podProbe: 0 }\n");
  ASSERT_NE(active_port(program, "x:auto"), 0);
  std::size_t const mark = program.mark();
  std::uint64_t const pings = lab_.call([](Lab& lab) { return lab.server.pings(); });
  auto const event = rewrite(program, {line("x", "9004", "auto")},
                             "healthCheck: { method: tcp-dial, interval: 100ms, podProbe: 0 }\n");
  EXPECT_EQ(event.unchanged, std::vector<std::string>{"x:auto"});
  // The tunnel's own pings come each 5 s at most.
  EXPECT_TRUE(lab_.wait_for([&](Lab& lab) { return lab.server.pings() >= pings + 10; }, 5s));
  EXPECT_FALSE(program.wait_for_event("forward.stopped", {}, mark, 0s));
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 1u);
}

TEST_F(ReloadTest, SighupReadsTheFileAgain) {
  Program program = up({line("x", "8080", "auto")});
  ASSERT_NE(active_port(program, "x:auto"), 0);
  std::size_t const mark = program.mark();
  program.signal(SIGHUP);
  // Nothing has changed, and it says so.
  auto const event = reloaded(program, mark);
  EXPECT_EQ(event.unchanged, std::vector<std::string>{"x:auto"});
  EXPECT_TRUE(event.added.empty() && event.removed.empty() && event.changed.empty());
}

TEST_F(ReloadTest, EveryWayOfChangingAFileIsSeen) {
  // As Kubernetes mounts a ConfigMap: forwards.yaml -> ..data/forwards.yaml, ..data -> a directory.
  namespace fs = std::filesystem;
  auto const version = [&](int number, std::string const& alias) {
    auto const name = "..version" + std::to_string(number);
    fs::create_directory(dir_.file(name));
    dir_.write(name + "/forwards.yaml", forwards({line(alias, "8080", "auto")}));
    dir_.write(name + "/kubeconfig", lab_.kubeconfig());
    return name;
  };
  fs::create_symlink(version(1, "first"), dir_.file("..data"));
  fs::create_symlink("..data/forwards.yaml", dir_.file("forwards.yaml"));
  Program program(up_arguments());
  ASSERT_NE(active_port(program, "first:auto"), 0);

  std::size_t mark = program.mark();
  fs::create_symlink(version(2, "second"), dir_.file("..data.next"));
  fs::rename(dir_.file("..data.next"), dir_.file("..data"));
  EXPECT_EQ(reloaded(program, mark).added, std::vector<std::string>{"second:auto"});
  EXPECT_NE(active_port(program, "second:auto"), 0);

  mark = program.mark();
  dir_.replace("forwards.yaml", forwards({line("third", "8080", "auto")}));
  EXPECT_EQ(reloaded(program, mark).added, std::vector<std::string>{"third:auto"});

  mark = program.mark();
  dir_.write("forwards.yaml", forwards({line("fourth", "8080", "auto")}));
  EXPECT_EQ(reloaded(program, mark).added, std::vector<std::string>{"fourth:auto"});
  EXPECT_NE(active_port(program, "fourth:auto"), 0);
}

TEST_F(ReloadTest, ARemovedForwardsPortIsClosed) {
  Program program = up({line("x", "8080", "auto"), line("y", "8080", "auto")});
  std::uint16_t const x = active_port(program, "x:auto");
  std::uint16_t const y = active_port(program, "y:auto");
  EXPECT_EQ(rewrite(program, {line("x", "8080", "auto")}).removed,
            std::vector<std::string>{"y:auto"});
  EXPECT_EQ(Client(y).end(), End::refused);
  EXPECT_TRUE(program.wait_for_event("forward.stopped", "y:auto"));
  EXPECT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 1; }));
  EXPECT_EQ(http_get(x).status, 200);
  // Down to none and back.
  EXPECT_EQ(rewrite(program, {}).removed, std::vector<std::string>{"x:auto"});
  EXPECT_EQ(Client(x).end(), End::refused);
  rewrite(program, {line("z", "8080", "auto")});
  EXPECT_EQ(http_get(active_port(program, "z:auto")).status, 200);
}

// Something of another program that listens there.
class Holder {
 public:
  Holder(char const* address, std::uint16_t port)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &name.sin_addr);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0) << address;
    EXPECT_EQ(::listen(fd_, 1), 0);
  }
  ~Holder() { ::close(fd_); }
  Holder(Holder const&) = delete;
  Holder& operator=(Holder const&) = delete;

 private:
  int fd_;
};

TEST_F(ReloadTest, APortMovesToAllAddressesAndBackBesideAnOpenConnection) {
  std::uint16_t const port = free_port();
  auto const number = std::to_string(port);
  auto const on = [&](std::string const& address) {
    return std::vector{line("x", "7000", number, ", address: " + address)};
  };
  auto const echoes = [](Client& client, std::string const& text) {
    return client.send(text) && client.read(text.size()) == text;
  };
  Program program = up(on("127.0.0.1"));
  for (char const* const address : {"0.0.0.0", "127.0.0.1"}) {
    ASSERT_EQ(active_port(program, "x:" + number), port);
    Client open(port);
    EXPECT_TRUE(echoes(open, "before"));
    auto const event = rewrite(program, on(address));
    EXPECT_EQ(event.changed, std::vector<std::string>{"x:" + number});
    EXPECT_TRUE(echoes(open, "meanwhile")) << address << ": " << to_word(open.end());
    ASSERT_EQ(active_port(program, "x:" + number), port);
    EXPECT_TRUE(echoes(open, "after")) << address << ": " << to_word(open.end());
    Client elsewhere(port, "127.0.0.2");
    bool const everywhere = std::string_view(address) == "0.0.0.0";
    EXPECT_EQ(elsewhere.connected() && echoes(elsewhere, "there"), everywhere) << address;
    Client here(port);
    EXPECT_TRUE(echoes(here, "here")) << address;
  }
  EXPECT_FALSE(program.wait_for_line("port-in-use", 0, 0s));
}

// On the address that it moves to another program has the port; who it is, is told.
TEST_F(ReloadTest, APortThatIsTakenOnTheOtherAddressIsToldWithItsHolder) {
  std::uint16_t const port = free_port();
  auto const number = std::to_string(port);
  auto const on = [&](std::string const& address) {
    return std::vector{line("x", "7000", number, ", address: " + address)};
  };
  Holder const beside("127.0.0.3", port);  // of this process, and in nobody's way
  dir_.write("other.yaml", forwards(on("127.0.0.2")));
  Program other({"up", "-f", dir_.file("other.yaml"), "--log-format", "json"});
  ASSERT_EQ(active_port(other, "x:" + number), port);
  Program program = up(on("127.0.0.1"));
  ASSERT_EQ(active_port(program, "x:" + number), port);
  for (char const* const address : {"[127.0.0.1, 127.0.0.2]", "0.0.0.0"}) {
    Client open(port);
    ASSERT_TRUE(open.send("before"));
    EXPECT_EQ(open.read(6), "before");
    rewrite(program, on(address));
    ASSERT_TRUE(open.send("after"));
    EXPECT_EQ(open.read(5), "after") << address << ": " << to_word(open.end());
    auto const* const change = program.wait_for_status("x:" + number, Status::error);
    ASSERT_NE(change, nullptr) << address;
    EXPECT_EQ(change->reason, Reason::port_in_use);
    bool const one = address[0] == '[';
    std::string const place = (one ? "127.0.0.2:" : "0.0.0.0:") + number;
    EXPECT_NE(change->message.find(place), std::string::npos) << change->message;
    if (one) {
      std::string const holder = "pid " + std::to_string(other.pid()) + ")";
      EXPECT_NE(change->message.find(holder), std::string::npos) << change->message;
    }
    rewrite(program, on("127.0.0.1"));
    ASSERT_EQ(active_port(program, "x:" + number), port) << address;
  }
  EXPECT_EQ(Client(port, "127.0.0.2").end(), End::open) << "the other program's";
}

TEST_F(ReloadTest, ABusyPortStopsNobodyAndIsTakenWhenItIsFree) {
  BusyPort busy;
  auto const number = std::to_string(busy.port());
  Program program = up({line("x", "8080", number), line("y", "8080", "auto")});
  auto const* const change = program.wait_for_status("x:" + number, Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, Reason::port_in_use);
  EXPECT_NE(change->message.find(number), std::string::npos) << change->message;
  // The holder is this test.
  EXPECT_NE(change->message.find("pid " + std::to_string(getpid())), std::string::npos)
      << change->message;
  EXPECT_EQ(http_get(active_port(program, "y:auto")).status, 200);
  busy.free();
  EXPECT_EQ(active_port(program, "x:" + number), busy.port());
  EXPECT_EQ(http_get(busy.port()).status, 200);
}

}  // namespace
}  // namespace kportal::test
