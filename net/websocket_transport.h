// SPDX-License-Identifier: MIT
// WebSocketTransport: the byte stream that Kubernetes tunnels inside binary WebSocket messages
// (client-go: TunnelingConnection). A written chunk is one message; messages read are joined, their
// borders mean nothing. After the handshake only; it sends no pings of its own.
#pragma once

#include <memory>
#include <string>

#include "net/transport.h"
#include "net/websocket.h"

namespace kportal::net {

// Pings are answered with write_now, or between two writes, so that a reader never waits for a
// writer; of several unanswered ones the last is answered.
class WebSocketTransport final : public Transport {
 public:
  // `early`: bytes of the peer's that came behind its handshake head; copied.
  WebSocketTransport(std::unique_ptr<Transport> below, WebSocketRole role, Bytes early = {});
  ~WebSocketTransport() override;

  // eof after the peer's close frame with code 1000; another code, a violation or a text message
  // fails with a code of websocket_category(); an end of the stream without a close frame is
  // Errc::network.
  awaitable<IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  std::size_t write_now(Bytes bytes) noexcept override;
  // Sends a close frame (1000) if that needs no waiting.
  void close() noexcept override;

  // What the peer wrote into its close frame, or the frame that was wrong, printable.
  std::string end_detail() const override;

 private:
  awaitable<IoResult> read_below(MutableBytes into);
  awaitable<error_code> flush();
  std::size_t unwrap(MutableBytes bytes);
  void on_control(WebSocketEvent const& event);
  void answer(Opcode opcode, Bytes payload);
  void say_close(std::uint16_t code);
  bool flush_now() noexcept;
  Chunk frame(Opcode opcode, Chunk payload);

  std::unique_ptr<Transport> below_;
  WebSocketRole role_;
  WebSocketDecoder decoder_;
  MaskSource masks_;
  Chunk early_;  // not decoded yet, from early_at_ on
  std::size_t early_at_ = 0;
  Chunk unsent_;  // a control frame, or the rest of a frame that write_now began
  std::size_t unsent_at_ = 0;
  error_code read_end_;
  std::string end_detail_;
  bool writing_ = false;  // a write is pending, or ended midway: nothing may follow it
  bool close_sent_ = false;
  bool closed_ = false;
};

}  // namespace kportal::net
