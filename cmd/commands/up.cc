// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "cmd/app.h"
#include "cmd/commands/commands.h"
#include "cmd/selection.h"
#include "cmd/up_words.h"
#include "k8s/kubeconfig.h"

namespace kportal::cmd {
namespace {

ExitCode usage(std::string_view text) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  return ExitCode::usage;
}

enum class Called { yes, no, unknown };

// Whether all words are names in the file that the search finds; unknown if that file is no good.
Called all_called(std::vector<std::string> const& words) {
  auto const files = find_files({});
  if (files.has_error()) return Called::no;
  auto const outcome = config::load(*files, config::process_environment());
  if (!outcome.config) return Called::unknown;
  bool const all = std::all_of(words.begin(), words.end(), [&](std::string const& word) {
    return !ids_called(word, *outcome.config).empty();
  });
  return all ? Called::yes : Called::no;
}

ExitCode run_names(UpCommand const& command) {
  asio::io_context loop(1);
  App app(loop, command.common, command.words);
  return app.run();
}

ExitCode run_ad_hoc(UpCommand const& command) {
  auto outcome = config::parse_ad_hoc(command.ad_hoc);
  for (auto const& problem : outcome.problems) usage(config::to_text(problem));
  if (!outcome.config) return ExitCode::usage;
  settle_context(*outcome.config);
  asio::io_context loop(1);
  App app(loop, command.common, {});
  app.use(std::move(outcome));
  return app.run();
}

}  // namespace

void settle_context(config::Config& config) {
  auto const environment = k8s::system_environment();
  for (config::ForwardSpec& spec : config.forwards) {
    std::string name_space = "default";
    auto const kubeconfig = k8s::load_kubeconfig(spec.kubeconfig, environment);
    if (kubeconfig.has_value()) {
      if (spec.context.empty()) spec.context = kubeconfig->current_context;
      auto const context = kubeconfig->contexts.find(spec.context);
      if (context != kubeconfig->contexts.end() && !context->second.namespace_.empty()) {
        name_space = context->second.namespace_;
      } else if (kubeconfig->in_cluster) {
        auto const resolved = k8s::resolve_context(*kubeconfig, spec.context, environment);
        if (resolved.has_value()) name_space = resolved->namespace_;
      }
    }
    if (spec.namespace_.empty()) spec.namespace_ = name_space;
  }
}

ExitCode run_up(UpCommand const& command) {
  switch (command.meaning) {
    case UpMeaning::names:
      return run_names(command);
    case UpMeaning::ad_hoc:
      return run_ad_hoc(command);
    case UpMeaning::lone_target: {
      if (all_called(command.words) != Called::no) return run_names(command);
      std::string const& target = command.words.front();
      return usage(target + ": a port is missing, as in up " + target +
                   " 5432 (and no file has a forward of this name)");
    }
    case UpMeaning::either:
      if (all_called(command.words) != Called::yes) return run_ad_hoc(command);
      return usage(
          "these words are names of forwards in a file, and a target with names of ports: "
          "add -f FILE for the forwards, or write the ports as :NAME");
  }
  return ExitCode::failure;
}

}  // namespace kportal::cmd
