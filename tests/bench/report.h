// SPDX-License-Identifier: MIT
// How a bench runs a row, and what it prints: the machine, the table of the rows that were
// measured, and the same as JSON.
#pragma once

#include <functional>
#include <string>
#include <string_view>
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

// In a thread of its own, for a row may send its thread into another network. CannotMeasure is what
// ends up as `error`. On stderr its name when it begins, and its table when it is over.
Measured measure_row(std::string_view name, std::string_view what,
                     std::function<void(Row&)> const& measure);

// Prints all of it under `title`, and writes the JSON where a path is given. The exit code: 1 if a
// row could not be measured, or the file not be written.
int report(std::string const& title, std::vector<Measured> const& rows,
           std::string const& json_path);

}  // namespace kportal::bench
