// SPDX-License-Identifier: MIT
// TunnelTransport: the server's end of a port-forward WebSocket, with the habits of the real one
// (gorilla behind a proxy that copies): each write is a message, larger ones come in fragments with
// an empty end. That is why it is not net/websocket_transport. Reads join the client's binary
// messages.
#pragma once

#include <memory>
#include <vector>

#include "net/transport.h"
#include "net/websocket.h"

namespace kportal::lab {

class TunnelTransport final : public net::Transport {
 public:
  // `early`: what the client sent behind its request; a tunnel keeps it (plain SPDY loses it).
  TunnelTransport(std::unique_ptr<net::Transport> below, bool fragments, Bytes early);

  awaitable<net::IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  // Close frame 1000, then the end.
  void close() noexcept override;
  // The same with another code.
  void close_with(std::uint16_t code) noexcept;
  // A text message, which no tunnel has.
  void send_text(std::string_view text) noexcept;

 private:
  bool answer(net::WebSocketEvent const& event);
  void send_control(net::Opcode opcode, Bytes payload) noexcept;
  awaitable<error_code> write_message(Chunk chunk);
  awaitable<error_code> write_frame(net::Opcode opcode, Chunk payload, bool fin);

  std::unique_ptr<net::Transport> below_;
  bool const fragments_;
  net::WebSocketDecoder decoder_;
  std::vector<std::byte> buffer_;
  MutableBytes input_;              // of the buffer, not decoded yet
  MutableBytes payload_;            // of the buffer, not read yet
  std::vector<std::byte> control_;  // a pong or close frame that waits for the writer
  bool writing_ = false;
  bool closed_ = false;
};

}  // namespace kportal::lab
