// SPDX-License-Identifier: MIT
// Weather: what one forward meets on its way to the cluster and in it, apart from its pods; and
// Network: what all forwards by the same way meet. Values that the schedule sets and the simulated
// parts look at.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace kportal::sim {

struct Network {
  // TCP sends again what was not acknowledged so long after the first time.
  static constexpr std::array kResent = {std::chrono::seconds(1), std::chrono::seconds(3),
                                         std::chrono::seconds(7), std::chrono::seconds(15),
                                         std::chrono::seconds(31)};

  // Packets are dropped both ways, nothing is closed; what TCP holds arrives once that ends.
  bool blackhole = false;
  // The server is switched off, and its host refuses at once.
  bool closed = false;
  Duration latency = std::chrono::milliseconds(2);
  // Told when either has ended, and when the server is switched off.
  std::vector<std::function<void()>> at_healing;
  std::vector<std::function<void()>> at_closing;

  std::uint64_t changes = 0;

  bool answers() const { return !blackhole && !closed; }
  void drop() {
    ++changes;
    blackhole = true;
  }
  void close() {
    ++changes;
    closed = true;
    for (auto const& tell : at_closing) tell();
  }
  void heal() {
    ++changes;
    blackhole = closed = false;
    for (auto const& tell : at_healing) tell();
  }
};

struct Weather {
  enum class Watch { on_time, late, lost };

  Network const* network;
  // A dial: an error, or no answer at all until its deadline, perhaps not even of TCP.
  std::optional<Error> dial_error;
  bool dial_hangs = false;
  bool dial_is_mute = false;
  Duration dial_time = std::chrono::milliseconds(20);
  Watch watch = Watch::on_time;
  Duration watch_delay{};
  // What a list of pods is answered with.
  std::optional<Error> list_error;
  // Why the forward cannot be set up: its port is taken, its kubeconfig leads nowhere.
  std::optional<Error> setup_error;

  explicit Weather(Network const& n) : network(&n) {}

  bool blackhole() const { return network->blackhole; }
  bool is_clear() const {
    return network->answers() && !dial_error && !dial_hangs && !dial_is_mute &&
           watch == Watch::on_time && !list_error && !setup_error;
  }
};

}  // namespace kportal::sim
