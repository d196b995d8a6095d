// SPDX-License-Identifier: MIT
#include "net/websocket.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <new>

#include <fmt/format.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/base64.h"
#include "base/printable.h"

namespace kportal::net {
namespace {

class WebSocketCategory final : public boost::system::error_category {
 public:
  char const* name() const noexcept override { return "websocket"; }
  std::string message(int value) const override {
    if (value >= 1000) return close_message(value);
    return fmt::format("WebSocket: {}", violation(static_cast<WebSocketErrc>(value)));
  }
  boost::system::error_condition default_error_condition(int value) const noexcept override {
    Errc kind = Errc::protocol;
    if (value >= 1000) kind = value == 1001 ? Errc::going_away : Errc::network;
    return {static_cast<int>(kind), errc_category()};
  }

 private:
  static char const* violation(WebSocketErrc code) {
    switch (code) {
      case WebSocketErrc::reserved_bits:
        return "a frame with reserved bits";
      case WebSocketErrc::unknown_opcode:
        return "a frame of an unknown kind";
      case WebSocketErrc::must_be_masked:
        return "a frame of a client without a mask";
      case WebSocketErrc::must_not_be_masked:
        return "a frame of a server with a mask";
      case WebSocketErrc::fragmented_control:
        return "a control frame in fragments";
      case WebSocketErrc::long_control:
        return "a control frame of more than 125 bytes";
      case WebSocketErrc::length_too_large:
        return "a frame of an impossible length";
      case WebSocketErrc::length_not_minimal:
        return "a length in a longer form than needed";
      case WebSocketErrc::unexpected_continuation:
        return "a continuation of nothing";
      case WebSocketErrc::unfinished_message:
        return "a message inside another";
      case WebSocketErrc::bad_close:
        return "a malformed close frame";
      case WebSocketErrc::text_message:
        return "a text message where only binary ones belong";
    }
    return "broken";
  }
  static std::string close_message(int code) {
    switch (code) {
      case 1000:
        return "the peer closed the WebSocket";
      case 1001:
        return "the peer closed the WebSocket: going away (1001)";
      case 1002:
        return "the peer closed the WebSocket: protocol error (1002)";
      case 1003:
        return "the peer closed the WebSocket: unsupported data (1003)";
      case kNoCloseCode:
        return "the peer closed the WebSocket without a code";
      case 1008:
        return "the peer closed the WebSocket: policy violation (1008)";
      case 1009:
        return "the peer closed the WebSocket: message too big (1009)";
      case 1011:
        return "the peer closed the WebSocket: internal error (1011)";
      default:
        return fmt::format("the peer closed the WebSocket with code {}", code);
    }
  }
};

// RFC 6455 section 7.4; 1005, 1006 and 1015 stand for something that is not sent.
bool may_be_sent(std::uint32_t code) {
  bool const defined = code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
  return defined || (code >= 3000 && code <= 4999);
}

void random_bytes(void* into, std::size_t size) {
  // Without a source of randomness there is no TLS either: as fatal as no memory.
  if (RAND_bytes(static_cast<unsigned char*>(into), static_cast<int>(size)) != 1) {
    throw std::bad_alloc();
  }
}

std::size_t extended_length_size(std::uint64_t length) {
  if (length < 126) return 0;
  return length <= 0xffff ? 2 : 8;
}

// A base64 text of 16 bytes.
bool is_key(std::string_view key) {
  auto const digit = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
  };
  return key.size() == 24 && key.ends_with("==") && std::ranges::all_of(key.substr(0, 22), digit);
}

Error refused(std::string text) {
  return {Errc::upgrade_refused, fmt::format("WebSocket: {}", text)};
}

}  // namespace

boost::system::error_category const& websocket_category() noexcept {
  static WebSocketCategory const category;
  return category;
}

error_code make_error_code(WebSocketErrc code) noexcept {
  return {static_cast<int>(code), websocket_category()};
}

error_code close_error(std::uint16_t close_code) noexcept {
  return {close_code, websocket_category()};
}

