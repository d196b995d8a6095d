// SPDX-License-Identifier: MIT
// Other systems have ways of their own; without one a change shows by the silence of the tunnels.
#include "net/route_watch.h"

namespace kportal::net {

Result<std::unique_ptr<RouteWatch>> RouteWatch::open(boost::asio::any_io_executor) {
  return Error(Errc::unsupported, "this system tells of no changes of its routes");
}

}  // namespace kportal::net
