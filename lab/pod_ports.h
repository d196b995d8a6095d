// SPDX-License-Identifier: MIT
// The programs in the pods: one fixed behaviour a port, the same ports and words as the test
// cluster's podserver, so that a test says the same of both. Not the runtime that forwards to them
// (lab/runtime).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/pod_socket.h"

namespace kportal::lab {

enum class PortBehaviour {
  echo,  // 7000: sends back what it reads, ends after the peer's end
  http,  // 8080: see http_reply() in the .cc: pod=..., /healthz, /bytes?n=, /sleep?ms=, /count, ...
  discard,  // 9000: reads and drops
  source,   // 9001: sends as fast as it can
  stuck,    // 9002: accepts, never reads, never sends
  banner,   // 9003: "READY <pod>\r\n", then idles
  silent,   // 9004: accepts, reads and drops, sends nothing
  reset,    // 9005: resets on the first byte, or after 200 ms
  bye,      // 9006: sends "BYE\r\n" and closes
};

// What listens in a pod. A port that is not in the map refuses connections, as 9999 does.
using PodPorts = std::map<std::uint16_t, PortBehaviour>;
PodPorts standard_ports();

// A container's declared ports: what a named port of a Service is looked up in.
struct ContainerPort {
  std::string name;
  std::uint16_t number = 0;
  std::string protocol = "TCP";
  ContainerPort(std::string n, std::uint16_t p, std::string proto = "TCP")
      : name(std::move(n)), number(p), protocol(std::move(proto)) {}
};
std::vector<ContainerPort> standard_container_ports();

// What an application knows of, and may do to, the pod it runs in.
struct PodProgram {
  std::string pod;
  std::string node;
  bool ready = true;                                   // what /healthz says
  bool reads_late = false;                             // GET /open: bodies to /late are read now
  std::function<void(bool)> set_ready;                 // GET /ready, /unready
  std::function<void(int)> exit;                       // GET /exit?code=N
  std::function<void(std::string const& target)> saw;  // the head of each HTTP request
};

// Runs one connection of one port to its end; the socket's owner closes it then.
awaitable<void> run_pod_port(PortBehaviour behaviour, std::shared_ptr<PodProgram> program,
                             PodSocket& socket);

}  // namespace kportal::lab
