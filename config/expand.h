// SPDX-License-Identifier: MIT
// ${VAR} and ${VAR:-default} in a value, after parsing. The default counts when the variable is
// unset or empty, as in a shell; $${ stands for a literal ${; a lone $ is itself. Pure over the
// environment.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kportal::config {

// The value of an environment variable, or nothing if it is unset.
using Environment = std::function<std::optional<std::string>(std::string const& name)>;

// That of this process.
Environment process_environment();

struct ExpandFailure {
  std::size_t offset;  // of the `${` in the text that was given
  std::string message;
};

struct Expanded {
  std::string text;
  std::vector<ExpandFailure> failures;
};

// The result is longer than `limit` bytes: a failure at the `${` that made it so.
Expanded expand(std::string_view text, Environment const& environment, std::size_t limit);

}  // namespace kportal::config
