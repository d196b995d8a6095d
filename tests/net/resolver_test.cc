// SPDX-License-Identifier: MIT
#include "net/resolver.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "base/wakeup.h"
#include "tests/support/loop_fixture.h"

namespace kportal::net {
namespace {

// A name server whose answers the test gives out. Threads may wait in it when the test is over, so
// they share it.
class FakeNames {
 public:
  // What a thread calls.
  Result<Addresses> look_up(std::string const& host) {
    std::unique_lock lock(mutex_);
    int const number = ++asked_[host];
    changed_.notify_all();
    changed_.wait(lock, [&] {
      bool const held = number <= held_[host];
      return (!answers_[host].empty() && !held) || dead_answers_.contains(host);
    });
    if (dead_answers_.contains(host)) return dead_answers_.at(host);
    auto answer = answers_[host].front();
    answers_[host].erase(answers_[host].begin());
    changed_.notify_all();
    return answer;
  }
  // One lookup of the host gets this.
  void answer(std::string const& host, Result<Addresses> answer) {
    std::lock_guard const lock(mutex_);
    answers_[host].push_back(std::move(answer));
    changed_.notify_all();
  }
  // All lookups of the host get this, now and later.
  void answer_all(std::string const& host, Result<Addresses> answer) {
    std::lock_guard const lock(mutex_);
    dead_answers_.emplace(host, std::move(answer));
    changed_.notify_all();
  }
  // The lookups of the host that were begun get no answer but that for all.
  void hold(std::string const& host) {
    std::lock_guard const lock(mutex_);
    held_[host] = asked_[host];
  }
  void wait_until_asked(std::string const& host, int times = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return asked_[host] >= times; });
  }
  // All answers of the host were taken by lookups.
  void wait_until_taken(std::string const& host) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return answers_[host].empty(); });
  }
  int asked(std::string const& host) {
    std::lock_guard const lock(mutex_);
    return asked_[host];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<Result<Addresses>>> answers_;
  std::map<std::string, Result<Addresses>> dead_answers_;
  std::map<std::string, int> asked_;
  std::map<std::string, int> held_;
};

Addresses one(char const* address) {
  return Addresses(1, asio::ip::make_address(address));
}

class ResolverTest : public test::LoopFixture {
 protected:
  using Answer = std::optional<Result<Addresses>>;
  static constexpr Duration kFresh = std::chrono::milliseconds(50);

  ~ResolverTest() override {
    // Lets the threads of dead names go, for the sanitizers' sake.
    for (int i = 0; i < 20; ++i) names_->answer_all("dead" + std::to_string(i), Addresses());
  }
  std::unique_ptr<Resolver> make_resolver() {
    auto look_up = [names = names_](auto const& host) { return names->look_up(host); };
    return std::make_unique<Resolver>(executor(), std::move(look_up), kFresh);
  }
  awaitable<void> resolve(std::string host, Answer& answer, TimePoint deadline = kNever) {
    auto result = co_await resolver_->resolve(std::move(host), deadline);
    answer.emplace(std::move(result));
  }
  static TimePoint soon() { return Clock::now() + std::chrono::milliseconds(20); }
  // Runs the loop until the answer is there.
  void run_until(Answer const& answer) {
    loop_.restart();
    while (!answer) loop_.run_one_for(kDeadline);
  }

  std::shared_ptr<FakeNames> names_ = std::make_shared<FakeNames>();
  std::unique_ptr<Resolver> resolver_ = make_resolver();
};

TEST_F(ResolverTest, AnswersLiteralsAndLocalhostAtOnce) {
  Answer answer;
  run(resolve("10.1.2.3", answer));
  EXPECT_EQ(answer->value(), one("10.1.2.3"));
  run(resolve("fd00::1", answer));
  EXPECT_EQ(answer->value(), one("fd00::1"));
  for (std::string const host : {"localhost", "LocalHost", "localhost."}) {
    run(resolve(host, answer));
    ASSERT_EQ(answer->value().size(), 2U);
    EXPECT_EQ(answer->value()[0].to_string(), "127.0.0.1");
    EXPECT_EQ(answer->value()[1].to_string(), "::1");
    EXPECT_EQ(names_->asked(host), 0);
  }
}

TEST_F(ResolverTest, AnswersAName) {
  auto addresses = one("10.0.0.1");
  addresses.push_back(asio::ip::make_address("fd00::1"));
  addresses.push_back(addresses.front());
  names_->answer("api.test", addresses);
  Answer answer;
  run(resolve("api.test", answer));
  ASSERT_TRUE(*answer);
  EXPECT_EQ(answer->value().size(), 2U);
  EXPECT_EQ(answer->value()[1].to_string(), "fd00::1");
}

TEST_F(ResolverTest, TellsWhyANameDoesNotResolve) {
  names_->answer("api.test", Error(Errc::network, "name does not resolve: Unknown"));
  names_->answer("none.test", Addresses());
  Answer answer;
  run(resolve("api.test", answer));
  EXPECT_EQ(answer->error(), Error(Errc::network, "api.test: name does not resolve: Unknown"));
  run(resolve("none.test", answer));
  EXPECT_EQ(answer->error(), Error(Errc::network, "none.test: the name has no address"));
  for (std::string const& host : {std::string(), std::string(254, 'x'), std::string("a\0b", 3)}) {
    run(resolve(host, answer));
    EXPECT_EQ(answer->error().code, Errc::network);
  }
}

TEST_F(ResolverTest, AsksTheSystem) {
  resolver_ = std::make_unique<Resolver>(executor());
  Answer answer;
  run(resolve("does-not-exist.invalid", answer));
  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().code, Errc::network);
  EXPECT_EQ(answer->error().text.substr(0, 47), "does-not-exist.invalid: name does not resolve: ");
}

