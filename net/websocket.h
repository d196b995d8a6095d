// SPDX-License-Identifier: MIT
// WebSocket (RFC 6455): frames to bytes and back, and the values of its handshake. No I/O and no
// extensions; net/websocket_transport.h makes a byte stream of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/chunk.h"
#include "base/error.h"
#include "net/http_upgrade.h"

namespace kportal::net {

enum class WebSocketRole { client, server };

enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10
};

inline constexpr std::size_t kMaxControlPayload = 125;
// Stands for a close frame that gives no code; never sent.
inline constexpr std::uint16_t kNoCloseCode = 1005;
// Two bytes, a 64-bit length, a mask.
inline constexpr std::size_t kMaxWebSocketHeader = 14;
static_assert(kMaxWebSocketHeader <= Chunk::kHeadroom);

enum class WebSocketErrc {
  reserved_bits = 1,
  unknown_opcode,
  must_be_masked,      // a client's frame without a mask
  must_not_be_masked,  // a server's frame with one
  fragmented_control,
  long_control,      // of more than kMaxControlPayload bytes
  length_too_large,  // the top bit of a 64-bit length
  length_not_minimal,
  unexpected_continuation,
  unfinished_message,  // a new message inside a fragmented one
  bad_close,           // a close frame of one byte, or with a code that is not for the wire
  text_message,        // for who expects binary ones only
};
// Values of WebSocketErrc have the condition Errc::protocol. Values of 1000 and more are the peer's
// close codes: 1001 has the condition Errc::going_away, all others Errc::network.
boost::system::error_category const& websocket_category() noexcept;
error_code make_error_code(WebSocketErrc code) noexcept;
// The peer closed with this code; 1005 stands for none given.
error_code close_error(std::uint16_t close_code) noexcept;

// A frame's mask, new and unpredictable for each (RAND_bytes, drawn in small blocks: there is one
// of these a tunnel).
class MaskSource {
 public:
  std::uint32_t next();

 private:
  std::array<std::uint32_t, 8> block_{};
  std::size_t at_ = 8;
};

// Puts the header of an unfragmented frame in front of `payload`, in its headroom, or in front of a
// copy if that is used up, and masks in place if `role` is client.
Chunk encode_frame(WebSocketRole role, Opcode opcode, Chunk payload, std::uint32_t mask,
                   bool fin = true);
// The payload of a close frame; `reason` is cut to fit.
Chunk close_payload(std::uint16_t code, std::string_view reason);
// XORs with the mask, of which `offset` bytes of the frame were used before.
void apply_mask(MutableBytes bytes, std::uint32_t mask, std::uint64_t offset = 0);

// What one step of the decoder found.
struct WebSocketEvent {
  enum class Kind {
    none,  // the input is used up
    data,  // payload of a message: a piece of it, perhaps empty
    ping,  // payload complete
    pong,
    close,  // code, and the reason as payload
    error,
  };
  Kind kind = Kind::none;
  std::size_t consumed = 0;  // bytes of the input that this step took
  // data: a view into the input, unmasked there. ping, pong, close: a view into the decoder, valid
  // until its next step.
  MutableBytes payload;
  Opcode message = Opcode::binary;  // of data: text or binary
  bool message_end = false;         // of data: these are the last bytes of the message
  std::uint16_t close_code = 0;     // 1005: none was given
  error_code error;
};

// Bytes in, events out. Keeps partial headers and control payloads, never data.
class WebSocketDecoder {
 public:
  // The role of this side: a server takes masked frames only, a client unmasked ones only.
  explicit WebSocketDecoder(WebSocketRole role) : role_(role) {}

  // Decodes up to the next event. Call again with the rest until kind is none. After close the rest
  // of the stream is swallowed; after error the same error comes again.
  WebSocketEvent decode(MutableBytes input);

  // How much to read so that payload comes first in the buffer: what remains of this frame and the
  // header of the next. Without bound between frames.
  std::uint64_t wanted() const;

  // The frame whose header came last, its kind and its length, for texts of errors.
  std::string describe() const;

 private:
  enum class State { header, payload, closed, failed };
  std::size_t header_size() const;
  std::size_t fill_header(MutableBytes input);
  error_code begin_frame();
  error_code check_sequence();
  WebSocketEvent data_event(MutableBytes input);
  WebSocketEvent control_event(MutableBytes input);
  WebSocketEvent end_control();
  WebSocketEvent fail(error_code error);

  WebSocketRole role_;
  State state_ = State::header;
  std::array<std::byte, kMaxWebSocketHeader> header_{};
  std::size_t header_have_ = 0;
  Opcode opcode_ = Opcode::binary;
  bool fin_ = false;
  std::uint64_t length_ = 0;
  std::uint64_t done_ = 0;  // of the payload
  std::uint32_t mask_ = 0;
  bool in_message_ = false;
  Opcode message_ = Opcode::binary;
  std::array<std::byte, kMaxControlPayload> control_{};
  error_code error_;
};

// A random Sec-WebSocket-Key, and the Sec-WebSocket-Accept that answers it.
std::string websocket_key();
std::string websocket_accept(std::string_view key);

// Client: a GET that asks for a WebSocket of this subprotocol; the caller adds further headers.
RequestHead websocket_request(std::string target, std::string host, std::string const& key,
                              std::string const& subprotocol);
// Client: an answer with status 101 that is not what was asked for. Errc::upgrade_refused, also for
// any other status.
Result<void> check_websocket_response(ResponseHead const& head, std::string_view key,
                                      std::string_view subprotocol);
// Server: is this a proper request for a WebSocket? Its key, or Errc::protocol with words. The
// subprotocols asked for are head.headers.elements("Sec-WebSocket-Protocol").
Result<std::string> check_websocket_request(RequestHead const& head);
// Server: the 101. An empty subprotocol adds no header.
ResponseHead websocket_response(std::string_view key, std::string const& subprotocol);

}  // namespace kportal::net
