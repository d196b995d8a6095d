// SPDX-License-Identifier: MIT
// Which rights a forward needs, and what it means that some are missing: some forwards work with
// less, worse. Pure; asking the API server is k8s/access_review's.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "doctor/report.h"

namespace kportal::doctor {

// One verb on one resource of the forward's namespace.
struct Right {
  std::string verb;
  std::string group;     // "" = core
  std::string resource;  // "pods", "pods/portforward"
  auto operator<=>(Right const&) const = default;
};

// What a forward to such a target asks of the API server.
std::vector<Right> rights_for(config::TargetKind kind);

// `denied` are those of rights_for() that the server does not grant. A failure tells the role to
// add.
void judge_rights(config::Target const& target, std::string const& name_space,
                  std::vector<Right> const& denied, std::chrono::microseconds took, Hops& hops);

}  // namespace kportal::doctor
