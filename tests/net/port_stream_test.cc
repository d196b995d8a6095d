// SPDX-License-Identifier: MIT
#include "net/port_stream.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

#include "net/spdy_connection.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::net {
namespace {

using namespace std::chrono_literals;

struct Words {
  char const* text;
  Errc code;
};

// As the runtimes say it (protocol.md 3.3).
class ErrorTextTest : public testing::TestWithParam<Words> {};

TEST_P(ErrorTextTest, MeansOneThing) {
  EXPECT_EQ(classify_error_text(GetParam().text, 8080).code, GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(
    PortStream, ErrorTextTest,
    testing::Values(
        Words{"error forwarding port 8080 to pod 4a1b, uid : network namespace for sandbox "
              "\"4a1b\" is closed",
              Errc::pod_gone},
        Words{"error forwarding port 80 to pod 4a1b, uid : failed to find sandbox \"4a1b\" in "
              "store: not found",
              Errc::pod_gone},
        Words{"error forwarding port 80 to pod 4a1b, uid : sandbox 4a1b is not running",
              Errc::pod_gone},
        Words{"sandbox container is not running", Errc::pod_gone},
        Words{"PodSandbox with ID 4a1b not found", Errc::pod_gone},
        Words{"Error: No such container: 4a1b", Errc::pod_gone},
        Words{"error forwarding port 8080 to pod 4a1b, uid : failed to execute portforward in "
              "network namespace \"/var/run/netns/cni-5\": failed to connect to localhost:8080 "
              "inside namespace \"4a1b\", IPv4: dial tcp4 127.0.0.1:8080: connect: connection "
              "refused IPv6 dial tcp6: address localhost: no suitable address found ",
              Errc::pod_refused},
        Words{"port forward into network namespace \"/var/run/netns/1\": failed to connect to "
              "localhost:8080 inside namespace 4a1b: dial tcp [::1]:8080: connect: connection "
              "refused",
              Errc::pod_refused},
        Words{"error forwarding port 5432 to pod 4a1b, uid : failed to execute portforward in "
              "network namespace \"host\": read tcp4 127.0.0.1:4->127.0.0.1:5432: read: "
              "connection reset by peer",
              Errc::pod_reset},
        Words{"write tcp4 127.0.0.1:4->127.0.0.1:5432: write: broken pipe", Errc::pod_reset},
        Words{"failed to connect to localhost:80 inside namespace \"4a1b\": i/o timeout",
              Errc::stream_failed},
        Words{"(conn=0x1, request=3) timed out waiting for streams", Errc::stream_failed},
        Words{"an error occurred: is closed", Errc::stream_failed},
        Words{"", Errc::stream_failed}));

TEST(ErrorTextTest, ShowsTheRuntimesWordsCutAndClean) {
  Error const error = classify_error_text(
      "error forwarding port 80 to pod 4a1b, uid : odd\x1b[2J\nthing " + std::string(9000, 'x'),
      80);
  EXPECT_EQ(error.text.substr(0, 28), "port 80: odd [2J thing xxxxx");
  EXPECT_LT(error.text.size(), 260U);
  EXPECT_TRUE(std::all_of(error.text.begin(), error.text.end(),
                          [](char c) { return c >= ' ' && c <= '~'; }));
}

// A tunnel in memory; the streams that the client opens lie in far_.
class PortStreamTest : public test::LoopFixture {
 protected:
  PortStreamTest() {
    auto [near, far] = test::MemoryTransport::make_pair(executor());
    client_.emplace(executor(), std::move(near), SpdyOptions());
    SpdyOptions options;
    options.role = SpdyRole::server;
    server_.emplace(executor(), std::move(far), options);
    server_->on_stream(
        [this](std::unique_ptr<Stream> stream) { far_.push_back(std::move(stream)); });
    spawn(keep(*client_));
    spawn(keep(*server_));
    auto opened = PortStream::open(*client_, 8080, 42);
    EXPECT_TRUE(opened.has_value());
    if (opened) stream_ = std::move(opened).value();
    poll();
    EXPECT_EQ(far_.size(), 2U);
  }
  ~PortStreamTest() override {
    stream_.reset();
    far_.clear();
    client_->close();
    server_->close();
    run();
  }

  Stream& far_error() { return *far_[0]; }
  Stream& far_data() { return *far_[1]; }

  awaitable<void> keep(SpdyConnection& connection) {
    error_code const end = co_await connection.run();
    static_cast<void>(end);
  }
  awaitable<void> write(Stream& stream, std::string text) {
    error_code const error = co_await stream.write(Chunk::copy_of(as_bytes(text)));
    EXPECT_FALSE(error);
  }
  awaitable<void> ask(Duration limit) {
    TimePoint const until = Clock::now() + limit;
    text_ = co_await stream_->error_text(until);
  }
  awaitable<void> read(Stream& stream, Duration limit) {
    std::array<std::byte, 64> bytes{};
    TimePoint const until = Clock::now() + limit;
    IoResult const got = co_await read_until(stream, bytes, until);
    read_ = as_text(Bytes(bytes).first(got.size));
    read_end_ = got.error;
  }

  std::optional<SpdyConnection> client_;
  std::optional<SpdyConnection> server_;
  std::vector<std::unique_ptr<Stream>> far_;
  std::unique_ptr<PortStream> stream_;
  std::optional<std::string> text_;
  std::optional<std::string> read_;
  error_code read_end_;
};

TEST_F(PortStreamTest, OpensBothWithOneRequestId) {
  Headers const error = {{"streamtype", "error"}, {"port", "8080"}, {"requestid", "42"}};
  Headers const data = {{"streamtype", "data"}, {"port", "8080"}, {"requestid", "42"}};
  EXPECT_EQ(far_error().headers(), error);
  EXPECT_EQ(far_data().headers(), data);
}

TEST_F(PortStreamTest, TheErrorStreamIsFinishedAtOnce) {
  spawn(read(far_error(), 10s));
  poll();
  EXPECT_EQ(read_end_, asio::error::eof);
}

TEST_F(PortStreamTest, ErrorTextIsWhatCameBeforeTheEnd) {
  spawn(ask(10s));
  poll();
  EXPECT_FALSE(stream_->has_error_text());
  spawn(write(far_error(), "connection "));
  poll();
  spawn(write(far_error(), "refused"));
  poll();
  EXPECT_TRUE(stream_->has_error_text());
  EXPECT_FALSE(text_);
  far_error().finish();
  poll();
  EXPECT_EQ(text_, "connection refused");
}

TEST_F(PortStreamTest, AResetEndsTheErrorTextAsAFinDoes) {
  spawn(ask(10s));
  spawn(write(far_error(), "refused"));
  poll();
  far_error().reset();
  poll();
  EXPECT_EQ(text_, "refused");
}

TEST_F(PortStreamTest, WithoutAWordTheErrorTextIsEmpty) {
  spawn(ask(10s));
  far_error().finish();
  poll();
  EXPECT_EQ(text_, "");
}

TEST_F(PortStreamTest, TextThatCameBeforeItWasAskedForIsKept) {
  spawn(write(far_error(), "refused"));
  poll();
  far_error().reset();
  poll();
  spawn(ask(10s));
  poll();
  EXPECT_EQ(text_, "refused");
}

TEST_F(PortStreamTest, TheDeadlineEndsTheWaitNotTheStream) {
  spawn(write(far_error(), "half "));
  poll();
  spawn(ask(0s));
  while (!text_) poll();
  EXPECT_EQ(text_, "half ");
  text_.reset();
  spawn(ask(10s));
  spawn(write(far_error(), "and whole"));
  poll();
  far_error().finish();
  poll();
  EXPECT_EQ(text_, "half and whole");
}

TEST_F(PortStreamTest, TheEndOfTheTunnelEndsTheErrorText) {
  spawn(ask(10s));
  poll();
  server_->close();
  poll();
  EXPECT_EQ(text_, "");
}

TEST_F(PortStreamTest, TooMuchErrorTextIsReadAndDropped) {
  for (int i = 0; i < 40; ++i) {
    spawn(write(far_error(), std::string(60'000, static_cast<char>('a' + i % 26))));
    poll();
  }
  EXPECT_FALSE(client_->reading_paused());
  far_error().finish();
  spawn(ask(10s));
  poll();
  EXPECT_EQ(text_, std::string(PortStream::kMaxErrorText, 'a'));
}

TEST_F(PortStreamTest, DestroyedItResetsBoth) {
  stream_.reset();
  spawn(read(far_data(), 10s));
  poll();
  EXPECT_EQ(read_end_, make_error_code(Errc::stream_failed));
  EXPECT_EQ(client_->open_streams(), 0U);
}

TEST_F(PortStreamTest, ResetResetsBoth) {
  stream_->reset();
  spawn(read(far_data(), 10s));
  poll();
  EXPECT_EQ(read_end_, make_error_code(Errc::stream_failed));
  EXPECT_EQ(client_->open_streams(), 0U);
}

TEST_F(PortStreamTest, AReadUntilADeadlineLosesNothing) {
  spawn(read(stream_->data(), 0s));
  while (!read_) poll();
  EXPECT_EQ(read_end_, make_error_code(Errc::timeout));
  EXPECT_EQ(read_, "");
  spawn(write(far_data(), "hello"));
  spawn(read(stream_->data(), 10s));
  poll();
  EXPECT_EQ(read_, "hello");
  EXPECT_FALSE(read_end_);
}

TEST_F(PortStreamTest, OnAnEndedTunnelNothingOpens) {
  client_->close();
  EXPECT_FALSE(PortStream::open(*client_, 8080, 43).has_value());
}

}  // namespace
}  // namespace kportal::net