std::uint32_t MaskSource::next() {
  if (at_ == block_.size()) {
    random_bytes(block_.data(), sizeof(block_));
    at_ = 0;
  }
  return block_[at_++];
}

void apply_mask(MutableBytes bytes, std::uint32_t mask, std::uint64_t offset) {
  // The mask's bytes in the order of the wire, as a word of memory that starts `offset` bytes in.
  std::array<std::byte, 4> key{};
  store_be32(key, mask);
  std::rotate(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(offset % 4), key.end());
  std::array<std::byte, 8> twice{};
  std::copy(key.begin(), key.end(), twice.begin());
  std::copy(key.begin(), key.end(), twice.begin() + 4);
  auto const word = std::bit_cast<std::uint64_t>(twice);
  std::size_t at = 0;
  for (; at + sizeof(word) <= bytes.size(); at += sizeof(word)) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof(value));
    value ^= word;
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
  for (; at < bytes.size(); ++at) bytes[at] ^= key[at % 4];
}

Chunk encode_frame(WebSocketRole role, Opcode opcode, Chunk payload, std::uint32_t mask, bool fin) {
  bool const masked = role == WebSocketRole::client;
  std::size_t const length = payload.size();
  std::size_t const extended = extended_length_size(length);
  std::size_t const header_size = 2 + extended + (masked ? 4 : 0);
  if (payload.headroom() < header_size) payload = Chunk::copy_of(payload.data());
  if (masked) apply_mask(payload.data(), mask);
  MutableBytes const header = payload.prepend(header_size);
  header[0] = static_cast<std::byte>((fin ? 0x80 : 0) | static_cast<int>(opcode));
  std::size_t const short_length = extended == 0 ? length : extended == 2 ? 126 : 127;
  header[1] = static_cast<std::byte>((masked ? 0x80 : 0) | static_cast<int>(short_length));
  if (extended == 2) store_be16(header.subspan(2), static_cast<std::uint32_t>(length));
  if (extended == 8) store_be64(header.subspan(2), length);
  if (masked) store_be32(header.subspan(2 + extended), mask);
  return payload;
}

Chunk close_payload(std::uint16_t code, std::string_view reason) {
  reason = reason.substr(0, kMaxControlPayload - 2);
  Chunk payload(2 + reason.size());
  store_be16(payload.room(), code);
  payload.commit(2);
  payload.append(as_bytes(reason));
  return payload;
}

std::uint64_t WebSocketDecoder::wanted() const {
  if (state_ != State::payload) return UINT64_MAX;
  return length_ - done_ + kMaxWebSocketHeader;
}

WebSocketEvent WebSocketDecoder::decode(MutableBytes input) {
  WebSocketEvent event;
  if (state_ == State::failed) return fail(error_);
  if (state_ == State::closed) {
    event.consumed = input.size();
    return event;
  }
  std::size_t taken = 0;
  if (state_ == State::header) {
    taken = fill_header(input);
    if (header_have_ < header_size()) {
      event.consumed = taken;
      return event;
    }
    if (auto const error = begin_frame()) return fail(error);
  }
  bool const control = static_cast<int>(opcode_) >= 8;
  MutableBytes const rest = input.subspan(taken);
  event = control ? control_event(rest) : data_event(rest);
  event.consumed += taken;
  return event;
}

// Two bytes, until they say how long the header is.
std::size_t WebSocketDecoder::header_size() const {
  if (header_have_ < 2) return 2;
  auto const second = std::to_integer<unsigned>(header_[1]);
  std::size_t const mask = (second & 0x80U) != 0 ? 4 : 0;
  std::size_t const extended = (second & 0x7fU) == 126 ? 2 : (second & 0x7fU) == 127 ? 8 : 0;
  return 2 + extended + mask;
}

std::size_t WebSocketDecoder::fill_header(MutableBytes input) {
  std::size_t taken = 0;
  while (header_have_ < header_size() && taken < input.size()) {
    header_[header_have_++] = input[taken++];
  }
  return taken;
}

