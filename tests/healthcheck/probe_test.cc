// SPDX-License-Identifier: MIT
#include "healthcheck/probe.h"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/error.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/spdy_connection.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::healthcheck {
namespace {

using config::ProbeMethod;
using net::IoResult;
using net::SpdyConnection;
using net::Stream;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char const* kRefused =
    "error forwarding port 8080 to pod 4a1b, uid : failed to execute portforward in network "
    "namespace \"/var/run/netns/cni-1\": failed to connect to localhost:8080 inside namespace "
    "\"4a1b\", IPv4: dial tcp4 127.0.0.1:8080: connect: connection refused";
constexpr char const* kGone =
    "error forwarding port 8080 to pod 4a1b, uid : network namespace for sandbox \"4a1b\" is "
    "closed";

// A tunnel in memory whose far end does as the test's script says with each pair of streams.
class ProbeTest : public test::LoopFixture {
 protected:
  using Script = std::function<void(Stream& error, Stream& data)>;

  ProbeTest() { connect(); }

  // A new tunnel; the former must have ended.
  void connect() {
    data_.reset();
    error_.reset();
    auto [near, far] = test::MemoryTransport::make_pair(executor());
    client_.emplace(executor(), std::move(near), net::SpdyOptions());
    net::SpdyOptions options;
    options.role = net::SpdyRole::server;
    server_.emplace(executor(), std::move(far), options);
    server_->on_stream([this](std::unique_ptr<Stream> stream) { take(std::move(stream)); });
    spawn(keep(*client_));
    spawn(keep(*server_));
  }

  void close() {
    client_->close();
    server_->close();
    run();
  }

  void take(std::unique_ptr<Stream> stream) {
    headers_.push_back(stream->headers());
    if (!replies_) stream->hold_reply();
    bool const is_data = error_ != nullptr;  // the error stream comes first
    (is_data ? data_ : error_) = std::move(stream);
    if (is_data && script_) script_(*error_, *data_);
  }

  awaitable<void> keep(SpdyConnection& connection) {
    error_code const end = co_await connection.run();
    static_cast<void>(end);
  }
  awaitable<void> probe(ProbeMethod method, Duration timeout) {
    TimePoint const begun = Clock::now();
    verdict_ = co_await probe_port(*client_, 8080, 7, method, begun + timeout);
    took_ = Clock::now() - begun;
    if (data_ != nullptr && look_at_data_) {
      std::array<std::byte, 16> bytes;
      IoResult const read = co_await data_->read_some(bytes);
      data_end_ = read.error;
    }
    client_->close();
    server_->close();
  }
  ProbeVerdict run_probe(ProbeMethod method, Duration timeout = seconds(5)) {
    run(probe(method, timeout));
    EXPECT_TRUE(verdict_.has_value());
    return verdict_.value_or(ProbeVerdict(Error(Errc::local, "the probe did not end")));
  }

  // What scripts do. Bytes leave behind the reply.
  void say(Stream& stream, std::string text) { spawn(write(stream, std::move(text))); }
  awaitable<void> write(Stream& stream, std::string text) {
    error_code const error = co_await stream.write(Chunk::copy_of(as_bytes(text)));
    static_cast<void>(error);
  }
  // As containerd reports that it could not connect.
  void refuse(Stream& error, Stream& data, std::string text, bool by_reset) {
    spawn(refusing(error, data, std::move(text), by_reset));
  }
  awaitable<void> refusing(Stream& error, Stream& data, std::string text, bool by_reset) {
    data.finish();
    co_await write(error, std::move(text));
    if (by_reset) {
      error.reset();
    } else {
      error.finish();
    }
  }
  awaitable<void> talk_for_ever(Stream& stream) {
    error_code error;
    while (!error) {
      Chunk chunk(Chunk::kPayload);
      chunk.commit(Chunk::kPayload);
      error = co_await stream.write(std::move(chunk));
    }
  }

