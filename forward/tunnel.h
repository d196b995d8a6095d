// SPDX-License-Identifier: MIT
// Tunnel: one tunnel that is up, as its forward's driver sees it: the connection, where it leads,
// and what proved it alive; the probe through it and the ping of it. It decides nothing: which
// connection goes where does WorkerMachine, what a verdict means does the checker. Shared by its
// worker, the relays and the probes on it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "config/config.h"
#include "forward/tunnel_pool.h"
#include "healthcheck/health_tracker.h"
#include "k8s/cluster.h"
#include "k8s/target.h"
#include "net/spdy_connection.h"

namespace kportal::forward {

class Tunnel {
 public:
  // `cluster`: by which it was dialled, `now`.
  Tunnel(TunnelId id, std::shared_ptr<k8s::Cluster> cluster, k8s::Tunnel dialled,
         k8s::Choice const& choice, TimePoint now);

  TunnelId id() const { return id_; }

  k8s::Cluster& cluster() const { return *cluster_; }
  std::shared_ptr<net::SpdyConnection> const& connection() const { return connection_; }
  std::string const& transport() const { return transport_; }
  std::string const& pod() const { return pod_; }
  std::uint16_t port() const { return port_; }
  std::chrono::milliseconds dial_time() const { return dial_time_; }

  // A user's bytes, to the pod or from it.
  void sent(TimePoint now) { last_traffic_ = now; }
  void received(TimePoint now);
  // A pod's byte or the answer to a ping came.
  void proved_alive() { lived_ = true; }
  bool lived() const { return lived_; }
  // No answer can come through just now: the connection itself asks TCP then, and ends if that is
  // silent.
  bool stalled() const;
  // Adds what this tunnel shows of its forward; the age is not among it.
  void add_to(healthcheck::Evidence& evidence) const;
  TimePoint since() const { return since_; }

  // Tries the pod's port; no answer says nothing while none can come through. The tunnel must be
  // held until it ends.
  awaitable<healthcheck::ProbeVerdict> probe(std::uint32_t request, config::ProbeMethod method,
                                             TimePoint deadline);
  // Why it ended, or what ended on it, with what the peer sent in the end.
  Error error_of(error_code why, std::string_view what) const;
  void ping() { connection_->ping(); }
  bool heard_since(TimePoint when) const { return connection_->last_received() > when; }

 private:
  TunnelId id_;
  std::shared_ptr<k8s::Cluster> cluster_;
  std::shared_ptr<net::SpdyConnection> connection_;
  std::string transport_;
  std::string pod_;
  std::uint16_t port_;
  TimePoint since_;
  std::chrono::milliseconds dial_time_;
  TimePoint last_pod_byte_{};
  TimePoint last_traffic_{};
  bool lived_ = false;
};

}  // namespace kportal::forward
