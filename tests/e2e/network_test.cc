// SPDX-License-Identifier: MIT
// A network that dies without a word and comes back, and a server that is away: how the forwards of
// one cluster wait for it together, and how soon they are back.
#include <algorithm>
#include <map>

#include <gmock/gmock.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

constexpr int kForwards = 20;
// Between two questions of the scout (k8s/scout_machine.h).
constexpr Duration kBeat = 2s;
// What a loaded machine may add to what the clock of the program says; less than the back-off that
// the forwards would wait for by themselves.
constexpr Duration kSlack = kSanitized ? 6s : 3s;

constexpr char const* kHead =
    "healthCheck: { method: tcp-dial, interval: 1s, timeout: 1s, startupGrace: 1s }\n"
    "reliability: { pingInterval: 1s, pingTimeout: 1s }\n";

class NetworkTest : public E2eTest {
 protected:
  static std::string name(int i) { return "f" + std::to_string(i); }
  static std::vector<std::string> many() {
    std::vector<std::string> lines;
    for (int i = 0; i < kForwards; ++i) {
      lines.push_back("resource: pod/solo, port: 8080, localPort: auto, alias: " + name(i));
    }
    return lines;
  }

  static testing::AssertionResult all_become(Program& program, Status status,
                                             Duration within = kPatience) {
    TimePoint const deadline = Clock::now() + within;
    for (int i = 0; i < kForwards; ++i) {
      auto const left = std::max(deadline - Clock::now(), Duration(1ms));
      if (program.wait_for_status(name(i) + ":auto", status, left) == nullptr) {
        return testing::AssertionFailure() << name(i) << " is not " << events::to_word(status);
      }
    }
    return testing::AssertionSuccess();
  }

  std::uint64_t connections() {
    return lab_.call([](Lab& lab) { return lab.server.connections(); });
  }
  std::size_t open_connections() {
    return lab_.call([](Lab& lab) { return lab.server.open_connections(); });
  }
  void freeze() {
    lab_.call([](Lab& lab) { lab.server.freeze(); });
  }
  void thaw() {
    lab_.call([](Lab& lab) { lab.server.thaw(); });
  }
  bool wait_for_connections(std::uint64_t wanted) {
    return lab_.wait_for([wanted](Lab& lab) { return lab.server.connections() >= wanted; });
  }
};

TEST_F(NetworkTest, OneAsksForAllWhetherADeadNetworkIsBack) {
  add_pod("solo");
  auto program = up(many(), kHead);
  ASSERT_TRUE(all_become(program, Status::active));
  freeze();
  ASSERT_TRUE(all_become(program, Status::reconnecting));
  std::uint64_t const before = connections();
  // Of the next ones each comes a beat after the other.
  ASSERT_TRUE(wait_for_connections(before + 1));
  TimePoint const first = Clock::now();
  ASSERT_TRUE(wait_for_connections(before + 4));
  EXPECT_GE(Clock::now() - first, 3 * kBeat - 1s);
  TimePoint const thawed = Clock::now();
  thaw();
  EXPECT_TRUE(all_become(program, Status::active, kBeat + kSlack));
  RecordProperty("active_after_ms", std::to_string((Clock::now() - thawed) / 1ms));
}

TEST_F(NetworkTest, AServerThatIsAwayIsAskedByOneAndAllAreBackWithIt) {
  add_pod("solo");
  auto program = up(many(), kHead);
  ASSERT_TRUE(all_become(program, Status::active));
  lab_.stop_server();
  // By then a forward alone would wait for 8 s and more.
  ASSERT_TRUE(program.wait_for([](OutputLine const& line) {
    auto const event = line.event();
    auto const* const reconnecting =
        event ? std::get_if<events::ForwardReconnecting>(&event->fact) : nullptr;
    return reconnecting != nullptr && reconnecting->attempt >= 6;
  }));
  TimePoint const started = Clock::now();
  lab_.start_server();
  EXPECT_TRUE(all_become(program, Status::active, kBeat + kSlack));
  RecordProperty("active_after_ms", std::to_string((Clock::now() - started) / 1ms));
}

// Nothing is known of the target yet, so nobody could dial.
TEST_F(NetworkTest, ANetworkThatIsDeadAtTheStartIsNoticedWhenItComes) {
  add_pod("solo");
  freeze();
  auto program = up(many(), kHead);
  auto const* const failed = program.wait_for_status("f0:auto", Status::error);
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->reason, Reason::timeout) << failed->message;
  ASSERT_TRUE(wait_for_connections(connections() + 2));
  thaw();
  EXPECT_TRUE(all_become(program, Status::active, kBeat + kSlack));
}

// A network that is away for less than what the answer to a ping may take is no loss.
TEST_F(NetworkTest, AShortSilenceChangesNoStatus) {
  add_pod("solo");
  auto program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: solo"},
                    "reliability: { pingInterval: 200ms, pingTimeout: 60s }\n"
                    "healthCheck: { method: tcp-dial, interval: 60s, timeout: 30s }\n");
  std::uint16_t const port = active_port(program, "solo:auto");
  std::size_t const mark = program.mark();
  std::uint64_t const before = connections();
  freeze();
  // The answer is late: a second tunnel is dialled before the first is given up.
  ASSERT_TRUE(wait_for_connections(before + 1));
  thaw();
  EXPECT_EQ(http_get(port).status, 200);
  for (OutputLine const& line : program.lines(mark)) {
    EXPECT_EQ(line.text.find("status_changed"), std::string::npos) << line.text;
    EXPECT_EQ(line.text.find("forward.disconnected"), std::string::npos) << line.text;
  }
}

}  // namespace
}  // namespace kportal::test
