// SPDX-License-Identifier: MIT
// History: what the program told of its forwards' statuses, step by step with the time at which it
// was read. Reading it checks what holds of every run: seq counts from 1 without gaps, and each
// change begins with the status that the one before ended with.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/e2e/program.h"

namespace kportal::test {

class History {
 public:
  struct Step {
    TimePoint at;
    events::Status status{};
    events::Reason reason{};
    std::string message;
  };
  using Steps = std::vector<Step>;

  explicit History(std::vector<OutputLine> const& lines);

  // Of the forward's newest life; empty if it was never heard of.
  Steps const& of(std::string const& id) const;
  std::vector<events::Status> chain(std::string const& id) const;
  bool ever(std::string const& id, events::Status status) const;
  // "Starting, Active, Error refused", for messages.
  std::string words(std::string const& id) const;
  std::size_t count(std::string_view type, std::string_view id = {}) const;

 private:
  void take(OutputLine const& line, events::HealthStatusChanged const& change);

  std::vector<OutputLine> lines_;
  std::map<std::string, Steps> steps_;
};

}  // namespace kportal::test
