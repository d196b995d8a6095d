// SPDX-License-Identifier: MIT
#include "net/spdy_session.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/hex.h"

namespace kportal::net {
namespace {

using namespace std::chrono_literals;
using test::from_hex;
using test::to_hex;
using Lines = std::vector<std::string>;

TimePoint const kStart{1h};
Headers const kErrorHeaders = {{"port", "8080"}, {"requestid", "0"}, {"streamtype", "error"}};
Headers const kDataHeaders = {{"port", "8080"}, {"requestid", "0"}, {"streamtype", "data"}};
// What a client that opens these two first has on the wire (protocol.md 2.1, 2.2).
constexpr char kSynError[] =
    "800300010100003d00000001000000000000"
    "78f9e3c6a7c202253a48f95b044eea16061606409ab308125f99a074cc68004e892545a989b9d0c28635151415"
    "00000000ffff";
constexpr char kSynData[] = "800300010000001600000003000000000000225333a8a44a04000000ffff";
// The same as this side sends it: stored.
constexpr char kStoredError[] =
    "800300010100005700000001000000000000"
    "78f9e3c6a7c2"
    "003d00c2ff"
    "0000000300000004706f727400000004383038300000000972657175657374696400000001300000000a"
    "73747265616d74797065000000056572726f72"
    "000000ffff";
constexpr char kStoredData[] =
    "800300010000005000000003000000000000"
    "003c00c3ff"
    "0000000300000004706f727400000004383038300000000972657175657374696400000001300000000a"
    "73747265616d747970650000000464617461"
    "000000ffff";
constexpr char kFirstReply[] =
    "800300020000001400000001"
    "78f9e3c6a7c202a6230600000000ffff";

// Writes down what the session tells; the pieces of data of one stream are joined.
class Log : public SpdyEvents {
 public:
  Lines lines;
  std::function<void(StreamId)> then = [](StreamId) {};  // called after each event

  void stream_opened(StreamId stream, Headers headers, Fin fin) override {
    std::string line = fmt::format("opened {}", stream);
    for (auto const& [name, value] : headers) line += fmt::format(" {}={}", name, value);
    add(stream, line + (fin == Fin::yes ? " fin" : ""));
  }
  void stream_replied(StreamId stream, Headers) override {
    add(stream, fmt::format("replied {}", stream));
  }
  void stream_data(StreamId stream, Bytes bytes) override {
    EXPECT_FALSE(bytes.empty());
    std::string const head = fmt::format("data {} ", stream);
    if (!lines.empty() && lines.back().starts_with(head)) {
      lines.back() += as_text(bytes);
    } else {
      lines.push_back(head + std::string(as_text(bytes)));
    }
    then(stream);
  }
  void stream_finished(StreamId stream) override { add(stream, fmt::format("fin {}", stream)); }
  void stream_reset(StreamId stream, RstStatus status) override {
    add(stream, fmt::format("reset {} {}", stream, static_cast<int>(status)));
  }

 private:
  void add(StreamId stream, std::string line) {
    lines.push_back(std::move(line));
    then(stream);
  }
};

// A session, the bytes it sends and the events it tells.
class End {
 public:
  explicit End(SpdyRole role, SpdyKeepalive keepalive = {}) : session(role, keepalive, kStart) {}

  error_code receive(Bytes bytes) { return session.receive(bytes, kStart, log); }
  error_code receive(std::string_view hex) { return receive(from_hex(hex)); }
  // What has come since the last call.
  Lines events() { return std::exchange(log.lines, {}); }
  // Each chunk that is to be written, in hex.
  Lines chunks() {
    Lines out;
    while (auto const chunk = session.next_chunk()) out.push_back(to_hex(chunk->data()));
    return out;
  }
  std::vector<std::byte> sent() {
    std::vector<std::byte> out;
    while (auto const chunk = session.next_chunk()) {
      Bytes const bytes = chunk->data();
      out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
  }
  std::string sent_hex() { return to_hex(sent()); }
  StreamId open(Fin fin = Fin::no) {
    auto const stream = session.open_stream(kDataHeaders, fin);
    EXPECT_TRUE(stream.has_value());
    return stream.value();
  }
  error_code send(StreamId stream, std::string_view text, Fin fin = Fin::no) {
    return session.send(stream, Chunk::copy_of(as_bytes(text)), fin);
  }

  Log log;
  SpdySession session;
};

// What the one has to send, given to the other.
void pass(End& from, End& to) {
  EXPECT_FALSE(to.receive(from.sent()));
}

class SpdySessionTest : public testing::Test {
 protected:
  // A stream that the client opened and the server replied to.
  StreamId open_pair() {
    StreamId const stream = client.open();
    pass(client, server);
    EXPECT_FALSE(server.session.reply(stream, {}));
    pass(server, client);
    server.events();
    client.events();
    return stream;
  }

