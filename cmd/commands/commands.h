// SPDX-License-Identifier: MIT
// The commands, one .cc each: from parsed options to an exit code.
#pragma once

#include "cmd/options.h"

namespace kportal::cmd {

ExitCode run_up(UpCommand const& command);
ExitCode run_validate(ValidateCommand const& command);
ExitCode run_doctor(DoctorCommand const& command);
ExitCode run_demo(DemoCommand const& command);

}  // namespace kportal::cmd
