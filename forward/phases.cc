// SPDX-License-Identifier: MIT
#include "forward/phases.h"

#include <string_view>

#include <fmt/format.h>

namespace kportal::forward {
namespace {

std::string_view word_of(Phase phase) {
  switch (phase) {
    case Phase::turn:
      return "asleep";
    case Phase::resolve:
      return "resolving";
    case Phase::dial:
      return "dialling";
    case Phase::close:
      return "closing a tunnel";
    case Phase::end:
      return "ending a connection";
  }
  return "";
}

}  // namespace

std::string to_text(Overrun const& overrun) {
  auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(overrun.took).count();
  return fmt::format("{} for {} s", word_of(overrun.phase), seconds);
}

void Phases::begin(Phase phase, std::uint64_t id, TimePoint now, Duration bound) {
  under_way_.insert_or_assign({phase, id}, Entry{now, now + bound});
}

void Phases::end(Phase phase, std::uint64_t id) {
  under_way_.erase({phase, id});
}

std::vector<Overrun> Phases::take_overrun(TimePoint now) {
  std::vector<Overrun> overrun;
  for (auto at = under_way_.begin(); at != under_way_.end();) {
    auto const here = at++;
    if (now <= here->second.due) continue;
    overrun.push_back({here->first.first, here->first.second, now - here->second.since});
    under_way_.erase(here);
  }
  return overrun;
}

}  // namespace kportal::forward
