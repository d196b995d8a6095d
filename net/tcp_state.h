// SPDX-License-Identifier: MIT
// What the kernel knows of a peer that this program hears nothing from: whether TCP still
// acknowledges what was sent (product contract, section 4: a stalled tunnel is not a dead one).
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "base/clock.h"

namespace kportal::net {

// False when bytes were sent again for want of an acknowledgement and none at all came within the
// last `within`, or when a peer that had no room left two questions for room unanswered. True
// otherwise, also where the system does not tell.
bool acknowledged_within(boost::asio::ip::tcp::socket& socket, Duration within);

}  // namespace kportal::net
