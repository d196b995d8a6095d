// SPDX-License-Identifier: MIT
#include "lab/pod_socket.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include <boost/asio/error.hpp>

#include "base/wakeup.h"

namespace kportal::lab {
namespace {

// Small writes are bounded by number, as a kernel charges for each buffer.
constexpr std::size_t kMaxPieces = 512;

// One direction.
struct Pipe {
  explicit Pipe(asio::any_io_executor executor) : readable(executor), writable(executor) {}

  std::deque<Chunk> pieces;
  std::size_t begin = 0;  // read of the first piece
  std::size_t size = 0;
  bool fin = false;    // nothing follows
  bool reset = false;  // the end is a reset; also for the writer
  bool reader_gone = false;
  Wakeup readable;
  Wakeup writable;

  std::size_t take(MutableBytes into);
  void wake();
};

std::size_t Pipe::take(MutableBytes into) {
  std::size_t taken = 0;
  while (taken < into.size() && !pieces.empty()) {
    auto const piece = Bytes(pieces.front().data()).subspan(begin);
    auto const n = std::min(piece.size(), into.size() - taken);
    std::memcpy(into.data() + taken, piece.data(), n);
    taken += n;
    begin += n;
    if (n < piece.size()) break;
    pieces.pop_front();
    begin = 0;
  }
  size -= taken;
  writable.set();
  return taken;
}

void Pipe::wake() {
  readable.set();
  writable.set();
}

}  // namespace

struct PodSocket::Shared {
  Shared(asio::any_io_executor executor, std::size_t most)
      : pipes{Pipe(executor), Pipe(executor)}, capacity(most) {}

  std::array<Pipe, 2> pipes;  // pipes[i] is written by side i
  std::array<bool, 2> closed{};
  std::size_t capacity;
};

PodSocket::PodSocket(std::shared_ptr<Shared> shared, int side)
    : shared_(std::move(shared)), side_(side) {}

PodSocket::~PodSocket() {
  close();
}

awaitable<net::IoResult> PodSocket::read_some(MutableBytes into) {
  auto& in = shared_->pipes[static_cast<std::size_t>(1 - side_)];
  for (;;) {
    if (shared_->closed[static_cast<std::size_t>(side_)]) {
      co_return net::IoResult(asio::error::operation_aborted, 0);
    }
    if (in.size > 0) co_return net::IoResult(error_code(), in.take(into));
    if (in.reset) co_return net::IoResult(asio::error::connection_reset, 0);
    if (in.fin) co_return net::IoResult(asio::error::eof, 0);
    co_await in.readable.wait();
  }
}

awaitable<error_code> PodSocket::write(Chunk chunk) {
  auto& out = shared_->pipes[static_cast<std::size_t>(side_)];
  for (;;) {
    if (out.reset || out.reader_gone) co_return asio::error::connection_reset;
    if (out.fin) co_return asio::error::broken_pipe;
    if (out.size < shared_->capacity && out.pieces.size() < kMaxPieces) break;
    co_await out.writable.wait();
  }
  if (chunk.empty()) co_return error_code();
  out.size += chunk.size();
  out.pieces.push_back(std::move(chunk));
  out.readable.set();
  co_return error_code();
}

void PodSocket::close() noexcept {
  auto const side = static_cast<std::size_t>(side_);
  if (std::exchange(shared_->closed[side], true)) return;
  auto& out = shared_->pipes[side];
  auto& in = shared_->pipes[1 - side];
  if (in.size > 0) out.reset = true;
  out.fin = true;
  in.reader_gone = true;
  out.wake();
  in.wake();
}

void PodSocket::shutdown_send() noexcept {
  auto& out = shared_->pipes[static_cast<std::size_t>(side_)];
  out.fin = true;
  out.wake();
}

void PodSocket::reset() noexcept {
  for (auto& pipe : shared_->pipes) pipe.reset = true;
  close();
}

bool PodSocket::closed() const {
  auto const side = static_cast<std::size_t>(side_);
  return shared_->closed[side] || shared_->closed[1 - side];
}

awaitable<void> PodSocket::wait_readable(TimePoint deadline) {
  auto& in = shared_->pipes[static_cast<std::size_t>(1 - side_)];
  while (in.size == 0 && !in.fin && !in.reset && !closed()) {
    auto const woken = co_await in.readable.wait_until(deadline);
    if (!woken) co_return;
  }
}

awaitable<void> PodSocket::wait_closed() {
  auto& in = shared_->pipes[static_cast<std::size_t>(1 - side_)];
  while (!closed()) {
    co_await in.readable.wait();
  }
}

std::pair<std::unique_ptr<PodSocket>, std::unique_ptr<PodSocket>> make_pod_sockets(
    asio::any_io_executor executor, std::size_t capacity) {
  auto const shared = std::make_shared<PodSocket::Shared>(executor, capacity);
  return {std::make_unique<PodSocket>(shared, 0), std::make_unique<PodSocket>(shared, 1)};
}

}  // namespace kportal::lab
