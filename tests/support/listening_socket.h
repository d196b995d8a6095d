// SPDX-License-Identifier: MIT
// For tests that break a listening socket behind the program's back: which descriptor it is.
#pragma once

#include <cstdint>
#include <netinet/in.h>
#include <sys/socket.h>

namespace kportal::test {

// Whether it is a socket that listens on this port, of whatever address.
inline bool listens_on(int descriptor, std::uint16_t port) {
  int listens = 0;
  socklen_t size = sizeof listens;
  sockaddr_in address{};
  socklen_t length = sizeof address;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
         listens == 1 &&
         ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
         ntohs(address.sin_port) == port;
}

}  // namespace kportal::test
