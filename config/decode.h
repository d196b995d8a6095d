// SPDX-License-Identifier: MIT
// The meaning of the keys: trees of one or several files to a Config. Knows every key of the
// contract, its default and its range, and which of them do nothing yet. It reads no file and no
// YAML.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "config/document.h"
#include "config/expand.h"
#include "config/problem.h"

namespace kportal::config {

struct Tree {
  std::size_t file = 0;  // its index, for problems
  Node root;
  std::string base_dir;  // absolute; relative paths in it start here
};

// What is wrong goes to `problems`; then the result is worth nothing. `files` are the names of
// all files, for messages that point from one place to another.
Config decode(std::vector<Tree> const& trees, std::vector<std::string> const& files,
              Environment const& environment, Report& problems, Report& warnings);

}  // namespace kportal::config
