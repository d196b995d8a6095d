// SPDX-License-Identifier: MIT
// RawSpdy: the client's end of a port-forward connection for tests that look at single frames: no
// session, no waiting for replies, anything may be sent.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/spdy_frame.h"
#include "net/spdy_headers.h"
#include "net/transport.h"

namespace kportal::test {

// A frame with its own bytes; a DATA frame is whole.
struct RawFrame {
  net::FrameType type = net::FrameType::data;
  net::StreamId stream = 0;
  std::uint32_t value = 0;
  bool fin = false;
  std::string payload;
  RawFrame() = default;
};
// "REPLY 1", "DATA 3 FIN", "DATA 3 hello", "RST 1 5", "PING 7", "GOAWAY 5 0".
std::string to_string(RawFrame const& frame);

class RawSpdy {
 public:
  explicit RawSpdy(std::unique_ptr<net::Transport> transport) : transport_(std::move(transport)) {}

  // Bytes that send() will write: several frames can leave in one write.
  RawSpdy& syn(net::StreamId id, std::string type, std::string port, std::string request,
               net::Fin fin = net::Fin::no);
  RawSpdy& syn(net::StreamId id, net::Headers const& headers, net::Fin fin = net::Fin::no);
  RawSpdy& data(net::StreamId id, std::string_view text, net::Fin fin = net::Fin::no);
  RawSpdy& rst(net::StreamId id);
  RawSpdy& ping(std::uint32_t id);
  RawSpdy& goaway();
  RawSpdy& bytes(Bytes raw);
  // An error stream (id, finished) and a data stream (id + 2).
  RawSpdy& pair(net::StreamId id, std::string port);
  awaitable<bool> send();
  // The same bytes, for who writes them otherwise.
  std::string take_text();

  // The next frame; nothing at the end of the connection.
  awaitable<std::optional<RawFrame>> read();
  // The next frames as text, joined by ", "; "END" for the end. At most `count` of them.
  awaitable<std::string> read_text(int count);
  // Reads on until such a frame came; false at the end.
  awaitable<bool> read_until(std::string text);
  // Reads DATA of a stream until `size` bytes came or the stream ended.
  awaitable<std::string> read_data(net::StreamId id, std::size_t size);

  net::Transport& transport() { return *transport_; }

 private:
  std::unique_ptr<net::Transport> transport_;
  net::HeaderEncoder encoder_;
  net::HeaderDecoder decoder_;
  net::FrameParser parser_;
  std::vector<std::byte> out_;
  std::vector<std::byte> in_;
  std::deque<RawFrame> frames_;
  RawFrame partial_;
};

}  // namespace kportal::test
