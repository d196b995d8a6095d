// SPDX-License-Identifier: MIT
// Probe: what healthcheck/probe does with a pod's port, on a simulated tunnel. Owned by its
// forward, kept until the schedule ends.
#pragma once

#include <functional>

#include "config/config.h"
#include "healthcheck/health_tracker.h"
#include "tests/sim/link.h"

namespace kportal::sim {

class Probe final : private Pair {
 public:
  using Done = std::function<void(healthcheck::ProbeVerdict)>;

  Probe(Stage& stage, Link& link, config::ProbeMethod method, TimePoint deadline, Done done)
      : stage_(stage), link_(link), method_(method), deadline_(deadline), done_(std::move(done)) {}

  void start(std::uint16_t port, std::uint32_t request);
  // Nobody waits for it any more.
  void cancel();

 private:
  void data(Bytes bytes) override;
  void replied() override;
  void ended(error_code why) override;
  void told() override;

  void await_text();
  void conclude();
  void finish(healthcheck::ProbeVerdict verdict);

  Stage& stage_;
  Link& link_;
  config::ProbeMethod method_;
  TimePoint deadline_;
  Done done_;
  std::uint16_t port_ = 0;
  bool over_ = false;
  bool awaits_text_ = false;
  std::optional<error_code> end_;
};

}  // namespace kportal::sim
