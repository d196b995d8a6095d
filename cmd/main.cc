// SPDX-License-Identifier: MIT
// The only main: arguments to a command to an exit code.
#include <csignal>
#include <cstdio>

#include "base/version.h"
#include "cmd/commands/commands.h"
#include "cmd/options.h"

// There where LeakSanitizer is built in.
extern "C" __attribute__((weak)) void __lsan_do_leak_check();

namespace kportal::cmd {
namespace {

ExitCode run(UpCommand const& command) {
  return run_up(command);
}
ExitCode run(ValidateCommand const& command) {
  return run_validate(command);
}
ExitCode run(DoctorCommand const& command) {
  return run_doctor(command);
}
ExitCode run(DemoCommand const& command) {
  return run_demo(command);
}
ExitCode run(VersionCommand const&) {
  std::printf("kportal-cpp %s\n", kVersion);
  return ExitCode::ok;
}
ExitCode run(Answered const& answered) {
  return answered.code;
}

}  // namespace
}  // namespace kportal::cmd

int main(int argc, char** argv) {
  using namespace kportal::cmd;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a full file is an error like a full disk
  Command const command = parse_command_line(argc, argv);
  ExitCode code = std::visit([](auto const& which) { return run(which); }, command);
  bool const told = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (!told && code == ExitCode::ok) {
    std::perror("kportal-cpp: standard output");
    code = ExitCode::failure;
  }
  // It would come at the end of main(), which is not reached.
  if (__lsan_do_leak_check != nullptr) __lsan_do_leak_check();
  // Threads that wait for a name server or a pipe nobody reads must not hold up the exit.
  std::_Exit(static_cast<int>(code));
}
