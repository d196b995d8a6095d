// SPDX-License-Identifier: MIT
#include "forward/failure_digest.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace kportal::forward {

bool FailureDigest::tell(ConnectionFailure const& failure, TimePoint now) {
  Window& window = windows_[failure.reason];
  // One with something to tell ends by due(), so that its count is not lost.
  if (now >= window.end && window.untold == 0) {
    window = Window();
    window.end = now + kWindow;
  }
  if (window.told < kMaxTold) {
    ++window.told;
    return true;
  }
  ++window.untold;
  window.last = failure;
  return false;
}

std::vector<ConnectionFailure> FailureDigest::due(TimePoint now) {
  std::vector<ConnectionFailure> summaries;
  for (auto& [reason, window] : windows_) {
    if (window.untold == 0 || now < window.end) continue;
    ConnectionFailure summary = std::move(window.last);
    if (window.untold > 1) {
      summary.message =
          fmt::format("{} more connections failed, the last: {}", window.untold, summary.message);
    }
    summaries.push_back(std::move(summary));
    window = Window();
  }
  return summaries;
}

TimePoint FailureDigest::deadline() const {
  TimePoint at = kNever;
  for (auto const& [reason, window] : windows_) {
    if (window.untold > 0) at = std::min(at, window.end);
  }
  return at;
}

}  // namespace kportal::forward
