// SPDX-License-Identifier: MIT
// DialBudget: how often one forward may dial, whatever the causes, so that a flapping server is not
// hammered: kMaxDials within kWindow for each pod that is to have a tunnel. The first dial to a pod
// that came in place of others counts apart, for a rollout is no flapping server, and within the
// same bound: whatever the list of pods says, there are no more than twice as many. Pure.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"

namespace kportal::forward {

class DialBudget {
 public:
  static constexpr std::size_t kMaxDials = 10;
  static constexpr Duration kWindow = std::chrono::seconds(10);
  // Of these so many are not for spares, so that a loss is redialled at once.
  static constexpr std::size_t kReserved = 2;
  // More pods are not known again: a list that grows past this has but its first dials.
  static constexpr std::size_t kMaxKnown = 1024;

  // The pods that are to have a tunnel, each time they change: none while there is an error. One
  // that was wanted or dialled within kWindow is no new one.
  void wanted(std::set<std::string> pods, TimePoint now);
  // Forgets what is past. To be called before the questions below.
  void pass(TimePoint now);
  // When `pod` may be dialled, as far as this goes; TimePoint{} for at once.
  TimePoint next(std::string const& pod) const;
  // The same of a spare.
  TimePoint next_spare() const;
  void dialled(std::string const& pod, TimePoint now);

 private:
  static TimePoint room(std::list<TimePoint> const& dials, std::size_t limit);
  bool may_count_apart(std::string const& pod) const;
  void know(std::string const& pod, TimePoint now);
  std::size_t limit() const;

  std::set<std::string> wanted_;
  std::map<std::string, TimePoint> known_;  // when they were last wanted or dialled
  std::set<std::string> new_;               // of the wanted ones: not yet dialled
  std::list<TimePoint> dials_;              // within kWindow
  std::list<TimePoint> first_dials_;        // likewise, to new pods
};

}  // namespace kportal::forward