  End client{SpdyRole::client};
  End server{SpdyRole::server};
};

std::string filled(std::size_t size, char c = 'x') {
  return std::string(size, c);
}

// --- opening ---

TEST_F(SpdySessionTest, WritesTheVectorsOfTwoStreamsAndFirstDataInOneChunk) {
  EXPECT_EQ(client.session.open_stream(kErrorHeaders, Fin::yes).value(), 1U);
  EXPECT_EQ(client.session.open_stream(kDataHeaders, Fin::no).value(), 3U);
  EXPECT_FALSE(client.send(3, "hello"));
  std::string const expected =
      std::string(kStoredError) + kStoredData + "0000000300000005" + "68656c6c6f";
  EXPECT_EQ(client.chunks(), Lines{expected});
}

TEST_F(SpdySessionTest, TellsTheServerOfStreamsAndTheirData) {
  ASSERT_FALSE(server.receive(std::string(kSynError) + kSynData + "000000030000000568656c6c6f"));
  EXPECT_EQ(server.events(),
            (Lines{"opened 1 port=8080 requestid=0 streamtype=error fin",
                   "opened 3 port=8080 requestid=0 streamtype=data", "data 3 hello"}));
  EXPECT_EQ(server.session.open_streams(), 2U);
}

TEST_F(SpdySessionTest, RepliesInAnyOrder) {
  ASSERT_FALSE(server.receive(std::string(kSynError) + kSynData));
  EXPECT_FALSE(server.session.reply(3, {}));
  EXPECT_FALSE(server.session.reply(1, {}));
  EXPECT_EQ(server.chunks(),
            Lines{"80030002000000180000000378f9e3c6a7c2000400fbff00000000000000ffff"
                  "800300020000001200000001000400fbff00000000000000ffff"});
}

TEST_F(SpdySessionTest, TellsTheClientOfReplies) {
  client.open();
  ASSERT_FALSE(client.receive(kFirstReply));
  EXPECT_EQ(client.events(), Lines{"replied 1"});
}

TEST_F(SpdySessionTest, RepliesOnceAndOnlyToStreamsOfThePeer) {
  StreamId const stream = open_pair();
  EXPECT_EQ(server.session.reply(stream, {}), Errc::closed);
  EXPECT_EQ(server.session.reply(99, {}), Errc::closed);
  EXPECT_EQ(client.session.reply(stream, {}), Errc::closed);
}

TEST_F(SpdySessionTest, CountsIdsByTwo) {
  EXPECT_EQ(client.open(), 1U);
  EXPECT_EQ(client.open(), 3U);
  EXPECT_EQ(server.open(), 2U);
  EXPECT_EQ(server.open(), 4U);
}

TEST_F(SpdySessionTest, AReplyThatEndsTheStreamLeavesQueuedDataItsPlace) {
  ASSERT_FALSE(
      server.receive("800300010000001e00000001000000000000"
                     "78f9e3c6a7c2 000400fbff00000000 000000ffff"));
  ASSERT_FALSE(server.session.send(1, Chunk::copy_of(as_bytes("x")), Fin::no));
  ASSERT_FALSE(server.session.reply(1, {}, Fin::yes));
  EXPECT_EQ(server.chunks(), (Lines{"800300020000001800000001"
                                    "78f9e3c6a7c2000400fbff00000000000000ffff"
                                    "0000000101000001"
                                    "78"}));
}

TEST_F(SpdySessionTest, AnIdOfOurParityDoesNotMakeAStreamOurs) {
  // The peer opens stream 5 at a client, and answers for it too, which is ours to do.
  ASSERT_FALSE(
      client.receive("800300010000001e00000005000000000000"
                     "78f9e3c6a7c2 000400fbff00000000 000000ffff"));
  ASSERT_FALSE(client.receive("800300020000001200000005 000400fbff00000000 000000ffff"));
  EXPECT_EQ(client.events(), (Lines{"opened 5"}));
  EXPECT_FALSE(client.session.reply(5, {}));
  EXPECT_EQ(client.chunks(), (Lines{"800300020000001800000005"
                                    "78f9e3c6a7c2000400fbff00000000000000ffff"}));
}

TEST_F(SpdySessionTest, EndsWhenIdsAreUsedUp) {
  // The peer takes the last but one id of our parity, so that ours go on behind it.
  ASSERT_FALSE(
      server.receive("800300010000001a7ffffffc000000000000"
                     "78f9e3c6a7c202a6230600000000ffff"));
  EXPECT_EQ(server.open(), 0x7ffffffeU);
  auto const last = server.session.open_stream({}, Fin::no);
  ASSERT_FALSE(last.has_value());
  EXPECT_EQ(last.error().code, Errc::limit);
}

TEST_F(SpdySessionTest, RefusesToOpenWithHeadersThatPeersTakeForFatal) {
  EXPECT_EQ(client.session.open_stream({{"Port", "1"}}, Fin::no).error().code, Errc::protocol);
  EXPECT_EQ(client.session.open_stream({{"host", "a"}}, Fin::no).error().code, Errc::protocol);
  EXPECT_EQ(client.session.open_stream({{"a", filled(65536)}}, Fin::no).error().code, Errc::limit);
  EXPECT_EQ(client.open(), 1U);  // no id was lost
  EXPECT_EQ(client.chunks().size(), 1U);
}

TEST_F(SpdySessionTest, PassesOnHeadersOfItsOwnStreams) {
  StreamId const stream = server.open();
  pass(server, client);
  EXPECT_EQ(client.events(), Lines{"opened 2 port=8080 requestid=0 streamtype=data"});
  EXPECT_FALSE(client.session.reply(stream, {}));
  pass(client, server);
  EXPECT_EQ(server.events(), Lines{"replied 2"});
}

// --- ids of the peer ---

std::string syn_stream(std::string_view id, std::string_view flags = "00") {
  // A decoder that sees it first; the block is {}.
  return fmt::format("80030001{}00001a{}00000000000078f9e3c6a7c202a6230600000000ffff", flags, id);
}
// One that follows: the block is {} again.
std::string next_syn_stream(std::string_view id) {
  return fmt::format("8003000100000012{}000000000000020100000000ffff", id);
}

TEST_F(SpdySessionTest, ResetsAnIdUsedAgain) {
  ASSERT_FALSE(server.receive(syn_stream("00000003") + next_syn_stream("00000003")));
  EXPECT_EQ(server.events(), Lines{"opened 3"});
  EXPECT_EQ(server.sent_hex(), "80030003000000080000000300000001");
  EXPECT_FALSE(server.receive("000000030000000161"));  // the connection and the stream live on
  EXPECT_EQ(server.events(), Lines{"data 3 a"});
}

TEST_F(SpdySessionTest, ResetsAnIdThatGoesBack) {
  ASSERT_FALSE(server.receive(syn_stream("00000005") + next_syn_stream("00000003")));
  EXPECT_EQ(server.events(), Lines{"opened 5"});
  EXPECT_EQ(server.sent_hex(), "80030003000000080000000300000001");
}

TEST_F(SpdySessionTest, ResetsAnIdBeyond31Bits) {
  ASSERT_FALSE(server.receive(syn_stream("80000001")));
  EXPECT_EQ(server.events(), Lines{});
  EXPECT_EQ(server.sent_hex(), "80030003000000088000000100000001");
}

TEST_F(SpdySessionTest, TakesIdsOfEitherParity) {
  ASSERT_FALSE(server.receive(syn_stream("00000002") + next_syn_stream("00000005")));
  EXPECT_EQ(server.events(), (Lines{"opened 2", "opened 5"}));
  EXPECT_EQ(server.open(), 4U);
}

TEST_F(SpdySessionTest, ResetsAnIdThatIsItsOwn) {
  EXPECT_EQ(client.open(), 1U);
  EXPECT_EQ(client.open(), 3U);
  client.chunks();
  ASSERT_FALSE(client.receive(syn_stream("00000003")));
  EXPECT_EQ(client.events(), Lines{});
  EXPECT_EQ(client.sent_hex(), "80030003000000080000000300000001");
  EXPECT_EQ(client.session.open_streams(), 2U);
}

// --- data and ends ---

TEST_F(SpdySessionTest, FinishesWithAnEmptyFrame) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.session.send(stream, Chunk(), Fin::yes));
  EXPECT_EQ(client.chunks(), Lines{"0000000101000000"});
  EXPECT_EQ(client.send(stream, "more"), Errc::closed);
  EXPECT_EQ(client.session.send(stream, Chunk(), Fin::yes), Errc::closed);
}

TEST_F(SpdySessionTest, SetsFinOnTheQueuedChunk) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.send(stream, "ab"));
  EXPECT_FALSE(client.session.send(stream, Chunk(), Fin::yes));
  EXPECT_EQ(client.chunks(), Lines{"00000001010000026162"});
}

