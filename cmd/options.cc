// SPDX-License-Identifier: MIT
#include "cmd/options.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/printable.h"
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

// One of a few words; CLI11's own transformer also takes the numbers behind them, and complains in
// its own words.
template <class T>
CLI::Option* add_choice(CLI::App& command, std::string const& name, T& value,
                        std::vector<std::pair<std::string, T>> const& choices,
                        std::string const& about) {
  std::vector<std::string> words;
  for (auto const& choice : choices) words.push_back(choice.first);
  std::string const all = fmt::format("{}", fmt::join(words, "|"));
  std::string const last = name.substr(name.rfind(',') + 1);
  auto const take = [&value, choices, all, last](std::string const& word) {
    for (auto const& [each, meaning] : choices) {
      if (each != word) continue;
      value = meaning;
      return;
    }
    throw CLI::ValidationError(last, fmt::format("\"{}\" is none of {}", word, all));
  };
  return command.add_option_function<std::string>(name, take, about)->type_name(all);
}

void add_color_option(CLI::App& command, CommonOptions& common) {
  add_choice<ColorChoice>(command, "--color", common.color,
                          {{"auto", ColorChoice::automatic},
                           {"always", ColorChoice::always},
                           {"never", ColorChoice::never}},
                          "colours; auto: on a terminal");
}

void add_log_options(CLI::App& command, CommonOptions& common) {
  add_choice<LogFormat>(command, "--log-format", common.log_format,
                        {{"text", LogFormat::text}, {"json", LogFormat::json}},
                        "of event lines and log");
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
  command
      .add_option("-n,--namespace", ad_hoc.namespace_,
                  "of TARGET; without it the namespace of the context")
      ->type_name("NAME");
  command
      .add_option("--context", ad_hoc.context,
                  "of TARGET, in the kubeconfig; without it the current one")
      ->type_name("NAME");
  command
      .add_option("--address", ad_hoc.addresses,
                  "where TARGET's ports listen: localhost or IP addresses, with commas or several "
                  "times")
      ->type_name("ADDRESS")
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
  command.add_option("NAME", selected.words, "names of forwards, or TARGET PORT...: see below")
      ->type_name("");
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
  add_choice<OutputFormat>(*command, "-o,--output", doctor.output,
                           {{"table", OutputFormat::table}, {"json", OutputFormat::json}},
                           "for people, or for scripts");
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

bool is_command(CLI::App& app, std::string const& word) {
  auto const all = app.get_subcommands([](CLI::App*) { return true; });
  return std::ranges::any_of(all, [&](CLI::App* each) { return each->check_name(word); });
}

// CLI11 would not say that it is the command which is wrong.
std::optional<Answered> refuse_first_word(CLI::App& app, int argc, char const* const* argv) {
  if (argc < 2) return std::nullopt;
  std::string const word = argv[1];
  if (is_not_built(word)) {
    std::fprintf(stderr, "kportal-cpp: %s: not built yet\n", word.c_str());
    return Answered{ExitCode::usage};
  }
  if (word.starts_with('-') || is_command(app, word)) return std::nullopt;
  std::fprintf(stderr, "kportal-cpp: %s: no such command; --help lists those there are\n",
               printable(word).c_str());
  return Answered{ExitCode::usage};
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

  if (auto const refused = refuse_first_word(app, argc, argv)) return *refused;
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
