// SPDX-License-Identifier: MIT
#include "net/spdy_connection.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

#include "tests/support/hex.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace kportal::net {
namespace {

using namespace std::chrono_literals;
using test::FailCount;
using test::from_hex;
using test::MemoryTransport;
using test::to_hex;

Headers const kErrorHeaders = {{"port", "8080"}, {"requestid", "0"}, {"streamtype", "error"}};
Headers const kDataHeaders = {{"port", "8080"}, {"requestid", "0"}, {"streamtype", "data"}};
// The SYN_STREAM frames of these two, first on a connection (protocol.md 2.1, 2.2).
constexpr std::size_t kSynErrorSize = 18 + 77;
constexpr std::size_t kSynDataSize = 18 + 70;

struct Read {
  std::string text;
  error_code end;
};

// Everything up to the end of the stream.
awaitable<Read> read_all(Stream& stream) {
  Read read;
  std::array<std::byte, 1000> piece{};
  while (!read.end) {
    IoResult const got = co_await stream.read_some(piece);
    read.text += as_text(Bytes(piece).first(got.size));
    read.end = got.error;
  }
  co_return read;
}

awaitable<error_code> write_text(Stream& stream, std::string text) {
  co_return co_await stream.write(Chunk::copy_of(as_bytes(text)));
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>('a' + i * 7 % 26 + i / 4096 % 3);
  return text;
}

// Takes all, or up to a number of bytes.
class Sink final : public DataSink {
 public:
  explicit Sink(std::size_t limit = SIZE_MAX) : limit_(limit) {}
  std::size_t take(Bytes bytes) noexcept override {
    std::size_t const n = std::min(bytes.size(), limit_ - text.size());
    text += as_text(bytes.first(n));
    return n;
  }
  std::string text;

 private:
  std::size_t limit_;
};

// A client and a server that are each other's peer, both run by the fixture's group.
class SpdyConnectionTest : public test::LoopFixture {
 protected:
  SpdyConnectionTest() { connect({}); }

  void connect(SpdyOptions client_options) {
    auto [near, far] = MemoryTransport::make_pair(executor());
    client_wire = near.get();
    server_wire = far.get();
    client.emplace(executor(), std::move(near), std::move(client_options));
    SpdyOptions server_options;
    server_options.role = SpdyRole::server;
    server.emplace(executor(), std::move(far), server_options);
    server->on_stream([this](std::unique_ptr<Stream> stream) {
      if (accept) accept(*stream);
      accepted.push_back(std::move(stream));
    });
  }
  ~SpdyConnectionTest() override { accepted.clear(); }

  void start_client() { spawn(run_one(*client, client_end)); }
  void start_server() { spawn(run_one(*server, server_end)); }
  void start() {
    start_client();
    start_server();
  }
  awaitable<void> run_one(SpdyConnection& connection, std::optional<error_code>& end) {
    end = co_await connection.run();
  }
  // Ends both and proves that nothing is left.
  void finish() {
    client->close();
    server->close();
    run();
    EXPECT_EQ(client_end, make_error_code(Errc::closed));
    EXPECT_TRUE(server_end);
  }
  std::unique_ptr<Stream> open(Headers headers = kDataHeaders, Fin fin = Fin::no) {
    auto stream = client->open_stream(std::move(headers), fin);
    EXPECT_TRUE(stream.has_value());
    return std::move(stream.value());
  }
  // A stream with its other end.
  std::unique_ptr<Stream> open_accepted() {
    auto stream = open();
    poll();
    EXPECT_FALSE(accepted.empty());
    return stream;
  }
  // Bytes that no SpdyConnection would send, as if from the server.
  void from_server(std::string_view hex) {
    auto const bytes = from_hex(hex);
    EXPECT_EQ(server_wire->write_now(bytes), bytes.size());
  }

