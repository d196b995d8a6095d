// SPDX-License-Identifier: MIT
#include "tests/e2e/history.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace kportal::test {

using events::Status;

History::History(std::vector<OutputLine> const& lines) : lines_(lines) {
  std::uint64_t seq = 0;
  for (OutputLine const& line : lines_) {
    auto const event = line.event();
    if (!event) {
      ADD_FAILURE() << "no event: " << line.text;
      continue;
    }
    EXPECT_EQ(event->seq, ++seq) << line.text;
    seq = event->seq;
    if (auto const* const stopped = std::get_if<events::ForwardStopped>(&event->fact)) {
      steps_.erase(stopped->forward.id);
    }
    auto const* const change = std::get_if<events::HealthStatusChanged>(&event->fact);
    if (change != nullptr) take(line, *change);
  }
}

void History::take(OutputLine const& line, events::HealthStatusChanged const& change) {
  Steps& steps = steps_[change.forward.id];
  EXPECT_EQ(change.first, steps.empty()) << line.text;
  if (!steps.empty()) {
    EXPECT_EQ(change.old, steps.back().status) << line.text;
    EXPECT_NE(change.old, change.status) << line.text;
  }
  Step step;
  step.at = line.at;
  step.status = change.status;
  step.reason = change.reason;
  step.message = change.message;
  steps.push_back(std::move(step));
}

History::Steps const& History::of(std::string const& id) const {
  static Steps const none;
  auto const at = steps_.find(id);
  return at == steps_.end() ? none : at->second;
}

std::vector<Status> History::chain(std::string const& id) const {
  std::vector<Status> statuses;
  for (Step const& step : of(id)) statuses.push_back(step.status);
  return statuses;
}

bool History::ever(std::string const& id, Status status) const {
  return std::ranges::any_of(of(id), [=](Step const& step) { return step.status == status; });
}

std::string History::words(std::string const& id) const {
  std::string words;
  for (Step const& step : of(id)) {
    if (!words.empty()) words += ", ";
    words += events::to_word(step.status);
    if (step.reason != events::Reason::none) words += " ";
    words += events::to_word(step.reason);
  }
  return words;
}

std::size_t History::count(std::string_view type, std::string_view id) const {
  return static_cast<std::size_t>(std::ranges::count_if(lines_, [&](OutputLine const& line) {
    auto const event = line.event();
    if (!event || events::type_of(event->fact) != type) return false;
    auto const* const ref = events::forward_of(event->fact);
    return id.empty() || (ref != nullptr && ref->id == id);
  }));
}

}  // namespace kportal::test
