// SPDX-License-Identifier: MIT
// Turns: heavy steps of a millisecond or so (a TLS handshake, the start of a forward) of which many
// may be due at once: one of them is done in a turn of the loop, then everybody else's events are
// looked at. First come, first served. Not for what can be sliced itself, nor for threads. The
// queue is the loop's own.
#pragma once

#include <functional>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace kportal {

namespace asio = boost::asio;
using asio::awaitable;

// Returns when it is this one's turn, at once if no other step was done in this one.
awaitable<void> own_turn();
// The same for who does not wait: calls `step` then, perhaps before it returns. What the step uses
// may be gone by then, so it has to look.
void in_turn(asio::any_io_executor const& executor, std::function<void()> step);

}  // namespace kportal
