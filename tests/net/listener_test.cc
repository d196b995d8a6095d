// SPDX-License-Identifier: MIT
#include "net/listener.h"

#include <ctime>
#include <list>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/wakeup.h"
#include "tests/support/ipv6.h"
#include "tests/support/loop_fixture.h"

namespace kportal::net {
namespace {

using asio::ip::tcp;

class ListenerTest : public test::LoopFixture {
 protected:
  Result<std::unique_ptr<Listener>> open(std::vector<std::string> const& addresses,
                                         std::uint16_t port = 0) {
    return Listener::open(executor(), addresses, port);
  }
  tcp::socket dial(char const* address, std::uint16_t port) {
    tcp::socket socket(loop_);
    socket.connect(tcp::endpoint(asio::ip::make_address(address), port));
    return socket;
  }
  awaitable<void> accept(Listener& listener, int count) {
    for (int i = 0; i < count; ++i) {
      auto socket = co_await listener.accept();
      if (!socket && socket.error().code == Errc::limit) {
        shortages_.push_back(socket.error().text);
        --i;
        continue;
      }
      if (!socket) {
        end_.emplace(socket.error());
        co_return;
      }
      accepted_.push_back(std::move(*socket));
    }
  }

  std::vector<tcp::socket> accepted_;
  std::vector<std::string> shortages_;
  std::optional<Error> end_;
};

TEST_F(ListenerTest, TakesOneFreePortOfBothFamilies) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  for (int i = 0; i < 20; ++i) {
    auto const listener = open({"localhost"});
    ASSERT_TRUE(listener) << listener.error().text;
    auto const& endpoints = (*listener)->endpoints();
    ASSERT_EQ(endpoints.size(), 2U);
    EXPECT_EQ(endpoints[0].address().to_string(), "127.0.0.1");
    EXPECT_EQ(endpoints[1].address().to_string(), "::1");
    EXPECT_EQ(endpoints[0].port(), endpoints[1].port());
    EXPECT_EQ((*listener)->port(), endpoints[0].port());
    EXPECT_NE((*listener)->port(), 0);
  }
}

TEST_F(ListenerTest, LeavesOutAFamilyThatTheMachineLacks) {
  if (test::has_ipv6()) GTEST_SKIP() << "IPv6";
  EXPECT_EQ(open({"localhost"}).value()->endpoints().size(), 1U);
  EXPECT_EQ(open({"::1"}).error().code, Errc::local);
}

TEST_F(ListenerTest, AcceptsFromBothFamilies) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const listener = open({"localhost"}).value();
  spawn(accept(*listener, 4));
  poll();
  auto const a = dial("::1", listener->port());
  auto const b = dial("127.0.0.1", listener->port());
  auto const c = dial("::1", listener->port());
  auto const d = dial("127.0.0.1", listener->port());
  run();
  ASSERT_EQ(accepted_.size(), 4U);
  int no_delay = 0;
  socklen_t size = sizeof(no_delay);
  ::getsockopt(accepted_[0].native_handle(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
  EXPECT_EQ(no_delay, 1);
}

TEST_F(ListenerTest, AcceptsWhatWaitedBefore) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const listener = open({"localhost"}).value();
  std::vector<tcp::socket> dialled;
  for (int i = 0; i < 50; ++i)
    dialled.push_back(dial(i % 2 == 0 ? "::1" : "127.0.0.1", listener->port()));
  run(accept(*listener, 50));
  EXPECT_EQ(accepted_.size(), 50U);
}

TEST_F(ListenerTest, NamesAPortThatIsTakenOnEitherFamily) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  for (char const* const address : {"127.0.0.1", "::1"}) {
    auto const taken = open({address}).value();
    auto const listener = open({"localhost"}, taken->port());
    ASSERT_FALSE(listener);
    EXPECT_EQ(listener.error().code, Errc::port_in_use);
    std::string const place = std::string(address) == "::1" ? "[::1]" : address;
    EXPECT_EQ(listener.error().text,
              place + ":" + std::to_string(taken->port()) + ": Address already in use");
  }
  auto const everywhere = open({"0.0.0.0"}).value();
  EXPECT_EQ(open({"127.0.0.1"}, everywhere->port()).error().code, Errc::port_in_use);
}

TEST_F(ListenerTest, ReusesAPortWhoseConnectionsLinger) {
  auto listener = open({"127.0.0.1"}).value();
  auto const port = listener->port();
  auto socket = dial("127.0.0.1", port);
  run(accept(*listener, 1));
  accepted_.clear();
  listener.reset();
  EXPECT_TRUE(open({"127.0.0.1"}, port));
}

TEST_F(ListenerTest, BindsAnyAddressOfBothFamilies) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const listener = open({"::", "0.0.0.0", "0.0.0.0"});
  ASSERT_TRUE(listener) << listener.error().text;
  EXPECT_EQ((*listener)->endpoints().size(), 2U);
}

