// SPDX-License-Identifier: MIT
// CloseTimer: the deadline of one phase (a handshake, an upgrade). It closes the transport when
// time is up, so that what is pending there fails. Lives on the stack of the coroutine that has the
// deadline.
#pragma once

#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "net/transport.h"

namespace kportal::net {

class CloseTimer {
 public:
  // `transport` must outlive the timer. kNever = no deadline.
  CloseTimer(asio::any_io_executor const& executor, Transport& transport, TimePoint deadline);
  ~CloseTimer();
  CloseTimer(CloseTimer const&) = delete;
  CloseTimer& operator=(CloseTimer const&) = delete;

  // The deadline has passed and the transport was closed for it.
  bool expired() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the timer's handler, which may be queued already
  asio::steady_timer timer_;
};

}  // namespace kportal::net
