// SPDX-License-Identifier: MIT
#include "cmd/color.h"

#include <cstdlib>
#include <string_view>
#include <unistd.h>

namespace kportal::cmd {

bool wants_color(ColorChoice choice) {
  if (choice != ColorChoice::automatic) return choice == ColorChoice::always;
  char const* const no_color = std::getenv("NO_COLOR");
  char const* const term = std::getenv("TERM");
  bool const dumb = term != nullptr && std::string_view(term) == "dumb";
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') && !dumb;
}

}  // namespace kportal::cmd