error_code WebSocketDecoder::begin_frame() {
  auto const first = std::to_integer<unsigned>(header_[0]);
  auto const second = std::to_integer<unsigned>(header_[1]);
  unsigned const opcode = first & 0x0fU;
  bool const masked = (second & 0x80U) != 0;
  bool const is_data = opcode <= 2;
  bool const is_control = opcode >= 8 && opcode <= 10;
  if ((first & 0x70U) != 0) return make_error_code(WebSocketErrc::reserved_bits);
  if (!is_data && !is_control) return make_error_code(WebSocketErrc::unknown_opcode);
  if (masked && role_ == WebSocketRole::client) {
    return make_error_code(WebSocketErrc::must_not_be_masked);
  }
  if (!masked && role_ == WebSocketRole::server) {
    return make_error_code(WebSocketErrc::must_be_masked);
  }
  Bytes const header = header_;
  length_ = second & 0x7fU;
  std::size_t at = 2;
  if (length_ == 126) {
    length_ = load_be16(header.subspan(2));
    at = 4;
  } else if (length_ == 127) {
    length_ = load_be64(header.subspan(2));
    at = 10;
  }
  if (length_ >> 63 != 0) return make_error_code(WebSocketErrc::length_too_large);
  if (at != 2 + extended_length_size(length_)) {
    return make_error_code(WebSocketErrc::length_not_minimal);
  }
  mask_ = masked ? load_be32(header.subspan(at)) : 0;
  opcode_ = static_cast<Opcode>(opcode);
  fin_ = (first & 0x80U) != 0;
  done_ = 0;
  header_have_ = 0;
  state_ = State::payload;
  return check_sequence();
}

error_code WebSocketDecoder::check_sequence() {
  if (static_cast<int>(opcode_) >= 8) {
    if (!fin_) return make_error_code(WebSocketErrc::fragmented_control);
    if (length_ > kMaxControlPayload) return make_error_code(WebSocketErrc::long_control);
    return {};
  }
  if (opcode_ == Opcode::continuation) {
    if (!in_message_) return make_error_code(WebSocketErrc::unexpected_continuation);
  } else {
    if (in_message_) return make_error_code(WebSocketErrc::unfinished_message);
    message_ = opcode_;
  }
  in_message_ = !fin_;
  return {};
}

WebSocketEvent WebSocketDecoder::data_event(MutableBytes input) {
  WebSocketEvent event;
  auto const size =
      static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), length_ - done_));
  bool const frame_end = done_ + size == length_;
  // A frame whose payload has not begun to arrive is no event; an empty one is.
  if (size == 0 && !frame_end) return event;
  event.kind = WebSocketEvent::Kind::data;
  event.consumed = size;
  event.payload = input.first(size);
  event.message = message_;
  event.message_end = frame_end && fin_;
  if (mask_ != 0) apply_mask(event.payload, mask_, done_);
  done_ += size;
  if (frame_end) state_ = State::header;
  return event;
}

WebSocketEvent WebSocketDecoder::control_event(MutableBytes input) {
  auto const size =
      static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), length_ - done_));
  auto const into = MutableBytes(control_).subspan(static_cast<std::size_t>(done_), size);
  std::copy_n(input.begin(), size, into.begin());
  apply_mask(into, mask_, done_);
  done_ += size;
  WebSocketEvent event;
  if (done_ == length_) event = end_control();
  event.consumed = size;
  return event;
}

WebSocketEvent WebSocketDecoder::end_control() {
  WebSocketEvent event;
  event.payload = MutableBytes(control_).first(static_cast<std::size_t>(length_));
  state_ = State::header;
  if (opcode_ == Opcode::ping) {
    event.kind = WebSocketEvent::Kind::ping;
  } else if (opcode_ == Opcode::pong) {
    event.kind = WebSocketEvent::Kind::pong;
  } else {
    event.kind = WebSocketEvent::Kind::close;
    event.close_code = kNoCloseCode;
    if (length_ == 1) return fail(make_error_code(WebSocketErrc::bad_close));
    if (length_ >= 2) {
      auto const code = load_be16(event.payload);
      if (!may_be_sent(code)) return fail(make_error_code(WebSocketErrc::bad_close));
      event.close_code = static_cast<std::uint16_t>(code);
      event.payload = event.payload.subspan(2);
    }
    state_ = State::closed;
  }
  return event;
}

