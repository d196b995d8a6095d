// SPDX-License-Identifier: MIT
#include <boost/asio/io_context.hpp>

#include "cmd/app.h"
#include "cmd/commands/commands.h"

namespace kportal::cmd {

ExitCode run_up(UpCommand const& command) {
  asio::io_context loop(1);
  App app(loop, command.common, command.names);
  return app.run();
}

}  // namespace kportal::cmd
