// SPDX-License-Identifier: MIT
// Coverage: what a run reached of what the machines can do: changes of status, actions, reasons.
// One for a run of many schedules; it knows what must be reached, and which changes may be.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/status.h"

namespace kportal::sim {

class Coverage {
 public:
  // Nothing = the first status of a forward.
  using Change = std::pair<std::optional<events::Status>, events::Status>;

  void hit(std::string_view what) { ++hits_[std::string(what)]; }
  void hit(Change change) { ++changes_[change]; }
  void hit_status(events::Reason reason) { ++of_status_[reason]; }
  void hit_connection(events::Reason reason) { ++of_connections_[reason]; }

  static bool allowed(Change change);
  // What a run of enough schedules has to reach and did not, a line each.
  std::vector<std::string> missing() const;
  std::string table() const;

 private:
  std::map<std::string, std::size_t, std::less<>> hits_;
  std::map<Change, std::size_t> changes_;
  std::map<events::Reason, std::size_t> of_status_;
  std::map<events::Reason, std::size_t> of_connections_;
};

}  // namespace kportal::sim