// The header stays where it was read to until the next one comes.
std::string WebSocketDecoder::describe() const {
  static constexpr std::array<char const*, 16> kNames = {
      "continuation", "text", "binary", "", "", "", "", "", "close", "ping", "pong"};
  Bytes const header(header_);
  unsigned const opcode = std::to_integer<unsigned>(header[0]) & 0x0fU;
  std::uint64_t length = std::to_integer<unsigned>(header[1]) & 0x7fU;
  if (length == 126) {
    length = load_be16(header.subspan(2));
  } else if (length == 127) {
    length = load_be64(header.subspan(2));
  }
  char const* const name = kNames[opcode];
  auto const kind = name == nullptr || *name == '\0' ? fmt::format("{:#x}", opcode) : name;
  return fmt::format("a {} frame of {} bytes", kind, length);
}

WebSocketEvent WebSocketDecoder::fail(error_code error) {
  state_ = State::failed;
  error_ = error;
  WebSocketEvent event;
  event.kind = WebSocketEvent::Kind::error;
  event.error = error;
  return event;
}

std::string websocket_key() {
  std::array<std::byte, 16> nonce{};
  random_bytes(nonce.data(), nonce.size());
  return base64(as_text(nonce));
}

std::string websocket_accept(std::string_view key) {
  auto const text = fmt::format("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  std::array<std::byte, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<unsigned char const*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(digest.data()));
  return base64(as_text(digest));
}

RequestHead websocket_request(std::string target, std::string host, std::string const& key,
                              std::string const& subprotocol) {
  auto head = upgrade_request("GET", std::move(target), std::move(host), "websocket");
  head.headers.add("Sec-WebSocket-Version", "13");
  head.headers.add("Sec-WebSocket-Key", key);
  head.headers.add("Sec-WebSocket-Protocol", subprotocol);
  return head;
}

Result<void> check_websocket_response(ResponseHead const& head, std::string_view key,
                                      std::string_view subprotocol) {
  if (head.status != 101) {
    return refused(fmt::format("the server answered {} {}", head.status, printable(head.reason)));
  }
  if (!is_upgraded(head, "websocket")) {
    return refused("the server switched, but not to a WebSocket");
  }
  if (head.headers.find("Sec-WebSocket-Accept") !=
      std::optional<std::string_view>(websocket_accept(key))) {
    return refused("the server's answer belongs to another request (Sec-WebSocket-Accept)");
  }
  if (head.headers.find("Sec-WebSocket-Extensions")) {
    return refused("the server uses an extension that was not offered");
  }
  auto const chosen = head.headers.find("Sec-WebSocket-Protocol").value_or("");
  if (chosen != subprotocol) {
    return refused(fmt::format("the server chose the subprotocol '{}', not '{}'", printable(chosen),
                               subprotocol));
  }
  return {};
}

Result<std::string> check_websocket_request(RequestHead const& head) {
  auto const wrong = [](std::string_view what) {
    return Error(Errc::protocol, fmt::format("WebSocket: {}", what));
  };
  if (head.method != "GET") return wrong("the request is not a GET");
  if (!asks_upgrade(head, "websocket"))
    return wrong("the request asks for no upgrade to websocket");
  if (!head.headers.lists("Sec-WebSocket-Version", "13")) return wrong("the version is not 13");
  auto const key = head.headers.find("Sec-WebSocket-Key");
  if (!key || !is_key(*key)) return wrong("Sec-WebSocket-Key is missing or no key");
  return std::string(*key);
}

ResponseHead websocket_response(std::string_view key, std::string const& subprotocol) {
  ResponseHead head;
  head.status = 101;
  head.reason = "Switching Protocols";
  head.headers.add("Upgrade", "websocket");
  head.headers.add("Connection", "Upgrade");
  head.headers.add("Sec-WebSocket-Accept", websocket_accept(key));
  if (!subprotocol.empty()) head.headers.add("Sec-WebSocket-Protocol", subprotocol);
  return head;
}

}  // namespace kportal::net
