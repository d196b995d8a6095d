// SPDX-License-Identifier: MIT
// Backoff: how long to wait before the next attempt. Pure: randomness is a seed, time is returned.
// The first retry comes at once, then 0.5, 1, 2, 4, 8, 10 s and so on, each +-10 %.
#pragma once

#include <cstdint>
#include <random>

#include "base/clock.h"

namespace kportal {

class Backoff {
 public:
  explicit Backoff(std::uint32_t seed) : random_(seed) {}

  // The wait before the next attempt; counts it.
  Duration next();
  // The last attempt brought proof of life.
  void reset() { attempts_ = 0; }
  // Attempts since the last reset.
  int attempts() const { return attempts_; }

 private:
  int attempts_ = 0;
  std::minstd_rand random_;
};

}  // namespace kportal
