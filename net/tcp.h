// SPDX-License-Identifier: MIT
// TcpTransport, the lowest Transport, and connect(): a name and a port to a connected socket,
// trying all addresses of both families (happy eyeballs, RFC 8305). Knows nothing of proxies and
// TLS.
#pragma once

#include <cstdint>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/clock.h"
#include "net/resolver.h"
#include "net/transport.h"

namespace kportal::net {

struct TcpOptions {
  // The idle time after which the kernel probes the peer (then every third of it, three times);
  // zero = off.
  Duration keepalive;
  explicit TcpOptions(Duration idle = std::chrono::seconds(30)) : keepalive(idle) {}
};

// The wait before the next address is tried beside those that have not answered yet.
inline constexpr Duration kHappyEyeballsDelay = std::chrono::milliseconds(250);
// Addresses tried at the most.
inline constexpr std::size_t kMaxConnectAddresses = 16;

// TCP_NODELAY is set. Errors: those of the resolver; Errc::timeout at the deadline; Errc::network
// when all addresses failed; Errc::local when this machine has no descriptor left. The text names
// HOST:PORT, the addresses tried and the cause.
awaitable<Result<asio::ip::tcp::socket>> connect(Resolver& resolver, std::string host,
                                                 std::uint16_t port, TcpOptions options,
                                                 TimePoint deadline);

// "host:port", with brackets around an IPv6 literal.
std::string host_port(std::string_view host, std::uint16_t port);

// Owns a connected socket, from connect() or Listener::accept(). close() while bytes of the peer's
// are unread is a reset to TCP, and may cost the peer what was written last: who answers and leaves
// reads to eof first.
class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(asio::ip::tcp::socket socket);

  awaitable<IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  std::size_t write_now(Bytes bytes) noexcept override;
  void close() noexcept override;

  asio::ip::tcp::socket& socket() { return socket_; }

 private:
  asio::ip::tcp::socket socket_;
  bool writing_ = false;  // a write is pending, or ended midway: nothing may follow it
};

}  // namespace kportal::net
