// SPDX-License-Identifier: MIT
// Networks that die without a word: the program in a network namespace of its own, behind a wire
// that swallows packets (tests/cluster/netns). Needs root. The figures are those of the defaults.
#include <fcntl.h>
#include <future>
#include <sched.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/cluster/cluster_fixture.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using events::Status;

constexpr char const* kSolo = "resource: pod/solo, port: 8080, localPort: auto, alias: solo";
constexpr char const* kPair = "resource: service/pair, port: 80, localPort: auto, alias: pair";
// A network that nobody looks at but when it changes.
constexpr char const* kRarely =
    "healthCheck: { method: tcp-dial, interval: 60s, timeout: 30s }\n"
    "reliability: { pingInterval: 60s }\n";

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

class NetworkTest : public ClusterTest {
 protected:
  void SetUp() override {
    ClusterTest::SetUp();
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
    ASSERT_TRUE(netns("add"));
  }
  void TearDown() override { netns("del"); }

  static bool netns(std::string const& what) {
    std::string const command = fmt::format("{} {} >/dev/null", KPORTAL_NETNS, what);
    return std::system(command.c_str()) == 0;
  }

  std::unique_ptr<Program> up_behind_wire(std::vector<std::string> const& forwards,
                                          std::string const& head = {}) {
    std::string text = fmt::format(
        "{}contexts:\n"
        "  - name: \"\"\n"
        "    kubeconfig: {}/kubeconfig\n"
        "    namespaces:\n"
        "      - name: kportal-e2e\n"
        "        forwards:\n",
        head, cluster_dir());
    for (std::string const& forward : forwards) text += "          - {" + forward + "}\n";
    std::string const file = dir_.write("forwards.yaml", text);
    ProgramOptions options;
    options.wrapper = {KPORTAL_NETNS, "exec"};
    return std::make_unique<Program>(
        std::vector<std::string>{"up", "--log-format", "json", "-f", file}, std::move(options));
  }

  // Runs where the program's ports are.
  template <class Fn>
  static auto inside(Fn fn) {
    return std::async(std::launch::async,
                      [fn] {
                        int const fd = ::open("/run/netns/kportal-client", O_RDONLY | O_CLOEXEC);
                        EXPECT_EQ(::setns(fd, CLONE_NEWNET), 0);
                        ::close(fd);
                        return fn();
                      })
        .get();
  }

  // Asks as a user does who tries again and again; when the first answer came.
  static Duration first_answer(std::uint16_t port) {
    return inside([port] {
      TimePoint const begin = Clock::now();
      while (http_get(port, "/", "127.0.0.1", 200ms).status != 200) {
        if (Clock::now() - begin > kPatience) break;
        std::this_thread::sleep_for(20ms);
      }
      return Clock::now() - begin;
    });
  }

  // Until the forward is no longer Active.
  static Duration lost_after(Program& program, std::string const& id, TimePoint begin) {
    auto const* const change = program.wait_for_status(id, Status::reconnecting);
    EXPECT_NE(change, nullptr);
    return Clock::now() - begin;
  }

  void dies_and_heals(std::string const& fault, std::string const& cure, Duration dead,
                      Duration within) {
    auto const program = up_behind_wire({kSolo, kPair});
    std::uint16_t const solo = active_port(*program, "solo:auto");
    std::uint16_t const pair = active_port(*program, "pair:auto");
    ASSERT_TRUE(solo != 0 && pair != 0);
    ASSERT_LT(first_answer(solo), kPatience);
    TimePoint const begin = Clock::now();
    ASSERT_TRUE(netns(fault));
    Duration const lost = std::max(lost_after(*program, "solo:auto", begin),
                                   lost_after(*program, "pair:auto", begin));
    EXPECT_LE(lost, within);
    std::this_thread::sleep_until(begin + dead);
    TimePoint const healed = Clock::now();
    ASSERT_TRUE(netns(cure));
    first_answer(solo);
    first_answer(pair);
    Duration const answered = Clock::now() - healed;
    EXPECT_LE(answered, 2s);
    EXPECT_NE(active_port(*program, "solo:auto"), 0);
    EXPECT_NE(active_port(*program, "pair:auto"), 0);
    fmt::print("{}: Active left after {:.2f} s, first answers {:.2f} s after healing\n", fault,
               seconds(lost), seconds(answered));
  }
};

TEST_F(NetworkTest, ABlackHoleIsNoticedAndSoIsItsEnd) {
  dies_and_heals("cut", "heal", 30s, 8500ms);
}

TEST_F(NetworkTest, SoIsOneThatSwallowsOneDirectionOnly) {
  dies_and_heals("cut down", "heal", 12s, 8500ms);
  netns("add");
  dies_and_heals("cut up", "heal", 12s, 8500ms);
}

// The kernel tells: the ping is sent at once.
TEST_F(NetworkTest, ALinkThatIsTakenAwayIsNoticedAtOnce) {
  dies_and_heals("unplug", "plug", 10s, 4500ms);
}

TEST_F(NetworkTest, ACutOfTwoSecondsChangesNoStatus) {
  auto const program = up_behind_wire({kSolo});
  std::uint16_t const port = active_port(*program, "solo:auto");
  ASSERT_LT(first_answer(port), kPatience);
  for (int i = 0; i < 5; ++i) {
    std::size_t const mark = program->mark();
    ASSERT_TRUE(netns("cut"));
    std::this_thread::sleep_for(2s);
    ASSERT_TRUE(netns("heal"));
    EXPECT_EQ(inside([port] { return http_get(port).status; }), 200);
    for (OutputLine const& line : program->lines(mark)) {
      EXPECT_EQ(line.text.find("status_changed"), std::string::npos) << line.text;
    }
  }
}

// Toward the server another address is chosen: nobody would look for a minute.
TEST_F(NetworkTest, AnotherRouteIsAReasonToPing) {
  auto const program = up_behind_wire({kSolo}, kRarely);
  std::uint16_t const port = active_port(*program, "solo:auto");
  ASSERT_LT(first_answer(port), kPatience);
  ASSERT_TRUE(netns("cut"));
  TimePoint const begin = Clock::now();
  ASSERT_TRUE(
      netns("exec sh -c 'ip addr add 198.18.240.1/32 dev eth0 && "
            "ip route replace default via 198.18.232.1 src 198.18.240.1'"));
  EXPECT_LE(lost_after(*program, "solo:auto", begin), 4500ms);
  ASSERT_TRUE(netns("heal"));
  ASSERT_TRUE(netns("exec ip route replace default via 198.18.232.1"));
  EXPECT_LE(first_answer(port), 2500ms);
}

// A route that is another one but leads from the same address is none of the tunnels' business.
TEST_F(NetworkTest, ARouteToElsewhereIsNone) {
  auto const program = up_behind_wire({kSolo}, kRarely);
  std::uint16_t const port = active_port(*program, "solo:auto");
  ASSERT_LT(first_answer(port), kPatience);
  std::size_t const mark = program->mark();
  ASSERT_TRUE(netns("cut"));
  ASSERT_TRUE(netns("exec ip addr add 10.99.0.1/32 dev lo"));
  std::this_thread::sleep_for(5s);
  EXPECT_EQ(program->lines(mark).size(), 0u);
  ASSERT_TRUE(netns("heal"));
  EXPECT_LE(first_answer(port), 2500ms);
}

}  // namespace
}  // namespace kportal::test
