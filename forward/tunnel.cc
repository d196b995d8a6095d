// SPDX-License-Identifier: MIT
#include "forward/tunnel.h"

#include <algorithm>
#include <utility>

#include "healthcheck/probe.h"

namespace kportal::forward {

Tunnel::Tunnel(TunnelId id, std::shared_ptr<k8s::Cluster> cluster, k8s::Tunnel dialled,
               k8s::Choice const& choice, TimePoint now)
    : id_(id),
      cluster_(std::move(cluster)),
      connection_(std::move(dialled.connection)),
      transport_(k8s::to_word(dialled.transport)),
      pod_(choice.pod),
      port_(choice.port),
      since_(now),
      dial_time_(std::chrono::duration_cast<std::chrono::milliseconds>(dialled.took)) {}

void Tunnel::received(TimePoint now) {
  last_pod_byte_ = now;
  last_traffic_ = now;
}

bool Tunnel::stalled() const {
  return connection_->reading_paused() || connection_->writing_since() != kNever;
}

void Tunnel::add_to(healthcheck::Evidence& evidence) const {
  evidence.last_pod_byte = std::max(evidence.last_pod_byte, last_pod_byte_);
  evidence.last_traffic = std::max(evidence.last_traffic, last_traffic_);
  evidence.last_life = std::max(evidence.last_life, connection_->last_received());
}

awaitable<healthcheck::ProbeVerdict> Tunnel::probe(std::uint32_t request,
                                                   config::ProbeMethod method, TimePoint deadline) {
  auto verdict = co_await healthcheck::probe_port(*connection_, port_, request, method, deadline);
  bool const unheard = verdict.bad() && verdict.error->code == Errc::timeout;
  if (unheard && stalled()) verdict = healthcheck::ProbeVerdict::of_nothing();
  co_return verdict;
}

Error Tunnel::error_of(error_code why, std::string_view what) const {
  Error error = io_error(why, what);
  std::string const detail = connection_->end_detail();
  if (!detail.empty()) error.text += ": " + detail;
  return error;
}

}  // namespace kportal::forward
