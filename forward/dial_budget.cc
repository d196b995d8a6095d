// SPDX-License-Identifier: MIT
#include "forward/dial_budget.h"

#include <algorithm>
#include <utility>

namespace kportal::forward {

void DialBudget::wanted(std::set<std::string> pods, TimePoint now) {
  std::erase_if(known_, [now](auto const& entry) { return entry.second + kWindow <= now; });
  for (std::string const& pod : wanted_) know(pod, now);
  std::erase_if(new_, [&](std::string const& pod) { return !pods.contains(pod); });
  // Where none was there are none to be replaced.
  for (std::string const& pod : pods) {
    if (!known_.empty() && !known_.contains(pod)) new_.insert(pod);
  }
  wanted_ = std::move(pods);
}

void DialBudget::know(std::string const& pod, TimePoint now) {
  if (known_.size() < kMaxKnown || known_.contains(pod)) known_[pod] = now;
}

std::size_t DialBudget::limit() const {
  return kMaxDials * std::max<std::size_t>(1, wanted_.size());
}

void DialBudget::pass(TimePoint now) {
  for (auto* const dials : {&dials_, &first_dials_}) {
    while (!dials->empty() && dials->front() + kWindow <= now) dials->pop_front();
  }
}

TimePoint DialBudget::room(std::list<TimePoint> const& dials, std::size_t limit) {
  return dials.size() < limit ? TimePoint{} : dials.front() + kWindow;
}

bool DialBudget::may_count_apart(std::string const& pod) const {
  return new_.contains(pod) && room(first_dials_, limit()) == TimePoint{};
}

TimePoint DialBudget::next(std::string const& pod) const {
  if (may_count_apart(pod)) return TimePoint{};
  TimePoint const next = room(dials_, limit());
  return new_.contains(pod) ? std::min(next, room(first_dials_, limit())) : next;
}

TimePoint DialBudget::next_spare() const {
  return room(dials_, limit() / kMaxDials * (kMaxDials - kReserved));
}

void DialBudget::dialled(std::string const& pod, TimePoint now) {
  (may_count_apart(pod) ? first_dials_ : dials_).push_back(now);
  new_.erase(pod);
  know(pod, now);
}

}  // namespace kportal::forward