  MemoryTransport* client_wire = nullptr;
  MemoryTransport* server_wire = nullptr;
  std::optional<SpdyConnection> client;
  std::optional<SpdyConnection> server;
  std::optional<error_code> client_end;
  std::optional<error_code> server_end;
  std::function<void(Stream&)> accept;
  std::vector<std::unique_ptr<Stream>> accepted;
};

// --- streams ---

TEST_F(SpdyConnectionTest, OpensTwoStreamsAndSendsFirstDataInOneWrite) {
  start();
  poll();
  std::unique_ptr<Stream> error;
  std::unique_ptr<Stream> data;
  auto dial = [&]() -> awaitable<void> {
    error = open(kErrorHeaders, Fin::yes);
    data = open(kDataHeaders);
    error_code const failed = co_await write_text(*data, "hello");
    EXPECT_FALSE(failed);
  };
  spawn(dial());
  poll();
  EXPECT_EQ(client_wire->writes(), std::vector<std::size_t>{kSynErrorSize + kSynDataSize + 8 + 5});
  ASSERT_EQ(accepted.size(), 2U);
  EXPECT_EQ(accepted[0]->headers(), kErrorHeaders);
  EXPECT_EQ(accepted[1]->headers(), kDataHeaders);
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*accepted[0]); };
  spawn(wait());
  poll();
  EXPECT_EQ(read.end, asio::error::eof);
  error.reset();
  data.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, CarriesBytesBothWaysToTheEnd) {
  start();
  auto stream = open_accepted();
  Read client_read;
  Read server_read;
  auto talk = [&]() -> awaitable<void> {
    error_code const failed = co_await write_text(*stream, "request");
    EXPECT_FALSE(failed);
    stream->finish();
    client_read = co_await read_all(*stream);
  };
  auto answer = [&]() -> awaitable<void> {
    server_read = co_await read_all(*accepted[0]);
    error_code const failed = co_await write_text(*accepted[0], "answer");
    EXPECT_FALSE(failed);
    accepted[0]->finish();
  };
  spawn(talk());
  spawn(answer());
  poll();
  EXPECT_EQ(client_read.text, "answer");
  EXPECT_EQ(client_read.end, asio::error::eof);
  EXPECT_EQ(server_read.text, "request");
  EXPECT_EQ(server_read.end, asio::error::eof);
  EXPECT_EQ(client->open_streams(), 0U);
  EXPECT_EQ(server->open_streams(), 0U);
  EXPECT_NE(stream->last_data(), TimePoint{});
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, RepliesToWhatIsAccepted) {
  start();
  auto stream = open();
  EXPECT_FALSE(stream->replied());
  poll();
  EXPECT_TRUE(stream->replied());
  EXPECT_TRUE(accepted[0]->replied());
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, HoldsAReplyUntilTold) {
  accept = [](Stream& stream) { stream.hold_reply(); };
  start();
  auto stream = open_accepted();
  EXPECT_FALSE(stream->replied());
  EXPECT_FALSE(accepted[0]->replied());
  accepted[0]->reply();
  poll();
  EXPECT_TRUE(stream->replied());
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, RefusesStreamsThatAreReset) {
  accept = [](Stream& stream) { stream.reset(); };
  start();
  auto stream = open_accepted();
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  EXPECT_EQ(read.end, Errc::stream_failed);
  EXPECT_FALSE(stream->replied());
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, RefusesAllWithoutACallback) {
  server->on_stream(nullptr);
  start();
  auto stream = open();
  server_wire->keep_written();
  poll();
  EXPECT_EQ(to_hex(as_bytes(server_wire->written())), "80030003000000080000000100000005");
  EXPECT_EQ(client->open_streams(), 0U);
  stream.reset();
  finish();
}

