// SPDX-License-Identifier: MIT
#include "tests/support/memory_transport.h"

#include <algorithm>

#include <boost/asio/error.hpp>

#include "base/wakeup.h"

namespace kportal::test {

// One direction: who writes appends, who reads takes from `begin` on.
struct MemoryTransport::Pipe {
  explicit Pipe(asio::any_io_executor const& executor) : to_read(executor), to_write(executor) {}
  std::size_t size() const { return bytes.size() - begin; }

  std::vector<std::byte> bytes;
  std::size_t begin = 0;
  bool write_end_closed = false;
  bool read_end_closed = false;
  Wakeup to_read;
  Wakeup to_write;
};

struct MemoryTransport::Link {
  explicit Link(asio::any_io_executor const& executor) : one(executor), other(executor) {}
  Pipe one;
  Pipe other;
};

std::pair<std::unique_ptr<MemoryTransport>, std::unique_ptr<MemoryTransport>>
MemoryTransport::make_pair(asio::any_io_executor executor) {
  auto const link = std::make_shared<Link>(executor);
  std::unique_ptr<MemoryTransport> near(new MemoryTransport(link, link->one, link->other));
  std::unique_ptr<MemoryTransport> far(new MemoryTransport(link, link->other, link->one));
  return {std::move(near), std::move(far)};
}

MemoryTransport::MemoryTransport(std::shared_ptr<Link> link, Pipe& in, Pipe& out)
    : link_(std::move(link)), in_(in), out_(out) {}

MemoryTransport::~MemoryTransport() {
  close();
}

error_code MemoryTransport::begin_operation() {
  if (closed_) return asio::error::operation_aborted;
  error_code const error = fail_count_ == nullptr ? error_code() : fail_count_->next();
  if (error) close();
  return error;
}

awaitable<net::IoResult> MemoryTransport::read_some(MutableBytes into) {
  error_code const error = begin_operation();
  if (error) co_return net::IoResult(error, 0);
  read_room_ = into.size();
  while (in_.size() == 0 && !in_.write_end_closed && !closed_) {
    co_await in_.to_read.wait();
  }
  if (closed_) co_return net::IoResult(asio::error::operation_aborted, 0);
  if (in_.size() == 0) co_return net::IoResult(asio::error::eof, 0);
  std::size_t n = std::min({in_.size(), into.size(), max_read_});
  if (total_read_ < break_at_) n = std::min(n, break_at_ - total_read_);
  std::copy_n(in_.bytes.begin() + static_cast<std::ptrdiff_t>(in_.begin), n, into.begin());
  total_read_ += n;
  in_.begin += n;
  if (in_.size() == 0) {
    in_.bytes.clear();
    in_.begin = 0;
  }
  in_.to_write.set();
  co_return net::IoResult(error_code(), n);
}

awaitable<error_code> MemoryTransport::write(Chunk chunk) {
  error_code const error = begin_operation();
  if (error) co_return error;
  writing_ = true;
  while (must_wait() && !closed_ && !out_.read_end_closed) {
    co_await out_.to_write.wait();
  }
  writing_ = false;
  if (closed_) co_return error_code(asio::error::operation_aborted);
  if (out_.read_end_closed) co_return error_code(asio::error::broken_pipe);
  put(std::as_const(chunk).data());
  co_return error_code();
}

std::size_t MemoryTransport::write_now(Bytes bytes) noexcept {
  if (writing_ || must_wait() || closed_ || out_.read_end_closed) return 0;
  put(bytes);
  return bytes.size();
}

bool MemoryTransport::must_wait() const {
  return blocked_ || out_.size() >= capacity_;
}

void MemoryTransport::put(Bytes bytes) {
  out_.bytes.insert(out_.bytes.end(), bytes.begin(), bytes.end());
  writes_.push_back(bytes.size());
  if (keep_) written_.append(as_text(bytes));
  out_.to_read.set();
}

void MemoryTransport::close() noexcept {
  if (closed_) return;
  closed_ = true;
  shut_down_writing();
  in_.read_end_closed = true;
  in_.to_read.set();
  in_.to_write.set();
  out_.to_write.set();
}

void MemoryTransport::block_writes(bool block) {
  blocked_ = block;
  out_.to_write.set();
}

void MemoryTransport::shut_down_writing() {
  out_.write_end_closed = true;
  out_.to_read.set();
}

}  // namespace kportal::test
