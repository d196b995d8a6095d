// SPDX-License-Identifier: MIT
#include "net/websocket_transport.h"

#include <algorithm>
#include <new>
#include <utility>

#include <boost/asio/error.hpp>

#include "base/printable.h"

namespace kportal::net {
namespace {

constexpr std::uint16_t kNormalClose = 1000;
constexpr std::uint16_t kProtocolClose = 1002;
constexpr std::uint16_t kUnsupportedClose = 1003;

}  // namespace

WebSocketTransport::WebSocketTransport(std::unique_ptr<Transport> below, WebSocketRole role,
                                       Bytes early)
    : below_(std::move(below)), role_(role), decoder_(role), early_(Chunk::copy_of(early)) {}

WebSocketTransport::~WebSocketTransport() {
  close();
}

awaitable<IoResult> WebSocketTransport::read_some(MutableBytes into) {
  for (;;) {
    if (closed_) co_return IoResult(asio::error::operation_aborted, 0);
    if (read_end_) co_return IoResult(read_end_, 0);
    flush_now();
    // Payload is to come first in the buffer, for it is moved there otherwise.
    auto const wanted = std::min<std::uint64_t>(into.size(), decoder_.wanted());
    IoResult const got = co_await read_below(into.first(static_cast<std::size_t>(wanted)));
    // Only a close frame is an orderly end.
    if (got.error == asio::error::eof) read_end_ = make_error_code(Errc::network);
    if (got.error) co_return IoResult(read_end_ ? read_end_ : got.error, 0);
    std::size_t const size = unwrap(into.first(got.size));
    if (size != 0) co_return IoResult(error_code(), size);
  }
}

awaitable<IoResult> WebSocketTransport::read_below(MutableBytes into) {
  if (early_.empty()) co_return co_await below_->read_some(into);
  Bytes const rest = early_.data().subspan(early_at_);
  std::size_t const size = std::min(rest.size(), into.size());
  std::copy_n(rest.begin(), size, into.begin());
  early_at_ += size;
  if (size == rest.size()) early_ = Chunk();
  co_return IoResult(error_code(), size);
}

// Decodes in place: payload moves to the front of `bytes`. Returns its length; sets read_end_ at
// the end.
std::size_t WebSocketTransport::unwrap(MutableBytes bytes) {
  std::size_t size = 0;
  MutableBytes rest = bytes;
  for (;;) {
    WebSocketEvent const event = decoder_.decode(rest);
    if (event.kind == WebSocketEvent::Kind::none) return size;
    rest = rest.subspan(event.consumed);
    if (event.kind != WebSocketEvent::Kind::data) {
      on_control(event);
    } else if (event.message == Opcode::text) {
      read_end_ = make_error_code(WebSocketErrc::text_message);
      end_detail_ = decoder_.describe();
      say_close(kUnsupportedClose);
    } else if (event.payload.data() != bytes.data() + size) {
      // Forwards over the headers in between; ranges may overlap.
      std::copy(event.payload.begin(), event.payload.end(), bytes.data() + size);
      size += event.payload.size();
    } else {
      size += event.payload.size();
    }
    if (read_end_) return size;
  }
}

void WebSocketTransport::on_control(WebSocketEvent const& event) {
  switch (event.kind) {
    case WebSocketEvent::Kind::ping:
      answer(Opcode::pong, event.payload);
      break;
    case WebSocketEvent::Kind::close: {
      end_detail_ = printable(as_text(event.payload));
      bool const normal = event.close_code == kNormalClose;
      read_end_ = normal ? error_code(asio::error::eof) : close_error(event.close_code);
      bool const given = event.close_code != kNoCloseCode;
      say_close(given ? event.close_code : kNormalClose);
      break;
    }
    case WebSocketEvent::Kind::error:
      read_end_ = event.error;
      end_detail_ = decoder_.describe();
      say_close(kProtocolClose);
      break;
    default:
      break;
  }
}

std::string WebSocketTransport::end_detail() const {
  return end_detail_.empty() ? below_->end_detail() : end_detail_;
}

Chunk WebSocketTransport::frame(Opcode opcode, Chunk payload) {
  std::uint32_t const mask = role_ == WebSocketRole::client ? masks_.next() : 0;
  return encode_frame(role_, opcode, std::move(payload), mask);
}

// Replaces an answer that did not get out yet: only the last ping needs one (RFC 6455
// section 5.5.3).
void WebSocketTransport::answer(Opcode opcode, Bytes payload) {
  if (close_sent_ || unsent_at_ != 0) return;
  unsent_ = frame(opcode, Chunk::copy_of(payload));
  flush_now();
}

void WebSocketTransport::say_close(std::uint16_t code) {
  Chunk const payload = close_payload(code, "");
  answer(Opcode::close, payload.data());
  close_sent_ = true;
}

// True when nothing is left that must go before the next frame.
bool WebSocketTransport::flush_now() noexcept {
  if (writing_) return false;
  if (unsent_.empty()) return true;
  unsent_at_ += below_->write_now(unsent_.data().subspan(unsent_at_));
  if (unsent_at_ < unsent_.size()) return false;
  unsent_ = Chunk();
  unsent_at_ = 0;
  return true;
}

awaitable<error_code> WebSocketTransport::flush() {
  if (unsent_.empty()) co_return error_code();
  Chunk next = std::move(unsent_);
  if (unsent_at_ != 0) next = Chunk::copy_of(next.data().subspan(unsent_at_));
  unsent_at_ = 0;
  co_return co_await below_->write(std::move(next));
}

awaitable<error_code> WebSocketTransport::write(Chunk chunk) {
  if (closed_ || writing_) co_return asio::error::operation_aborted;
  // The writer may hear of the end before the reader does.
  if (read_end_) co_return read_end_;
  if (close_sent_) co_return asio::error::operation_aborted;
  if (chunk.empty()) co_return error_code();
  writing_ = true;
  error_code error = co_await flush();
  if (error) co_return error;
  Chunk framed = frame(Opcode::binary, std::move(chunk));
  error = co_await below_->write(std::move(framed));
  if (!error) error = co_await flush();
  writing_ = static_cast<bool>(error);
  co_return error;
}

std::size_t WebSocketTransport::write_now(Bytes bytes) noexcept {
  if (closed_ || close_sent_ || bytes.empty() || !flush_now()) return 0;
  Chunk framed;
  try {
    framed = frame(Opcode::binary, Chunk::copy_of(bytes));
  } catch (std::bad_alloc const&) {
    return 0;
  }
  std::size_t const taken = below_->write_now(framed.data());
  if (taken == 0) return 0;
  if (taken < framed.size()) {
    unsent_ = std::move(framed);
    unsent_at_ = taken;
  }
  return bytes.size();
}

void WebSocketTransport::close() noexcept {
  if (closed_) return;
  try {
    if (!close_sent_ && flush_now()) say_close(kNormalClose);
  } catch (std::bad_alloc const&) {  // then without a farewell
  }
  closed_ = true;
  below_->close();
}

}  // namespace kportal::net
