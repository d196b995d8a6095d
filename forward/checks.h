// SPDX-License-Identifier: MIT
// Checks: carries out the probes and pings that the checker asks for, through whichever tunnels of
// the forward can answer. It does not judge what comes of them (the checker does). Owned by the
// worker.
#pragma once

#include <string>

#include "forward/tunnels.h"
#include "forward/worker_machine.h"
#include "healthcheck/checker.h"

namespace kportal::forward {

class Checks {
 public:
  // All outlive it.
  Checks(std::string id, healthcheck::Checker& checker, WorkerMachine& machine, Tunnels& tunnels,
         Hand& hand)
      : id_(std::move(id)), checker_(checker), machine_(machine), tunnels_(tunnels), hand_(hand) {}

  // Both hand the answer to the checker. One pod's good port is enough for the forward.
  awaitable<void> probe(healthcheck::Ticket ticket, config::ProbeMethod method, TimePoint deadline);
  awaitable<void> ping(healthcheck::Ticket ticket, TimePoint deadline);

 private:
  awaitable<healthcheck::ProbeVerdict> probe_one(std::shared_ptr<Tunnel> tunnel,
                                                 config::ProbeMethod method, TimePoint deadline);

  std::string id_;
  healthcheck::Checker& checker_;
  WorkerMachine& machine_;
  Tunnels& tunnels_;
  Hand& hand_;
};

}  // namespace kportal::forward
