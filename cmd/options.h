// SPDX-License-Identifier: MIT
// The command line as values. CLI11 is behind this header and nowhere else.
#pragma once

#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "cmd/exit_code.h"
#include "cmd/words.h"
#include "config/ad_hoc.h"

namespace kportal::cmd {

enum class LogFormat { text, json };
enum class ColorChoice { automatic, always, never };

// What several commands take.
struct CommonOptions {
  std::vector<std::string> files;  // -f, as given; "-" is standard input
  std::string kubeconfig;
  LogFormat log_format = LogFormat::text;
  std::string log_file;  // empty = standard error
  ColorChoice color = ColorChoice::automatic;
  bool verbose = false;
  bool quiet = false;
};

// [-f FILE]... [NAME...] or TARGET PORT...
struct Selected {
  CommonOptions common;
  Meaning meaning = Meaning::names;
  std::vector<std::string> words;  // as given; as names, none = all forwards
  config::AdHoc ad_hoc;            // the same as TARGET PORT..., with its options
};

struct UpCommand : Selected {};
enum class OutputFormat { table, json };
struct DoctorCommand : Selected {
  OutputFormat output = OutputFormat::table;
};
struct ValidateCommand {
  CommonOptions common;
};
struct DemoCommand {
  CommonOptions common;
  std::chrono::milliseconds duration{0};  // 0 = until interrupted
};
struct VersionCommand {};
// The command line was answered while parsing: help, or what is wrong with it.
struct Answered {
  ExitCode code;
};

using Command =
    std::variant<UpCommand, DoctorCommand, ValidateCommand, DemoCommand, VersionCommand, Answered>;

// Prints help on standard output and complaints on standard error.
Command parse_command_line(int argc, char const* const* argv);

}  // namespace kportal::cmd
