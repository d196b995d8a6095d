// SPDX-License-Identifier: MIT
#include "base/turns.h"

#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"

namespace kportal {
namespace {

class TurnsTest : public testing::Test {
 protected:
  awaitable<void> say(std::string word) {
    co_await own_turn();
    said_ += word;
  }
  // Others' events, one after another.
  void beat(int times) {
    asio::post(loop_, [this, times] {
      said_ += '.';
      if (times > 1) beat(times - 1);
    });
  }

  asio::io_context loop_{1};
  std::string said_;
  TaskGroup tasks_{loop_.get_executor()};
};

TEST_F(TurnsTest, BetweenTwoStepsEverybodyElseHasATurn) {
  for (char const* const word : {"a", "b", "c", "d"}) tasks_.spawn(say(word));
  beat(20);
  loop_.run();
  std::size_t at = said_.find('a');
  for (char const word : {'b', 'c', 'd'}) {
    std::size_t const next = said_.find(word);
    ASSERT_NE(next, std::string::npos) << said_;
    EXPECT_GT(next, at + 1) << said_;
    at = next;
  }
}

TEST_F(TurnsTest, AStepAloneIsDoneAtOnce) {
  in_turn(loop_.get_executor(), [this] { said_ += 'a'; });
  EXPECT_EQ(said_, "a");
  in_turn(loop_.get_executor(), [this] { said_ += 'b'; });
  EXPECT_EQ(said_, "a");
  loop_.run();
  EXPECT_EQ(said_, "ab");
  in_turn(loop_.get_executor(), [this] { said_ += 'c'; });
  EXPECT_EQ(said_, "abc");
}

TEST_F(TurnsTest, AStepThatWasCancelledStopsNobody) {
  {
    TaskGroup cancelled(loop_.get_executor());
    in_turn(loop_.get_executor(), [] {});
    cancelled.spawn(say("x"));
    tasks_.spawn(say("a"));
    loop_.run_one();
    loop_.run_one();
    cancelled.cancel();
    while (!cancelled.empty()) loop_.run_one();
  }
  loop_.run();
  EXPECT_EQ(said_.back(), 'a');
}

}  // namespace
}  // namespace kportal
