// SPDX-License-Identifier: MIT
// Reporter: publishes what happens to one forward, and to its connections that failed. It decides
// nothing: its worker says what happened, the checker makes the status of it. Owned by the worker.
#pragma once

#include <string>

#include "events/bus.h"
#include "events/event.h"
#include "forward/failure_digest.h"
#include "forward/phases.h"
#include "forward/tunnel.h"
#include "forward/worker_machine.h"

namespace kportal::forward {

class Reporter {
 public:
  // `forward`: what its events say of it; set_ref() when that changes.
  Reporter(events::Bus& bus, events::ForwardRef forward) : bus_(bus), ref_(std::move(forward)) {}

  events::ForwardRef const& ref() const { return ref_; }
  void set_ref(events::ForwardRef forward) { ref_ = std::move(forward); }

  void starting();
  // Nothing is told of its connections after that.
  void stopped();
  void connected(Tunnel const& tunnel, bool refresh);
  void disconnected(MarkDisconnected const& loss);
  void reconnecting(MarkReconnecting const& attempt);
  void failed(MarkFailed const& failure);
  // The watchdog's; logged, too.
  void hung(Overrun const& overrun);

  // At once, or counted and told by tell_due().
  void connection_failed(ConnectionFailure failure, TimePoint now);
  void tell_due(TimePoint now);
  // When tell_due() has something to tell.
  TimePoint deadline() const { return failures_.deadline(); }

 private:
  template <class Fact>
  Fact of_this() const {
    Fact fact;
    fact.forward = ref_;
    return fact;
  }
  void publish(ConnectionFailure failure);

  events::Bus& bus_;
  events::ForwardRef ref_;
  FailureDigest failures_;
  bool stopped_ = false;
};

}  // namespace kportal::forward