TEST_F(ResolverTest, GivesUpAtTheDeadline) {
  Answer answer;
  run(resolve("dead0", answer, soon()));
  EXPECT_EQ(answer->error(), Error(Errc::timeout, "dead0: the name server does not answer"));
}

TEST_F(ResolverTest, ADeadNameDoesNotHoldUpOthers) {
  Answer dead;
  Answer alive;
  names_->answer("api.test", one("10.0.0.1"));
  spawn(resolve("dead0", dead));
  spawn(resolve("api.test", alive));
  run_until(alive);
  EXPECT_TRUE(*alive);
  EXPECT_FALSE(dead);
  cancel_tasks();
  run();
}

TEST_F(ResolverTest, EqualNamesShareALookup) {
  Answer first;
  Answer second;
  spawn(resolve("api.test", first));
  spawn(resolve("api.test", second));
  poll();
  names_->wait_until_asked("api.test");
  names_->answer("api.test", one("10.0.0.1"));
  run();
  EXPECT_EQ(first->value(), second->value());
  EXPECT_EQ(names_->asked("api.test"), 1);
}

TEST_F(ResolverTest, RunsEightThreadsAndTheOthersWait) {
  Answer dead[Resolver::kMaxThreads];
  for (std::size_t i = 0; i < Resolver::kMaxThreads; ++i) {
    spawn(resolve("dead" + std::to_string(i), dead[i]));
  }
  Answer waiting;
  spawn(resolve("api.test", waiting));
  names_->answer("api.test", one("10.0.0.1"));
  poll();
  for (std::size_t i = 0; i < Resolver::kMaxThreads; ++i) {
    names_->wait_until_asked("dead" + std::to_string(i));
  }
  EXPECT_EQ(names_->asked("api.test"), 0);
  names_->answer_all("dead3", Error(Errc::network, "gone"));
  run_until(waiting);
  EXPECT_TRUE(*waiting);
  EXPECT_TRUE(dead[3]);
  cancel_tasks();
  run();
}

// A query that was lost with the network must not keep a later one from being sent.
TEST_F(ResolverTest, AnOldLookupGetsAFreshOneBesideIt) {
  Answer old;
  Answer fresh;
  spawn(resolve("api.test", old));
  poll();
  names_->wait_until_asked("api.test");
  auto const later = [&]() -> awaitable<void> {
    co_await sleep_until(Clock::now() + kFresh);
    co_await resolve("api.test", fresh);
  };
  spawn(later());
  loop_.restart();
  while (names_->asked("api.test") < 2) loop_.run_one_for(std::chrono::milliseconds(10));
  names_->answer("api.test", one("10.0.0.1"));  // one of the two lookups ends
  run_until(fresh);
  EXPECT_TRUE(*fresh);
  EXPECT_TRUE(*old);
  names_->answer_all("api.test", Error(Errc::network, "late"));
  run();
}

TEST_F(ResolverTest, AFreshFailureEndsTheWaitForAnOldLookup) {
  Answer old;
  Answer fresh;
  spawn(resolve("dead0", old));
  poll();
  names_->wait_until_asked("dead0");
  names_->hold("dead0");
  auto const later = [&]() -> awaitable<void> {
    co_await sleep_until(Clock::now() + kFresh);
    co_await resolve("dead0", fresh);
  };
  spawn(later());
  names_->answer("dead0", Error(Errc::network, "no network"));
  run_until(fresh);
  EXPECT_EQ(fresh->error().text, "dead0: no network");
  EXPECT_EQ(old->error().text, "dead0: no network");
}

TEST_F(ResolverTest, ThreadsMayEndAfterTheResolver) {
  Answer answer;
  spawn(resolve("late.test", answer));
  poll();
  names_->wait_until_asked("late.test");
  cancel_tasks();
  run();
  resolver_.reset();
  names_->answer("late.test", one("10.0.0.1"));
  run();
  EXPECT_FALSE(answer);
}

TEST_F(ResolverTest, ThreadsMayEndAfterTheLoop) {
  auto loop = std::make_unique<asio::io_context>(1);
  Answer answer;
  {
    auto look_up = [names = names_](auto const& host) { return names->look_up(host); };
    Resolver resolver(loop->get_executor(), std::move(look_up));
    TaskGroup tasks(loop->get_executor());
    auto const ask = [&]() -> awaitable<void> {
      auto result = co_await resolver.resolve("late.test", kNever);
      answer.emplace(std::move(result));
    };
    tasks.spawn(ask());
    loop->poll();
    names_->wait_until_asked("late.test");
    tasks.cancel();
    loop->restart();
    loop->run();
  }
  loop.reset();
  names_->answer("late.test", one("10.0.0.1"));
  names_->wait_until_taken("late.test");
  EXPECT_FALSE(answer);
}

TEST(ResolverExitTest, IsNotHeldUpByADeadName) {
  EXPECT_EXIT(
      {
        auto const names = std::make_shared<FakeNames>();
        asio::io_context loop(1);
        Resolver resolver(loop.get_executor(),
                          [names](std::string const& host) { return names->look_up(host); });
        TaskGroup tasks(loop.get_executor());
        auto const resolve = [&]() -> awaitable<void> {
          auto const answer = co_await resolver.resolve("dead", kNever);
          static_cast<void>(answer);
        };
        tasks.spawn(resolve());
        loop.poll();
        names->wait_until_asked("dead");
        tasks.cancel();
        loop.restart();
        loop.run();
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace kportal::net
