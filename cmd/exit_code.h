// SPDX-License-Identifier: MIT
// What the program's exit says to a script (product contract, section 8).
#pragma once

namespace kportal::cmd {

enum class ExitCode {
  ok = 0,
  failure = 1,        // something failed while running
  usage = 2,          // the command line makes no sense, or asks for what is not built yet
  configuration = 3,  // the file makes no sense, or there is none
  access = 4,         // login or rights
};

}  // namespace kportal::cmd