TEST_F(SpdyConnectionTest, DestroyingAStreamResetsIt) {
  start();
  auto stream = open_accepted();
  stream.reset();
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*accepted[0]); };
  spawn(wait());
  poll();
  EXPECT_EQ(read.end, Errc::stream_failed);
  EXPECT_EQ(server->open_streams(), 0U);
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, DeliversWhatCameBeforeAReset) {
  // As the runtime's error stream ends: a message, then RST.
  start();
  auto stream = open_accepted();
  Read read;
  auto fail = [&]() -> awaitable<void> {
    error_code const failed = co_await write_text(*accepted[0], "connection refused");
    EXPECT_FALSE(failed);
    accepted[0]->reset();
  };
  spawn(fail());
  poll();
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  EXPECT_EQ(read.text, "connection refused");
  EXPECT_EQ(read.end, Errc::stream_failed);
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, ResetWakesAPendingReadAndWrite) {
  start();
  auto stream = open_accepted();
  client_wire->block_writes(true);
  auto other = open();  // its SYN_STREAM blocks the writer
  Read read;
  std::optional<error_code> written;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  auto send = [&]() -> awaitable<void> { written = co_await write_text(*stream, "stays here"); };
  spawn(wait());
  poll();
  spawn(send());
  poll();
  EXPECT_FALSE(written);
  stream->reset();
  poll();
  EXPECT_EQ(read.end, Errc::closed);
  EXPECT_EQ(written, make_error_code(Errc::closed));
  client_wire->block_writes(false);
  poll();
  stream.reset();
  other.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, WritesFailAfterFinishAndAfterReset) {
  start();
  auto stream = open_accepted();
  auto talk = [&]() -> awaitable<void> {
    stream->finish();
    stream->finish();
    error_code const finished = co_await write_text(*stream, "more");
    EXPECT_EQ(finished, Errc::closed);
    accepted[0]->reset();
    accepted[0]->reset();
    error_code const reset = co_await write_text(*accepted[0], "more");
    EXPECT_EQ(reset, Errc::closed);
    Read const read = co_await read_all(*stream);
    EXPECT_EQ(read.end, Errc::stream_failed);
    error_code const failed = co_await write_text(*stream, "more");
    EXPECT_EQ(failed, Errc::stream_failed);
  };
  spawn(talk());
  poll();
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, EmptyChunksSendNothing) {
  start();
  auto stream = open_accepted();
  std::size_t const before = client_wire->writes().size();
  auto talk = [&]() -> awaitable<void> {
    error_code const failed = co_await stream->write(Chunk());
    EXPECT_FALSE(failed);
  };
  spawn(talk());
  poll();
  EXPECT_EQ(client_wire->writes().size(), before);
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, AWriteReturnsWhenTheWriterTookIt) {
  start();
  auto stream = open_accepted();
  client_wire->block_writes(true);
  int written = 0;
  auto send = [&]() -> awaitable<void> {
    for (int i = 0; i < 3; ++i) {
      error_code const failed = co_await write_text(*stream, pattern(10000));
      EXPECT_FALSE(failed);
      ++written;
    }
  };
  spawn(send());
  poll();
  EXPECT_EQ(written, 1);  // one taken and on its way, one queued
  client_wire->block_writes(false);
  poll();
  EXPECT_EQ(written, 3);
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, ACancelledWriteLeavesTheStreamUsable) {
  start();
  auto stream = open_accepted();
  client_wire->block_writes(true);
  auto other = open();
  poll();
  TaskGroup writers(executor());
  std::optional<error_code> first;
  auto send = [&](char const* text, std::optional<error_code>& result) -> awaitable<void> {
    result = co_await write_text(*stream, text);
  };
  writers.spawn(send("one ", first));
  poll();
  writers.cancel();
  poll();
  EXPECT_TRUE(writers.empty());
  EXPECT_FALSE(first);
  std::optional<error_code> second;
  spawn(send("two", second));
  poll();
  client_wire->block_writes(false);
  poll();
  stream->finish();
  EXPECT_EQ(second, error_code());
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*accepted[0]); };
  spawn(wait());
  poll();
  EXPECT_EQ(read.text, "one two");
  stream.reset();
  other.reset();
  accepted.clear();
  finish();
}

// --- the sink ---

TEST_F(SpdyConnectionTest, OffersBytesToTheSinkFirst) {
  start();
  auto stream = open_accepted();
  Sink sink;
  stream->set_sink(&sink);
  spawn([](Stream& far) -> awaitable<void> {
    error_code const failed = co_await write_text(far, "all of it");
    EXPECT_FALSE(failed);
    far.finish();
  }(*accepted[0]));
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  EXPECT_EQ(sink.text, "all of it");
  EXPECT_EQ(read.text, "");
  EXPECT_EQ(read.end, asio::error::eof);
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyConnectionTest, BuffersWhatTheSinkDoesNotTakeInOrder) {
  start();
  auto stream = open_accepted();
  Sink sink(10);
  stream->set_sink(&sink);
  std::string const sent = pattern(200000);
  auto send = [&]() -> awaitable<void> {
    for (std::size_t at = 0; at < sent.size(); at += 30000) {
      error_code const failed = co_await write_text(*accepted[0], sent.substr(at, 30000));
      EXPECT_FALSE(failed);
    }
    accepted[0]->finish();
  };
  spawn(send());
  poll();
  stream->set_sink(nullptr);
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  EXPECT_EQ(sink.text.size(), 10U);
  EXPECT_TRUE(sink.text + read.text == sent);
  stream.reset();
  accepted.clear();
  finish();
}

// --- backpressure ---

