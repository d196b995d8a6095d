// SPDX-License-Identifier: MIT
#include "net/source_address.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/udp.hpp>

namespace kportal::net {

using boost::asio::ip::udp;

// What is asked for is the route, for which any port will do: connecting a UDP socket is only that.
// By system calls, for Asio's socket needs a loop, and one made for it throws where descriptors
// lack.
std::optional<boost::asio::ip::address> source_toward(boost::asio::ip::address const& peer) {
  constexpr unsigned short kAnyPort = 443;
  udp::endpoint const endpoint(peer, kAnyPort);
  int const socket = ::socket(endpoint.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return std::nullopt;
  udp::endpoint local;
  auto size = static_cast<socklen_t>(local.capacity());
  bool const known =
      ::connect(socket, endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0 &&
      ::getsockname(socket, local.data(), &size) == 0;
  ::close(socket);
  if (!known) return std::nullopt;
  local.resize(size);
  return local.address();
}

}  // namespace kportal::net
