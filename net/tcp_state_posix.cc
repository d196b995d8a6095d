// SPDX-License-Identifier: MIT
// Other systems tell it in ways of their own; without it a stalled tunnel is taken for alive.
#include "net/tcp_state.h"

namespace kportal::net {

bool acknowledged_within(boost::asio::ip::tcp::socket&, Duration) {
  return true;
}

}  // namespace kportal::net
