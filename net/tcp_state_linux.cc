// SPDX-License-Identifier: MIT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/tcp_state.h"

namespace kportal::net {

bool acknowledged_within(boost::asio::ip::tcp::socket& socket, Duration within) {
  tcp_info info{};
  socklen_t size = sizeof info;
  int const failed = ::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size);
  if (failed != 0) return true;
  // A probe of a closed window counts until it is answered; the last one may just have left.
  if (info.tcpi_unacked == 0) return info.tcpi_probes < 2;
  Duration const silent = std::chrono::milliseconds(info.tcpi_last_ack_recv);
  return info.tcpi_retransmits == 0 || silent <= within;
}

}  // namespace kportal::net