class SpdyBackpressureTest : public SpdyConnectionTest {
 protected:
  SpdyBackpressureTest() { server_wire->set_capacity(64 * 1024); }
  // Sends without end on the server's stream `at`, counting the bytes the writer took.
  awaitable<void> flood(std::size_t at) {
    error_code failed;
    while (!failed) {
      Chunk chunk(Chunk::kPayload);
      chunk.commit(Chunk::kPayload);
      failed = co_await accepted[at]->write(std::move(chunk));
      if (!failed) flooded += Chunk::kPayload;
    }
  }
  // The client has stopped reading, with little more than one full buffer taken in.
  void expect_paused(std::size_t full = Stream::kMaxBufferedAlone) {
    poll();
    EXPECT_TRUE(client->reading_paused());
    EXPECT_GE(flooded, full);
    EXPECT_LT(flooded, full + 512 * 1024);
  }
  // What others have on the same connection.
  void share() {
    others.push_back(open_accepted());
    others.push_back(open_accepted());
  }
  awaitable<void> read_bytes(Stream& stream, std::size_t size) {
    std::vector<std::byte> into(size);
    std::size_t got = 0;
    while (got < size) {
      IoResult const read = co_await stream.read_some(MutableBytes(into).subspan(got));
      EXPECT_FALSE(read.error);
      got += read.size;
    }
  }
  std::size_t flooded = 0;
  std::vector<std::unique_ptr<Stream>> others;
};

TEST_F(SpdyBackpressureTest, AloneAStreamIsFullSoonerAndHasMoreRoomOnceAnotherComes) {
  start();
  auto stream = open_accepted();
  spawn(flood(0));
  expect_paused();
  auto second = open();
  auto third = open();
  EXPECT_FALSE(client->reading_paused());
  poll();
  EXPECT_TRUE(second->replied());
  EXPECT_TRUE(third->replied());
  expect_paused(Stream::kMaxBuffered);
  stream.reset();
  second.reset();
  third.reset();
  poll();
  accepted.clear();
  finish();
}

TEST_F(SpdyBackpressureTest, PausesWhenAStreamIsNotReadAndResumesAtHalf) {
  start();
  auto stream = open_accepted();
  share();
  spawn(flood(0));
  expect_paused(Stream::kMaxBuffered);
  std::size_t const before = flooded;
  spawn(read_bytes(*stream, Stream::kMaxBuffered / 2 - 64 * 1024));
  poll();
  EXPECT_TRUE(client->reading_paused());
  EXPECT_EQ(flooded, before);
  spawn(read_bytes(*stream, 256 * 1024));
  poll();
  EXPECT_GT(flooded, before);
  EXPECT_TRUE(client->reading_paused());  // full again
  stream.reset();
  others.clear();
  poll();
  accepted[0]->reset();
  poll();
  accepted.clear();
  finish();
}

TEST_F(SpdyBackpressureTest, ResumesWhenTheStreamIsReset) {
  start();
  auto stream = open_accepted();
  spawn(flood(0));
  expect_paused();
  stream->reset();
  EXPECT_FALSE(client->reading_paused());
  auto next = open();
  poll();
  EXPECT_TRUE(next->replied());  // the connection is read again
  stream.reset();
  next.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyBackpressureTest, ResumesWhenTheStreamIsDestroyed) {
  start();
  auto stream = open_accepted();
  spawn(flood(0));
  expect_paused();
  stream.reset();
  auto next = open();
  poll();
  EXPECT_TRUE(next->replied());
  next.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyBackpressureTest, WaitsForAllFullStreams) {
  start();
  auto first = open_accepted();
  auto second = open_accepted();
  share();
  spawn(flood(0));
  spawn(flood(1));
  poll();
  EXPECT_TRUE(client->reading_paused());
  // Read the one of them: the other fills up, and it stays paused without harm.
  spawn(read_bytes(*first, Stream::kMaxBuffered));
  poll();
  first.reset();
  poll();
  EXPECT_TRUE(client->reading_paused());
  second.reset();
  poll();
  EXPECT_FALSE(client->reading_paused());
  others.clear();
  poll();
  accepted.clear();
  finish();
}

TEST_F(SpdyBackpressureTest, ASinkThatTakesAllNeverPauses) {
  start();
  auto stream = open_accepted();
  class Counter final : public DataSink {
   public:
    std::size_t take(Bytes bytes) noexcept override {
      size += bytes.size();
      return bytes.size();
    }
    std::size_t size = 0;
  } counter;
  stream->set_sink(&counter);
  auto send = [&]() -> awaitable<void> {
    for (int i = 0; i < 100; ++i) {
      Chunk chunk(Chunk::kPayload);
      chunk.commit(Chunk::kPayload);
      error_code const failed = co_await accepted[0]->write(std::move(chunk));
      EXPECT_FALSE(failed);
    }
  };
  spawn(send());
  poll();
  EXPECT_EQ(counter.size, 100 * Chunk::kPayload);
  stream.reset();
  accepted.clear();
  finish();
}

