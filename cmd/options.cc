// SPDX-License-Identifier: MIT
#include "cmd/options.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>

#include <CLI/CLI.hpp>

#include "config/duration.h"

namespace kportal::cmd {
namespace {

// Commands of the contract that do nothing yet; shrinks as they are built.
constexpr std::array kNotBuilt = {
    "down",    "ps",       "status",  "events", "logs", "restart", "enable",
    "disable", "reload",   "port",    "wait",   "exec", "diff",    "add",
    "remove",  "generate", "convert", "bench",  "http", "schema",  "completion"};

bool is_not_built(std::string_view word) {
  return std::find(kNotBuilt.begin(), kNotBuilt.end(), word) != kNotBuilt.end();
}

void add_color_option(CLI::App& command, CommonOptions& common) {
  std::map<std::string, ColorChoice> const colors{{"auto", ColorChoice::automatic},
                                                  {"always", ColorChoice::always},
                                                  {"never", ColorChoice::never}};
  command.add_option("--color", common.color, "auto, always or never")
      ->transform(CLI::CheckedTransformer(colors).description("auto|always|never"));
}

void add_log_options(CLI::App& command, CommonOptions& common) {
  std::map<std::string, LogFormat> const formats{{"text", LogFormat::text},
                                                 {"json", LogFormat::json}};
  command.add_option("--log-format", common.log_format, "event lines and log: text or json")
      ->transform(CLI::CheckedTransformer(formats).description("text|json"));
  command.add_option("--log-file", common.log_file, "write the log to FILE instead of stderr")
      ->type_name("FILE");
  add_color_option(command, common);
  auto* const verbose = command.add_flag("-v,--verbose", common.verbose, "log more");
  command.add_flag("-q,--quiet", common.quiet, "only what is wrong")->excludes(verbose);
}

void add_file_options(CLI::App& command, CommonOptions& common) {
  command
      .add_option("-f,--file", common.files,
                  "the file of forwards, - for standard input; may be given several times")
      ->type_name("FILE")
      // One file each time, so that names may follow it.
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// -n and --context say where a forward without a file leads, --address where it listens.
void add_ad_hoc_options(CLI::App& command, config::AdHoc& ad_hoc) {
  command.add_option("-n,--namespace", ad_hoc.namespace_,
                     "of TARGET; without it the namespace of the context");
  command.add_option("--context", ad_hoc.context,
                     "of TARGET, in the kubeconfig; without it the current one");
  command
      .add_option("--address", ad_hoc.addresses,
                  "where TARGET's ports listen: localhost or IP addresses, with commas or several "
                  "times")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// The first of them that was given.
std::string ad_hoc_option(CLI::App const& command) {
  for (char const* const name : {"--namespace", "--context", "--address"}) {
    if (command.count(name) > 0) return name;
  }
  return {};
}

constexpr char const* kForms = R"(Two ways to say which forwards are meant:
  [-f FILE]... [NAME...]   those of a file: all, or those of these names (alias, id
                           or resource). Without -f the file is searched for.
  TARGET PORT...           one target without any file, as kubectl port-forward
                           takes it: TARGET is KIND/NAME, or the NAME of a pod; PORT
                           is REMOTE, LOCAL:REMOTE or :REMOTE (a free local port),
                           where REMOTE may be a name; a name alone takes a free
                           local port.
Words are TARGET PORT... if there is no -f and one after the first is a port with a
number or a colon, or if the first is KIND/NAME and all others may be names of ports,
or if an option is given that goes with TARGET only. Otherwise they are names.)";

constexpr char const* kUpExamples = R"(

Examples:
  kportal-cpp up -f forwards.yaml api db
  kportal-cpp up svc/db 5432 -n shop --context staging
  kportal-cpp up deploy/web 8080:http :9090)";

constexpr char const* kDoctorText = R"(

It goes the way of each forward once, says what each hop found, and explains the first
that failed: configuration, kubeconfig, name resolution, TCP, proxy, TLS, login, rights,
target, pod, port, local port, tunnel, reply of the pod's port. It changes nothing, and
may run beside `up`.
Exit code: 0 all is well (warnings count as well), 3 configuration or context, 4 login
or rights, 1 any other hop.

Examples:
  kportal-cpp doctor api
  kportal-cpp doctor svc/db 5432 -n shop --context staging)";

std::string check_duration(std::string const& text) {
  return config::parse_duration(text) ? "" : "\"" + text + "\" is no duration such as 20s or 1m30s";
}

void add_selection(CLI::App& command, Selected& selected) {
  add_file_options(command, selected.common);
  command
      .add_option("--kubeconfig", selected.common.kubeconfig,
                  "the kubeconfig of forwards that name none")
      ->type_name("FILE");
  add_ad_hoc_options(command, selected.ad_hoc);
  command.add_option("NAME", selected.words, "names of forwards, or TARGET PORT...: see below");
}

// Nothing, if the words make sense.
std::optional<Answered> understand(CLI::App const& command, Selected& selected) {
  auto const& words = selected.words;
  auto const meaning = meaning_of(words, !selected.common.files.empty(), ad_hoc_option(command));
  if (meaning.has_error()) {
    std::fprintf(stderr, "%s\n", meaning.error().text.c_str());
    return Answered{ExitCode::usage};
  }
  selected.meaning = *meaning;
  selected.ad_hoc.kubeconfig = selected.common.kubeconfig;
  if (!words.empty()) {
    selected.ad_hoc.target = words.front();
    selected.ad_hoc.ports.assign(words.begin() + 1, words.end());
  }
  return std::nullopt;
}

CLI::App* add_up(CLI::App& app, UpCommand& up) {
  CLI::App* const command =
      app.add_subcommand("up", "open forwards, of a file or of one target, and keep them open");
  add_selection(*command, up);
  add_log_options(*command, up.common);
  command->footer(std::string(kForms) + kUpExamples);
  return command;
}

CLI::App* add_doctor(CLI::App& app, DoctorCommand& doctor) {
  CLI::App* const command =
      app.add_subcommand("doctor", "say which hop to a forward's pod fails, and why");
  add_selection(*command, doctor);
  std::map<std::string, OutputFormat> const outputs{{"table", OutputFormat::table},
                                                    {"json", OutputFormat::json}};
  command->add_option("-o,--output", doctor.output, "table or json")
      ->transform(CLI::CheckedTransformer(outputs).description("table|json"));
  add_color_option(*command, doctor.common);
  command->add_flag("-v,--verbose", doctor.common.verbose, "log what happens on stderr");
  command->footer(std::string(kForms) + kDoctorText);
  return command;
}

CLI::App* add_validate(CLI::App& app, ValidateCommand& validate) {
  CLI::App* const command =
      app.add_subcommand("validate", "say what is wrong with a file, asking no cluster");
  command->alias("check");
  add_file_options(*command, validate.common);
  return command;
}

void add_demo(CLI::App& app, DemoCommand& demo, std::string& duration) {
  CLI::App* const command =
      app.add_subcommand("demo", "try it without a cluster: one that runs in this process");
  add_log_options(*command, demo.common);
  command->add_option("--for", duration, "end after this long, having checked itself")
      ->type_name("DURATION")
      ->check(CLI::Validator(check_duration, ""));
}

}  // namespace

