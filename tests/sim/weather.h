// SPDX-License-Identifier: MIT
// Weather: what one forward meets on its way to the cluster and in it, apart from its pods. Values
// that the schedule sets and the simulated parts look at.
#pragma once

#include <chrono>
#include <optional>

#include "base/clock.h"
#include "base/error.h"

namespace kportal::sim {

struct Weather {
  enum class Watch { on_time, late, lost };

  // Packets are dropped both ways, nothing is closed; what TCP holds arrives once that ends.
  bool blackhole = false;
  Duration latency = std::chrono::milliseconds(2);
  // A dial: an error, or no answer at all until its deadline.
  std::optional<Error> dial_error;
  bool dial_hangs = false;
  Duration dial_time = std::chrono::milliseconds(20);
  Watch watch = Watch::on_time;
  Duration watch_delay{};
  // What a list of pods is answered with.
  std::optional<Error> list_error;
  // Why the forward cannot be set up: its port is taken, its kubeconfig leads nowhere.
  std::optional<Error> setup_error;

  bool is_clear() const {
    return !blackhole && !dial_error && !dial_hangs && watch == Watch::on_time && !list_error &&
           !setup_error;
  }
};

}  // namespace kportal::sim