TEST_F(SpdySessionTest, SendsNothingForAnEmptyChunk) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.session.send(stream, Chunk(), Fin::no));
  EXPECT_EQ(client.chunks(), Lines{});
}

TEST_F(SpdySessionTest, QueuesOneChunkAStream) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.session.queued(stream));
  EXPECT_FALSE(client.send(stream, "a"));
  EXPECT_TRUE(client.session.queued(stream));
  EXPECT_EQ(client.send(stream, "b"), Errc::limit);
  EXPECT_EQ(client.chunks().size(), 1U);
  EXPECT_FALSE(client.session.queued(stream));
  EXPECT_FALSE(client.send(stream, "b"));
}

TEST_F(SpdySessionTest, RefusesAFrameTooLarge) {
  StreamId const stream = open_pair();
  Chunk chunk(kMaxDataPayload + 1);
  chunk.commit(kMaxDataPayload + 1);
  EXPECT_EQ(client.session.send(stream, std::move(chunk), Fin::no), Errc::limit);
}

TEST_F(SpdySessionTest, ForgetsAStreamWhenBothHaveEnded) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.send(stream, "ab", Fin::yes));
  pass(client, server);
  EXPECT_EQ(server.events(), (Lines{"data 1 ab", "fin 1"}));
  EXPECT_FALSE(server.send(stream, "cd", Fin::yes));
  EXPECT_EQ(server.session.open_streams(), 1U);  // the last chunk has not left
  pass(server, client);
  EXPECT_EQ(client.events(), (Lines{"data 1 cd", "fin 1"}));
  EXPECT_EQ(server.session.open_streams(), 0U);
  EXPECT_EQ(client.session.open_streams(), 0U);
}

TEST_F(SpdySessionTest, TakesFinOnSynReplyAndOnHeaders) {
  client.open();
  client.open();
  ASSERT_FALSE(
      client.receive("800300020100001400000001"
                     "78f9e3c6a7c202a6230600000000ffff"
                     "800300080100000c00000003"
                     "020100000000ffff"));
  EXPECT_EQ(client.events(), (Lines{"replied 1", "fin 1", "fin 3"}));
}

TEST_F(SpdySessionTest, DeliversDataBeforeTheReply) {
  client.open();
  ASSERT_FALSE(client.receive("000000010100000161" + std::string(kFirstReply)));
  EXPECT_EQ(client.events(), (Lines{"data 1 a", "fin 1", "replied 1"}));
}

TEST_F(SpdySessionTest, IgnoresASecondReply) {
  client.open();
  ASSERT_FALSE(client.receive(std::string(kFirstReply) + "800300020100000c00000001"
                                                         "020100000000ffff"));
  EXPECT_EQ(client.events(), Lines{"replied 1"});
}

