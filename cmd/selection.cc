// SPDX-License-Identifier: MIT
#include "cmd/selection.h"

#include <set>

#include <fmt/format.h>

namespace kportal::cmd {

std::vector<std::string> ids_called(std::string const& name, config::Config const& config) {
  std::vector<std::string> of_resource;
  for (config::ForwardSpec const& spec : config.forwards) {
    std::string id = spec.id();
    if (name == spec.alias || name == id) return {std::move(id)};
    if (name == spec.resource) of_resource.push_back(std::move(id));
  }
  return of_resource;
}

void select_named(config::Config& config, std::vector<std::string> const& names,
                  std::vector<std::string>& problems) {
  if (names.empty()) return;
  std::set<std::string> wanted;
  for (std::string const& name : names) {
    auto const ids = ids_called(name, config);
    if (ids.empty()) problems.push_back(fmt::format("no forward is called {}", name));
    if (ids.size() > 1) {
      problems.push_back(
          fmt::format("{} is not one forward but {}: {}", name, ids.size(), fmt::join(ids, ", ")));
    }
    wanted.insert(ids.begin(), ids.end());
  }
  std::erase_if(config.forwards,
                [&](config::ForwardSpec const& spec) { return !wanted.contains(spec.id()); });
}

}  // namespace kportal::cmd
