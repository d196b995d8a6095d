// SPDX-License-Identifier: MIT
// What a NAME on the command line means: the alias or id of a forward, or the resource that only
// one forward has. Pure.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace kportal::cmd {

// The ids of the forwards that `name` means: of this alias or id, else of this resource.
std::vector<std::string> ids_called(std::string const& name, config::Config const& config);

// Leaves only the forwards of these names; none = all stay. Adds to `problems` what names no
// forward, or several.
void select_named(config::Config& config, std::vector<std::string> const& names,
                  std::vector<std::string>& problems);

}  // namespace kportal::cmd
