// SPDX-License-Identifier: MIT
// Whether what goes to standard output has colour.
#pragma once

#include "cmd/options.h"

namespace kportal::cmd {

// --color; without it only a terminal that can, and not with NO_COLOR.
bool wants_color(ColorChoice choice);

}  // namespace kportal::cmd