TEST_F(SpdyBackpressureTest, DeliversABufferThatIsFullAfterTheEnd) {
  start();
  auto stream = open_accepted();
  spawn(flood(0));
  expect_paused();
  server_wire->close();
  client->close();
  EXPECT_FALSE(client->reading_paused());
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  run();
  EXPECT_GE(read.text.size(), Stream::kMaxBufferedAlone);
  EXPECT_EQ(read.end, Errc::closed);
}

TEST_F(SpdyBackpressureTest, TakesTheLargestFrameWithBoundedMemory) {
  start_client();
  auto stream = open();
  poll();
  std::array<std::byte, 8> head{};
  write_data_header(head, stream->id(), Fin::yes, kMaxDataPayload);
  ASSERT_EQ(server_wire->write_now(head), head.size());
  std::size_t sent = 0;
  auto send = [&]() -> awaitable<void> {
    error_code failed;
    while (!failed && sent < kMaxDataPayload) {
      std::size_t const n = std::min(Chunk::kPayload, kMaxDataPayload - sent);
      Chunk chunk(n);
      chunk.commit(n);
      failed = co_await server_wire->write(std::move(chunk));
      sent += n;
    }
  };
  spawn(send());
  poll();
  EXPECT_TRUE(client->reading_paused());
  EXPECT_LT(sent, Stream::kMaxBufferedAlone + 512 * 1024);
  std::size_t received = 0;
  error_code end;
  auto wait = [&]() -> awaitable<void> {
    std::vector<std::byte> into(100000);
    while (!end) {
      IoResult const read = co_await stream->read_some(into);
      received += read.size;
      end = read.error;
    }
  };
  spawn(wait());
  poll();
  EXPECT_EQ(received, kMaxDataPayload);
  EXPECT_EQ(end, asio::error::eof);
  stream.reset();
  client->close();
  run();
}

TEST_F(SpdyBackpressureTest, ReadsIntoALargeBufferOnlyWhileBytesFlow) {
  start();
  auto stream = open_accepted();
  EXPECT_EQ(client_wire->read_room(), 512U);
  spawn(flood(0));
  expect_paused();
  EXPECT_EQ(client_wire->read_room(), 128U * 1024);
  stream.reset();
  poll();
  accepted.clear();
  EXPECT_EQ(client_wire->read_room(), 128U * 1024);
  for (int i = 0; i < 4; ++i) {
    client->ping();
    poll();
  }
  EXPECT_EQ(client_wire->read_room(), 512U);
  finish();
}

#ifdef __GLIBC__
TEST_F(SpdyConnectionTest, IsSmallWhileIdle) {
  // What this layer allocates, on average of both ends.
  struct Pair {
    std::optional<SpdyConnection> client;
    std::optional<SpdyConnection> server;
    std::optional<error_code> client_end;
    std::optional<error_code> server_end;
    std::vector<std::unique_ptr<Stream>> streams;
  };
  constexpr std::size_t kPairs = 10;
  std::vector<Pair> pairs(kPairs);
  auto const used = [] {
    auto const info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  std::size_t const before = used();
  for (Pair& pair : pairs) {
    auto [near, far] = MemoryTransport::make_pair(executor());
    SpdyOptions options;
    pair.client.emplace(executor(), std::move(near), options);
    options.role = SpdyRole::server;
    pair.server.emplace(executor(), std::move(far), options);
    pair.server->on_stream(
        [&pair](std::unique_ptr<Stream> stream) { pair.streams.push_back(std::move(stream)); });
    spawn(run_one(*pair.client, pair.client_end));
    spawn(run_one(*pair.server, pair.server_end));
    for (int i = 0; i < 10; ++i) {
      Headers headers = kDataHeaders;
      headers[1].second = std::to_string(i * 7919);
      auto const stream = pair.client->open_stream(headers, Fin::no);
      poll();
    }
    pair.streams.clear();
    pair.streams.shrink_to_fit();
  }
  poll();
  std::size_t const each = (used() - before) / (2 * kPairs);
  EXPECT_LT(each, 8U * 1024);
  for (Pair& pair : pairs) {
    pair.client->close();
    pair.server->close();
  }
  run();
}
#endif

// --- the end ---

TEST_F(SpdyConnectionTest, CloseSendsAFarewellInOneWrite) {
  start_client();
  auto stream = open();
  poll();
  client_wire->keep_written();
  client->close();
  EXPECT_TRUE(client->ended());
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::closed));
  EXPECT_EQ(to_hex(as_bytes(client_wire->written())),
            "80030003000000080000000100000005"
            "80030007000000080000000000000000");
}

