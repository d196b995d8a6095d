// SPDX-License-Identifier: MIT
// Schedule: one run of the simulation from one seed: five forwards with three pods each, clients,
// faults of at least three kinds, then fine weather, in which all must recover, then the end, at
// which all must stop. Throws Violation where a promise is broken.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "tests/sim/coverage.h"

namespace kportal::sim {

struct Options {
  std::uint64_t seed = 1;
  // Faults happen until so many steps were done, and until their time is over.
  std::size_t steps = 200;
  // Of the faults drawn only the first so many happen: to shorten a schedule that fails.
  std::size_t max_faults = SIZE_MAX;
  bool trace = false;
};

struct Outcome {
  std::size_t steps = 0;
  std::size_t faults = 0;
};

// `loop` delivers the bus's events; it is empty afterwards.
Outcome run_schedule(boost::asio::io_context& loop, Coverage& coverage, Options const& options);

}  // namespace kportal::sim
