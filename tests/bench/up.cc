// SPDX-License-Identifier: MIT
#include "tests/bench/up.h"

#include <fmt/format.h>

namespace kportal::bench {

using namespace std::chrono_literals;

namespace {

std::vector<std::string> arguments(test::TempDir const& dir, Place const& place,
                                   std::vector<std::string> const& forwards,
                                   std::string const& head) {
  std::string text = fmt::format(
      "{}contexts:\n  - name: \"\"\n    kubeconfig: {}\n    namespaces:\n      - name: {}\n"
      "        forwards:\n",
      head, place.kubeconfig(), place.name_space());
  for (std::string const& forward : forwards) text += "          - { " + forward + " }\n";
  return {"up", "-f", dir.write("forwards.yaml", text), "--log-format", "json"};
}

}  // namespace

Up::Up(Place const& place, std::vector<std::string> const& forwards, std::string const& head,
       test::ProgramOptions options)
    : program_(arguments(dir_, place, forwards, head), std::move(options)) {}

std::uint16_t Up::active_port(std::string const& forward) {
  auto const* const change = program_.wait_for_status(forward, events::Status::active, 60s);
  if (change == nullptr) {
    throw CannotMeasure(
        fmt::format("{} is not Active; the program said: {}", forward, program_.errors()));
  }
  return change->forward.local_port;
}

std::optional<TimePoint> Up::when(std::string const& forward, events::Status status, bool leaves,
                                  std::size_t from, Duration within) {
  auto const line = program_.wait_for(
      [&](test::OutputLine const& each) {
        auto const event = each.event();
        auto const* const change =
            event ? std::get_if<events::HealthStatusChanged>(&event->fact) : nullptr;
        if (change == nullptr || change->forward.id != forward) return false;
        return (change->status == status) != leaves;
      },
      from, within);
  if (!line) return std::nullopt;
  return line->at;
}

std::vector<events::Reason> Up::failures(std::size_t from) const {
  std::vector<events::Reason> reasons;
  for (test::OutputLine const& line : program_.lines(from)) {
    auto const event = line.event();
    auto const* const failed =
        event ? std::get_if<events::ConnectionFailed>(&event->fact) : nullptr;
    if (failed != nullptr) reasons.push_back(failed->reason);
  }
  return reasons;
}

}  // namespace kportal::bench
