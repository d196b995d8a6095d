// SPDX-License-Identifier: MIT
// What the words of a command mean that takes [NAME...] or TARGET PORT...: by their shape alone, so
// that the same command line always means the same. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace kportal::cmd {

enum class Meaning {
  names,        // of a file's forwards; none: all
  ad_hoc,       // TARGET PORT...
  lone_target,  // KIND/NAME: a name, or a target whose port was forgotten
  either,  // KIND/NAME and words that may be names of ports, or of forwards: then it is unclear
};

// `option`: one that goes with TARGET PORT... only, as given; empty = none. The error is one of
// usage.
Result<Meaning> meaning_of(std::vector<std::string> const& words, bool has_file,
                           std::string const& option);

}  // namespace kportal::cmd
