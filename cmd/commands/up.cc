// SPDX-License-Identifier: MIT
#include <cstdio>

#include <boost/asio/io_context.hpp>

#include "cmd/app.h"
#include "cmd/commands/commands.h"
#include "cmd/wanted.h"

namespace kportal::cmd {
namespace {

ExitCode run_names(UpCommand const& command) {
  asio::io_context loop(1);
  App app(loop, command.common, command.words);
  return app.run();
}

ExitCode run_ad_hoc(UpCommand const& command) {
  auto outcome = ad_hoc_forwards(command.ad_hoc);
  for (auto const& problem : outcome.problems) {
    std::fprintf(stderr, "%s\n", config::to_text(problem).c_str());
  }
  if (!outcome.config) return ExitCode::usage;
  asio::io_context loop(1);
  App app(loop, command.common, {});
  app.use(std::move(outcome));
  return app.run();
}

}  // namespace

ExitCode run_up(UpCommand const& command) {
  auto const wanted = decide(command.meaning, command.words, !command.common.files.empty());
  if (wanted.has_error()) {
    std::fprintf(stderr, "%s\n", wanted.error().text.c_str());
    return ExitCode::usage;
  }
  return *wanted == Wanted::names ? run_names(command) : run_ad_hoc(command);
}

}  // namespace kportal::cmd