TEST_F(SpdySessionTest, ResetsStreamOnDataAfterFin) {
  StreamId const stream = open_pair();
  ASSERT_FALSE(
      client.receive("0000000101000000"
                     "000000010000000161"));
  EXPECT_EQ(client.events(), (Lines{"fin 1", "reset 1 9"}));
  EXPECT_EQ(client.sent_hex(), "80030003000000080000000100000009");
  EXPECT_EQ(client.send(stream, "x"), Errc::closed);
}

TEST_F(SpdySessionTest, DropsFramesOfUnknownStreams) {
  client.open();
  client.chunks();
  ASSERT_FALSE(
      client.receive("0000000901000001 61"
                     "80030003000000080000000900000005"
                     "8003000200000014 00000009 78f9e3c6a7c202a6230600000000ffff"
                     "80030008 0000000c 00000009 020100000000ffff"));
  EXPECT_EQ(client.events(), Lines{});
  EXPECT_EQ(client.chunks(), Lines{});
}

TEST_F(SpdySessionTest, IgnoresSettingsAndWindowUpdate) {
  ASSERT_FALSE(
      client.receive("80030004 0000000c 00000001 01000004 00000064"
                     "80030009 00000008 00000000 00010000"));
  EXPECT_EQ(client.events(), Lines{});
  EXPECT_EQ(client.chunks(), Lines{});
}

TEST_F(SpdySessionTest, GivesAUnidirectionalStreamNoWayBack) {
  ASSERT_FALSE(server.receive(syn_stream("00000001", "02")));
  EXPECT_EQ(server.send(1, "a"), Errc::closed);
}

// --- reset ---

TEST_F(SpdySessionTest, ResetIsTheLastFrameOfAStream) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(server.send(stream, "why"));
  server.session.reset(stream, RstStatus::cancel);
  EXPECT_EQ(server.sent_hex(),
            "0000000100000003"
            "776879"
            "80030003000000080000000100000005");
  EXPECT_EQ(server.session.open_streams(), 0U);
}

TEST_F(SpdySessionTest, ResetFollowsALargeChunk) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.send(stream, filled(3000), Fin::yes));
  client.session.reset(stream, RstStatus::cancel);
  auto const chunks = client.chunks();
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0].substr(0, 16), "0000000100000bb8");  // no FIN, for RST follows
  EXPECT_EQ(chunks[1], "80030003000000080000000100000005");
}

TEST_F(SpdySessionTest, ResetStreamTakesNothingMore) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.send(stream, "a"));
  client.session.reset(stream, RstStatus::cancel);
  client.session.reset(stream, RstStatus::cancel);
  EXPECT_EQ(client.send(stream, "b"), Errc::closed);
  ASSERT_FALSE(client.receive("000000010100000161"));
  EXPECT_EQ(client.events(), Lines{});
  EXPECT_EQ(client.sent().size(), 9U + 16U);
}

TEST_F(SpdySessionTest, KeepsLittleForResetStreams) {
  std::size_t const size = 1024 * 1024;
  for (int i = 0; i < 6; ++i) {
    StreamId const stream = client.open();
    EXPECT_FALSE(client.send(stream, filled(size)));
    client.session.reset(stream, RstStatus::cancel);
  }
  EXPECT_EQ(client.session.open_streams(), SpdySession::kMaxLingering / size);
  EXPECT_LT(client.sent().size(), SpdySession::kMaxLingering + 4096);
  // And it counts what has left.
  StreamId const stream = client.open();
  EXPECT_FALSE(client.send(stream, filled(size)));
  client.session.reset(stream, RstStatus::cancel);
  EXPECT_GT(client.sent().size(), size);
}

TEST_F(SpdySessionTest, ResetOfThePeerDropsWhatIsQueued) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.send(stream, "a"));
  ASSERT_FALSE(client.receive("80030003000000080000000100000005"));
  EXPECT_EQ(client.events(), Lines{"reset 1 5"});
  EXPECT_EQ(client.chunks(), Lines{});
  EXPECT_FALSE(client.session.queued(stream));
  EXPECT_EQ(client.session.open_streams(), 0U);
}

TEST_F(SpdySessionTest, ResetsInsteadOfReply) {
  StreamId const stream = client.open();
  pass(client, server);
  server.session.reset(stream, RstStatus::cancel);
  pass(server, client);
  EXPECT_EQ(client.events(), Lines{"reset 1 5"});
}

TEST_F(SpdySessionTest, ResetsAfterItsOwnFin) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.session.send(stream, Chunk(), Fin::yes));
  client.chunks();
  client.session.reset(stream, RstStatus::cancel);
  EXPECT_EQ(client.sent_hex(), "80030003000000080000000100000005");
}

// --- order of what is sent ---

TEST_F(SpdySessionTest, SendsControlBeforeData) {
  StreamId const stream = open_pair();
  EXPECT_FALSE(client.send(stream, filled(5000)));
  client.session.ping(kStart);
  auto const chunks = client.chunks();
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0], "800300060000000400000001");
  EXPECT_EQ(chunks[1].substr(0, 16), "0000000100001388");
}

TEST_F(SpdySessionTest, LeavesLargeChunksWhereTheyAre) {
  StreamId const stream = open_pair();
  Chunk chunk(Chunk::kPayload);
  chunk.commit(Chunk::kPayload);
  std::byte const* const payload = chunk.data().data();
  EXPECT_FALSE(client.session.send(stream, std::move(chunk), Fin::no));
  auto const sent = client.session.next_chunk();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->size(), kFrameHeaderSize + Chunk::kPayload);
  EXPECT_EQ(sent->data().data() + kFrameHeaderSize, payload);
}