TEST_F(ListenerTest, RefusesOtherAddresses) {
  EXPECT_EQ(open({"example.com"}).error(),
            Error(Errc::local, "example.com: not an IP address (or localhost)"));
  EXPECT_EQ(open({}).error(), Error(Errc::local, "no address to listen on"));
  EXPECT_EQ(open({"192.0.2.1"}, 80).error(),
            Error(Errc::local,
                  "192.0.2.1:80: not an address of this machine now (is the interface or "
                  "the VPN up?)"));
}

TEST_F(ListenerTest, CloseEndsAPendingAccept) {
  auto const listener = open({"localhost"}).value();
  spawn(accept(*listener, 1));
  poll();
  listener->close();
  listener->close();
  run();
  ASSERT_TRUE(end_);
  EXPECT_EQ(end_->code, Errc::closed);
  end_.reset();
  run(accept(*listener, 1));
  EXPECT_EQ(end_->code, Errc::closed);
}

TEST_F(ListenerTest, CanBeCancelledAndAskedAgain) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const listener = open({"localhost"}).value();
  spawn(accept(*listener, 1));
  poll();
  cancel_tasks();
  poll();
  auto const socket = dial("::1", listener->port());
  spawn(accept(*listener, 1));
  poll();
  EXPECT_EQ(accepted_.size(), 1U);
  listener->close();
  run();
}

TEST_F(ListenerTest, MayBeDestroyedWithReadinessPending) {
  auto listener = open({"localhost"}).value();
  spawn(accept(*listener, 1));
  poll();
  cancel_tasks();
  poll();
  listener.reset();
  run();
}

TEST_F(ListenerTest, SaysThatASocketBrokeUnderIt) {
  auto const listener = open({"127.0.0.1"}).value();
  auto const accepting_fd = [&] {  // the newest descriptor that listens on this port
    for (int fd = 0;; ++fd) {
      sockaddr_in address{};
      socklen_t size = sizeof address;
      if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) continue;
      if (ntohs(address.sin_port) == listener->port()) return fd;
    }
  }();
  spawn(accept(*listener, 1));
  poll();
  ::shutdown(accepting_fd, SHUT_RDWR);
  run();
  ASSERT_TRUE(end_);
  EXPECT_EQ(end_->code, Errc::local);
  EXPECT_EQ(end_->text,
            "127.0.0.1:" + std::to_string(listener->port()) + ": accept: Invalid argument");
}

// What this process needs itself is not taken by who connects.
TEST_F(ListenerTest, LeavesTheLastDescriptorsToOthers) {
  auto const listener = open({"127.0.0.1"}).value();
  std::list<tcp::socket> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(dial("127.0.0.1", listener->port()));
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  int const next = ::dup(0);
  ::close(next);
  // Two more may come; an eighth of the limit stays free behind them.
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(next) + 2;
  while (few.rlim_cur - few.rlim_cur / 8 < static_cast<rlim_t>(next) + 2) ++few.rlim_cur;
  ::setrlimit(RLIMIT_NOFILE, &few);
  auto const raise_later = [&]() -> awaitable<void> {
    while (shortages_.empty()) co_await sleep_until(Clock::now() + std::chrono::milliseconds(5));
    EXPECT_EQ(accepted_.size(), 2U);
    int const own = ::dup(0);
    EXPECT_GE(own, 0) << "none was left";
    ::close(own);
    ::setrlimit(RLIMIT_NOFILE, &before);
  };
  spawn(accept(*listener, 4));
  spawn(raise_later());
  run();
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(accepted_.size(), 4U);
}

double processor_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

TEST_F(ListenerTest, WaitsWhileDescriptorsAreShortAndRecovers) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const listener = open({"localhost"}).value();
  auto const socket = dial("::1", listener->port());
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  ::setrlimit(RLIMIT_NOFILE, &none);
  auto const raise_later = [&]() -> awaitable<void> {
    co_await sleep_until(Clock::now() + std::chrono::milliseconds(200));
    EXPECT_TRUE(accepted_.empty());
    ::setrlimit(RLIMIT_NOFILE, &before);
  };
  double const begin = processor_seconds();
  spawn(accept(*listener, 1));
  spawn(raise_later());
  run();
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(accepted_.size(), 1U);
  ASSERT_EQ(shortages_.size(), 1U);
  EXPECT_EQ(shortages_[0], "127.0.0.1:" + std::to_string(listener->port()) +
                               ": accept: Too many open files (this program may have 3: `ulimit "
                               "-n` or LimitNOFILE= of its service raises it)");
  EXPECT_LT(processor_seconds() - begin, 0.1) << "it spun";
}

}  // namespace
}  // namespace kportal::net
