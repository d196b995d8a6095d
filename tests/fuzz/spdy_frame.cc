// SPDX-License-Identifier: MIT
// Fuzzer of FrameParser: bytes in any pieces against a plain reading of the whole, and each frame
// that this side can write against what it is read as.
#include "net/spdy_frame.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

namespace kportal::net {
namespace {

using fuzz::require;

struct Plain {
  FrameType type{};
  std::uint8_t flags = 0;
  StreamId stream = 0;
  std::uint32_t value = 0;
  std::string bytes;
  bool operator==(Plain const&) const = default;
};

struct Outcome {
  std::vector<Plain> frames;  // the pieces of a DATA frame are one
  error_code error;
  bool operator==(Outcome const&) const = default;
};

Outcome parsed(std::vector<std::string> const& input) {
  FrameParser parser;
  Outcome outcome;
  bool open = false;
  for (std::string const& piece : input) {
    Bytes rest = as_bytes(piece);
    for (;;) {
      std::optional<Frame> frame;
      std::size_t const before = rest.size();
      outcome.error = parser.next(rest, frame);
      if (outcome.error) return outcome;
      if (!frame) {
        require(rest.empty());
        break;
      }
      require(rest.size() < before);
      require(frame->type == FrameType::data || (frame->last && !open));
      require(frame->bytes.size() <= kMaxDataPayload);
      if (!open)
        outcome.frames.push_back({frame->type, frame->flags, frame->stream, frame->value, {}});
      outcome.frames.back().bytes += as_text(frame->bytes);
      open = !frame->last;
    }
  }
  return outcome;
}

// A whole control frame as protocol.md describes it; false if it is none.
bool read_control(Bytes head, Bytes payload, Plain& frame) {
  std::uint32_t const type = load_be16(head.subspan(2));
  bool const block = type == 1 || type == 2 || type == 8;
  bool const two_words = type == 3 || type == 7 || type == 9;
  std::size_t const fixed = type == 1 ? 10 : two_words ? 8 : 4;
  if (!block && !two_words && type != 4 && type != 6) return false;
  if (payload.size() < fixed || (!block && type != 4 && payload.size() != fixed)) return false;
  if (!block && type != 4 && type != 3 && frame.flags != 0) return false;
  frame.type = static_cast<FrameType>(type);
  if (type == 4) return true;
  std::uint32_t const first = load_be32(payload);
  (type == 6 ? frame.value : frame.stream) = first;
  if (two_words) frame.value = load_be32(payload.subspan(4));
  if (block) frame.bytes = as_text(payload.subspan(fixed));
  bool const zero_is_wrong = type != 7 && type != 9;
  return !(zero_is_wrong && first == 0) && !(type == 3 && frame.value == 0);
}

// The frames in front that are whole and right.
std::vector<Plain> read_plainly(Bytes bytes) {
  std::vector<Plain> frames;
  while (bytes.size() >= kFrameHeaderSize) {
    Bytes const head = bytes.first(kFrameHeaderSize);
    std::size_t const length = load_be24(head.subspan(5));
    bytes = bytes.subspan(kFrameHeaderSize);
    if (bytes.size() < length) break;
    Plain frame;
    frame.flags = std::to_integer<std::uint8_t>(head[4]);
    if ((head[0] & std::byte{0x80}) != std::byte{0}) {
      if (!read_control(head, bytes.first(length), frame)) break;
      if (frame.type != FrameType::settings && length > FrameParser::kMaxControlPayload) break;
    } else {
      frame.stream = load_be32(head);
      frame.bytes = as_text(bytes.first(length));
      if (frame.stream == 0) break;
    }
    frames.push_back(frame);
    bytes = bytes.subspan(length);
  }
  return frames;
}

void check_writers(Plain const& frame) {
  Fin const fin = (frame.flags & kFlagFin) != 0 ? Fin::yes : Fin::no;
  Plain expected = frame;
  expected.flags = fin == Fin::yes ? kFlagFin : std::uint8_t{0};
  std::string written;
  auto const write = [&written](auto const& bytes) { written += as_text(bytes); };
  if (frame.type == FrameType::data) {
    std::array<std::byte, kFrameHeaderSize> head{};
    write_data_header(head, frame.stream, fin, frame.bytes.size());
    write(head);
  } else if (frame.type == FrameType::syn_stream) {
    write(syn_stream_head(frame.stream, fin, frame.bytes.size()));
  } else if (frame.type == FrameType::syn_reply) {
    write(syn_reply_head(frame.stream, fin, frame.bytes.size()));
  } else if (frame.type == FrameType::rst_stream) {
    expected.flags = 0;
    write(rst_stream_frame(frame.stream, static_cast<RstStatus>(frame.value)));
  } else if (frame.type == FrameType::ping) {
    write(ping_frame(frame.value));
  } else if (frame.type == FrameType::goaway) {
    write(goaway_frame(frame.stream, static_cast<GoawayStatus>(frame.value)));
  } else {
    return;
  }
  written += frame.bytes;
  auto const again = parsed({written});
  require(!again.error && again.frames == std::vector<Plain>{expected});
}

}  // namespace
}  // namespace kportal::net

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  std::string const text(fuzz::Input(data, size).rest());
  auto const whole = net::parsed({text});
  for (std::size_t const most : {1U, 3U, 40U}) {
    auto const cut = net::parsed(fuzz::pieces(text, most));
    fuzz::require(cut == whole);
  }
  auto const plain = net::read_plainly(as_bytes(text));
  // A DATA frame that is cut by the end of the input is there as far as it came.
  fuzz::require(whole.frames.size() - plain.size() <= 1);
  fuzz::require(std::equal(plain.begin(), plain.end(), whole.frames.begin()));
  for (auto const& frame : plain) net::check_writers(frame);
  return 0;
}