TEST_F(SpdySessionTest, LeavesASingleSmallChunkWhereItIs) {
  StreamId const stream = open_pair();
  Chunk chunk = Chunk::copy_of(as_bytes("abc"));
  std::byte const* const payload = chunk.data().data();
  EXPECT_FALSE(client.session.send(stream, std::move(chunk), Fin::no));
  EXPECT_EQ(client.session.next_chunk()->data().data() + kFrameHeaderSize, payload);
}

TEST_F(SpdySessionTest, CopiesAChunkWithoutHeadroom) {
  StreamId const stream = open_pair();
  Chunk chunk = Chunk::copy_of(as_bytes("abc"));
  std::size_t const used = Chunk::kHeadroom - kFrameHeaderSize + 1;
  std::fill_n(chunk.prepend(used).begin(), used, std::byte{'.'});
  EXPECT_FALSE(client.session.send(stream, std::move(chunk), Fin::no));
  auto const sent = client.session.next_chunk();
  EXPECT_EQ(to_hex(Bytes(sent->data()).first(8)), "000000010000001c");
  EXPECT_EQ(sent->size(), 8 + used + 3);
}

TEST_F(SpdySessionTest, GivesStreamsTheirTurns) {
  std::vector<StreamId> const streams = {client.open(), client.open(), client.open()};
  client.chunks();
  std::vector<StreamId> order;
  for (StreamId const stream : streams) EXPECT_FALSE(client.send(stream, filled(4000)));
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(client.session.next_chunk());
    ASSERT_EQ(client.session.taken().size(), 1U);
    StreamId const stream = client.session.taken()[0];
    order.push_back(stream);
    EXPECT_FALSE(client.send(stream, filled(4000)));  // always more
  }
  EXPECT_EQ(order, (std::vector<StreamId>{1, 3, 5, 1, 3, 5, 1, 3, 5}));
}

TEST_F(SpdySessionTest, ABusyStreamDoesNotHoldUpASmallOne) {
  StreamId const busy = client.open();
  StreamId const small = client.open();
  client.chunks();
  EXPECT_FALSE(client.send(busy, filled(60000)));
  EXPECT_FALSE(client.send(small, "a"));
  client.session.next_chunk();
  EXPECT_FALSE(client.send(busy, filled(60000)));
  auto const chunk = client.session.next_chunk();
  EXPECT_EQ(to_hex(chunk->data()), "000000030000000161");
}

TEST_F(SpdySessionTest, CoalescesSmallDataOfManyStreams) {
  for (int i = 0; i < 10; ++i) {
    StreamId const stream = client.open();
    EXPECT_FALSE(client.send(stream, filled(SpdySession::kMaxCopied)));
  }
  EXPECT_EQ(client.chunks().size(), 1U);
}

TEST_F(SpdySessionTest, FillsAChunkAtTheMost) {
  for (int i = 0; i < 100; ++i) {
    StreamId const stream = client.open();
    EXPECT_FALSE(client.send(stream, filled(SpdySession::kMaxCopied)));
  }
  std::size_t total = 0;
  int chunks = 0;
  while (auto const chunk = client.session.next_chunk()) {
    EXPECT_LE(chunk->size(), Chunk::kPayload);
    total += chunk->size();
    ++chunks;
  }
  EXPECT_GT(total, 100 * SpdySession::kMaxCopied);
  EXPECT_EQ(chunks, 4);
}

TEST_F(SpdySessionTest, CutsManyControlFramesAnywhereButLetsNoDataBetween) {
  StreamId const stream = client.open();
  client.chunks();
  EXPECT_FALSE(client.send(stream, "a"));
  for (int i = 0; i < 8000; ++i) client.session.ping(kStart);
  std::size_t const control = client.session.next_chunk()->size();
  EXPECT_EQ(control, Chunk::kPayload);
  auto const rest = client.session.next_chunk();
  EXPECT_EQ(control + rest->size(), 8000U * 12 + 9);
  EXPECT_EQ(to_hex(Bytes(rest->data()).last(9)), "000000010000000161");
  EXPECT_FALSE(client.session.next_chunk());
}

TEST_F(SpdySessionTest, SendsAStreamsFramesInOrder) {
  StreamId const stream = client.open();
  EXPECT_FALSE(client.send(stream, "a", Fin::yes));
  StreamId const other = client.open(Fin::yes);
  client.session.reset(other, RstStatus::cancel);
  pass(client, server);
  EXPECT_EQ(server.events(), (Lines{"opened 1 port=8080 requestid=0 streamtype=data",
                                    "opened 3 port=8080 requestid=0 streamtype=data fin",
                                    "reset 3 5", "data 1 a", "fin 1"}));
}

// --- ping ---

TEST_F(SpdySessionTest, AnswersPingsOfTheOtherParityOnly) {
  ASSERT_FALSE(
      server.receive("800300060000000400000001"
                     "800300060000000400000002"));
  EXPECT_EQ(server.sent_hex(), "800300060000000400000001");
  ASSERT_FALSE(
      client.receive("800300060000000400000001"
                     "800300060000000400000002"));
  EXPECT_EQ(client.sent_hex(), "800300060000000400000002");
}

TEST_F(SpdySessionTest, PingsAfterSilence) {
  End end(SpdyRole::client, {5s, 3s});
  EXPECT_EQ(end.session.deadline(), kStart + 5s);
  EXPECT_FALSE(end.session.tick(kStart + 4999ms, SpdySession::Answers::possible));
  EXPECT_EQ(end.chunks(), Lines{});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  EXPECT_EQ(end.chunks(), Lines{"800300060000000400000001"});
  EXPECT_EQ(end.session.deadline(), kStart + 6s);
  EXPECT_FALSE(end.session.tick(kStart + 6s, SpdySession::Answers::possible));
  EXPECT_EQ(end.chunks(), Lines{});
  EXPECT_EQ(end.session.deadline(), kStart + 8s);
}

