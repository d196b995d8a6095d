// SPDX-License-Identifier: MIT
#include "net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <sys/resource.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <gtest/gtest.h>

#include "net/close_timer.h"
#include "tests/support/ipv6.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::net {
namespace {

using asio::ip::tcp;

constexpr auto kSoon = std::chrono::milliseconds(30);

class TcpTest : public test::LoopFixture {
 protected:
  using Connected = std::optional<Result<tcp::socket>>;

  tcp::acceptor listen(char const* address, std::uint16_t port = 0) {
    return {loop_, tcp::endpoint(asio::ip::make_address(address), port)};
  }
  // A port of this address where nobody listens.
  std::uint16_t closed_port(char const* address) { return listen(address).local_endpoint().port(); }
  // A port whose queue is full, so that a further connection gets no answer.
  tcp::acceptor full(char const* address) {
    tcp::acceptor acceptor(loop_, tcp::v4());
    acceptor.bind(tcp::endpoint(asio::ip::make_address(address), 0));
    acceptor.listen(0);
    for (int i = 0; i < 4; ++i) {
      auto& socket = fillers_.emplace_back(loop_);
      socket.open(tcp::v4());
      socket.non_blocking(true);
      auto const endpoint = acceptor.local_endpoint();
      // Asio's connect would wait.
      ::connect(socket.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size()));
    }
    return acceptor;
  }
  awaitable<void> connect(std::string host, std::uint16_t port, TimePoint deadline = kNever) {
    TcpOptions const options(std::chrono::seconds(12));
    auto result = co_await net::connect(*resolver_, host, port, options, deadline);
    connected_.emplace(std::move(result));
  }
  void resolve_to(std::vector<std::string> const& texts) {
    Addresses addresses;
    for (auto const& text : texts) addresses.push_back(asio::ip::make_address(text));
    resolver_ = std::make_unique<Resolver>(
        executor(), [addresses](std::string const&) -> Result<Addresses> { return addresses; });
  }
  int option(tcp::socket& socket, int level, int name) {
    int value = 0;
    socklen_t size = sizeof(value);
    ::getsockopt(socket.native_handle(), level, name, &value, &size);
    return value;
  }
  // Two ends of a loopback connection.
  std::pair<tcp::socket, tcp::socket> pair() {
    auto acceptor = listen("127.0.0.1");
    tcp::socket near(loop_);
    near.connect(acceptor.local_endpoint());
    return {std::move(near), acceptor.accept()};
  }

  std::unique_ptr<Resolver> resolver_ = std::make_unique<Resolver>(executor());
  std::vector<tcp::socket> fillers_;
  Connected connected_;
};

TEST_F(TcpTest, ConnectsAndTunesTheSocket) {
  auto const acceptor = listen("127.0.0.1");
  run(connect("127.0.0.1", acceptor.local_endpoint().port()));
  ASSERT_TRUE(*connected_);
  auto& socket = connected_->value();
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPIDLE), 12);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPINTVL), 4);
}

TEST_F(TcpTest, TriesBothFamiliesOfLocalhost) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  for (char const* const address : {"127.0.0.1", "::1"}) {
    auto const acceptor = listen(address);
    run(connect("localhost", acceptor.local_endpoint().port()));
    ASSERT_TRUE(*connected_) << connected_->error().text;
    EXPECT_EQ(connected_->value().remote_endpoint().address().to_string(), address);
  }
}

TEST_F(TcpTest, TellsWhoRefused) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const port = closed_port("127.0.0.1");
  run(connect("127.0.0.1", port));
  ASSERT_FALSE(*connected_);
  auto const text = std::to_string(port) + ": Connection refused (127.0.0.1)";
  EXPECT_EQ(connected_->error(), Error(Errc::network, "127.0.0.1:" + text));
  run(connect("localhost", port));
  EXPECT_EQ(connected_->error().text,
            "localhost:" + std::to_string(port) + ": Connection refused (127.0.0.1, ::1)");
}

TEST_F(TcpTest, TellsWhatDoesNotResolve) {
  resolver_ = std::make_unique<Resolver>(executor(), [](std::string const&) -> Result<Addresses> {
    return Error(Errc::network, "no");
  });
  run(connect("api.test", 443));
  EXPECT_EQ(connected_->error(), Error(Errc::network, "api.test: no"));
}

TEST_F(TcpTest, GoesOnToTheNextAddressWhenOneDoesNotAnswer) {
  auto const silent = full("127.0.0.2");
  auto const port = silent.local_endpoint().port();
  auto const acceptor = listen("127.0.0.3", port);
  resolve_to({"127.0.0.2", "127.0.0.3"});
  auto const begin = Clock::now();
  run(connect("api.test", port));
  ASSERT_TRUE(*connected_) << connected_->error().text;
  EXPECT_EQ(connected_->value().remote_endpoint().address().to_string(), "127.0.0.3");
  EXPECT_GE(Clock::now() - begin, kHappyEyeballsDelay);
}

TEST_F(TcpTest, GoesOnAtOnceWhenOneRefuses) {
  auto const acceptor = listen("127.0.0.9");
  resolve_to({"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"});
  auto const begin = Clock::now();
  run(connect("api.test", acceptor.local_endpoint().port()));
  ASSERT_TRUE(*connected_);
  EXPECT_LT(Clock::now() - begin, kHappyEyeballsDelay);
}

