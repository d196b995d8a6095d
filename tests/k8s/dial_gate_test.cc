// SPDX-License-Identifier: MIT
#include "k8s/dial_gate.h"

#include <string>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include "tests/support/loop_fixture.h"

namespace kportal::k8s {
namespace {

class DialGateTest : public test::LoopFixture {
 public:
  awaitable<void> pass(char name) {
    DialGate::Pass const inside = co_await gate_.enter();
    log_ += name;
    co_await leave_.wait();
  }

  DialGate gate_{executor(), 1};
  Wakeup leave_{executor()};
  std::string log_;
};

TEST_F(DialGateTest, LetsThemInOneAfterAnother) {
  for (char const name : {'a', 'b', 'c'}) spawn(pass(name));
  for (char const* const expected : {"a", "ab", "abc"}) {
    poll();
    EXPECT_EQ(log_, expected);
    leave_.set();
  }
  run();
  spawn(pass('d'));  // all have left
  poll();
  EXPECT_EQ(log_, "abcd");
  leave_.set();
  run();
}

// The turn of one that gives up as it is told that there is room.
TEST_F(DialGateTest, ATurnThatIsNotTakenGoesToTheNext) {
  TaskGroup impatient(executor());
  spawn(pass('a'));
  poll();
  impatient.spawn(pass('b'));
  poll();
  spawn(pass('c'));
  poll();
  struct Cancel {
    TaskGroup& group;
    Wakeup& leave;
    awaitable<void> run() {
      leave.set();
      co_await asio::post(asio::use_awaitable);
      group.cancel();  // a has left and told b, which has not woken yet
    }
  } cancel{impatient, leave_};
  spawn(cancel.run());
  poll();
  EXPECT_EQ(log_, "ac");
  leave_.set();
  run();
}

}  // namespace
}  // namespace kportal::k8s
