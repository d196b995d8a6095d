// SPDX-License-Identifier: MIT
// What the forwards of all files must not do to each other: the same id, alias or listener twice.
// What a single value may be is in grammar.h. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/problem.h"

namespace kportal::config {

// Of two results of parse_address: could a listener on one be in the way of one on the other?
bool addresses_overlap(std::string_view a, std::string_view b);

// A forward and where its parts stood.
struct PlacedForward {
  ForwardSpec spec;
  std::string path;  // "contexts[0].namespaces[0].forwards[2]"
  std::size_t file = 0;
  Place place;
  Place alias_place;
  Place local_port_place;
  bool has_local_port = false;  // false: it was missing or wrong
  bool has_identity = false;    // false: the id is not known, because a part of it was wrong
};

// Ids twice, aliases twice, local ports twice on overlapping addresses.
void check_together(std::vector<PlacedForward> const& forwards,
                    std::vector<std::string> const& files, Report& problems);

}  // namespace kportal::config
