// SPDX-License-Identifier: MIT
#include <cstdio>

#include "cmd/app.h"
#include "cmd/commands/commands.h"

namespace kportal::cmd {

ExitCode run_validate(ValidateCommand const& command) {
  auto const files = find_files(command.common.files);
  if (files.has_error()) {
    std::fprintf(stderr, "%s\n", files.error().text.c_str());
    return ExitCode::configuration;
  }
  auto const outcome =
      config::load(*files, config::process_environment(), read_stdin_if_asked(*files));
  for (auto const& warning : outcome.warnings) {
    std::fprintf(stderr, "%s (warning)\n", config::to_text(warning).c_str());
  }
  for (auto const& problem : outcome.problems) {
    std::fprintf(stderr, "%s\n", config::to_text(problem).c_str());
  }
  if (!outcome.config) return ExitCode::configuration;
  std::printf("valid: %zu forwards\n", outcome.config->forwards.size());
  return ExitCode::ok;
}

}  // namespace kportal::cmd
