// SPDX-License-Identifier: MIT
// Transport: the reliable, ordered byte stream that everything stacks on (TCP <- TLS <- WebSocket).
// A layer owns the one below it. Not thread-safe; all of a stack lives on one loop.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>

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

// At most one read and one write at a time; a read and a write may overlap.
class Transport {
 public:
  virtual ~Transport() = default;
  // Reads at least one byte, or fails (asio::error::eof at an orderly end). `into` must live until
  // completion, also when cancelled.
  virtual awaitable<IoResult> read_some(MutableBytes into) = 0;
  // Writes all of `chunk`, then it is gone. Layers put their own header into its headroom, or copy
  // when the headroom is used up.
  virtual awaitable<error_code> write(Chunk chunk) = 0;
  // Ends both directions now, without a farewell that would need waiting; pending operations complete
  // with operation_aborted or eof. May be called more than once.
  virtual void close() noexcept = 0;
};

}  // namespace kportal::net
