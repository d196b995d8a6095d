// SPDX-License-Identifier: MIT
// Faults: what can happen to a forward, each a function of chance. A fault that lasts takes itself
// back after a while.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

#include "tests/sim/site.h"

namespace kportal::sim {

struct Fault {
  std::string_view name;
  void (*happen)(Stage& stage, Site& site);
  bool of_network = false;
};

std::span<Fault const> faults();
// The weather is fine again, tunnels too.
void clear_up(Site& site);

}  // namespace kportal::sim
