// SPDX-License-Identifier: MIT
#include "lab/tunnel_transport.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/asio/error.hpp>

namespace kportal::lab {
namespace {

using net::Opcode;
using net::WebSocketEvent;

constexpr std::size_t kReadSize = 16 * 1024;
// gorilla's server writes through net/http's buffer of 4 KiB, 14 bytes of which are for the header;
// what is more than twice the buffer goes out whole, with an empty frame behind it (protocol.md 4).
constexpr std::size_t kFragment = 4082;
constexpr std::size_t kWhole = 8 * 1024;

}  // namespace

TunnelTransport::TunnelTransport(std::unique_ptr<net::Transport> below, bool fragments, Bytes early)
    : below_(std::move(below)),
      fragments_(fragments),
      decoder_(net::WebSocketRole::server),
      buffer_(std::max(kReadSize, early.size())) {
  std::copy(early.begin(), early.end(), buffer_.begin());
  input_ = MutableBytes(buffer_).first(early.size());
}

awaitable<net::IoResult> TunnelTransport::read_some(MutableBytes into) {
  for (;;) {
    if (!payload_.empty()) {
      auto const n = std::min(into.size(), payload_.size());
      std::memcpy(into.data(), payload_.data(), n);
      payload_ = payload_.subspan(n);
      co_return net::IoResult(error_code(), n);
    }
    if (closed_) co_return net::IoResult(asio::error::eof, 0);
    auto const event = decoder_.decode(input_);
    input_ = input_.subspan(event.consumed);
    if (event.kind == WebSocketEvent::Kind::data) {
      if (event.message != Opcode::binary) {
        co_return net::IoResult(make_error_code(net::WebSocketErrc::text_message), 0);
      }
      payload_ = event.payload;
    } else if (event.kind != WebSocketEvent::Kind::none) {
      auto const more = answer(event);
      if (!more) co_return net::IoResult(asio::error::eof, 0);
    } else {
      auto const [error, n] = co_await below_->read_some(buffer_);
      if (error) co_return net::IoResult(error, 0);
      input_ = MutableBytes(buffer_).first(n);
    }
  }
}

// A ping, a pong, a close or an error; false when nothing more is read.
bool TunnelTransport::answer(WebSocketEvent const& event) {
  switch (event.kind) {
    case WebSocketEvent::Kind::ping:
      send_control(Opcode::pong, event.payload);
      return true;
    case WebSocketEvent::Kind::pong:
      return true;
    case WebSocketEvent::Kind::close: {
      auto const code = event.close_code == 1005 ? std::uint16_t{1000} : event.close_code;
      auto const payload = net::close_payload(code, "");
      send_control(Opcode::close, payload.data());
      return false;
    }
    default:
      return false;
  }
}

void TunnelTransport::send_control(Opcode opcode, Bytes payload) noexcept {
  auto const frame =
      net::encode_frame(net::WebSocketRole::server, opcode, Chunk::copy_of(payload), 0);
  auto const bytes = Bytes(frame.data());
  auto const sent = writing_ ? 0 : below_->write_now(bytes);
  control_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(sent), bytes.end());
}

awaitable<error_code> TunnelTransport::write_frame(Opcode opcode, Chunk payload, bool fin) {
  auto frame = net::encode_frame(net::WebSocketRole::server, opcode, std::move(payload), 0, fin);
  co_return co_await below_->write(std::move(frame));
}

awaitable<error_code> TunnelTransport::write(Chunk chunk) {
  writing_ = true;
  auto failed = co_await write_message(std::move(chunk));
  if (!failed && !control_.empty()) {
    auto const bytes = std::exchange(control_, {});
    auto control = Chunk::copy_of(bytes);
    failed = co_await below_->write(std::move(control));
  }
  writing_ = false;
  co_return failed;
}

awaitable<error_code> TunnelTransport::write_message(Chunk chunk) {
  error_code failed;
  if (!fragments_ || chunk.size() <= kFragment) {
    failed = co_await write_frame(Opcode::binary, std::move(chunk), true);
  } else if (chunk.size() > kWhole) {
    failed = co_await write_frame(Opcode::binary, std::move(chunk), false);
    Chunk nothing(0);
    if (!failed) failed = co_await write_frame(Opcode::continuation, std::move(nothing), true);
  } else {
    auto opcode = Opcode::binary;
    for (auto left = Bytes(chunk.data()); !left.empty() && !failed;) {
      auto const n = std::min(left.size(), kFragment);
      auto piece = Chunk::copy_of(left.first(n));
      left = left.subspan(n);
      failed = co_await write_frame(opcode, std::move(piece), left.empty());
      opcode = Opcode::continuation;
    }
  }
  co_return failed;
}

void TunnelTransport::send_text(std::string_view text) noexcept {
  send_control(Opcode::text, as_bytes(text));
}

void TunnelTransport::close() noexcept {
  close_with(1000);
}

void TunnelTransport::close_with(std::uint16_t code) noexcept {
  if (std::exchange(closed_, true)) return;
  auto const payload = net::close_payload(code, "");
  send_control(Opcode::close, payload.data());
  below_->close();
}

}  // namespace kportal::lab
