// SPDX-License-Identifier: MIT
#include "net/spdy_frame.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

namespace kportal::net {
namespace {

constexpr std::uint32_t kVersionWord = 0x8003;

void write_control_header(MutableBytes to, FrameType type, std::uint8_t flags, std::size_t length) {
  assert(length <= kMaxDataPayload);
  store_be16(to, kVersionWord);
  store_be16(to.subspan(2), static_cast<std::uint32_t>(type));
  to[4] = std::byte{flags};
  store_be24(to.subspan(5), static_cast<std::uint32_t>(length));
}

std::uint8_t flags_of(Fin fin) {
  return fin == Fin::yes ? kFlagFin : std::uint8_t{0};
}

// The bytes in front of what is passed on as Frame::bytes; of frames without a block, all of them.
std::size_t fixed_size(FrameType type) {
  switch (type) {
    case FrameType::syn_stream:
      return 10;
    case FrameType::syn_reply:
    case FrameType::headers:
    case FrameType::settings:
    case FrameType::ping:
      return 4;
    case FrameType::rst_stream:
    case FrameType::goaway:
    case FrameType::window_update:
      return 8;
    case FrameType::data:
      break;
  }
  return 0;
}

bool is_known(std::uint32_t type) {
  return type != 0 && fixed_size(static_cast<FrameType>(type)) != 0;
}

bool is_open_ended(FrameType type) {
  return type == FrameType::syn_stream || type == FrameType::syn_reply ||
         type == FrameType::headers || type == FrameType::settings;
}

bool allows_flags(FrameType type) {
  return is_open_ended(type) || type == FrameType::rst_stream;
}

// Fills in what the payload of a control frame says. What is wrong with it, or null.
char const* decode(Frame& frame, Bytes payload) {
  static constexpr char const* kNoStream = "a stream 0";
  std::uint32_t const first = load_be32(payload);
  switch (frame.type) {
    case FrameType::syn_stream:
    case FrameType::syn_reply:
    case FrameType::headers:
      frame.stream = first;
      frame.bytes = payload.subspan(fixed_size(frame.type));
      return first == 0 ? kNoStream : nullptr;
    case FrameType::rst_stream:
      frame.stream = first;
      frame.value = load_be32(payload.subspan(4));
      if (first == 0) return kNoStream;
      return frame.value == 0 ? "a status 0" : nullptr;
    case FrameType::ping:
      frame.value = first;
      return first == 0 ? "an id 0" : nullptr;
    case FrameType::goaway:
    case FrameType::window_update:
      frame.stream = first;
      frame.value = load_be32(payload.subspan(4));
      return nullptr;
    case FrameType::settings:
    case FrameType::data:
      break;
  }
  return nullptr;
}

std::string name_of(std::uint32_t type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::data:
      break;
    case FrameType::syn_stream:
      return "SYN_STREAM";
    case FrameType::syn_reply:
      return "SYN_REPLY";
    case FrameType::rst_stream:
      return "RST_STREAM";
    case FrameType::settings:
      return "SETTINGS";
    case FrameType::ping:
      return "PING";
    case FrameType::goaway:
      return "GOAWAY";
    case FrameType::headers:
      return "HEADERS";
    case FrameType::window_update:
      return "WINDOW_UPDATE";
  }
  return fmt::format("control {}", type);
}

}  // namespace

void write_data_header(std::span<std::byte, kFrameHeaderSize> to, StreamId stream, Fin fin,
                       std::size_t length) {
  assert(stream != 0 && stream <= kMaxStreamId && length <= kMaxDataPayload);
  store_be32(to, stream);
  to[4] = std::byte{flags_of(fin)};
  store_be24(MutableBytes(to).subspan(5), static_cast<std::uint32_t>(length));
}

std::array<std::byte, 18> syn_stream_head(StreamId stream, Fin fin, std::size_t block) {
  std::array<std::byte, 18> bytes{};
  write_control_header(bytes, FrameType::syn_stream, flags_of(fin), 10 + block);
  store_be32(MutableBytes(bytes).subspan(8), stream);
  return bytes;
}

std::array<std::byte, 12> syn_reply_head(StreamId stream, Fin fin, std::size_t block) {
  std::array<std::byte, 12> bytes{};
  write_control_header(bytes, FrameType::syn_reply, flags_of(fin), 4 + block);
  store_be32(MutableBytes(bytes).subspan(8), stream);
  return bytes;
}

std::array<std::byte, 16> rst_stream_frame(StreamId stream, RstStatus status) {
  std::array<std::byte, 16> bytes{};
  write_control_header(bytes, FrameType::rst_stream, 0, 8);
  store_be32(MutableBytes(bytes).subspan(8), stream);
  store_be32(MutableBytes(bytes).subspan(12), static_cast<std::uint32_t>(status));
  return bytes;
}

std::array<std::byte, 12> ping_frame(std::uint32_t id) {
  std::array<std::byte, 12> bytes{};
  write_control_header(bytes, FrameType::ping, 0, 4);
  store_be32(MutableBytes(bytes).subspan(8), id);
  return bytes;
}

