// SPDX-License-Identifier: MIT
// The bench of speed, each row once and short, so that it cannot rot; and what is true on any
// machine at any load: counts, and ratios that only something gone wild would break.
#include <gtest/gtest.h>

#include "tests/bench/speed_rows.h"
#include "tests/e2e/scene.h"
#include "tests/lab/kubectl.h"

namespace kportal::bench {
namespace {

using namespace std::chrono_literals;
using test::kSanitized;

constexpr double kWild = kSanitized ? 200 : 20;
constexpr std::size_t kMany = 20;

class SpeedTest : public testing::Test {
 protected:
  void SetUp() override {
    setting_.sizes.rounds = 1;
    setting_.sizes.window = 200ms;
    setting_.sizes.connects = 20;
    setting_.sizes.far_connects = 3;
    setting_.sizes.echoes = 100;
    setting_.sizes.many = kMany;
    setting_.sizes.very_many = kMany;
    setting_.sizes.settle = 3s;
    setting_.sizes.idle = 2s;
    setting_.tools.push_back(make_ours(kOurs, {}));
    setting_.add_bare_tools();
  }
  void measure(void (*row)(SpeedSetting const&, Row&)) {
    row(setting_, row_);
    for (std::string const& note : row_.notes) RecordProperty("note", note);
  }
  // Of the one round.
  double value(std::string const& figure) const {
    for (Figure const& each : row_.figures) {
      if (each.name == figure) return each.median();
    }
    ADD_FAILURE() << "no figure " << figure << "; " << testing::PrintToString(row_.notes);
    return 0;
  }

  SpeedSetting setting_{false, kMany};
  Row row_;
};

TEST_F(SpeedTest, BulkDown) {
  measure(&measure_bulk_down);
  EXPECT_GT(value("rate: loopback"), 0);
  EXPECT_GT(value("rate: kportal-cpp / discard"), 1 / kWild);
  EXPECT_LT(value("CPU: kportal-cpp / relay"), kWild);
}

TEST_F(SpeedTest, BulkUp) {
  measure(&measure_bulk_up);
  EXPECT_GT(value("rate: loopback"), 0);
  EXPECT_LT(value("CPU: kportal-cpp / relay"), kWild);
}

TEST_F(SpeedTest, Connect) {
  measure(&measure_connect);
  EXPECT_LT(value("p50: kportal-cpp / relay"), kWild);
}

// Less than a round trip would be: the delay line delays nothing.
TEST_F(SpeedTest, ConnectFromFarAway) {
  measure(&measure_connect_far);
  EXPECT_GE(value("p50: kportal-cpp"), 20);
}

TEST_F(SpeedTest, Echo) {
  measure(&measure_echo);
  EXPECT_LT(value("p50: kportal-cpp / relay"), kWild);
  EXPECT_LT(value("CPU each: kportal-cpp / relay"), kWild);
}

// One upgrade for each; the lists and watches of one namespace, perhaps some spare tunnels.
TEST_F(SpeedTest, Start) {
  std::string const kubectl = test::find_kubectl();
  if (!kubectl.empty()) setting_.tools.push_back(make_kubectl(kubectl));
  measure(&measure_start);
  EXPECT_LE(value("API requests: kportal-cpp"), kMany + 10);
  if (kubectl.empty()) return;
  EXPECT_EQ(value("upgrades among them: kubectl"), kMany);
}

TEST_F(SpeedTest, Idle) {
  if (kSanitized) GTEST_SKIP() << "its waits cannot be counted";
  measure(&measure_start_very_many);
  EXPECT_GT(value("idle: all wake-ups: kportal-cpp"), 0);
}

}  // namespace
}  // namespace kportal::bench
