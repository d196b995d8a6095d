// SPDX-License-Identifier: MIT
// Fuzzer of WebSocketDecoder in both roles: any pieces against the whole, frames of our own against
// what is read of them, and what is final.
#include "net/websocket.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

namespace kportal::net {
namespace {

using fuzz::require;
using Kind = WebSocketEvent::Kind;

// An event a line; the pieces of a message are joined.
class Listener {
 public:
  explicit Listener(WebSocketRole role) : decoder_(role) {}

  void take(std::string bytes) {
    MutableBytes rest = std::as_writable_bytes(std::span<char>(bytes));
    for (;;) {
      std::uint64_t const wanted = decoder_.wanted();
      auto const event = decoder_.decode(rest);
      require(event.consumed <= rest.size() && wanted > 0);
      rest = rest.subspan(event.consumed);
      if (event.kind == Kind::none) {
        require(rest.empty());
        return;
      }
      if (event.kind == Kind::error) return take_error(event);
      require(error_.value() == 0 && !closed_);
      take_event(event);
    }
  }

  std::string const& log() const { return log_; }
  error_code error() const { return error_; }
  bool closed() const { return closed_; }

 private:
  void take_error(WebSocketEvent const& event) {
    require(event.error.default_error_condition() ==
            boost::system::error_condition(static_cast<int>(Errc::protocol), errc_category()));
    require(!error_ || error_ == event.error);
    error_ = event.error;
  }

  void take_event(WebSocketEvent const& event) {
    std::string const payload(as_text(event.payload));
    if (event.kind == Kind::data) {
      require(event.message == Opcode::text || event.message == Opcode::binary);
      // Control frames may come between the pieces, so each message is written where it ends.
      message_ += payload;
      if (!event.message_end) return;
      log_ += (event.message == Opcode::text ? "text " : "binary ") + message_ + '\n';
      message_.clear();
      return;
    }
    require(payload.size() <= kMaxControlPayload);
    closed_ = event.kind == Kind::close;
    log_ += std::to_string(static_cast<int>(event.kind)) + ' ' + std::to_string(event.close_code) +
            ' ' + payload + '\n';
    if (closed_) require(!close_error(event.close_code).message().empty());
  }

  WebSocketDecoder decoder_;
  std::string log_;
  std::string message_;
  error_code error_;
  bool closed_ = false;
};

Listener heard(WebSocketRole role, std::vector<std::string> const& input) {
  Listener listener(role);
  for (std::string const& piece : input) listener.take(piece);
  return listener;
}

void check_pieces(WebSocketRole role, std::string_view text) {
  auto const whole = heard(role, {std::string(text)});
  for (std::size_t const most : {1U, 5U, 100U}) {
    auto const cut = heard(role, fuzz::pieces(text, most));
    require(cut.log() == whole.log() && cut.error() == whole.error());
    require(cut.closed() == whole.closed());
  }
}

// A message in fragments, with a ping between each two.
void check_fragments(WebSocketRole role, std::string const& payload, std::uint32_t mask) {
  WebSocketRole const peer =
      role == WebSocketRole::client ? WebSocketRole::server : WebSocketRole::client;
  auto const fragments = fuzz::pieces(payload, 100);
  std::string bytes;
  std::string expected;
  auto const add = [&](Opcode opcode, std::string_view text, bool fin) {
    bytes += as_text(encode_frame(role, opcode, Chunk::copy_of(as_bytes(text)), mask, fin).data());
  };
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    bool const last = i + 1 == fragments.size();
    add(i == 0 ? Opcode::text : Opcode::continuation, fragments[i], last);
    if (last) break;
    add(Opcode::ping, "p", true);
    expected += std::to_string(static_cast<int>(Kind::ping)) + " 0 p\n";
  }
  if (!fragments.empty()) expected += "text " + payload + '\n';
  auto const listener = heard(peer, {bytes});
  require(listener.log() == expected && !listener.error());
}

void check_encoder(WebSocketRole role, fuzz::Input input) {
  WebSocketRole const peer =
      role == WebSocketRole::client ? WebSocketRole::server : WebSocketRole::client;
  std::uint32_t const mask = input.number(4);
  std::string const payload(input.rest());
  Chunk frame = encode_frame(role, Opcode::binary, Chunk::copy_of(as_bytes(payload)), mask);
  auto const listener = heard(peer, fuzz::pieces(as_text(frame.data()), 50));
  require(listener.log() == "binary " + payload + '\n' && !listener.error());
  check_fragments(role, payload, mask);
  Chunk close = encode_frame(role, Opcode::close, close_payload(1000, payload), mask);
  auto const closed = heard(peer, {std::string(as_text(close.data()))});
  require(closed.closed() && !closed.error());
}

}  // namespace
}  // namespace kportal::net

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input input(data, size);
  std::uint8_t const choice = input.byte();
  auto const role = (choice & 1) != 0 ? net::WebSocketRole::client : net::WebSocketRole::server;
  net::check_pieces(role, input.rest());
  net::check_encoder(role, input);
  return 0;
}