std::array<std::byte, 16> goaway_frame(StreamId last_good, GoawayStatus status) {
  std::array<std::byte, 16> bytes{};
  write_control_header(bytes, FrameType::goaway, 0, 8);
  store_be32(MutableBytes(bytes).subspan(8), last_good);
  store_be32(MutableBytes(bytes).subspan(12), static_cast<std::uint32_t>(status));
  return bytes;
}

error_code FrameParser::next(Bytes& input, std::optional<Frame>& frame) {
  frame.reset();
  // What the last frame's bytes pointed to was in use until this call.
  if (state_ != State::control && !payload_.empty()) payload_ = {};
  while (!frame && !input.empty()) {
    error_code error;
    switch (state_) {
      case State::head: {
        std::size_t const n = std::min(input.size(), kFrameHeaderSize - head_size_);
        std::copy_n(input.begin(), n, head_.begin() + static_cast<std::ptrdiff_t>(head_size_));
        input = input.subspan(n);
        head_size_ += n;
        if (head_size_ == kFrameHeaderSize) error = begin(frame);
        break;
      }
      case State::control:
        error = next_control(input, frame);
        break;
      case State::data:
        next_data(input, frame);
        break;
      case State::skip:
        skip(input, frame);
        break;
    }
    if (error) return error;
  }
  return {};
}

error_code FrameParser::refuse(Errc kind, char const* wrong) {
  wrong_ = wrong;
  return kind;
}

// Its head stays where it was read to until the next one comes.
std::string FrameParser::describe(std::string_view wrong) const {
  Bytes const head(head_);
  bool const control = (head[0] & std::byte{0x80}) != std::byte{0};
  auto const name = control ? name_of(load_be16(head.subspan(2))) : std::string("DATA");
  auto const stream = frame_.stream == 0 ? "" : fmt::format(" of stream {}", frame_.stream);
  return fmt::format("a SPDY {} frame{} with {} bytes, flags {:#04x}: {}", name, stream,
                     load_be24(head.subspan(5)), std::to_integer<unsigned>(head[4]), wrong);
}

error_code FrameParser::begin(std::optional<Frame>& frame) {
  Bytes const head(head_);
  head_size_ = 0;
  frame_ = Frame();
  frame_.flags = std::to_integer<std::uint8_t>(head[4]);
  left_ = load_be24(head.subspan(5));
  if ((head[0] & std::byte{0x80}) != std::byte{0}) return begin_control(left_);
  frame_.stream = load_be32(head);
  if (frame_.stream == 0) return refuse(Errc::protocol, "a stream 0");
  if (left_ == 0) {
    frame = frame_;
  } else {
    state_ = State::data;
  }
  return {};
}

error_code FrameParser::begin_control(std::size_t length) {
  std::uint32_t const type = load_be16(Bytes(head_).subspan(2));
  if (!is_known(type)) return refuse(Errc::protocol, "an unknown kind");
  frame_.type = static_cast<FrameType>(type);
  std::size_t const fixed = fixed_size(frame_.type);
  if (length < fixed || (length > fixed && !is_open_ended(frame_.type))) {
    return refuse(Errc::protocol, "a length that this kind cannot have");
  }
  if (frame_.flags != 0 && !allows_flags(frame_.type)) {
    return refuse(Errc::protocol, "flags that this kind cannot have");
  }
  if (frame_.type == FrameType::settings) {
    state_ = State::skip;
    return {};
  }
  static_assert(kMaxControlPayload == 65'546);
  if (length > kMaxControlPayload) return refuse(Errc::limit, "at most 65546 bytes are taken");
  state_ = State::control;
  return {};
}

void FrameParser::next_data(Bytes& input, std::optional<Frame>& frame) {
  std::size_t const n = std::min(input.size(), left_);
  left_ -= n;
  frame = frame_;
  frame->bytes = input.first(n);
  frame->last = left_ == 0;
  input = input.subspan(n);
  if (left_ == 0) state_ = State::head;
}

error_code FrameParser::next_control(Bytes& input, std::optional<Frame>& frame) {
  Bytes payload;
  if (payload_.empty() && input.size() >= left_) {
    payload = input.first(left_);
    input = input.subspan(left_);
  } else {
    std::size_t const n = std::min(input.size(), left_);
    payload_.insert(payload_.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n));
    input = input.subspan(n);
    left_ -= n;
    if (left_ != 0) return {};
    payload = payload_;
  }
  state_ = State::head;
  frame = frame_;
  char const* const wrong = decode(*frame, payload);
  frame_.stream = frame->stream;
  return wrong == nullptr ? error_code() : refuse(Errc::protocol, wrong);
}

void FrameParser::skip(Bytes& input, std::optional<Frame>& frame) {
  std::size_t const n = std::min(input.size(), left_);
  input = input.subspan(n);
  left_ -= n;
  if (left_ != 0) return;
  state_ = State::head;
  frame = frame_;
}

}  // namespace kportal::net
