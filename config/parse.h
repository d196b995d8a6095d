// SPDX-License-Identifier: MIT
// Configuration files to a Config, or to all that is wrong with them at once. Reads files, but
// waits for nothing and asks no cluster: a context or a kubeconfig that does not exist is found out
// later.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/expand.h"
#include "config/file.h"
#include "config/problem.h"

namespace kportal::config {

struct ParseOutcome {
  std::optional<Config> config;   // absent if and only if there are problems
  std::vector<Problem> problems;  // in the order of the files, then of place
  std::vector<Problem> warnings;  // likewise; also when there are problems
};

struct Source {
  std::string file;  // as problems name it
  std::string text;
  std::string base_dir;  // absolute; relative kubeconfig paths start here
};

// Several sources are one configuration: forwards are joined in order; a key of healthCheck or
// reliability may stand in several only with the same value.
ParseOutcome parse(std::vector<Source> const& sources, Environment const& environment);
ParseOutcome parse(std::string_view text, std::string const& file, std::string const& base_dir,
                   Environment const& environment);

// The same for files by path. "-" is `stdin_text` (problems call it <stdin>), which the caller has
// read, at most kMaxFileBytes + 1 of it.
ParseOutcome load(std::vector<std::string> const& files, Environment const& environment,
                  std::optional<std::string> const& stdin_text = {});

}  // namespace kportal::config
