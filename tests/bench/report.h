// SPDX-License-Identifier: MIT
// What the bench prints: the machine, the table of the rows that were measured, and the same as
// JSON. Pure, but for the look at the machine.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/figures.h"

namespace kportal::bench {

// A row that was measured, or that could not be.
struct Measured {
  Row row;
  double seconds = 0;  // it took
  std::string load;    // of the machine when it began and when it ended
  std::string error;   // why it could not be measured; empty if it was
};

// The load averages, as the kernel shows them.
std::string load_now();
// Cores, processor, kernel.
std::string machine();

std::string table(std::vector<Measured> const& rows);
std::string json(std::string_view ground, std::vector<Measured> const& rows);

}  // namespace kportal::bench
