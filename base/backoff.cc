// SPDX-License-Identifier: MIT
#include "base/backoff.h"

#include <algorithm>

namespace kportal {

using namespace std::chrono_literals;

Duration Backoff::next() {
  static constexpr std::chrono::milliseconds kSteps[] = {0ms, 500ms, 1s, 2s, 4s, 8s, 10s};
  auto const step =
      std::min<std::size_t>(static_cast<std::size_t>(attempts_), std::size(kSteps) - 1);
  ++attempts_;
  std::uniform_real_distribution<double> jitter(0.9, 1.1);
  return std::chrono::duration_cast<Duration>(kSteps[step] * jitter(random_));
}

}  // namespace kportal