TEST_F(SpdySessionTest, AnAnswerIsLateBeforeItIsOverdue) {
  End end(SpdyRole::client, {5s, 3s});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  EXPECT_FALSE(end.session.tick(kStart + 5999ms, SpdySession::Answers::possible));
  EXPECT_FALSE(end.session.answer_late());
  EXPECT_FALSE(end.session.tick(kStart + 6s, SpdySession::Answers::possible));
  EXPECT_TRUE(end.session.answer_late());
  EXPECT_FALSE(end.session.answer_overdue(kStart + 7999ms));
  EXPECT_FALSE(end.session.receive(from_hex("80"), kStart + 7s, end.log));
  EXPECT_FALSE(end.session.answer_late());
  EXPECT_EQ(end.session.deadline(), kStart + 12s);
}

TEST_F(SpdySessionTest, AnAnswerThatCannotComeIsNotLate) {
  End end(SpdyRole::client, {5s, 3s});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  EXPECT_FALSE(end.session.tick(kStart + 6s, SpdySession::Answers::impossible));
  EXPECT_FALSE(end.session.answer_late());
  end.session.postpone(kStart + 7s);
  EXPECT_EQ(end.session.deadline(), kStart + 8s);
  EXPECT_FALSE(end.session.tick(kStart + 8s, SpdySession::Answers::possible));
  EXPECT_TRUE(end.session.answer_late());
  EXPECT_EQ(end.session.tick(kStart + 10s, SpdySession::Answers::possible), Errc::ping_timeout);
}

TEST_F(SpdySessionTest, OfAShortTimeoutHalfIsLate) {
  End end(SpdyRole::client, {5s, 600ms});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  EXPECT_EQ(end.session.deadline(), kStart + 5300ms);
}

TEST_F(SpdySessionTest, PingTimesOutWithoutAByte) {
  End end(SpdyRole::client, {5s, 3s});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  EXPECT_FALSE(end.session.tick(kStart + 7999ms, SpdySession::Answers::possible));
  EXPECT_EQ(end.session.tick(kStart + 8s, SpdySession::Answers::possible), Errc::ping_timeout);
}

TEST_F(SpdySessionTest, AnyByteIsAnAnswer) {
  End end(SpdyRole::client, {5s, 3s});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  // The first byte of some frame.
  EXPECT_FALSE(end.session.receive(from_hex("80"), kStart + 7s, end.log));
  EXPECT_EQ(end.session.last_received(), kStart + 7s);
  EXPECT_EQ(end.session.deadline(), kStart + 12s);
  EXPECT_FALSE(end.session.tick(kStart + 12s, SpdySession::Answers::possible));
  EXPECT_EQ(end.chunks(), Lines{"800300060000000400000001"
                                "800300060000000400000003"});
}

TEST_F(SpdySessionTest, GivesAnAnswerTimeWhileNoneCanCome) {
  End end(SpdyRole::client, {5s, 3s});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::impossible));
  EXPECT_FALSE(end.session.tick(kStart + 8s, SpdySession::Answers::impossible));
  EXPECT_EQ(end.session.deadline(), kStart + 9s);
  EXPECT_FALSE(end.session.tick(kStart + 9s, SpdySession::Answers::impossible));
  EXPECT_EQ(end.session.deadline(), kStart + 11s);
  end.session.postpone(kStart + 10s);  // reading goes on
  EXPECT_FALSE(end.session.tick(kStart + 11s, SpdySession::Answers::possible));
  EXPECT_EQ(end.session.deadline(), kStart + 13s);
  EXPECT_EQ(end.session.tick(kStart + 13s, SpdySession::Answers::possible), Errc::ping_timeout);
  EXPECT_EQ(end.chunks().size(), 1U);  // one PING was enough
}

TEST_F(SpdySessionTest, NeverPingsByDefault) {
  EXPECT_EQ(server.session.deadline(), kNever);
  server.session.ping(kStart);
  EXPECT_EQ(server.sent_hex(), "800300060000000400000002");
  EXPECT_EQ(server.session.deadline(), kNever);
}

TEST_F(SpdySessionTest, PingsOnRequestAndExpectsAnAnswer) {
  End end(SpdyRole::client, {0s, 3s});
  EXPECT_EQ(end.session.deadline(), kNever);
  end.session.ping(kStart + 1s);
  end.session.ping(kStart + 2s);
  EXPECT_EQ(end.session.deadline(), kStart + 2s);  // to look whether it is late
  EXPECT_FALSE(end.session.tick(kStart + 2s, SpdySession::Answers::possible));
  EXPECT_EQ(end.session.deadline(), kStart + 4s);
}

TEST_F(SpdySessionTest, PingsWithoutWaitingForAnAnswer) {
  End end(SpdyRole::client, {5s, 0s});
  EXPECT_FALSE(end.session.tick(kStart + 5s, SpdySession::Answers::possible));
  EXPECT_EQ(end.session.deadline(), kStart + 10s);
  EXPECT_FALSE(end.session.tick(kStart + 10s, SpdySession::Answers::possible));
  EXPECT_EQ(end.sent().size(), 24U);
}

// --- the end ---

