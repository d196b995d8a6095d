// SPDX-License-Identifier: MIT
#include "net/websocket_transport.h"

#include <utility>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

#include "tests/support/hex.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::net {
namespace {

using test::from_hex;
using test::MemoryTransport;
using test::to_hex;

// write_now takes three bytes the first time and nothing then.
class GrudgingTransport final : public Transport {
 public:
  explicit GrudgingTransport(std::unique_ptr<Transport> below) : below_(std::move(below)) {}
  awaitable<IoResult> read_some(MutableBytes into) override { return below_->read_some(into); }
  awaitable<error_code> write(Chunk chunk) override { return below_->write(std::move(chunk)); }
  std::size_t write_now(Bytes bytes) noexcept override {
    auto const size = std::min<std::size_t>(bytes.size(), std::exchange(left_, 0));
    return below_->write_now(bytes.first(size));
  }
  void close() noexcept override { below_->close(); }

 private:
  std::unique_ptr<Transport> below_;
  std::size_t left_ = 3;
};

// A client's end above memory, and the raw end of its server.
class WebSocketTransportTest : public test::LoopFixture {
 protected:
  WebSocketTransportTest() {
    auto [near, far] = MemoryTransport::make_pair(executor());
    below_ = near.get();
    peer_ = std::move(far);
    client_ = std::make_unique<WebSocketTransport>(std::move(near), WebSocketRole::client);
  }

  // Frames of the server, put in at once.
  void from_server(std::string_view hex) { peer_->write_now(from_hex(hex)); }

  // What the client reads until it fails; each read takes at most `size`.
  awaitable<void> read_all(Transport& transport, std::size_t size, std::string& text,
                           error_code& end) {
    std::vector<std::byte> buffer(size);
    for (;;) {
      IoResult const got = co_await transport.read_some(buffer);
      if (got.error) {
        end = got.error;
        co_return;
      }
      EXPECT_NE(got.size, 0U);
      text += as_text(Bytes(buffer).first(got.size));
    }
  }
  awaitable<void> read_once(Transport& transport, std::string& text) {
    std::vector<std::byte> buffer(100);
    IoResult const got = co_await transport.read_some(buffer);
    text = as_text(Bytes(buffer).first(got.size));
  }
  std::string client_reads(std::size_t size = 4096) {
    std::string text;
    run(read_all(*client_, size, text, read_end_));
    return text;
  }

  awaitable<void> write(Transport& transport, std::string text, error_code& result) {
    Chunk chunk = Chunk::copy_of(as_bytes(text));
    result = co_await transport.write(std::move(chunk));
  }

  // All frames that the client has sent, unmasked.
  std::string sent() {
    std::vector<std::byte> bytes = peer_bytes();
    WebSocketDecoder decoder(WebSocketRole::server);
    std::string log;
    MutableBytes rest = bytes;
    for (;;) {
      auto const event = decoder.decode(rest);
      rest = rest.subspan(event.consumed);
      if (event.kind == WebSocketEvent::Kind::none) return log;
      char const* const kinds[] = {"", "data", "ping", "pong", "close", "error"};
      log += kinds[static_cast<int>(event.kind)];
      if (event.kind == WebSocketEvent::Kind::close) log += std::to_string(event.close_code);
      log += "(" + std::string(as_text(event.payload)) + ") ";
      if (event.kind == WebSocketEvent::Kind::error) return log;
    }
  }
  std::vector<std::byte> peer_bytes() {
    auto const text = below_->written();
    auto const bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
  }

