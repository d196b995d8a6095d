// SPDX-License-Identifier: MIT
#include "net/tls.h"

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "base/printable.h"
#include "base/turns.h"
#include "net/close_timer.h"
#include "net/tls_engine.h"

namespace kportal::net {
namespace {

// What a peer says at once in a handshake mostly fits.
constexpr std::size_t kHandshakeRead = 4 * 1024;
// A read of this much means that more is on its way.
constexpr std::size_t kBulkRead = 16 * 1024;
// A record's worth: what write_now encrypts at once.
constexpr std::size_t kMaxWriteNow = 16 * 1024;

Error handshake_io_error(CloseTimer const& timer, error_code error) {
  if (timer.expired()) return {Errc::timeout, "no answer to the TLS handshake in time"};
  if (error == asio::error::eof) {
    return {Errc::network, "the peer ended the connection during the TLS handshake"};
  }
  return io_error(error, "TLS handshake");
}

// Writes what the engine has. A failure is not the end: the peer's alert that explains it may be
// there.
awaitable<error_code> send_output(Transport& below, TlsEngine& engine) {
  while (engine.has_output()) {
    Chunk next = engine.take_output();
    error_code const error = co_await below.write(std::move(next));
    if (error) co_return error;
  }
  co_return error_code();
}

awaitable<Result<void>> shake_hands(Transport& below, TlsEngine& engine, TimePoint deadline) {
  auto const executor = co_await asio::this_coro::executor;
  CloseTimer const timer(executor, below, deadline);
  error_code broken;
  for (;;) {
    co_await own_turn();  // it may take a millisecond, and hundreds may be due
    auto const step = engine.handshake();
    if (!broken) broken = co_await send_output(below, engine);
    if (step == TlsEngine::Step::failed) co_return engine.handshake_error();
    if (step == TlsEngine::Step::done) {
      if (broken) co_return handshake_io_error(timer, broken);
      co_return Result<void>();
    }
    Chunk input(kHandshakeRead);
    IoResult const got = co_await below.read_some(input.room());
    if (got.error) co_return handshake_io_error(timer, broken ? broken : got.error);
    input.commit(got.size);
    engine.feed(std::move(input));
  }
}

awaitable<Result<std::unique_ptr<TlsTransport>>> establish(std::unique_ptr<Transport> below,
                                                           std::unique_ptr<TlsEngine> engine,
                                                           TimePoint deadline, TlsFacts* seen) {
  auto const executor = co_await asio::this_coro::executor;
  auto const shaken = co_await shake_hands(*below, *engine, deadline);
  if (seen != nullptr) *seen = engine->facts();
  if (!shaken) {
    below->close();
    co_return shaken.error();
  }
  co_return std::make_unique<TlsTransport>(executor, std::move(below), std::move(engine));
}

}  // namespace

TlsTransport::TlsTransport(asio::any_io_executor executor, std::unique_ptr<Transport> below,
                           std::unique_ptr<TlsEngine> engine)
    : below_(std::move(below)), engine_(std::move(engine)), progress_(std::move(executor)) {}

TlsTransport::~TlsTransport() {
  close();
}

awaitable<IoResult> TlsTransport::read_some(MutableBytes into) {
  for (;;) {
    if (closed_) co_return IoResult(asio::error::operation_aborted, 0);
    IoResult const got = engine_->decrypt(into);
    progress_.set();
    flush_now();
    if (got.error || got.size != 0) co_return got;
    if (engine_->unsent() > kMaxUnsent) co_return IoResult(make_error_code(Errc::limit), 0);
    error_code const error = co_await fill();
    if (error) co_return IoResult(error, 0);
  }
}

awaitable<error_code> TlsTransport::fill() {
  Chunk input(read_size_);
  IoResult const got = co_await below_->read_some(input.room());
  if (got.error) co_return got.error;
  input.commit(got.size);
  if (got.size < std::min(read_size_, kBulkRead)) {
    read_size_ = kIdleRead;
  } else {
    read_size_ = read_size_ == kIdleRead ? kBulkRead : Chunk::kPayload;
  }
  engine_->feed(std::move(input));
  co_return error_code();
}

awaitable<error_code> TlsTransport::write(Chunk chunk) {
  if (closed_ || writing_) co_return asio::error::operation_aborted;
  if (chunk.empty()) co_return error_code();
  writing_ = true;
  error_code error = engine_->encrypt(chunk.data());
  while (error == boost::system::errc::resource_unavailable_try_again) {
    co_await progress_.wait();
    if (closed_) co_return asio::error::operation_aborted;
    error = engine_->encrypt(chunk.data());
  }
  chunk = Chunk();
  if (!error) error = co_await flush();
  writing_ = static_cast<bool>(error);
  co_return error;
}

awaitable<error_code> TlsTransport::flush() {
  return send_output(*below_, *engine_);
}

void TlsTransport::flush_now() noexcept {
  if (writing_) return;
  while (engine_->has_output()) {
    Bytes const output = engine_->output();
    std::size_t const taken = below_->write_now(output);
    engine_->sent(taken);
    if (taken < output.size()) return;
  }
}

std::size_t TlsTransport::write_now(Bytes bytes) noexcept {
  if (closed_ || writing_ || bytes.empty()) return 0;
  flush_now();
  if (engine_->has_output()) return 0;
  bytes = bytes.first(std::min(bytes.size(), kMaxWriteNow));
  if (engine_->encrypt(bytes)) return 0;
  flush_now();
  return bytes.size();
}

void TlsTransport::close() noexcept {
  if (closed_) return;
  closed_ = true;
  if (!writing_) {
    engine_->say_goodbye();
    flush_now();
  }
  below_->close();
  progress_.set();
}

std::string TlsTransport::end_detail() const {
  static_assert(kMaxUnsent == 256 * 1024);
  if (engine_->unsent() <= kMaxUnsent) return below_->end_detail();
  return "more than 256 KiB of answers of TLS wait for the peer to read them";
}

bool TlsTransport::resumed() const {
  return engine_->resumed();
}
std::string TlsTransport::alpn() const {
  return engine_->alpn();
}
std::string TlsTransport::version() const {
  return engine_->version();
}
TlsFacts TlsTransport::facts() const {
  return engine_->facts();
}
std::optional<TlsPeer> TlsTransport::peer() const {
  return engine_->peer();
}

awaitable<Result<std::unique_ptr<TlsTransport>>> tls_connect(std::unique_ptr<Transport> below,
                                                             TlsContext& context, std::string host,
                                                             TimePoint deadline, TlsFacts* seen) {
  auto engine = TlsEngine::client(context, host);
  if (!engine) co_return engine.error().within(printable(host));
  auto established = co_await establish(std::move(below), std::move(*engine), deadline, seen);
  if (!established) co_return established.error().within(printable(host));
  co_return std::move(established);
}

awaitable<Result<std::unique_ptr<TlsTransport>>> tls_accept(std::unique_ptr<Transport> below,
                                                            TlsContext& context,
                                                            TimePoint deadline) {
  auto engine = TlsEngine::server(context);
  if (!engine) co_return engine.error();
  co_return co_await establish(std::move(below), std::move(*engine), deadline, nullptr);
}

}  // namespace kportal::net
