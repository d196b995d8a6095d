// SPDX-License-Identifier: MIT
// Whether this machine has IPv6: containers often lack it, and tests of both families then skip.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/error.h"

namespace kportal::test {

inline bool has_ipv6() {
  boost::asio::io_context loop;
  boost::asio::ip::tcp::acceptor acceptor(loop);
  error_code error;
  acceptor.open(boost::asio::ip::tcp::v6(), error);
  if (error) return false;
  acceptor.bind({boost::asio::ip::address_v6::loopback(), 0}, error);
  return !error;
}

}  // namespace kportal::test
