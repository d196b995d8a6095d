// SPDX-License-Identifier: MIT
#include "config/diff.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace kportal::config {
namespace {

using ById = std::unordered_map<std::string, ForwardSpec const*>;

ById by_id(Config const& config) {
  ById out;
  for (ForwardSpec const& forward : config.forwards) out.emplace(forward.id(), &forward);
  return out;
}

std::vector<std::string> sorted(std::vector<std::string> addresses) {
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

using ListenerKey = std::pair<std::uint16_t, std::vector<std::string>>;

// Listeners on `auto` are left out: their real ports are not known here.
std::map<ListenerKey, std::string> listeners_of(Config const& config) {
  std::map<ListenerKey, std::string> out;
  for (ForwardSpec const& forward : config.forwards) {
    if (forward.local_port == 0) continue;
    out.emplace(ListenerKey{forward.local_port, sorted(forward.addresses)}, forward.id());
  }
  return out;
}

}  // namespace

bool same_forwarding(ForwardSpec const& a, ForwardSpec const& b) {
  ForwardSpec as_a = b;
  as_a.health = a.health;
  as_a.tags = a.tags;
  return as_a == a;
}

bool same_listener(ForwardSpec const& a, ForwardSpec const& b) {
  return a.local_port == b.local_port && sorted(a.addresses) == sorted(b.addresses);
}

bool Diff::empty() const {
  return added.empty() && removed.empty() && changed.empty() && retuned.empty() &&
         !reliability_changed;
}

Diff diff(Config const& before, Config const& after) {
  Diff out;
  ById const old_forwards = by_id(before);
  ById const new_forwards = by_id(after);
  auto const old_listeners = listeners_of(before);
  for (ForwardSpec const& forward : before.forwards) {
    std::string id = forward.id();
    if (!new_forwards.contains(id)) out.removed.push_back(std::move(id));
  }
  for (ForwardSpec const& forward : after.forwards) {
    std::string const id = forward.id();
    auto const old = old_forwards.find(id);
    if (old != old_forwards.end() && same_forwarding(*old->second, forward)) {
      out.unchanged.push_back(id);
      if (*old->second != forward) out.retuned.push_back(id);
      continue;
    }
    (old == old_forwards.end() ? out.added : out.changed).push_back(id);
    if (old != old_forwards.end() && same_listener(*old->second, forward)) {
      out.listeners.push_back({id, id});
      continue;
    }
    auto const kept = old_listeners.find({forward.local_port, sorted(forward.addresses)});
    if (kept != old_listeners.end()) out.listeners.push_back({kept->second, id});
  }
  out.reliability_changed = before.reliability != after.reliability;
  return out;
}

}  // namespace kportal::config
