// SPDX-License-Identifier: MIT
// PlainPorts: the pods' echo, discard and source without Kubernetes in front of them, over TCP and
// over TLS: what a bare relay and loopback are measured against. A thread for each connection; it
// lives as long as its process.
#pragma once

#include <cstdint>
#include <map>

#include "tests/bench/tls_socket.h"

namespace kportal::bench {

// The pods' numbers.
inline constexpr std::uint16_t kEchoPort = 7000;
inline constexpr std::uint16_t kDiscardPort = 9000;
inline constexpr std::uint16_t kSourcePort = 9001;

// A pod's port, and the local one that behaves like it.
using PortMap = std::map<std::uint16_t, std::uint16_t>;

PortMap serve_tcp();
PortMap serve_tls(TlsServer const& server);

}  // namespace kportal::bench
