// SPDX-License-Identifier: MIT
// The commands, one .cc each: from parsed options to an exit code.
#pragma once

#include "cmd/options.h"

namespace kportal::cmd {

// Gives forwards without a file the context and the namespace that the kubeconfig has for them now.
void settle_context(config::Config& config);

ExitCode run_up(UpCommand const& command);
ExitCode run_validate(ValidateCommand const& command);
ExitCode run_demo(DemoCommand const& command);

}  // namespace kportal::cmd