Command parse_command_line(int argc, char const* const* argv) {
  CLI::App app(
      "Keeps Kubernetes port-forwards open: declared in a file, checked through the pod, "
      "repaired by themselves.",
      "kportal-cpp");
  app.require_subcommand(1);
  app.set_help_all_flag();
  app.footer("Examples:\n  kportal-cpp up -f forwards.yaml\n  kportal-cpp up svc/db 5432 -n shop");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);

  UpCommand up;
  DoctorCommand doctor;
  ValidateCommand validate;
  DemoCommand demo;
  std::string duration;
  CLI::App* const up_app = add_up(app, up);
  CLI::App* const doctor_app = add_doctor(app, doctor);
  CLI::App* const validate_app = add_validate(app, validate);
  add_demo(app, demo, duration);
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
  if (up_app->parsed()) {
    if (auto const answered = understand(*up_app, up)) return *answered;
    return up;
  }
  if (doctor_app->parsed()) {
    if (auto const answered = understand(*doctor_app, doctor)) return *answered;
    return doctor;
  }
  if (validate_app->parsed()) return validate;
  if (version_app->parsed()) return VersionCommand{};
  if (auto const parsed = config::parse_duration(duration)) {
    demo.duration = std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
  }
  return demo;
}

}  // namespace kportal::cmd
