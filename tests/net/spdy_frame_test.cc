// SPDX-License-Identifier: MIT
#include "net/spdy_frame.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/hex.h"

namespace kportal::net {
namespace {

using test::from_hex;
using test::to_hex;

// A Frame with its bytes kept.
struct Seen {
  FrameType type;
  std::uint8_t flags;
  StreamId stream;
  std::uint32_t value;
  std::string bytes;
  bool operator==(Seen const&) const = default;
};

// What the parser makes of `input`, given in pieces of `step` bytes; the pieces of a DATA frame
// joined.
struct Parsed {
  std::vector<Seen> frames;
  error_code error;

  explicit Parsed(Bytes input, std::size_t step = SIZE_MAX) {
    FrameParser parser;
    bool joining = false;
    while (!input.empty() && !error) {
      Bytes piece = input.first(std::min(step, input.size()));
      input = input.subspan(piece.size());
      for (;;) {
        std::optional<Frame> frame;
        error = parser.next(piece, frame);
        if (error || !frame) break;
        if (joining) {
          frames.back().bytes += as_text(frame->bytes);
        } else {
          frames.push_back({frame->type, frame->flags, frame->stream, frame->value,
                            std::string(as_text(frame->bytes))});
        }
        joining = !frame->last;
      }
    }
  }
};

Parsed parse(std::string_view hex) {
  return Parsed(from_hex(hex));
}

void expect_error(std::string_view hex, Errc expected) {
  Parsed const parsed = parse(hex);
  EXPECT_EQ(parsed.error, expected) << hex;
  EXPECT_TRUE(parsed.frames.empty()) << hex;
}

void expect_frame(std::string_view hex, Seen const& expected) {
  Parsed const parsed = parse(hex);
  EXPECT_FALSE(parsed.error) << hex;
  ASSERT_EQ(parsed.frames.size(), 1U) << hex;
  EXPECT_EQ(parsed.frames[0], expected) << hex;
}

TEST(SpdyFrameTest, EncodesDataHeader) {
  std::array<std::byte, 8> header{};
  write_data_header(header, 3, Fin::no, 5);
  EXPECT_EQ(to_hex(header), "0000000300000005");
  write_data_header(header, kMaxStreamId, Fin::yes, kMaxDataPayload);
  EXPECT_EQ(to_hex(header), "7fffffff01ffffff");
}

TEST(SpdyFrameTest, EncodesSynStreamHead) {
  EXPECT_EQ(to_hex(syn_stream_head(1, Fin::yes, 0x33)), "800300010100003d00000001000000000000");
  EXPECT_EQ(to_hex(syn_stream_head(0x103, Fin::no, 0)), "800300010000000a00000103000000000000");
}

TEST(SpdyFrameTest, EncodesSynReplyHeadWithoutUnusedBytes) {
  EXPECT_EQ(to_hex(syn_reply_head(3, Fin::no, 8)), "800300020000000c00000003");
  EXPECT_EQ(to_hex(syn_reply_head(3, Fin::yes, 8)), "800300020100000c00000003");
}

TEST(SpdyFrameTest, EncodesRstPingAndGoaway) {
  EXPECT_EQ(to_hex(rst_stream_frame(5, RstStatus::cancel)), "80030003000000080000000500000005");
  EXPECT_EQ(to_hex(ping_frame(1)), "800300060000000400000001");
  EXPECT_EQ(to_hex(goaway_frame(7, GoawayStatus::protocol_error)),
            "80030007000000080000000700000001");
}

TEST(SpdyFrameTest, ParsesEveryType) {
  expect_frame("00000003 01000005 68656c6c6f", {FrameType::data, 1, 3, 0, "hello"});
  expect_frame("80030001 0100000c 00000001 00000000 0000 6162",
               {FrameType::syn_stream, 1, 1, 0, "ab"});
  expect_frame("80030002 01000006 00000001 6162", {FrameType::syn_reply, 1, 1, 0, "ab"});
  expect_frame("80030003 00000008 00000001 00000005", {FrameType::rst_stream, 0, 1, 5, ""});
  expect_frame("80030006 00000004 00000002", {FrameType::ping, 0, 0, 2, ""});
  expect_frame("80030007 00000008 00000003 00000002", {FrameType::goaway, 0, 3, 2, ""});
  expect_frame("80030008 01000006 00000001 6162", {FrameType::headers, 1, 1, 0, "ab"});
  expect_frame("80030009 00000008 00000000 00010000", {FrameType::window_update, 0, 0, 65536, ""});
}

TEST(SpdyFrameTest, ParsesEmptyDataAsOneLastPiece) {
  expect_frame("00000003 01000000", {FrameType::data, 1, 3, 0, ""});
}

TEST(SpdyFrameTest, SkipsSettingsWhateverTheirLength) {
  expect_frame("80030004 00000004 00000000", {FrameType::settings, 0, 0, 0, ""});
  expect_frame("80030004 0100000c 00000001 01000004 00000064", {FrameType::settings, 1, 0, 0, ""});
  std::vector<std::byte> input = from_hex("80030004 00ffffff");
  input.resize(input.size() + kMaxDataPayload);
  Parsed const parsed(input, 64 * 1024);
  EXPECT_FALSE(parsed.error);
  EXPECT_EQ(parsed.frames.size(), 1U);
}

TEST(SpdyFrameTest, TakesAnyVersion) {
  expect_frame("80020006 00000004 00000001", {FrameType::ping, 0, 0, 1, ""});
}

TEST(SpdyFrameTest, RefusesUnknownTypes) {
  for (char const* const type : {"0000", "0005", "000a", "000b", "ffff"}) {
    expect_error(std::string("8003") + type + "00000004 00000001", Errc::protocol);
  }
}

TEST(SpdyFrameTest, RefusesWrongLengths) {
  expect_error("80030001 00000009", Errc::protocol);  // SYN_STREAM below its fixed part
  expect_error("80030002 00000003", Errc::protocol);
  expect_error("80030003 00000007", Errc::protocol);
  expect_error("80030003 00000009", Errc::protocol);
  expect_error("80030004 00000003", Errc::protocol);
  expect_error("80030006 00000003", Errc::protocol);
  expect_error("80030006 00000005", Errc::protocol);
  expect_error("80030007 00000004", Errc::protocol);
  expect_error("80030007 0000000c", Errc::protocol);
  expect_error("80030008 00000003", Errc::protocol);
  expect_error("80030009 00000004", Errc::protocol);
}

TEST(SpdyFrameTest, RefusesFlagsWhereTheyMustBeZero) {
  expect_error("80030006 01000004", Errc::protocol);
  expect_error("80030007 01000008", Errc::protocol);
  expect_error("80030009 80000008", Errc::protocol);
}

TEST(SpdyFrameTest, RefusesIdZero) {
  expect_error("00000000 00000001", Errc::protocol);
  expect_error("80030001 0000000a 00000000 00000000 0000", Errc::protocol);
  expect_error("80030002 00000004 00000000", Errc::protocol);
  expect_error("80030003 00000008 00000000 00000005", Errc::protocol);
  expect_error("80030006 00000004 00000000", Errc::protocol);
  expect_error("80030008 00000004 00000000", Errc::protocol);
}

TEST(SpdyFrameTest, RefusesRstStatusZero) {
  expect_error("80030003 00000008 00000001 00000000", Errc::protocol);
}

TEST(SpdyFrameTest, LimitsWhatItWouldKeep) {
  // 10 + 64 KiB fits, one more does not; known from the head alone.
  EXPECT_FALSE(parse("80030001 0001000a").error);
  expect_error("80030001 0001000b", Errc::limit);
  expect_error("80030008 00ffffff", Errc::limit);
}

std::string fault_of(std::string_view hex) {
  std::vector<std::byte> const input = from_hex(hex);
  FrameParser parser;
  std::optional<Frame> frame;
  Bytes rest(input);
  error_code const error = parser.next(rest, frame);
  return error ? parser.fault() : "no fault";
}

TEST(SpdyFrameTest, NamesTheFrameThatIsWrong) {
  EXPECT_EQ(fault_of("80030005 00000004"),
            "a SPDY control 5 frame with 4 bytes, flags 0x00: an unknown kind");
  EXPECT_EQ(fault_of("80030001 0101000b"),
            "a SPDY SYN_STREAM frame with 65547 bytes, flags 0x01: at most 65546 bytes are taken");
  EXPECT_EQ(fault_of("80030007 00000004"),
            "a SPDY GOAWAY frame with 4 bytes, flags 0x00: a length that this kind cannot have");
  EXPECT_EQ(fault_of("80030006 02000004"),
            "a SPDY PING frame with 4 bytes, flags 0x02: flags that this kind cannot have");
  EXPECT_EQ(fault_of("00000000 00000001"),
            "a SPDY DATA frame with 1 bytes, flags 0x00: a stream 0");
  EXPECT_EQ(fault_of("80030003 00000008 00000007 00000000"),
            "a SPDY RST_STREAM frame of stream 7 with 8 bytes, flags 0x00: a status 0");
}

TEST(SpdyFrameTest, PassesOnIdsOutOfRange) {
  expect_frame("80030001 0000000a ffffffff 00000000 0000",
               {FrameType::syn_stream, 0, 0xffffffff, 0, ""});
}

TEST(SpdyFrameTest, YieldsTheSameCutAnywhere) {
  std::vector<std::byte> const input = from_hex(
      "80030001 0100000c 00000001 00000000 0000 6162  80030004 0000000c 00000001 01000004 00000064"
      "00000003 00000005 68656c6c6f  80030006 00000004 00000002  00000003 01000000"
      "80030002 00000006 00000001 6162  80030003 00000008 00000001 00000005"
      "80030009 00000008 00000000 00010000  80030007 00000008 00000003 00000000");
  Parsed const whole(input);
  ASSERT_EQ(whole.frames.size(), 9U);
  for (std::size_t step = 1; step < input.size(); ++step) {
    Parsed const cut(input, step);
    EXPECT_FALSE(cut.error);
    EXPECT_EQ(cut.frames, whole.frames) << step;
  }
}

TEST(SpdyFrameTest, GivesLargeDataInPiecesOfTheInput) {
  FrameParser parser;
  std::vector<std::byte> const head = from_hex("00000001 01ffffff");
  std::vector<std::byte> const block(64 * 1024);
  Bytes input = head;
  std::optional<Frame> frame;
  ASSERT_FALSE(parser.next(input, frame));
  std::size_t left = kMaxDataPayload;
  while (left != 0) {
    input = Bytes(block).first(std::min(left, block.size()));
    left -= input.size();
    ASSERT_FALSE(parser.next(input, frame));
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->bytes.data(), block.data());  // a view, no copy
    EXPECT_EQ(frame->last, left == 0);
    EXPECT_TRUE(input.empty());
  }
}

}  // namespace
}  // namespace kportal::net