TEST_F(SpdyConnectionTest, CloseWaitsForNothing) {
  start_client();
  client_wire->block_writes(true);
  auto stream = open();
  poll();
  client->close();
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::closed));
  EXPECT_TRUE(client_wire->writes().empty());
}

TEST_F(SpdyConnectionTest, CloseFailsStreamsAndLaterOperations) {
  start();
  auto stream = open_accepted();
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  client->close();
  client->close();
  run();
  EXPECT_EQ(read.end, Errc::closed);
  EXPECT_EQ(server_end, make_error_code(Errc::going_away));
  auto const late = client->open_stream(kDataHeaders, Fin::no);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Errc::closed);
  std::optional<error_code> written;
  auto send = [&]() -> awaitable<void> { written = co_await write_text(*stream, "late"); };
  run(send());
  EXPECT_EQ(written, make_error_code(Errc::closed));
  stream->finish();
  stream->reset();
}

TEST_F(SpdyConnectionTest, ClosedBeforeItRuns) {
  auto stream = open();
  client->close();
  start_client();
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::closed));
}

TEST_F(SpdyConnectionTest, MayBeClosedFromTheAcceptCallback) {
  accept = [this](Stream&) { server->close(); };
  start();
  auto stream = open();
  run();
  EXPECT_EQ(server_end, make_error_code(Errc::closed));
  EXPECT_EQ(client_end, make_error_code(Errc::going_away));
}

TEST_F(SpdyConnectionTest, GoawayOfThePeerFailsTheStreams) {
  start_client();
  auto stream = open();
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  from_server(
      "000000010000000161"
      "80030007000000080000000000000000");
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::going_away));
  EXPECT_EQ(read.text, "a");
  EXPECT_EQ(read.end, Errc::going_away);
  auto const late = client->open_stream(kDataHeaders, Fin::no);
  EXPECT_EQ(late.error().code, Errc::going_away);
}

TEST_F(SpdyConnectionTest, EndsWithTheTransport) {
  start_client();
  auto stream = open();
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  spawn(wait());
  poll();
  server_wire->close();
  run();
  EXPECT_EQ(client_end, error_code(asio::error::eof));
  EXPECT_EQ(client->open_streams(), 0U);
  // The pod said nothing of an end: what came may be half of its answer.
  EXPECT_EQ(read.end, Errc::network);
}

TEST_F(SpdyConnectionTest, EndsWhenThePeerBreaksTheProtocol) {
  start_client();
  poll();
  from_server("8003000500000000");
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::protocol));
  EXPECT_EQ(client->end_detail(),
            "a SPDY control 5 frame with 0 bytes, flags 0x00: an unknown kind");
  EXPECT_TRUE(client_wire->closed());
}

TEST_F(SpdyConnectionTest, EndsWhenAnswersAreNotRead) {
  start_client();
  client_wire->block_writes(true);
  poll();
  std::vector<std::byte> pings;
  for (int i = 0; i < 30000; ++i) {
    auto const ping = ping_frame(2);
    pings.insert(pings.end(), ping.begin(), ping.end());
  }
  server_wire->write_now(pings);
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::limit));
}

TEST_F(SpdyConnectionTest, CancellingLeavesNoTaskBehind) {
  start();
  auto stream = open_accepted();
  client_wire->block_writes(true);
  auto other = open();
  Read read;
  auto wait = [&]() -> awaitable<void> { read = co_await read_all(*stream); };
  TaskGroup users(executor());
  users.spawn(wait());
  poll();
  cancel_tasks();  // both connections at once
  poll();
  EXPECT_TRUE(tasks_.empty());
  EXPECT_FALSE(client_end);  // it threw
  EXPECT_TRUE(client->ended());
  EXPECT_EQ(read.end, Errc::closed);
  EXPECT_TRUE(users.empty());
  stream.reset();
  other.reset();
  accepted.clear();
  client.reset();  // asserts if a task of it were left
  server.reset();
}

TEST_F(SpdyConnectionTest, CancelledBeforeItsFirstTurn) {
  start();
  cancel_tasks();
  run();
  client.reset();
  server.reset();
}

TEST_F(SpdyConnectionTest, StreamsMayBeDestroyedAfterTheEnd) {
  start();
  auto stream = open_accepted();
  server_wire->close();
  run();
  stream.reset();
  accepted.clear();
  client.reset();
  server.reset();
}

// --- keepalive ---

SpdyOptions pinging(Duration interval, Duration timeout) {
  SpdyOptions options;
  options.ping_interval = interval;
  options.ping_timeout = timeout;
  return options;
}

