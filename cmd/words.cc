// SPDX-License-Identifier: MIT
#include "cmd/words.h"

#include <algorithm>

#include <fmt/format.h>

#include "config/ad_hoc.h"

namespace kportal::cmd {
namespace {

Error usage(std::string text) {
  return {Errc::local, std::move(text)};
}

}  // namespace

Result<Meaning> meaning_of(std::vector<std::string> const& words, bool has_file,
                           std::string const& option) {
  if (has_file && !option.empty()) {
    return usage(
        fmt::format("{} goes with TARGET PORT..., not with -f: a file says it itself, for "
                    "each of its forwards",
                    option));
  }
  if (!option.empty() && words.empty()) {
    return usage(
        fmt::format("{} goes with TARGET PORT..., as in svc/db 5432; a file says it "
                    "itself, for each of its forwards",
                    option));
  }
  if (!option.empty() && words.size() == 1) {
    return usage(fmt::format("{}: a port is missing, as in {} 5432", words[0], words[0]));
  }
  if (has_file || words.empty()) return Meaning::names;
  bool const has_target = config::looks_like_target(words[0]);
  if (words.size() == 1) return has_target ? Meaning::lone_target : Meaning::names;
  if (!option.empty()) return Meaning::ad_hoc;
  auto const rest = words.begin() + 1;
  if (std::any_of(rest, words.end(), config::looks_like_port)) return Meaning::ad_hoc;
  auto const target = std::find_if(rest, words.end(), config::looks_like_target);
  if (config::looks_like_port(words[0]) && target != words.end()) {
    return usage(
        fmt::format("{}: the target comes first, as in {} {}", words[0], *target, words[0]));
  }
  if (has_target && std::all_of(rest, words.end(), config::looks_like_port_name)) {
    return Meaning::either;
  }
  return Meaning::names;
}

}  // namespace kportal::cmd
