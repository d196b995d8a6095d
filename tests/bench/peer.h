// SPDX-License-Identifier: MIT
// What the program is compared with where nothing else is to be had: a bare TLS relay, and a client
// that reads a tunnel and delivers nothing. Each treats one local connection to its end, blocking,
// in the calling thread; bench_peer runs them.
#pragma once

#include <cstdint>
#include <string>

#include "tests/bench/socket.h"

namespace kportal::bench {

// To a port of 127.0.0.1 that speaks TLS. Copies both ways until either ends.
void relay(Socket local, std::uint16_t tls_port);

// An API server on 127.0.0.1, and the pod's path there.
struct TunnelPlace {
  std::uint16_t api_port = 0;
  std::string token;
  std::string path;
};
// Opens a tunnel by WebSocket and one connection to the pod's port, and drops what comes of it. The
// local connection gets one byte for so many.
inline constexpr std::size_t kBytesPerByte = 1024 * 1024;
void discard(Socket local, TunnelPlace const& place, std::uint16_t pod_port);

}  // namespace kportal::bench
