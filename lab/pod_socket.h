// SPDX-License-Identifier: MIT
// PodSocket: one end of a TCP-like connection inside a pod, made in pairs, in memory. One end
// belongs to the application, the other to the runtime that forwards to it. Each direction holds a
// bounded number of bytes, so that an application that does not read stops its writer, as a
// kernel's buffers do.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <boost/asio/any_io_executor.hpp>

#include "base/clock.h"
#include "net/transport.h"

namespace kportal::lab {

class PodSocket : public net::Transport {
 public:
  ~PodSocket() override;

  awaitable<net::IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  // FIN behind what was written, and nothing is read any more. As in a kernel, unread bytes make it
  // a reset. The peer reads what is buffered, then eof or connection_reset.
  void close() noexcept override;
  // FIN only: this end goes on reading.
  void shutdown_send() noexcept;
  // RST: the peer reads what is buffered, then connection_reset; its writes fail at once.
  void reset() noexcept;
  // Close or reset, whichever end did it: nothing more can be read or written here.
  bool closed() const;
  // Returns once there is something to read (or an end), or at `deadline`; reads nothing.
  awaitable<void> wait_readable(TimePoint deadline);
  // Returns after close() or reset() of either end. Not while a read waits.
  awaitable<void> wait_closed();

  struct Shared;
  PodSocket(std::shared_ptr<Shared> shared, int side);

 private:
  std::shared_ptr<Shared> shared_;
  int side_;
};

// `capacity`: bytes that each direction holds before its writer waits.
std::pair<std::unique_ptr<PodSocket>, std::unique_ptr<PodSocket>> make_pod_sockets(
    asio::any_io_executor executor, std::size_t capacity);

}  // namespace kportal::lab
