// SPDX-License-Identifier: MIT
// Against the kernel, in a network namespace of the test's own where one may be made.
#include "net/route_watch.h"

#include <cstdlib>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#include <gtest/gtest.h>

#include "base/wakeup.h"
#include "net/source_address.h"
#include "tests/support/loop_fixture.h"

namespace kportal::net {
namespace {

using namespace std::chrono_literals;

class RouteWatchTest : public test::LoopFixture {};

awaitable<void> count(RouteWatch& watch, int& changes, error_code& end) {
  for (;;) {
    end = co_await watch.changed();
    if (end) co_return;
    ++changes;
  }
}

awaitable<void> until(int const& changes, int wanted, TaskGroup& counting) {
  while (changes < wanted) co_await sleep_until(Clock::now() + 10ms);
  counting.cancel();
}

#ifdef __linux__

// What is made in the namespace goes with the thread.
template <class Fn>
void in_own_network(Fn fn) {
  bool made = false;
  std::thread thread([&] {
    made = ::unshare(CLONE_NEWNET) == 0 && std::system("ip link set lo up 2>/dev/null") == 0;
    if (made) fn();
  });
  thread.join();
  if (!made) GTEST_SKIP() << "no network namespace can be made here";
}

TEST_F(RouteWatchTest, TellsOfAnAddressThatComes) {
  in_own_network([this] {
    auto watch = RouteWatch::open(executor());
    ASSERT_TRUE(watch.has_value()) << watch.error().text;
    int changes = 0;
    error_code end;
    TaskGroup counting(executor());
    counting.spawn(count(**watch, changes, end));
    poll();
    EXPECT_EQ(changes, 0);
    // Many at once are one: more notices than are taken in a turn.
    for (int i = 1; i <= 20; ++i) {
      std::string const add = "ip addr add 10.99.0." + std::to_string(i) + "/32 dev lo";
      ASSERT_EQ(std::system(add.c_str()), 0);
    }
    run(until(changes, 1, counting));
    EXPECT_LE(changes, 2);
    EXPECT_FALSE(end);
  });
}

// Nobody reads while more comes than the kernel keeps.
TEST_F(RouteWatchTest, LostNoticesAreAChange) {
  in_own_network([this] {
    auto watch = RouteWatch::open(executor());
    ASSERT_TRUE(watch.has_value());
    ASSERT_EQ(std::system("for i in $(seq 1 250); do echo addr add 10.98.$((i % 5)).$i/32 dev lo; "
                          "echo addr del 10.98.$((i % 5)).$i/32 dev lo; done | ip -batch -"),
              0);
    int changes = 0;
    error_code end;
    TaskGroup counting(executor());
    counting.spawn(count(**watch, changes, end));
    run(until(changes, 1, counting));
    EXPECT_FALSE(end);
  });
}

TEST(SourceAddressTest, FollowsTheRoutes) {
  in_own_network([] {
    auto const peer = asio::ip::make_address("10.97.0.1");
    EXPECT_FALSE(source_toward(peer));
    ASSERT_EQ(std::system("ip link add kp0 type veth peer name kp1 && ip link set kp1 up && ip "
                          "link set kp0 up && "
                          "ip addr add 10.97.0.2/24 dev kp0"),
              0);
    EXPECT_EQ(source_toward(peer), asio::ip::make_address("10.97.0.2"));
    ASSERT_EQ(std::system("ip route add 10.97.0.1/32 dev lo src 10.97.0.2; "
                          "ip addr add 10.96.0.1/32 dev lo; "
                          "ip route replace 10.97.0.1/32 dev lo src 10.96.0.1"),
              0);
    EXPECT_EQ(source_toward(peer), asio::ip::make_address("10.96.0.1"));
  });
}

#endif

TEST(SourceAddressTest, ToThisMachineIsThisMachine) {
  auto const loopback = asio::ip::make_address("127.0.0.1");
  EXPECT_EQ(source_toward(loopback), loopback);
}

}  // namespace
}  // namespace kportal::net