  std::optional<SpdyConnection> client_;
  std::optional<SpdyConnection> server_;
  Script script_;
  bool replies_ = true;
  bool look_at_data_ = true;
  std::unique_ptr<Stream> error_;
  std::unique_ptr<Stream> data_;
  std::vector<net::Headers> headers_;
  std::optional<ProbeVerdict> verdict_;
  Duration took_{};
  error_code data_end_;
};

TEST_F(ProbeTest, OpensAnErrorAndADataStreamWithOneRequestId) {
  EXPECT_TRUE(run_probe(ProbeMethod::tcp_dial).good());
  ASSERT_EQ(headers_.size(), 2U);
  EXPECT_THAT(headers_[0], testing::UnorderedElementsAre(testing::Pair("streamtype", "error"),
                                                         testing::Pair("port", "8080"),
                                                         testing::Pair("requestid", "7")));
  EXPECT_THAT(headers_[1], testing::UnorderedElementsAre(testing::Pair("streamtype", "data"),
                                                         testing::Pair("port", "8080"),
                                                         testing::Pair("requestid", "7")));
}

TEST_F(ProbeTest, DialIsGoodWhenAnsweredAndNoErrorTextCame) {
  EXPECT_TRUE(run_probe(ProbeMethod::tcp_dial).good());
  EXPECT_GE(took_, kDialSettle);
  EXPECT_LT(took_, seconds(3));
}

TEST_F(ProbeTest, DialIsGoodAtOnceWhenThePodSpeaks) {
  script_ = [this](Stream&, Stream& data) { say(data, "220 mail ESMTP"); };
  EXPECT_TRUE(run_probe(ProbeMethod::tcp_dial).good());
  EXPECT_LT(took_, kDialSettle);
}

TEST_F(ProbeTest, EndsWithAResetNotWithAHalfClose) {
  EXPECT_TRUE(run_probe(ProbeMethod::tcp_dial).good());
  EXPECT_EQ(data_end_, make_error_code(Errc::stream_failed));
}

TEST_F(ProbeTest, ARefusedPortIsTold) {
  for (bool const by_reset : {true, false}) {
    for (ProbeMethod const method : {ProbeMethod::tcp_dial, ProbeMethod::data_transfer}) {
      script_ = [&](Stream& error, Stream& data) { refuse(error, data, kRefused, by_reset); };
      ProbeVerdict const verdict = run_probe(method);
      ASSERT_FALSE(verdict.good());
      EXPECT_EQ(verdict.error->code, Errc::pod_refused);
      EXPECT_EQ(verdict.reason(), Reason::refused);
      EXPECT_THAT(verdict.error->text, testing::HasSubstr("8080"));
      EXPECT_LT(took_, kDialSettle);
      connect();
    }
  }
  close();
}

TEST_F(ProbeTest, AnErrorTextAloneIsEnough) {
  script_ = [this](Stream& error, Stream&) { say(error, kRefused); };
  ProbeVerdict const verdict = run_probe(ProbeMethod::data_transfer);
  ASSERT_FALSE(verdict.good());
  EXPECT_EQ(verdict.error->code, Errc::pod_refused);
  EXPECT_LT(took_, seconds(3));
}

TEST_F(ProbeTest, AClosedSandboxIsTold) {
  script_ = [this](Stream& error, Stream& data) { refuse(error, data, kGone, true); };
  ProbeVerdict const verdict = run_probe(ProbeMethod::data_transfer);
  ASSERT_FALSE(verdict.good());
  EXPECT_EQ(verdict.error->code, Errc::pod_gone);
  EXPECT_EQ(verdict.reason(), Reason::probe_failed);
}

TEST_F(ProbeTest, TransferIsGoodAtOnceWithData) {
  script_ = [this](Stream&, Stream& data) { say(data, "x"); };
  EXPECT_TRUE(run_probe(ProbeMethod::data_transfer).good());
  EXPECT_LT(took_, kDialSettle);
}

TEST_F(ProbeTest, TransferIsGoodWithAnEnd) {
  script_ = [](Stream& error, Stream& data) {
    data.finish();
    error.finish();
  };
  EXPECT_TRUE(run_probe(ProbeMethod::data_transfer).good());
  EXPECT_LT(took_, kDialSettle);
}

TEST_F(ProbeTest, TransferIsGoodWithAnEndThoughTheErrorStreamStaysOpen) {
  script_ = [](Stream&, Stream& data) { data.finish(); };
  EXPECT_TRUE(run_probe(ProbeMethod::data_transfer).good());
  EXPECT_LT(took_, seconds(3));
}

TEST_F(ProbeTest, TransferIsGoodWithSilenceUntilTheDeadline) {
  EXPECT_TRUE(run_probe(ProbeMethod::data_transfer, milliseconds(400)).good());
  EXPECT_GE(took_, milliseconds(400));
}

TEST_F(ProbeTest, AResetWithoutAWordIsBad) {
  script_ = [](Stream& error, Stream& data) {
    data.reset();
    error.reset();
  };
  look_at_data_ = false;
  ProbeVerdict const verdict = run_probe(ProbeMethod::data_transfer);
  ASSERT_FALSE(verdict.good());
  EXPECT_EQ(verdict.error->code, Errc::stream_failed);
  EXPECT_EQ(verdict.reason(), Reason::probe_failed);
}

TEST_F(ProbeTest, AResetIsToldByTheTextThatFollows) {
  script_ = [this](Stream& error, Stream& data) {
    data.reset();
    say(error, "read tcp4 127.0.0.1:1->127.0.0.1:8080: read: connection reset by peer");
  };
  look_at_data_ = false;
  ProbeVerdict const verdict = run_probe(ProbeMethod::tcp_dial);
  ASSERT_FALSE(verdict.good());
  EXPECT_EQ(verdict.error->code, Errc::pod_reset);
}

TEST_F(ProbeTest, NotAnsweredIsBad) {
  replies_ = false;
  for (ProbeMethod const method : {ProbeMethod::tcp_dial, ProbeMethod::data_transfer}) {
    ProbeVerdict const verdict = run_probe(method, milliseconds(100));
    ASSERT_FALSE(verdict.good());
    EXPECT_EQ(verdict.error->code, Errc::timeout);
    EXPECT_EQ(verdict.reason(), Reason::probe_failed);
    EXPECT_GE(took_, milliseconds(100));
    connect();
  }
  close();
}

TEST_F(ProbeTest, ATunnelThatEndsMeanwhileIsBad) {
  script_ = [this](Stream&, Stream&) { server_->close(); };
  look_at_data_ = false;
  ProbeVerdict const verdict = run_probe(ProbeMethod::data_transfer);
  ASSERT_FALSE(verdict.good());
  EXPECT_LT(took_, seconds(3));
}

TEST_F(ProbeTest, AnEndedTunnelIsBad) {
  client_->close();
  ProbeVerdict const verdict = run_probe(ProbeMethod::data_transfer);
  EXPECT_FALSE(verdict.good());
}

TEST_F(ProbeTest, ATalkativePortDoesNotStopTheTunnel) {
  script_ = [this](Stream&, Stream& data) { spawn(talk_for_ever(data)); };
  look_at_data_ = false;
  EXPECT_TRUE(run_probe(ProbeMethod::data_transfer).good());
  EXPECT_FALSE(client_->reading_paused());
  EXPECT_LT(took_, kDialSettle);
}

TEST_F(ProbeTest, AFloodOnTheErrorStreamIsReadAndDropped) {
  script_ = [this](Stream& error, Stream&) { spawn(talk_for_ever(error)); };
  ProbeVerdict const verdict = run_probe(ProbeMethod::data_transfer, seconds(1));
  ASSERT_FALSE(verdict.good());
  EXPECT_LT(verdict.error->text.size(), 300U);
  EXPECT_FALSE(client_->reading_paused());
}

TEST_F(ProbeTest, CancelledItLeavesNothingBehind) {
  spawn(probe(ProbeMethod::data_transfer, seconds(30)));
  poll();
  EXPECT_EQ(client_->open_streams(), 2U);
  cancel_tasks();
  run();
  EXPECT_FALSE(verdict_.has_value());
  EXPECT_EQ(client_->open_streams(), 0U);
}

}  // namespace
}  // namespace kportal::healthcheck
