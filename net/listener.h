// SPDX-License-Identifier: MIT
// Listener: one local port on several addresses, and the connections that arrive there. It holds no
// queue of its own: who does not call accept() leaves them in the kernel's. Not the relay, not a
// limit.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/error.h"

namespace kportal {
namespace asio = boost::asio;
using asio::awaitable;
}  // namespace kportal

namespace kportal::net {

class Listener {
 public:
  // Each address is an IP literal or "localhost" (127.0.0.1 and ::1); duplicates count once. A
  // family that this machine lacks is left out unless nothing would remain. Port 0 takes a free
  // port, the same on all addresses. The sockets listen (backlog 1024, SO_REUSEADDR) when this
  // returns. Errors, the text naming ADDRESS:PORT: Errc::port_in_use if one of them has it;
  // Errc::local for an address that is not of this machine, a port without permission, no
  // descriptors, a malformed address.
  static Result<std::unique_ptr<Listener>> open(asio::any_io_executor executor,
                                                std::span<std::string const> addresses,
                                                std::uint16_t port);
  ~Listener();
  Listener(Listener const&) = delete;
  Listener& operator=(Listener const&) = delete;

  std::uint16_t port() const;
  // What is bound, IPv4 before IPv6.
  std::vector<asio::ip::tcp::endpoint> const& endpoints() const;

  // The next connection of any address, in turn, with TCP_NODELAY set. One call at a time. A
  // connection that is gone before it was accepted is skipped. Errors: Errc::closed after close();
  // Errc::local if a socket itself is broken, for good; Errc::limit when descriptors or kernel
  // memory begin to be short, once for each time: the next call waits and tries again (50 ms,
  // doubling up to 1 s); the last descriptors are not taken (may_take_descriptor). The text names
  // ADDRESS:PORT, and the limit.
  awaitable<Result<asio::ip::tcp::socket>> accept();

  // Stops listening; a pending accept() fails with Errc::closed. Idempotent.
  void close();

 private:
  struct State;
  explicit Listener(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  // shared with the readiness handlers
};

}  // namespace kportal::net
