// SPDX-License-Identifier: MIT
#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <openssl/ssl.h>

#include "net/spdy_frame.h"
#include "net/spdy_headers.h"
#include "net/websocket.h"
#include "tests/bench/peer.h"
#include "tests/bench/place.h"
#include "tests/bench/tls_socket.h"

namespace kportal::bench {
namespace {

using net::WebSocketEvent;

constexpr char const* kProtocol = "SPDY/3.1+portforward.k8s.io";
// As much as TLS gives at once.
constexpr std::size_t kRead = 16 * 1024;
constexpr std::size_t kReadAhead = 64 * 1024;

void append(std::vector<std::byte>& to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void add_stream(std::vector<std::byte>& frames, net::HeaderEncoder& encoder, net::StreamId id,
                std::string const& type, std::uint16_t port) {
  std::vector<std::byte> block;
  encoder.encode({{"streamtype", type}, {"port", std::to_string(port)}, {"requestid", "0"}}, block);
  auto const fin = type == "error" ? net::Fin::yes : net::Fin::no;
  append(frames, net::syn_stream_head(id, fin, block.size()));
  append(frames, block);
}

class Discarder {
 public:
  Discarder(Socket local, TunnelPlace const& place)
      : local_(std::move(local)),
        tls_(TlsSocket::connect(Socket::connect(place.api_port))),
        buffer_(kRead) {
    // One call of the kernel for several records: it is to be as cheap as can be.
    SSL_set_read_ahead(tls_.native(), 1);
    SSL_set_default_read_buffer_len(tls_.native(), kReadAhead);
    upgrade(place);
  }

  void open(std::uint16_t pod_port) {
    net::HeaderEncoder encoder;
    std::vector<std::byte> frames;
    add_stream(frames, encoder, 1, "error", pod_port);
    add_stream(frames, encoder, 3, "data", pod_port);
    net::MaskSource masks;
    auto const message = net::encode_frame(net::WebSocketRole::client, net::Opcode::binary,
                                           Chunk::copy_of(frames), masks.next());
    if (!tls_.write_all(message.data())) throw CannotMeasure("the tunnel ends at once");
  }

  void run() {
    for (;;) {
      std::size_t const n = tls_.read(buffer_);
      if (n == 0 || !take(MutableBytes(buffer_).first(n))) return;
    }
  }

 private:
  // What comes behind the head is no stream's yet: none is open.
  void upgrade(TunnelPlace const& place) {
    auto request = net::websocket_request(place.path, "127.0.0.1", net::websocket_key(), kProtocol);
    request.headers.add("Authorization", "Bearer " + place.token);
    std::string const text = *net::encode(request);
    std::string answer;
    tls_.write_all(as_bytes(text));
    while (answer.find("\r\n\r\n") == std::string::npos) {
      std::size_t const n = tls_.read(buffer_);
      answer += as_text(Bytes(buffer_).first(n));
      if (n == 0) break;
    }
    if (!answer.starts_with("HTTP/1.1 101")) throw CannotMeasure("no tunnel: " + answer);
  }

  // False when nothing more comes, or nobody wants to know.
  bool take(MutableBytes input) {
    for (;;) {
      WebSocketEvent const event = decoder_.decode(input);
      input = input.subspan(event.consumed);
      if (event.kind == WebSocketEvent::Kind::none) return true;
      if (event.kind == WebSocketEvent::Kind::data && !take_frames(event.payload)) return false;
      if (event.kind == WebSocketEvent::Kind::close) return false;
      if (event.kind == WebSocketEvent::Kind::error) return false;
    }
  }

  bool take_frames(Bytes input) {
    while (!input.empty()) {
      std::optional<net::Frame> frame;
      if (parser_.next(input, frame)) return false;
      if (!frame) return true;
      if (frame->type == net::FrameType::data) dropped_ += frame->bytes.size();
    }
    if (dropped_ < kBytesPerByte) return true;
    dropped_ -= kBytesPerByte;
    std::byte const one{};
    return local_.write_all(Bytes(&one, 1));
  }

  Socket local_;
  TlsSocket tls_;
  std::vector<std::byte> buffer_;
  net::WebSocketDecoder decoder_{net::WebSocketRole::client};
  net::FrameParser parser_;
  std::size_t dropped_ = 0;  // not told yet
};

}  // namespace

void discard(Socket local, TunnelPlace const& place, std::uint16_t pod_port) {
  Discarder discarder(std::move(local), place);
  discarder.open(pod_port);
  discarder.run();
}

}  // namespace kportal::bench
