// SPDX-License-Identifier: MIT
// Who listens on a local TCP port, for the message of `port-in-use`. A look at what the system
// shows to this user, not a lock: the answer may be outdated or missing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace kportal::forward {

struct PortOwner {
  std::string process;  // its name
  int pid = 0;
};

// Of those that listen on the port, one that is in the way of these addresses (as in
// net::Listener::open). Nothing where the system does not show it (another user's process). Takes
// milliseconds.
std::optional<PortOwner> find_port_owner(std::span<std::string const> addresses,
                                         std::uint16_t port);

}  // namespace kportal::forward
