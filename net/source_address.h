// SPDX-License-Identifier: MIT
// The address of this machine from which the kernel would send to another one now, by its routes.
// No packet is sent for the question.
#pragma once

#include <optional>

#include <boost/asio/ip/address.hpp>

namespace kportal::net {

// Nothing if there is no route.
std::optional<boost::asio::ip::address> source_toward(boost::asio::ip::address const& peer);

}  // namespace kportal::net