  MemoryTransport* below_ = nullptr;
  std::unique_ptr<MemoryTransport> peer_;
  std::unique_ptr<WebSocketTransport> client_;
  error_code read_end_;
};

TEST_F(WebSocketTransportTest, JoinsMessagesAndFragments) {
  from_server("8203 616263 0202 6465 8000 8200 0201 66 0001 67 8001 68 8802 03e8");
  EXPECT_EQ(client_reads(), "abcdefgh");
  EXPECT_EQ(read_end_, asio::error::eof);
}

TEST_F(WebSocketTransportTest, ReadsInPiecesOfEverySize) {
  for (std::size_t size = 1; size < 24; ++size) {
    for (std::size_t below = 1; below < 24; ++below) {
      auto [near, far] = MemoryTransport::make_pair(executor());
      near->set_max_read(below);
      WebSocketTransport client(std::move(near), WebSocketRole::client);
      far->write_now(from_hex("8203 616263 0202 6465 8901 21 8000 8200 8203 666768 8802 03e8"));
      std::string text;
      error_code end;
      run(read_all(client, size, text, end));
      EXPECT_EQ(text, "abcdefgh");
      EXPECT_EQ(end, asio::error::eof);
    }
  }
}

TEST_F(WebSocketTransportTest, ReadsWhatCameBehindTheHandshake) {
  auto [near, far] = MemoryTransport::make_pair(executor());
  WebSocketTransport client(std::move(near), WebSocketRole::client, from_hex("8203 6162"));
  far->write_now(from_hex("63 8802 03e8"));
  std::string text;
  run(read_all(client, 4, text, read_end_));
  EXPECT_EQ(text, "abc");
}

TEST_F(WebSocketTransportTest, CarriesBytesBothWays) {
  auto [near, far] = MemoryTransport::make_pair(executor());
  WebSocketTransport client(std::move(near), WebSocketRole::client);
  WebSocketTransport server(std::move(far), WebSocketRole::server);
  std::string const up(200'000, 'u');
  std::string const down(100'000, 'd');
  std::string up_read;
  std::string down_read;
  error_code up_written;
  error_code down_written;
  error_code up_end;
  error_code down_end;
  auto const upload = [&]() -> awaitable<void> {
    co_await write(client, up, up_written);
    co_await write(client, "", up_written);
    client.close();
  };
  spawn(write(server, down, down_written));
  spawn(read_all(server, 65504, up_read, up_end));
  spawn(upload());
  spawn(read_all(client, 1000, down_read, down_end));
  run();
  EXPECT_EQ(up_read, up);
  EXPECT_FALSE(up_written);
  EXPECT_EQ(up_end, asio::error::eof);
}

TEST_F(WebSocketTransportTest, AWriteIsOneMaskedMessage) {
  below_->keep_written();
  error_code result;
  run(write(*client_, "hello", result));
  EXPECT_FALSE(result);
  ASSERT_EQ(below_->writes().size(), 1U);
  EXPECT_EQ(to_hex(as_bytes(below_->written())).substr(0, 4), "8285");
  EXPECT_EQ(sent(), "data(hello) ");
}

TEST_F(WebSocketTransportTest, AnswersPings) {
  below_->keep_written();
  from_server("8902 6869 8201 61 8a00 8802 03e8");
  EXPECT_EQ(client_reads(), "a");
  EXPECT_EQ(sent(), "pong(hi) close1000() ");
}

TEST_F(WebSocketTransportTest, APongWaitsForTheWriteAndIsTheLastOne) {
  below_->keep_written();
  below_->block_writes(true);
  error_code result = asio::error::would_block;
  std::string text;
  spawn(write(*client_, "data", result));
  spawn(read_all(*client_, 100, text, read_end_));
  poll();
  from_server("8901 31 8901 32 8901 33 8201 61");
  poll();
  EXPECT_EQ(text, "a");  // the reader did not wait for the writer
  EXPECT_EQ(sent(), "");
  below_->block_writes(false);
  poll();
  EXPECT_FALSE(result);
  EXPECT_EQ(sent(), "data(data) pong(3) ");
  from_server("8802 03e8");
  run();
}

TEST_F(WebSocketTransportTest, ABlockedPongGoesBeforeTheNextData) {
  below_->keep_written();
  below_->block_writes(true);
  from_server("8901 31 8201 61");
  std::string text;
  spawn(read_all(*client_, 100, text, read_end_));
  poll();
  EXPECT_EQ(text, "a");
  EXPECT_EQ(sent(), "");
  below_->block_writes(false);
  error_code result;
  spawn(write(*client_, "data", result));
  poll();
  EXPECT_EQ(sent(), "pong(1) data(data) ");
  from_server("8802 03e8");
  run();
}

TEST_F(WebSocketTransportTest, AFrameTakenInPartIsFinishedBeforeTheNext) {
  auto [near, far] = MemoryTransport::make_pair(executor());
  below_ = near.get();
  below_->keep_written();
  auto grudging = std::make_unique<GrudgingTransport>(std::move(near));
  WebSocketTransport client(std::move(grudging), WebSocketRole::client);
  EXPECT_EQ(client.write_now(as_bytes("now")), 3U);
  EXPECT_EQ(client.write_now(as_bytes("more")), 0U);
  EXPECT_EQ(below_->written().size(), 3U);
  error_code result;
  run(write(client, "data", result));
  EXPECT_FALSE(result);
  EXPECT_EQ(sent(), "data(now) data(data) ");
}

TEST_F(WebSocketTransportTest, APongTakenInPartIsFinishedBeforeData) {
  auto [near, far] = MemoryTransport::make_pair(executor());
  below_ = near.get();
  below_->keep_written();
  auto grudging = std::make_unique<GrudgingTransport>(std::move(near));
  WebSocketTransport client(std::move(grudging), WebSocketRole::client);
  far->write_now(from_hex("8902 6869 8902 6f6e 8201 61"));
  std::string text;
  spawn(read_all(client, 4, text, read_end_));
  poll();
  error_code result;
  spawn(write(client, "data", result));
  poll();
  EXPECT_EQ(sent(), "pong(hi) data(data) ");
  client.close();
  run();
}

TEST_F(WebSocketTransportTest, EndsWithTheCloseCode) {
  below_->keep_written();
  from_server("8805 03f3 62 61 64");
  EXPECT_EQ(client_reads(), "");
  EXPECT_EQ(read_end_, close_error(1011));
  EXPECT_EQ(client_->end_detail(), "bad");
  EXPECT_EQ(sent(), "close1011() ");
}

TEST_F(WebSocketTransportTest, ACloseWithoutACodeIsAnError) {
  below_->keep_written();
  from_server("8800");
  EXPECT_EQ(client_reads(), "");
  EXPECT_EQ(io_error(read_end_, "x").code, Errc::network);
  EXPECT_EQ(sent(), "close1000() ");
}

TEST_F(WebSocketTransportTest, AnEndWithoutACloseFrameIsAnError) {
  from_server("8202 6162");
  peer_->shut_down_writing();
  EXPECT_EQ(client_reads(), "ab");
  EXPECT_EQ(read_end_, make_error_code(Errc::network));
}

TEST_F(WebSocketTransportTest, ATextMessageIsAViolation) {
  below_->keep_written();
  from_server("8201 61 8101 62 8201 63");
  EXPECT_EQ(client_reads(), "a");
  EXPECT_EQ(read_end_, make_error_code(WebSocketErrc::text_message));
  EXPECT_EQ(client_->end_detail(), "a text frame of 1 bytes");
  EXPECT_EQ(sent(), "close1003() ");
}

TEST_F(WebSocketTransportTest, AViolationIsAnsweredWithACloseFrame) {
  below_->keep_written();
  from_server("8201 61 ff00");
  EXPECT_EQ(client_reads(), "a");
  EXPECT_EQ(read_end_, make_error_code(WebSocketErrc::reserved_bits));
  EXPECT_EQ(client_->end_detail(), "a 0xf frame of 0 bytes");
  EXPECT_EQ(sent(), "close1002() ");
}

TEST_F(WebSocketTransportTest, AFrameThatIsWrongIsNamed) {
  from_server("8201 61 89fe 0100 00000000");
  EXPECT_EQ(client_->end_detail(), "");
  EXPECT_EQ(client_reads(), "a");
  EXPECT_EQ(client_->end_detail(), "a ping frame of 256 bytes");
}

// The writer may be the first who hears of it; why the tunnel ended is told all the same.
TEST_F(WebSocketTransportTest, AWriteBehindTheEndSaysWhatItWas) {
  from_server("8202 6162 8802 03f3");
  std::string text;
  run(read_once(*client_, text));
  EXPECT_EQ(text, "ab");
  error_code result;
  run(write(*client_, "x", result));
  EXPECT_EQ(result, close_error(1011));
}

TEST_F(WebSocketTransportTest, CloseSaysSoAndEndsAPendingRead) {
  below_->keep_written();
  std::string text;
  spawn(read_all(*client_, 100, text, read_end_));
  poll();
  client_->close();
  client_->close();
  run();
  EXPECT_TRUE(read_end_);
  EXPECT_TRUE(below_->closed());
  EXPECT_EQ(sent(), "close1000() ");
}

TEST_F(WebSocketTransportTest, CloseDoesNotCutIntoAWrite) {
  below_->keep_written();
  below_->block_writes(true);
  error_code result;
  spawn(write(*client_, "data", result));
  poll();
  client_->close();
  run();
  EXPECT_TRUE(result);
  EXPECT_EQ(sent(), "");
}

TEST_F(WebSocketTransportTest, WritesNow) {
  below_->keep_written();
  EXPECT_EQ(client_->write_now(as_bytes("now")), 3U);
  below_->block_writes(true);
  EXPECT_EQ(client_->write_now(as_bytes("later")), 0U);
  EXPECT_EQ(sent(), "data(now) ");
}

TEST_F(WebSocketTransportTest, ACancelledWriteBreaksTheStream) {
  below_->block_writes(true);
  error_code result;
  spawn(write(*client_, "data", result));
  poll();
  cancel_tasks();
  run();
  below_->block_writes(false);
  run(write(*client_, "more", result));
  EXPECT_EQ(result, asio::error::operation_aborted);
}

TEST_F(WebSocketTransportTest, ReportsWhatFailsBelow) {
  for (std::size_t nth = 1; nth < 4; ++nth) {
    auto [near, far] = MemoryTransport::make_pair(executor());
    test::FailCount fail(nth, asio::error::connection_reset);
    near->fail_by(&fail);
    far->write_now(from_hex("8901 31 8201 61 8802 03e8"));
    WebSocketTransport client(std::move(near), WebSocketRole::client);
    std::string text;
    error_code written;
    spawn(write(client, "x", written));
    spawn(read_all(client, 3, text, read_end_));
    run();
    EXPECT_TRUE(read_end_);
  }
}

}  // namespace
}  // namespace kportal::net
