// SPDX-License-Identifier: MIT
// Up: the program, started by `up` on forwards of a place, and what the rows ask of its events.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/place.h"
#include "tests/e2e/program.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::bench {

inline double millis(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

class Up {
 public:
  // Forwards as flow mappings without braces; `head` comes before `contexts:`. All that is not said
  // there is as the defaults.
  Up(Place const& place, std::vector<std::string> const& forwards, std::string const& head = {},
     test::ProgramOptions options = {});

  // Waits until the forward is Active. Throws CannotMeasure if it is not within a minute.
  std::uint16_t active_port(std::string const& forward);
  test::Program& program() { return program_; }
  pid_t pid() const { return program_.pid(); }

  // When the status of the forward changed to (not to, with `leaves`) this one: the first such
  // change from line `from` on.
  std::optional<TimePoint> when(std::string const& forward, events::Status status, bool leaves,
                                std::size_t from, Duration within);
  // The reasons of the connections that failed, from line `from` on.
  std::vector<events::Reason> failures(std::size_t from = 0) const;

 private:
  test::TempDir dir_;
  test::Program program_;
};

}  // namespace kportal::bench
