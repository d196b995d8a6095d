// SPDX-License-Identifier: MIT
#include "cmd/options.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string_view>

#include <CLI/CLI.hpp>

#include "config/duration.h"

namespace kportal::cmd {
namespace {

// Commands of the contract that do nothing yet; shrinks as they are built.
constexpr std::array kNotBuilt = {"down",   "ps",      "status", "events",    "logs",     "restart",
                                  "enable", "disable", "reload", "port",      "wait",     "exec",
                                  "diff",   "doctor",  "add",    "remove",    "generate", "convert",
                                  "bench",  "http",    "schema", "completion"};

bool is_not_built(std::string_view word) {
  return std::find(kNotBuilt.begin(), kNotBuilt.end(), word) != kNotBuilt.end();
}

void add_log_options(CLI::App& command, CommonOptions& common) {
  std::map<std::string, LogFormat> const formats{{"text", LogFormat::text},
                                                 {"json", LogFormat::json}};
  std::map<std::string, ColorChoice> const colors{{"auto", ColorChoice::automatic},
                                                  {"always", ColorChoice::always},
                                                  {"never", ColorChoice::never}};
  command.add_option("--log-format", common.log_format, "event lines and log: text or json")
      ->transform(CLI::CheckedTransformer(formats).description("text|json"));
  command.add_option("--log-file", common.log_file, "write the log to FILE instead of stderr")
      ->type_name("FILE");
  command.add_option("--color", common.color, "auto, always or never")
      ->transform(CLI::CheckedTransformer(colors).description("auto|always|never"));
  auto* const verbose = command.add_flag("-v,--verbose", common.verbose, "log more");
  command.add_flag("-q,--quiet", common.quiet, "only what is wrong")->excludes(verbose);
}

void add_file_options(CLI::App& command, CommonOptions& common) {
  command
      .add_option("-f,--file", common.files,
                  "the file of forwards, - for standard input; may be given several times")
      ->type_name("FILE");
}

std::string check_duration(std::string const& text) {
  return config::parse_duration(text) ? "" : "\"" + text + "\" is no duration such as 20s or 1m30s";
}

}  // namespace

Command parse_command_line(int argc, char const* const* argv) {
  CLI::App app(
      "Keeps Kubernetes port-forwards open: declared in a file, checked through the pod, "
      "repaired by themselves.",
      "kportal-cpp");
  app.require_subcommand(1);
  app.set_help_all_flag();
  app.footer("Example:\n  kportal-cpp up -f forwards.yaml");
  // -f takes one file each time, so that names may follow it.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);

  UpCommand up;
  CLI::App* const up_app =
      app.add_subcommand("up", "open the forwards of a file and keep them open");
  add_file_options(*up_app, up.common);
  up_app->get_option("--file")->allow_extra_args(false)->multi_option_policy(
      CLI::MultiOptionPolicy::TakeAll);
  up_app
      ->add_option("--kubeconfig", up.common.kubeconfig,
                   "the kubeconfig of forwards that name none")
      ->type_name("FILE");
  add_log_options(*up_app, up.common);
  up_app->add_option("NAME", up.names, "only these forwards (alias, id or resource)");

  ValidateCommand validate;
  CLI::App* const validate_app =
      app.add_subcommand("validate", "say what is wrong with a file, asking no cluster");
  validate_app->alias("check");
  add_file_options(*validate_app, validate.common);
  validate_app->get_option("--file")->allow_extra_args(false)->multi_option_policy(
      CLI::MultiOptionPolicy::TakeAll);

  DemoCommand demo;
  std::string duration;
  CLI::App* const demo_app =
      app.add_subcommand("demo", "try it without a cluster: one that runs in this process");
  add_log_options(*demo_app, demo.common);
  demo_app->add_option("--for", duration, "end after this long, having checked itself")
      ->type_name("DURATION")
      ->check(CLI::Validator(check_duration, ""));

  CLI::App* const version_app = app.add_subcommand("version", "print the version");

  if (argc > 1 && is_not_built(argv[1])) {
    std::fprintf(stderr, "kportal-cpp: %s: not built yet\n", argv[1]);
    return Answered{ExitCode::usage};
  }
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    bool const help = app.exit(error) == 0;
    return Answered{help ? ExitCode::ok : ExitCode::usage};
  }
  if (up_app->parsed()) return up;
  if (validate_app->parsed()) return validate;
  if (version_app->parsed()) return VersionCommand{};
  if (auto const parsed = config::parse_duration(duration)) {
    demo.duration = std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
  }
  return demo;
}

}  // namespace kportal::cmd
