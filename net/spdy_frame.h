// SPDX-License-Identifier: MIT
// SPDY/3.1 frames as moby/spdystream reads and writes them: the bytes of each frame this side
// sends, and an incremental parser of all a peer may send. Knows no streams and no zlib
// (spdy_session, spdy_headers). Integers are big-endian. Control frame: u16 0x8003, u16 type, u8
// flags, u24 length, payload. DATA frame: u32 stream id with top bit 0, u8 flags, u24 length,
// payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace kportal::net {

using StreamId = std::uint32_t;
enum class Fin : bool { no, yes };

inline constexpr StreamId kMaxStreamId = 0x7fffffff;
inline constexpr std::size_t kFrameHeaderSize = 8;
inline constexpr std::size_t kMaxDataPayload = (std::size_t{1} << 24) - 1;

// `data` is no type on the wire: a DATA frame has none. As a control frame 0 is invalid.
enum class FrameType : std::uint16_t {
  data = 0,
  syn_stream = 1,
  syn_reply = 2,
  rst_stream = 3,
  settings = 4,
  ping = 6,
  goaway = 7,
  headers = 8,
  window_update = 9,
};

inline constexpr std::uint8_t kFlagFin = 0x01;
inline constexpr std::uint8_t kFlagUnidirectional = 0x02;  // of SYN_STREAM

// Kubernetes peers send 1 and 5 only; rejecting a stream is 5 there, not 3.
enum class RstStatus : std::uint32_t {
  protocol_error = 1,
  invalid_stream = 2,
  refused_stream = 3,
  unsupported_version = 4,
  cancel = 5,
  internal_error = 6,
  flow_control_error = 7,
  stream_in_use = 8,
  stream_already_closed = 9,
  invalid_credentials = 10,
  frame_too_large = 11,
};

enum class GoawayStatus : std::uint32_t { ok = 0, protocol_error = 1, internal_error = 2 };

// The header of a DATA frame; `length` bytes follow, at most kMaxDataPayload.
void write_data_header(std::span<std::byte, kFrameHeaderSize> to, StreamId stream, Fin fin,
                       std::size_t length);
// What stands before the compressed header block of `block` bytes. Priority, slot and the
// associated stream are always 0. SYN_REPLY has no two unused bytes: that was SPDY/2.
std::array<std::byte, 18> syn_stream_head(StreamId stream, Fin fin, std::size_t block);
std::array<std::byte, 12> syn_reply_head(StreamId stream, Fin fin, std::size_t block);
// Whole frames.
std::array<std::byte, 16> rst_stream_frame(StreamId stream, RstStatus status);
std::array<std::byte, 12> ping_frame(std::uint32_t id);
std::array<std::byte, 16> goaway_frame(StreamId last_good, GoawayStatus status);

// A whole control frame, or one piece of a DATA frame.
struct Frame {
  FrameType type = FrameType::data;
  std::uint8_t flags = 0;
  // The stream; of GOAWAY the last good one; 0 for PING and SETTINGS. 32 bits as received: whether
  // a SYN_STREAM's id is in range is the session's question.
  StreamId stream = 0;
  // PING: its id. RST_STREAM and GOAWAY: the status. WINDOW_UPDATE: the delta.
  std::uint32_t value = 0;
  // DATA: the piece. SYN_STREAM, SYN_REPLY, HEADERS: the compressed header block. Valid until the
  // parser or the bytes given to it are touched again.
  Bytes bytes;
  bool last = true;  // no further piece of this DATA frame follows

  bool fin() const { return (flags & kFlagFin) != 0; }
};

// Cuts a byte stream into frames. DATA passes in pieces as it comes and is never kept; control
// frames that arrive in parts are kept up to kMaxControlPayload; SETTINGS is skipped without being
// kept.
class FrameParser {
 public:
  // A compressed header block of 64 KiB behind the fixed part of SYN_STREAM. spdystream takes
  // 2^24-1.
  static constexpr std::size_t kMaxHeaderBlock = 64 * 1024;
  static constexpr std::size_t kMaxControlPayload = 10 + kMaxHeaderBlock;

  // Consumes from the front of `input`. Either a frame, or none and all of `input` is consumed.
  // Errc::protocol for what spdystream takes for fatal: an unknown type, a wrong length or flag, id
  // 0, RST status 0; the version is not looked at. Errc::limit beyond kMaxControlPayload. After an
  // error the parser is of no more use.
  error_code next(Bytes& input, std::optional<Frame>& frame);

  // After an error, or to be said of the frame that came last: what it is, its length, its stream
  // if that is known, and what is wrong with it; for texts of errors.
  std::string fault() const { return describe(wrong_); }
  std::string describe(std::string_view wrong) const;

 private:
  enum class State { head, control, data, skip };

  error_code refuse(Errc kind, char const* wrong);
  error_code begin(std::optional<Frame>& frame);
  error_code begin_control(std::size_t length);
  void next_data(Bytes& input, std::optional<Frame>& frame);
  error_code next_control(Bytes& input, std::optional<Frame>& frame);
  void skip(Bytes& input, std::optional<Frame>& frame);

  State state_ = State::head;
  std::array<std::byte, kFrameHeaderSize> head_{};
  std::size_t head_size_ = 0;
  std::size_t left_ = 0;            // payload bytes still to come
  Frame frame_;                     // the frame that is being read
  std::vector<std::byte> payload_;  // of a control frame that came in parts
  char const* wrong_ = "";
};

}  // namespace kportal::net