TEST_F(TcpTest, AlternatesFamilies) {
  if (!test::has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto const port = closed_port("127.0.0.1");
  resolve_to({"127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"});
  run(connect("api.test", port));
  ASSERT_FALSE(*connected_);
  EXPECT_EQ(connected_->error().text, "api.test:" + std::to_string(port) +
                                          ": Connection refused (127.0.0.2, ::1, 127.0.0.3, "
                                          "127.0.0.4)");
}

TEST_F(TcpTest, GivesUpAtTheDeadline) {
  auto const silent = full("127.0.0.2");
  auto const port = silent.local_endpoint().port();
  run(connect("127.0.0.2", port, Clock::now() + kSoon));
  ASSERT_FALSE(*connected_);
  auto const place = "127.0.0.2:" + std::to_string(port);
  EXPECT_EQ(connected_->error(), Error(Errc::timeout, place + ": no answer (127.0.0.2)"));
}

TEST_F(TcpTest, CanBeCancelled) {
  auto const silent = full("127.0.0.2");
  spawn(connect("127.0.0.2", silent.local_endpoint().port()));
  poll();
  cancel_tasks();
  run();
  EXPECT_FALSE(connected_);
}

TEST_F(TcpTest, TellsWhenDescriptorsAreShort) {
  auto const acceptor = listen("127.0.0.1");
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  ::setrlimit(RLIMIT_NOFILE, &none);
  run(connect("127.0.0.1", acceptor.local_endpoint().port()));
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(*connected_);
  EXPECT_EQ(connected_->error().code, Errc::local);
}

TEST(HostPortTest, PutsBracketsAroundLiterals) {
  EXPECT_EQ(host_port("api.test", 443), "api.test:443");
  EXPECT_EQ(host_port("::1", 443), "[::1]:443");
}

constexpr std::size_t kFlood = 8 * 1024 * 1024;

awaitable<void> send_all(TcpTransport& to, std::size_t size) {
  for (std::size_t at = 0; at < size;) {
    Chunk chunk(Chunk::kPayload);
    chunk.commit(std::min(size - at, Chunk::kPayload));
    at += chunk.size();
    error_code const error = co_await to.write(std::move(chunk));
    EXPECT_FALSE(error);
  }
}

awaitable<void> count_all(TcpTransport& from, std::size_t& total, error_code& end) {
  std::vector<std::byte> buffer(100'000);
  for (;;) {
    IoResult const got = co_await from.read_some(buffer);
    total += got.size;
    if (got.error) {
      end = got.error;
      co_return;
    }
  }
}

awaitable<void> send_and_close(TcpTransport& to, std::size_t size) {
  co_await send_all(to, size);
  to.close();
}

TEST_F(TcpTest, WritesAll) {
  auto [near_socket, far_socket] = pair();
  TcpTransport near(std::move(near_socket));
  TcpTransport far(std::move(far_socket));
  std::size_t total = 0;
  error_code end;
  spawn(send_and_close(near, kFlood));
  spawn(count_all(far, total, end));
  run();
  EXPECT_EQ(total, kFlood);
  EXPECT_EQ(end, asio::error::eof);
}

TEST_F(TcpTest, WritesNowWhatTheKernelTakes) {
  auto [near_socket, far_socket] = pair();
  TcpTransport near(std::move(near_socket));
  std::vector<std::byte> const bytes(1 << 20);
  std::size_t total = 0;
  while (std::size_t const taken = near.write_now(bytes)) total += taken;
  EXPECT_GT(total, 0U);
  near.close();
  EXPECT_EQ(near.write_now(bytes), 0U);
}

TEST_F(TcpTest, CloseEndsPendingOperations) {
  auto [near_socket, far_socket] = pair();
  TcpTransport near(std::move(near_socket));
  std::size_t total = 0;
  error_code end;
  spawn(count_all(near, total, end));
  auto const write = [&]() -> awaitable<void> {
    for (;;) {
      Chunk chunk(Chunk::kPayload);
      chunk.commit(Chunk::kPayload);
      error_code const error = co_await near.write(std::move(chunk));
      if (error) co_return;
      EXPECT_EQ(near.write_now(Bytes()), 0U);
    }
  };
  spawn(write());
  poll();
  EXPECT_EQ(near.write_now(as_bytes("beside a write")), 0U);
  near.close();
  near.close();
  run();
  EXPECT_EQ(end, asio::error::operation_aborted);
}

TEST_F(TcpTest, ReportsAReset) {
  auto [near_socket, far_socket] = pair();
  TcpTransport near(std::move(near_socket));
  far_socket.set_option(asio::socket_base::linger(true, 0));
  far_socket.close();
  std::size_t total = 0;
  error_code end;
  run(count_all(near, total, end));
  EXPECT_EQ(end, asio::error::connection_reset);
}

class CloseTimerTest : public test::LoopFixture {
 protected:
  awaitable<void> read(Transport& from, TimePoint deadline, bool& expired) {
    CloseTimer const timer(executor(), from, deadline);
    std::byte byte{};
    IoResult const got = co_await from.read_some(MutableBytes(&byte, 1));
    static_cast<void>(got);
    expired = timer.expired();
  }
};

TEST_F(CloseTimerTest, ClosesAtTheDeadline) {
  auto [near, far] = test::MemoryTransport::make_pair(executor());
  bool expired = false;
  run(read(*near, Clock::now() + kSoon, expired));
  EXPECT_TRUE(expired);
  EXPECT_TRUE(near->closed());
}

TEST_F(CloseTimerTest, DoesNothingWhenThePhaseEndsBefore) {
  auto [near, far] = test::MemoryTransport::make_pair(executor());
  for (TimePoint const deadline : {Clock::now() + kSoon, kNever}) {
    bool expired = true;
    far->write_now(as_bytes("x"));
    run(read(*near, deadline, expired));
    EXPECT_FALSE(expired);
    EXPECT_FALSE(near->closed());
  }
}

}  // namespace
}  // namespace kportal::net
