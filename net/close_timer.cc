// SPDX-License-Identifier: MIT
#include "net/close_timer.h"

namespace kportal::net {

struct CloseTimer::State {
  explicit State(Transport* t) : transport(t) {}
  Transport* transport;  // null when the timer is gone
  bool expired = false;
};

CloseTimer::CloseTimer(asio::any_io_executor const& executor, Transport& transport,
                       TimePoint deadline)
    : state_(std::make_shared<State>(&transport)), timer_(executor, deadline) {
  if (deadline == kNever) return;
  timer_.async_wait([state = state_](error_code error) {
    if (error || state->transport == nullptr) return;
    state->expired = true;
    state->transport->close();
  });
}

CloseTimer::~CloseTimer() {
  state_->transport = nullptr;
}

bool CloseTimer::expired() const {
  return state_->expired;
}

}  // namespace kportal::net
