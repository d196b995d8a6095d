// SPDX-License-Identifier: MIT
// CountedPlace: a Place that says what its API server was asked, whoever asked.
#pragma once

#include <cstdint>

#include "tests/bench/place.h"

namespace kportal::bench {

// Since some time; only differences mean something, but for the tunnels.
struct Counts {
  std::uint64_t upgrades = 0;  // port-forward requests
  std::uint64_t others = 0;    // all other requests
  std::uint64_t pings = 0;     // answered; 0 where nobody knows
  std::uint64_t tunnels = 0;   // open now
};

class CountedPlace : public Place {
 public:
  virtual Counts counts() const = 0;
};

}  // namespace kportal::bench
