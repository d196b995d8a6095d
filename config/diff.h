// SPDX-License-Identifier: MIT
// What a new configuration changes, by content. It says what differs; what to do about it, and in
// which order, is the manager's decision. Pure.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace kportal::config {

// True if a running forward need not be replaced: all is equal but what applies live (`health`) or
// concerns no connection (`tags`).
bool same_forwarding(ForwardSpec const& a, ForwardSpec const& b);

// True if both listen on the same addresses (in any order) and the same port. Two with `auto` do,
// but only a forward of the same id has a claim to the port that was found.
bool same_listener(ForwardSpec const& a, ForwardSpec const& b);

// The listener of the old forward `from` is what the new forward `to` wants: the ids are equal
// where a forward changed, and differ where one was renamed or two traded ports.
struct KeptListener {
  std::string from;
  std::string to;
  bool operator==(KeptListener const&) const = default;
};

// Lists of ids: `removed` in the order of the old configuration, the others in that of the new one.
struct Diff {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;     // in both, not same_forwarding()
  std::vector<std::string> unchanged;   // in both, same_forwarding()
  std::vector<std::string> retuned;     // those of `unchanged` with other health settings or tags
  std::vector<KeptListener> listeners;  // of added and changed forwards
  bool reliability_changed = false;

  // True if a reload would change nothing at all.
  bool empty() const;
};

Diff diff(Config const& before, Config const& after);

}  // namespace kportal::config
