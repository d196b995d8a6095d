// SPDX-License-Identifier: MIT
// From a command's words to the forwards it is about, with a look at the file or the kubeconfig
// where words alone do not tell.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "cmd/words.h"
#include "config/ad_hoc.h"

namespace kportal::cmd {

enum class Wanted { names, ad_hoc };
// Looks into the file that the search finds where the meaning is not clear and no file is given.
// The error is one of usage.
Result<Wanted> decide(Meaning meaning, std::vector<std::string> const& words, bool has_file);

// The forwards of TARGET PORT..., with the context and the namespace that the kubeconfig has for
// them now. Problems are of usage.
config::ParseOutcome ad_hoc_forwards(config::AdHoc const& ad_hoc);

}  // namespace kportal::cmd
