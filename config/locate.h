// SPDX-License-Identifier: MIT
// Where the configuration is when no -f names it. Pure: what exists is asked through a function.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "config/expand.h"

namespace kportal::config {

// $KPORTAL_CONFIG (whether it exists or not: who sets it means it); .kportal.yaml or forwards.yaml
// in the working directory, then upwards, up to and including the home directory or the root;
// $XDG_CONFIG_HOME/kportal-cpp/forwards.yaml (~/.config without it). An absolute path, but for
// $KPORTAL_CONFIG, which is given back as it is. Error: not_found, with the places that were tried.
Result<std::string> locate(std::string const& working_directory, Environment const& environment,
                           std::function<bool(std::string const& path)> const& exists);

}  // namespace kportal::config