TEST_F(SpdyConnectionTest, EndsWithoutAnAnswerToAPing) {
  connect(pinging(1ms, 1ms));
  start_client();
  client_wire->keep_written();
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::ping_timeout));
  EXPECT_EQ(to_hex(as_bytes(client_wire->written())), "800300060000000400000001");
}

TEST_F(SpdyConnectionTest, LivesWhilePingsAreAnswered) {
  connect(pinging(1ms, 10s));
  start();
  TimePoint const before = client->last_received();
  auto wait = [&]() -> awaitable<void> {
    while (client_wire->writes().size() < 3) co_await sleep_until(Clock::now() + 1ms);
    client->close();
  };
  run(wait());
  EXPECT_GT(client->last_received(), before);
  EXPECT_EQ(client_end, make_error_code(Errc::closed));
}

TEST_F(SpdyConnectionTest, PingsAtOnceWhenAsked) {
  connect(pinging(1h, 1ms));
  start_client();
  poll();
  client->ping();
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::ping_timeout));
}

TEST_F(SpdyConnectionTest, TellsThatAnAnswerIsLateAndThatItCame) {
  connect(pinging(1h, 400ms));
  start_client();
  std::vector<bool> told;
  client->on_answer_late([&](bool late) {
    told.push_back(late);
    if (late) start_server();  // which answers now
    if (!late) client->close();
  });
  poll();
  client->ping();
  run();
  EXPECT_EQ(told, (std::vector<bool>{true, false}));
  EXPECT_EQ(client_end, make_error_code(Errc::closed));
}

TEST_F(SpdyConnectionTest, TellsOfALateAnswerOnce) {
  connect(pinging(1h, 4ms));
  start_client();
  std::vector<bool> told;
  client->on_answer_late([&](bool late) { told.push_back(late); });
  poll();
  client->ping();
  run();
  EXPECT_EQ(told, std::vector<bool>{true});
  EXPECT_EQ(client_end, make_error_code(Errc::ping_timeout));
}

TEST_F(SpdyConnectionTest, ABlockedWriteIsNoDeadPeer) {
  connect(pinging(1ms, 40ms));
  client_wire->block_writes(true);
  start_client();
  auto stream = open();
  TimePoint unblocked;
  auto wait = [&]() -> awaitable<void> {
    co_await sleep_until(Clock::now() + 60ms);
    EXPECT_FALSE(client->ended());
    EXPECT_NE(client->writing_since(), kNever);
    client_wire->block_writes(false);
    unblocked = Clock::now();
  };
  spawn(wait());
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::ping_timeout));
  EXPECT_GE(Clock::now() - unblocked, 40ms);  // an answer has all its time from then on
  EXPECT_EQ(client->writing_since(), kNever);
}

TEST_F(SpdyConnectionTest, ABlockedWriteIsADeadPeerIfNothingIsAcknowledged) {
  bool acknowledged = true;
  int asked = 0;
  SpdyOptions options = pinging(1ms, 1ms);
  options.acknowledged = [&] {
    if (++asked == 3) acknowledged = false;
    return acknowledged;
  };
  connect(options);
  client_wire->block_writes(true);
  start_client();
  auto stream = open();
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::ping_timeout));
  EXPECT_EQ(asked, 3);
}

TEST_F(SpdyBackpressureTest, PausedReadingIsNoDeadPeer) {
  connect(pinging(1ms, 1ms));
  server_wire->set_capacity(64 * 1024);
  start();
  auto stream = open_accepted();
  spawn(flood(0));
  auto wait = [&]() -> awaitable<void> {
    while (!client->reading_paused()) co_await sleep_until(Clock::now() + 1ms);
    co_await sleep_until(Clock::now() + 20ms);
    EXPECT_FALSE(client->ended());
    client->close();
  };
  spawn(wait());
  run();
  EXPECT_EQ(client_end, make_error_code(Errc::closed));
}

// --- the wire breaks ---

// One whole conversation: two streams, 40,000 bytes there and back, both ends; then close.
class SpdyConversationTest : public SpdyConnectionTest {
 protected:
  std::string const sent = pattern(40000);
  Read echoed;
  bool talked = false;

