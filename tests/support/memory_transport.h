// SPDX-License-Identifier: MIT
// MemoryTransport: a pair of Transports that are each other's peer, in memory and on one loop. What
// the network may do to bytes is a knob of the end it happens to: reads in pieces, writes that
// wait, the Nth operation failing. Not a timer: whatever waits, waits for the other end or for a
// knob.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/transport.h"

namespace kportal::test {

// Counts operations and fails the Nth, the first being 1; so a test can fail each one in turn until
// a run needs fewer than N. Several transports may share one.
class FailCount {
 public:
  explicit FailCount(std::size_t nth, error_code error) : left_(nth), error_(error) {}
  // The error of the operation that begins now, if it is the Nth.
  error_code next() { return left_ != 0 && --left_ == 0 ? error_ : error_code(); }
  // The Nth operation was reached.
  bool failed() const { return left_ == 0; }

 private:
  std::size_t left_;
  error_code error_;
};

class MemoryTransport final : public net::Transport {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  static std::pair<std::unique_ptr<MemoryTransport>, std::unique_ptr<MemoryTransport>> make_pair(
      asio::any_io_executor executor);
  ~MemoryTransport() override;

  awaitable<net::IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  std::size_t write_now(Bytes bytes) noexcept override;
  void close() noexcept override;

  // No read of this end brings more than this.
  void set_max_read(std::size_t size) { max_read_ = size; }
  // No read of this end goes past this offset in what it reads in total.
  void break_read_at(std::size_t offset) { break_at_ = offset; }
  // A write of this end waits while this much lies unread at the other.
  void set_capacity(std::size_t size) { capacity_ = size; }
  // While set, writes of this end wait, and write_now takes nothing.
  void block_writes(bool block);
  // Reads and writes of this end count; it must outlive them. A failure closes this end.
  void fail_by(FailCount* count) { fail_count_ = count; }
  // The peer reads eof after what was written; this end may still read.
  void shut_down_writing();

  // The size of each write of this end so far, and all bytes when kept.
  std::vector<std::size_t> const& writes() const { return writes_; }
  void keep_written() { keep_ = true; }
  std::string const& written() const { return written_; }
  // The room of the read that waits, or of the last one.
  std::size_t read_room() const { return read_room_; }
  bool closed() const { return closed_; }

 private:
  struct Link;
  struct Pipe;
  MemoryTransport(std::shared_ptr<Link> link, Pipe& in, Pipe& out);
  error_code begin_operation();
  bool must_wait() const;
  void put(Bytes bytes);

  std::shared_ptr<Link> link_;  // both ends hold it
  Pipe& in_;
  Pipe& out_;
  std::size_t max_read_ = kUnlimited;
  std::size_t break_at_ = kUnlimited;
  std::size_t total_read_ = 0;
  std::size_t read_room_ = 0;
  std::size_t capacity_ = kUnlimited;
  FailCount* fail_count_ = nullptr;
  std::vector<std::size_t> writes_;
  std::string written_;
  bool keep_ = false;
  bool blocked_ = false;
  bool writing_ = false;
  bool closed_ = false;
};

}  // namespace kportal::test
