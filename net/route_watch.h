// SPDX-License-Identifier: MIT
// RouteWatch: tells when this machine's addresses, links or routes may have changed (Linux: the
// kernel's own notices, rtnetlink(7), for which no rights are needed). It does not say what
// changed: whoever is told looks at the route that concerns it. Owned by who acts on it.
#pragma once

#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "base/clock.h"
#include "base/error.h"

namespace kportal::net {

class RouteWatch {
 public:
  // A change comes as several notices, and some machines never rest: what comes within this time is
  // told as one.
  static constexpr Duration kSettle = std::chrono::milliseconds(200);
  // Notices taken without a turn for everybody else.
  static constexpr int kMaxNotices = 64;

  // Errc::unsupported where the system tells nothing, Errc::local where it refuses to.
  static Result<std::unique_ptr<RouteWatch>> open(boost::asio::any_io_executor executor);
  virtual ~RouteWatch() = default;

  // Returns kSettle after a change, or after notices were lost. An error is final.
  virtual boost::asio::awaitable<error_code> changed() = 0;

 protected:
  RouteWatch() = default;
};

}  // namespace kportal::net