  awaitable<void> echo(Stream& stream) {
    Read const read = co_await read_all(stream);
    if (read.end != asio::error::eof) co_return;
    std::string const half = read.text.substr(0, 20000);
    error_code failed = co_await write_text(stream, half);
    if (failed) co_return;
    failed = co_await write_text(stream, read.text.substr(half.size()));
    if (!failed) stream.finish();
  }
  awaitable<void> talk() {
    auto error = client->open_stream(kErrorHeaders, Fin::yes);
    auto data = client->open_stream(kDataHeaders, Fin::no);
    if (error && data) {
      Stream& stream = **data;
      error_code failed = co_await write_text(stream, sent.substr(0, 100));
      if (!failed) failed = co_await write_text(stream, sent.substr(100));
      stream.finish();
      echoed = co_await read_all(stream);
    }
    talked = true;
    client->close();
    server->close();
  }
  void converse() {
    accept = [this](Stream& stream) { spawn(echo(stream)); };
    start();
    run(talk());
    EXPECT_TRUE(talked);
    EXPECT_TRUE(client_end);
    EXPECT_TRUE(server_end);
    EXPECT_TRUE(client->ended());
    EXPECT_TRUE(server->ended());
    accepted.clear();
  }
  // A new pair, as at the start.
  void again() {
    client.reset();
    server.reset();
    client_end.reset();
    server_end.reset();
    echoed = Read();
    talked = false;
    connect({});
  }
};

TEST_F(SpdyConversationTest, IsTheSameWithReadsOfEverySize) {
  constexpr std::size_t kSizes[] = {1,  2,    3,    5,    7,    8,     9,      13,
                                    64, 1000, 4095, 4096, 4097, 65536, 1000000};
  for (std::size_t const size : kSizes) {
    again();
    client_wire->set_max_read(size);
    server_wire->set_max_read(size);
    converse();
    EXPECT_TRUE(echoed.text == sent) << size;
    EXPECT_EQ(echoed.end, asio::error::eof) << size;
  }
}

TEST_F(SpdyConversationTest, IsTheSameWithReadsBrokenAtEveryOffsetOfTheStart) {
  for (std::size_t offset = 1; offset < kSynErrorSize + kSynDataSize + 120; ++offset) {
    again();
    client_wire->break_read_at(offset);
    server_wire->break_read_at(offset);
    converse();
    ASSERT_TRUE(echoed.text == sent) << offset;
  }
}

TEST_F(SpdyConversationTest, EndsCleanlyWhicheverOperationFails) {
  for (bool const at_client : {true, false}) {
    bool failed = true;
    std::size_t nth = 1;
    for (; failed; ++nth) {
      ASSERT_LT(nth, 200U);
      again();
      FailCount count(nth, asio::error::connection_reset);
      (at_client ? client_wire : server_wire)->fail_by(&count);
      converse();
      failed = count.failed();
      if (!failed || echoed.end == asio::error::eof) {
        // Either all went well, or it broke after the answer or was cut short by the end.
        EXPECT_TRUE(sent.starts_with(echoed.text));
      }
      if (!failed) {
        EXPECT_TRUE(echoed.text == sent);
      }
    }
    EXPECT_GT(nth, 5U);
  }
}

TEST_F(SpdyConversationTest, IsTheSameWithBlockedWrites) {
  constexpr std::size_t kCapacities[] = {1, 100, 5000, 50000};
  for (std::size_t const capacity : kCapacities) {
    again();
    client_wire->set_capacity(capacity);
    server_wire->set_capacity(capacity);
    client_wire->set_max_read(capacity);
    server_wire->set_max_read(capacity);
    converse();
    EXPECT_TRUE(echoed.text == sent) << capacity;
  }
}

TEST_F(SpdyConnectionTest, SharesTheWireAmongStreams) {
  start();
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(open());
  poll();
  client_wire->set_capacity(1);
  std::array<std::size_t, 4> got{};
  auto send = [&](Stream& stream) -> awaitable<void> {
    error_code failed;
    for (int i = 0; i < 50 && !failed; ++i) failed = co_await write_text(stream, pattern(20000));
  };
  auto take = [&](std::size_t i) -> awaitable<void> {
    std::vector<std::byte> into(65536);
    error_code end;
    while (!end) {
      IoResult const read = co_await accepted[i]->read_some(into);
      end = read.error;
      got[i] += read.size;
      if (got[i] == 25 * 20000) {
        // Half is through: the others are not far behind.
        for (std::size_t const other : got) EXPECT_GE(other, 20U * 20000);
      }
      if (got[i] == 50 * 20000) break;
    }
  };
  for (std::size_t i = 0; i < 4; ++i) {
    spawn(send(*streams[i]));
    spawn(take(i));
  }
  poll();
  for (std::size_t const size : got) EXPECT_EQ(size, 50U * 20000);
  streams.clear();
  accepted.clear();
  finish();
}

}  // namespace
}  // namespace kportal::net
