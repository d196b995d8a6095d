// SPDX-License-Identifier: MIT
#include "net/source_address.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>

namespace kportal::net {

using boost::asio::ip::udp;

// What is asked for is the route, for which any port will do: connecting a UDP socket is only that.
std::optional<boost::asio::ip::address> source_toward(boost::asio::ip::address const& peer) {
  constexpr unsigned short kAnyPort = 443;
  boost::asio::io_context unused;
  udp::socket socket(unused);
  boost::system::error_code error;
  udp::endpoint const endpoint(peer, kAnyPort);
  socket.open(endpoint.protocol(), error);
  if (!error) socket.connect(endpoint, error);
  if (error) return std::nullopt;
  auto const local = socket.local_endpoint(error);
  if (error) return std::nullopt;
  return local.address();
}

}  // namespace kportal::net
