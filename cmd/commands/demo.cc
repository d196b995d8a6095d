// SPDX-License-Identifier: MIT
#include <cstdio>

#include "cmd/commands/commands.h"

namespace kportal::cmd {

ExitCode run_demo(DemoCommand const&) {
  std::fprintf(stderr, "kportal-cpp: demo: not built yet\n");
  return ExitCode::usage;
}

}  // namespace kportal::cmd
