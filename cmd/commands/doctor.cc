// SPDX-License-Identifier: MIT
#include "doctor/doctor.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <unistd.h>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "base/writer.h"
#include "cmd/app.h"
#include "cmd/color.h"
#include "cmd/commands/commands.h"
#include "cmd/selection.h"
#include "cmd/wanted.h"
#include "doctor/render.h"
#include "doctor/stopwatch.h"

namespace kportal::cmd {
namespace {

ExitCode exit_code(doctor::Outcome outcome) {
  switch (outcome) {
    case doctor::Outcome::ok:
      return ExitCode::ok;
    case doctor::Outcome::configuration:
      return ExitCode::configuration;
    case doctor::Outcome::access:
      return ExitCode::access;
    case doctor::Outcome::failed:
      return ExitCode::failure;
  }
  return ExitCode::failure;
}

std::string lines_of(std::vector<config::Problem> const& problems) {
  std::string text;
  for (auto const& problem : problems) {
    if (!text.empty()) text += '\n';
    text += config::to_text(problem);
  }
  return text;
}

class Visit {
 public:
  explicit Visit(DoctorCommand const& command) : command_(command) {}

  ExitCode run() {
    auto const wanted = decide(command_.meaning, command_.words, !command_.common.files.empty());
    if (wanted.has_error()) return usage(wanted.error().text);
    if (*wanted == Wanted::ad_hoc) {
      auto outcome = ad_hoc_forwards(command_.ad_hoc);
      if (!outcome.config) return usage(lines_of(outcome.problems));
      use(std::move(outcome), "the command line");
    } else {
      read_files();
    }
    if (config_) examine();
    std::string const text = command_.output == OutputFormat::json
                                 ? doctor::to_json(report_)
                                 : doctor::to_table(report_, wants_color(command_.common.color));
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (!interrupted_) return exit_code(doctor::outcome_of(report_));
    std::fprintf(stderr, "interrupted: what is not tried was not reached\n");
    return ExitCode::failure;
  }

 private:
  static ExitCode usage(std::string const& text) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return ExitCode::usage;
  }

  void fail(std::string text) {
    report_.config.fail(doctor::HopName::config, watch_.took(),
                        Error(Errc::local, std::move(text)));
  }

  void read_files() {
    auto const files = find_files(command_.common.files);
    if (files.has_error()) return fail(files.error().text);
    auto outcome = config::load(*files, config::process_environment(), read_stdin_if_asked(*files));
    if (!outcome.config) return fail(lines_of(outcome.problems));
    std::vector<std::string> problems;
    select_named(*outcome.config, command_.words, problems);
    if (!problems.empty()) return fail(fmt::format("{}", fmt::join(problems, "\n")));
    for (config::ForwardSpec& spec : outcome.config->forwards) {
      if (spec.kubeconfig.empty()) spec.kubeconfig = command_.common.kubeconfig;
    }
    use(std::move(outcome), fmt::format("{}", fmt::join(*files, ", ")));
  }

  void use(config::ParseOutcome outcome, std::string from) {
    config_ = std::move(outcome.config);
    if (outcome.warnings.empty()) {
      report_.config.ok(doctor::HopName::config, watch_.took(), std::move(from));
    } else {
      report_.config.warn(doctor::HopName::config, watch_.took(), std::move(from),
                          lines_of(outcome.warnings));
    }
  }

  void examine() {
    asio::io_context loop(1);
    net::Resolver resolver(loop.get_executor());
    k8s::ClusterPool clusters(loop.get_executor(), resolver, k8s::system_environment());
    auto& logins = clusters.plugins().options();
    logins.time_limit = config_->reliability.auth_timeout;
    auto const& files = command_.common.files;
    logins.input_in_use = std::find(files.begin(), files.end(), "-") != files.end();
    doctor::Doctor doctor(loop.get_executor(), resolver, clusters, *config_);
    asio::signal_set signals(loop, SIGINT, SIGTERM);
    signals.async_wait([&](error_code error, int) {
      interrupted_ = !error;
      if (interrupted_) doctor.give_up();
    });
    asio::co_spawn(loop, visit(doctor, clusters, signals), &rethrow);
    loop.run();
  }

  awaitable<void> visit(doctor::Doctor& doctor, k8s::ClusterPool& clusters,
                        asio::signal_set& signals) {
    co_await doctor.examine(report_);
    co_await clusters.stop();
    error_code ignored;
    signals.cancel(ignored);
  }

  static void rethrow(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  }

  DoctorCommand const& command_;
  doctor::Stopwatch watch_;
  doctor::Report report_;
  std::optional<config::Config> config_;
  bool interrupted_ = false;
};

}  // namespace

// What reflectors and the like log is said by the report, and better.
ExitCode run_doctor(DoctorCommand const& command) {
  Writer writer;
  log::set_output(writer, writer.add(STDERR_FILENO));
  log::set_level(command.common.verbose ? log::Level::debug : log::Level::error);
  ExitCode const code = Visit(command).run();
  log::reset_output();
  return code;
}

}  // namespace kportal::cmd