TEST_F(SpdySessionTest, GoawayResetsAllStreamsAndNamesTheLast) {
  ASSERT_FALSE(server.receive(syn_stream("00000007")));
  EXPECT_FALSE(server.send(7, "dropped"));
  server.session.goaway();
  server.session.goaway();
  EXPECT_EQ(server.chunks(), Lines{"80030003000000080000000700000005"
                                   "80030007000000080000000700000000"});
  EXPECT_EQ(server.session.open_stream({}, Fin::no).error().code, Errc::closed);
  EXPECT_EQ(server.send(7, "a"), Errc::closed);
  EXPECT_EQ(server.session.open_streams(), 0U);
}

TEST_F(SpdySessionTest, GoawayNamesNoStreamIfNoneCame) {
  client.session.goaway();
  EXPECT_EQ(client.sent_hex(), "80030007000000080000000000000000");
}

TEST_F(SpdySessionTest, GoawayOfThePeerIsTheEnd) {
  client.open();
  EXPECT_EQ(client.receive("000000010000000161"
                           "80030007000000080000000000000000"
                           "000000010000000162"),
            Errc::going_away);
  EXPECT_EQ(client.events(), Lines{"data 1 a"});
  EXPECT_EQ(client.receive("000000010000000162"), Errc::going_away);
  EXPECT_EQ(client.events(), Lines{});
  EXPECT_EQ(client.session.open_stream({}, Fin::no).error().code, Errc::closed);
}

TEST_F(SpdySessionTest, EndsOnEveryFatalFrame) {
  for (char const* const fatal : {
           "0000000000000001",                          // DATA of stream 0
           "800300050000000400000000",                  // unknown type
           "800300060000000400000000",                  // PING 0
           "80030003000000080000000100000000",          // RST without a status
           "8003000700000004 00000000",                 // a short GOAWAY
           "8003000100000009",                          // a short SYN_STREAM
           "800300020000000c00000001 0011223344556677"  // no zlib
       }) {
    End end(SpdyRole::client);
    EXPECT_EQ(end.receive(fatal), Errc::protocol) << fatal;
    EXPECT_EQ(end.receive("800300060000000400000002"), Errc::protocol) << fatal;
    EXPECT_EQ(end.chunks(), Lines{}) << fatal;
  }
}

TEST_F(SpdySessionTest, EndsOnHeadersThatAreForbidden) {
  HeaderEncoder encoder;
  std::vector<std::byte> block;
  encoder.encode({{"streamType", "data"}}, block);
  auto const head = syn_stream_head(1, Fin::no, block.size());
  EXPECT_FALSE(server.receive(head));
  EXPECT_EQ(server.session.fault(), "");
  EXPECT_EQ(server.receive(block), Errc::protocol);
  EXPECT_EQ(server.events(), Lines{});
  EXPECT_EQ(server.session.fault(),
            fmt::format("a SPDY SYN_STREAM frame of stream 1 with {} bytes, flags 0x00: a header "
                        "that may not be",
                        10 + block.size()));
}

TEST_F(SpdySessionTest, DecodesHeadersOfStreamsItRefuses) {
  // Else the zlib state would be lost for the streams that follow.
  End peer(SpdyRole::client);
  peer.open();
  ASSERT_FALSE(server.receive(peer.sent()));
  server.session.goaway();
  peer.open();
  EXPECT_FALSE(server.receive(peer.sent()));
  EXPECT_EQ(server.events(), Lines{"opened 1 port=8080 requestid=0 streamtype=data"});
}

// --- limits ---

TEST_F(SpdySessionTest, LimitsAnswersThatAreNotRead) {
  auto const ping = ping_frame(1);
  std::vector<std::byte> many;
  for (int i = 0; i < 1000; ++i) many.insert(many.end(), ping.begin(), ping.end());
  error_code error;
  std::size_t sent = 0;
  while (!error && sent < 10 * SpdySession::kMaxQueuedControl) {
    error = server.receive(many);
    sent += many.size();
  }
  EXPECT_EQ(error, Errc::limit);
  EXPECT_EQ(server.session.fault(),
            "a SPDY PING frame with 4 bytes, flags 0x00: more than 256 KiB wait for the peer to "
            "read them");
  EXPECT_LT(sent, SpdySession::kMaxQueuedControl + 2 * many.size());
  // One who reads is answered for ever.
  End reader(SpdyRole::server);
  for (int i = 0; i < 100; ++i) {
    ASSERT_FALSE(reader.receive(many));
    ASSERT_EQ(reader.sent().size(), many.size());
  }
}

TEST_F(SpdySessionTest, LimitsRepliesThatAreNotRead) {
  // Streams that are opened and reset again count against no other limit.
  server.log.then = [&](StreamId stream) { static_cast<void>(server.session.reply(stream, {})); };
  error_code error;
  int opened = 0;
  while (!error && opened < 100000) {
    client.session.reset(client.open(), RstStatus::cancel);
    error = server.receive(client.sent());
    ++opened;
  }
  EXPECT_EQ(error, Errc::limit);
  EXPECT_LT(server.sent().size(), SpdySession::kMaxQueuedControl + 100);
}

TEST_F(SpdySessionTest, LimitsStreams) {
  for (std::size_t i = 0; i < SpdySession::kMaxStreams; ++i) {
    ASSERT_TRUE(client.session.open_stream({}, Fin::no).has_value());
    if (i % 1000 == 0) pass(client, server);
  }
  pass(client, server);
  EXPECT_EQ(client.session.open_stream({}, Fin::no).error().code, Errc::limit);
  EXPECT_EQ(server.session.open_streams(), SpdySession::kMaxStreams);
  server.events();
  server.chunks();
  client.session.reset(1, RstStatus::cancel);
  std::vector<std::byte> frames = client.sent();
  client.open();
  std::vector<std::byte> const open = client.sent();
  ASSERT_FALSE(server.receive(open));  // before it sees the reset
  EXPECT_EQ(server.sent_hex(), "80030003000000080000800100000003");
  EXPECT_EQ(server.events(), Lines{});
}

