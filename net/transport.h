// SPDX-License-Identifier: MIT
// Transport: the reliable, ordered byte stream that everything stacks on (TCP <- TLS <- WebSocket).
// A layer owns the one below it. Not thread-safe; all of a stack lives on one loop.
#pragma once

#include <cstddef>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "base/bytes.h"
#include "base/chunk.h"
#include "base/error.h"

namespace kportal {
namespace asio = boost::asio;
using asio::awaitable;
}  // namespace kportal

namespace kportal::net {

struct IoResult {
  error_code error;
  std::size_t size = 0;
  IoResult(error_code e, std::size_t n) : error(e), size(n) {}
};

// At most one read and one write at a time; a read and a write may overlap. Destroy it only when
// neither is pending. A write that was cancelled or failed breaks the stream: only close() may
// follow.
class Transport {
 public:
  virtual ~Transport() = default;
  // Reads at least one byte, or fails (asio::error::eof at an orderly end). `into` must live until
  // completion, also when cancelled.
  virtual awaitable<IoResult> read_some(MutableBytes into) = 0;
  // Writes all of `chunk`, then it is gone. Layers put their own header into its headroom, or copy
  // when the headroom is used up.
  virtual awaitable<error_code> write(Chunk chunk) = 0;
  // Takes a prefix of `bytes` if that needs no waiting, and returns its length: 0 while a write()
  // is pending, while the peer takes nothing, and at a layer that cannot. What was taken goes
  // before any later write. For what must not wait: farewells, and answers that a read gives.
  virtual std::size_t write_now(Bytes bytes) noexcept {
    static_cast<void>(bytes);
    return 0;
  }
  // Ends both directions now, without a farewell that would need waiting; pending operations
  // complete with operation_aborted or eof. May be called more than once.
  virtual void close() noexcept = 0;
  // For texts of errors, after a read failed: what the peer sent that the error's own message does
  // not tell. Empty where there is nothing.
  virtual std::string end_detail() const { return {}; }
};

}  // namespace kportal::net
