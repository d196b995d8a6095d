// SPDX-License-Identifier: MIT
#include "cmd/wanted.h"

#include <algorithm>

#include <fmt/format.h>

#include "cmd/app.h"
#include "cmd/selection.h"
#include "k8s/kubeconfig.h"

namespace kportal::cmd {
namespace {

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

// A target, and behind it what should be ports: judged as such where no file knows it as names.
bool is_mistaken_target(std::vector<std::string> const& words) {
  if (words.size() < 2 || !config::looks_like_target(words.front())) return false;
  bool const more = std::any_of(words.begin() + 1, words.end(), config::looks_like_target);
  return !more && all_called(words) == Called::no;
}

void settle_context(config::ForwardSpec& spec) {
  std::string name_space = "default";
  auto const environment = k8s::system_environment();
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

}  // namespace

Result<Wanted> decide(Meaning meaning, std::vector<std::string> const& words, bool has_file) {
  switch (meaning) {
    case Meaning::names:
      return !has_file && is_mistaken_target(words) ? Wanted::ad_hoc : Wanted::names;
    case Meaning::ad_hoc:
      return Wanted::ad_hoc;
    case Meaning::lone_target:
      if (all_called(words) != Called::no) return Wanted::names;
      return Error(Errc::local,
                   fmt::format("{}: a port is missing, as in {} 5432 (and no file has a forward of "
                               "this name)",
                               words.front(), words.front()));
    case Meaning::either:
      if (all_called(words) != Called::yes) return Wanted::ad_hoc;
      return Error(Errc::local,
                   "these words are names of forwards in a file, and a target with names of ports: "
                   "add -f FILE for the forwards, or write the ports as :NAME");
  }
  return Wanted::names;
}

config::ParseOutcome ad_hoc_forwards(config::AdHoc const& ad_hoc) {
  auto outcome = config::parse_ad_hoc(ad_hoc);
  if (!outcome.config || outcome.config->forwards.empty()) return outcome;
  // All of them have the same kubeconfig, context and namespace.
  config::ForwardSpec first = outcome.config->forwards.front();
  settle_context(first);
  for (config::ForwardSpec& spec : outcome.config->forwards) {
    spec.context = first.context;
    spec.namespace_ = first.namespace_;
  }
  return outcome;
}

}  // namespace kportal::cmd