TEST_F(SpdySessionTest, LimitsWhatWaitsToBeSentOnOpening) {
  Result<StreamId> last = StreamId{0};
  std::size_t opened = 0;
  while (last.has_value() && opened < SpdySession::kMaxStreams) {
    last = client.session.open_stream({{"requestid", std::to_string(opened * 7919)}}, Fin::no);
    ++opened;
  }
  ASSERT_FALSE(last.has_value());
  EXPECT_EQ(last.error().code, Errc::limit);
  EXPECT_LT(client.sent().size(), SpdySession::kMaxQueuedControl + 1024);
}

TEST_F(SpdySessionTest, LimitsHeaderBlocks) {
  EXPECT_EQ(server.receive("80030001 0001000b"), Errc::limit);
  EXPECT_EQ(server.session.fault(),
            "a SPDY SYN_STREAM frame with 65547 bytes, flags 0x00: at most 65546 bytes are taken");
}

TEST_F(SpdySessionTest, PassesTheLargestFrameInPieces) {
  StreamId const stream = open_pair();
  class Counter final : public SpdyEvents {
   public:
    void stream_opened(StreamId, Headers, Fin) override {}
    void stream_replied(StreamId, Headers) override {}
    void stream_data(StreamId, Bytes bytes) override { size += bytes.size(); }
    void stream_finished(StreamId) override { finished = true; }
    void stream_reset(StreamId, RstStatus) override {}
    std::size_t size = 0;
    bool finished = false;
  } counter;
  std::array<std::byte, 8> head{};
  write_data_header(head, stream, Fin::yes, kMaxDataPayload);
  ASSERT_FALSE(client.session.receive(head, kStart, counter));
  std::vector<std::byte> const block(128 * 1024);
  for (std::size_t left = kMaxDataPayload; left != 0;) {
    EXPECT_FALSE(counter.finished);
    std::size_t const n = std::min(left, block.size());
    ASSERT_FALSE(client.session.receive(Bytes(block).first(n), kStart, counter));
    left -= n;
    EXPECT_EQ(counter.size, kMaxDataPayload - left);
  }
  EXPECT_TRUE(counter.finished);
}

// --- cut and called back ---

TEST_F(SpdySessionTest, TellsTheSameCutAnywhere) {
  End peer(SpdyRole::client);
  peer.session.open_stream(kErrorHeaders, Fin::yes).value();
  peer.session.open_stream(kDataHeaders, Fin::no).value();
  EXPECT_FALSE(peer.send(3, "hello"));
  peer.session.ping(kStart);
  std::vector<std::byte> input = peer.sent();
  EXPECT_FALSE(peer.send(3, "more", Fin::yes));
  StreamId const other = peer.open();
  peer.session.reset(other, RstStatus::internal_error);
  auto const more = peer.sent();
  input.insert(input.end(), more.begin(), more.end());
  End whole(SpdyRole::server);
  ASSERT_FALSE(whole.receive(input));
  Lines const events = whole.events();
  std::string const answers = whole.sent_hex();
  ASSERT_EQ(events.size(), 7U);
  for (std::size_t step = 1; step < input.size(); ++step) {
    End end(SpdyRole::server);
    for (std::size_t at = 0; at < input.size(); at += step) {
      ASSERT_FALSE(end.receive(Bytes(input).subspan(at, std::min(step, input.size() - at))));
    }
    EXPECT_EQ(end.events(), events) << step;
    EXPECT_EQ(end.sent_hex(), answers) << step;
  }
}

TEST_F(SpdySessionTest, MayBeCalledFromItsEvents) {
  StreamId const first = open_pair();
  StreamId const second = open_pair();
  client.log.then = [&](StreamId stream) {
    client.session.reset(stream, RstStatus::cancel);
    for (int i = 0; i < 20; ++i) client.open();  // makes the table of streams grow
  };
  EXPECT_FALSE(server.send(first, "a", Fin::yes));
  EXPECT_FALSE(server.send(second, "b", Fin::yes));
  EXPECT_FALSE(client.receive(server.sent()));
  EXPECT_EQ(client.events(), (Lines{"data 1 a", "data 3 b"}));
  client.log.then = [&](StreamId) { client.session.goaway(); };
  ASSERT_FALSE(
      client.receive("000000050000000161"
                     "000000070000000161"));
  EXPECT_EQ(client.events(), Lines{"data 5 a"});
}

TEST_F(SpdySessionTest, SurvivesEveryFlippedBit) {
  End peer(SpdyRole::client);
  peer.session.open_stream(kErrorHeaders, Fin::yes).value();
  peer.session.open_stream(kDataHeaders, Fin::no).value();
  EXPECT_FALSE(peer.send(3, "hello", Fin::yes));
  peer.session.ping(kStart);
  auto const good = peer.sent();
  for (std::size_t i = 0; i < good.size() * 8; ++i) {
    auto bad = good;
    bad[i / 8] ^= static_cast<std::byte>(1 << (i % 8));
    End end(SpdyRole::server);
    static_cast<void>(end.receive(bad));
    end.session.goaway();
    end.chunks();
  }
}

}  // namespace
}  // namespace kportal::net
