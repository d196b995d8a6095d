// SPDX-License-Identifier: MIT
#include "lab/cluster.h"

#include <algorithm>

#include <gmock/gmock.h>

#include "base/wakeup.h"
#include "tests/support/loop_fixture.h"

namespace kportal::lab {
namespace {

using namespace std::chrono_literals;

class LabClusterTest : public test::LoopFixture {
 public:
  void TearDown() override { run(cluster_.stop()); }
  // Lets time pass in the loop until `condition` holds.
  awaitable<bool> wait_for(std::function<bool()> condition) {
    co_return co_await cluster_.changed().wait_for(std::move(condition), Clock::now() + 10s);
  }
  std::vector<PodName> pods_of(std::string const& name) const {
    return cluster_.pods_of(ObjectName("default", name));
  }

  Cluster cluster_{executor()};
};

TEST_F(LabClusterTest, ReplacesADeletedPodOfADeployment) {
  cluster_.add_deployment("default", "web", 2);
  auto const before = pods_of("web");
  ASSERT_EQ(before.size(), 2U);
  EXPECT_TRUE(cluster_.find_pod(before[0])->spec.ready);
  auto const sandbox = cluster_.find_pod(before[0])->sandbox;
  EXPECT_TRUE(cluster_.delete_pod(before[0], 5ms));
  auto const after = pods_of("web");
  ASSERT_EQ(after.size(), 2U);
  EXPECT_EQ(after[0], before[1]);
  EXPECT_EQ(cluster_.find_pod(after[1])->spec.phase, "Pending");
  EXPECT_TRUE(cluster_.find_pod(before[0])->deleting);
  EXPECT_FALSE(sandbox->closed());
  run([](LabClusterTest& t, PodName old, PodName fresh) -> awaitable<void> {
    std::function<bool()> const done = [&] {
      auto const* const pod = t.cluster_.find_pod(fresh);
      return t.cluster_.find_pod(old) == nullptr && pod != nullptr && pod->spec.ready;
    };
    auto const ready = co_await t.wait_for(done);
    EXPECT_TRUE(ready);
  }(*this, before[0], after[1]));
  EXPECT_TRUE(sandbox->closed());
}

TEST_F(LabClusterTest, KeepsStatefulNames) {
  WorkloadSpec spec;
  spec.kind = WorkloadKind::stateful_set;
  spec.name = "db";
  cluster_.add_workload(spec);
  EXPECT_THAT(pods_of("db"), testing::ElementsAre(PodName("default", "db-0")));
}

TEST_F(LabClusterTest, AStatefulNameIsTakenUntilItsPodIsGone) {
  WorkloadSpec spec;
  spec.kind = WorkloadKind::stateful_set;
  spec.name = "db";
  cluster_.add_workload(spec);
  PodName const db("default", "db-0");
  auto const uid = cluster_.find_pod(db)->uid;
  cluster_.delete_pod(db, 5ms);
  EXPECT_TRUE(pods_of("db").empty());
  run([](LabClusterTest& t, PodName name, std::string old) -> awaitable<void> {
    std::function<bool()> const done = [&] {
      auto const* const pod = t.cluster_.find_pod(name);
      return pod != nullptr && pod->uid != old && pod->spec.ready;
    };
    auto const ready = co_await t.wait_for(done);
    EXPECT_TRUE(ready);
  }(*this, db, uid));
}

TEST_F(LabClusterTest, ReplacesAnEvictedPodAndKeepsItsObject) {
  cluster_.add_deployment("default", "web", 1);
  auto const old = pods_of("web").at(0);
  EXPECT_TRUE(cluster_.evict_pod(old));
  EXPECT_EQ(cluster_.find_pod(old)->spec.phase, "Failed");
  EXPECT_EQ(cluster_.find_pod(old)->spec.reason, "Evicted");
  EXPECT_TRUE(cluster_.find_pod(old)->sandbox->closed());
  ASSERT_EQ(pods_of("web").size(), 1U);
  EXPECT_NE(pods_of("web").at(0), old);
}

TEST_F(LabClusterTest, RollsOut) {
  for (auto const how : {Rollout::surge, Rollout::in_place}) {
    SCOPED_TRACE(static_cast<int>(how));
    std::string const name = how == Rollout::surge ? "surge" : "in-place";
    WorkloadSpec spec;
    spec.name = name;
    spec.replicas = 3;
    spec.ready_after = 5ms;
    cluster_.add_workload(spec);
    auto const before = pods_of(name);
    std::size_t fewest = 3;
    std::size_t most = 3;
    ASSERT_TRUE(cluster_.roll_out(ObjectName("default", name), how));
    run([](LabClusterTest& t, std::string workload, std::vector<PodName> old, std::size_t& least,
           std::size_t& greatest) -> awaitable<void> {
      std::function<bool()> const done = [&] {
        auto const now = t.pods_of(workload);
        auto const ready = static_cast<std::size_t>(std::ranges::count_if(
            now, [&](auto const& pod) { return t.cluster_.find_pod(pod)->spec.ready; }));
        least = std::min(least, ready);
        greatest = std::max(greatest, now.size());
        return ready == 3 && std::ranges::none_of(now, [&](auto const& pod) {
                 return std::ranges::find(old, pod) != old.end();
               });
      };
      auto const rolled = co_await t.wait_for(done);
      EXPECT_TRUE(rolled);
    }(*this, name, before, fewest, most));
    EXPECT_EQ(fewest, how == Rollout::surge ? 3U : 2U);
    EXPECT_EQ(most, how == Rollout::surge ? 4U : 3U);
  }
}

TEST_F(LabClusterTest, ScalesDownAndUp) {
  cluster_.add_deployment("default", "web", 1);
  cluster_.scale(ObjectName("default", "web"), 3);
  EXPECT_EQ(pods_of("web").size(), 3U);
  cluster_.scale(ObjectName("default", "web"), 0);
  EXPECT_EQ(pods_of("web").size(), 0U);
}

TEST_F(LabClusterTest, RestartsAContainerInTheSameSandbox) {
  PodSpec spec;
  spec.name = "solo";
  cluster_.add_pod(spec);
  PodName const solo("default", "solo");
  auto const sandbox = cluster_.find_pod(solo)->sandbox;
  auto const socket = sandbox->connect(7000);
  EXPECT_NE(socket, nullptr);
  cluster_.restart_container(solo, 5ms);
  EXPECT_FALSE(cluster_.find_pod(solo)->spec.ready);
  EXPECT_EQ(sandbox->connect(7000), nullptr);
  run([](LabClusterTest& t, PodName name) -> awaitable<void> {
    std::function<bool()> const done = [&] { return t.cluster_.find_pod(name)->spec.ready; };
    auto const ready = co_await t.wait_for(done);
    EXPECT_TRUE(ready);
  }(*this, solo));
  EXPECT_EQ(cluster_.find_pod(solo)->restarts, 1);
  EXPECT_EQ(cluster_.find_pod(solo)->sandbox, sandbox);
  EXPECT_NE(sandbox->connect(7000), nullptr);
}

TEST_F(LabClusterTest, RemembersChangesUntilCompacted) {
  PodSpec spec;
  spec.name = "a";
  auto const start = cluster_.version();
  cluster_.add_pod(spec);
  cluster_.set_ready(PodName("default", "a"), false);
  auto cursor = cluster_.cursor_after(start);
  ASSERT_TRUE(cursor);
  EXPECT_EQ(cluster_.change_at(*cursor)->pod.before, nullptr);
  EXPECT_FALSE(cluster_.change_at(*cursor + 1)->pod.after->spec.ready);
  EXPECT_EQ(cluster_.change_at(*cursor + 2), nullptr);
  cluster_.compact();
  EXPECT_FALSE(cluster_.cursor_after(start));
  EXPECT_TRUE(cluster_.is_forgotten(*cursor));
  auto const now = cluster_.cursor_after(cluster_.version());
  ASSERT_TRUE(now);
  EXPECT_EQ(cluster_.change_at(*now), nullptr);
  cluster_.set_ready(PodName("default", "a"), true);
  EXPECT_TRUE(cluster_.change_at(*now)->pod.after->spec.ready);
}

TEST_F(LabClusterTest, BoundsItsHistory) {
  PodSpec spec;
  spec.name = "a";
  cluster_.add_pod(spec);
  auto const start = cluster_.version();
  for (std::size_t i = 0; i <= Cluster::kMaxHistory; ++i) {
    cluster_.set_ready(PodName("default", "a"), i % 2 == 1);
  }
  EXPECT_FALSE(cluster_.cursor_after(start));
  EXPECT_TRUE(cluster_.cursor_after(cluster_.version() - 10));
}

TEST_F(LabClusterTest, ForgetsAPodWhoseProgramsStillRun) {
  PodSpec spec;
  spec.name = "solo";
  cluster_.add_pod(spec);
  PodName const solo("default", "solo");
  auto const socket = cluster_.find_pod(solo)->sandbox->connect(9003);
  poll();
  cluster_.delete_pod(solo, Duration::zero());
  cluster_.compact();
  run();
  EXPECT_TRUE(socket->closed());
}

TEST_F(LabClusterTest, SaysNoToUnknownNames) {
  PodName const nobody("default", "nobody");
  EXPECT_FALSE(cluster_.delete_pod(nobody));
  EXPECT_FALSE(cluster_.set_ready(nobody, true));
  EXPECT_FALSE(cluster_.restart_container(nobody));
  EXPECT_FALSE(cluster_.delete_service(nobody));
  EXPECT_FALSE(cluster_.scale(nobody, 1));
}

}  // namespace
}  // namespace kportal::lab
