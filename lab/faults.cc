// SPDX-License-Identifier: MIT
#include "lab/faults.h"

#include <algorithm>

namespace kportal::lab {
namespace {

bool applies(RequestKind script, RequestKind request) {
  return script == RequestKind::any || script == request;
}

}  // namespace

void Faults::fail(RequestKind kind, Failure failure, int count) {
  if (count > 0) scripts_.push_back(Script{kind, std::move(failure), count});
}

void Faults::delay(RequestKind kind, Duration by) {
  delays_[static_cast<std::size_t>(kind)] = by;
}

void Faults::clear() {
  *this = Faults();
}

void Faults::clear(RequestKind kind) {
  std::erase_if(scripts_, [&](Script const& each) { return each.kind == kind; });
  delay(kind, Duration::zero());
}

std::optional<Failure> Faults::next_failure(RequestKind kind) {
  auto const at = std::find_if(scripts_.begin(), scripts_.end(),
                               [&](Script const& each) { return applies(each.kind, kind); });
  if (at == scripts_.end()) return std::nullopt;
  auto failure = at->failure;
  if (at->left != kUntilCleared && --at->left == 0) scripts_.erase(at);
  return failure;
}

Duration Faults::delay_of(RequestKind kind) const {
  return std::max(delays_[static_cast<std::size_t>(kind)],
                  delays_[static_cast<std::size_t>(RequestKind::any)]);
}

}  // namespace kportal::lab
