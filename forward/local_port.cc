// SPDX-License-Identifier: MIT
#include "forward/local_port.h"

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "forward/port_owner.h"

namespace kportal::forward {
namespace {

// Connections accepted without a turn for everybody else.
constexpr unsigned kAcceptsAtOnce = 64;

}  // namespace

LocalPort::LocalPort(asio::any_io_executor executor, config::ForwardSpec const& spec,
                     TimePoint& next_shortage_line)
    : executor_(std::move(executor)),
      spec_(spec),
      next_shortage_line_(next_shortage_line),
      number_(spec.local_port) {}

void LocalPort::take_over(std::unique_ptr<net::Listener> listener) {
  listener_ = std::move(listener);
  if (listener_) number_ = listener_->port();
}

std::unique_ptr<net::Listener> LocalPort::give_away() {
  open_ = false;
  return std::move(listener_);
}

std::optional<Error> LocalPort::open() {
  if (!listener_) {
    auto opened = net::Listener::open(executor_, spec_.addresses, number_);
    if (opened.has_error()) {
      Error error = opened.error();
      auto const owner = error.code == Errc::port_in_use ? find_port_owner(spec_.addresses, number_)
                                                         : std::nullopt;
      if (owner) error.text += fmt::format(" (held by {}, pid {})", owner->process, owner->pid);
      return error;
    }
    take_over(std::move(*opened));
  }
  open_ = true;
  return std::nullopt;
}

// No connection is in hand while it waits: who is cancelled drops none.
awaitable<std::optional<asio::ip::tcp::socket>> LocalPort::accept() {
  if (++accepts_ % kAcceptsAtOnce == 0) co_await asio::post(asio::use_awaitable);
  while (open_) {
    auto accepted = co_await listener_->accept();
    if (accepted.has_value()) co_return std::move(*accepted);
    note(accepted.error());
  }
  co_return std::nullopt;
}

void LocalPort::note(Error const& error) {
  if (error.code == Errc::limit) {
    TimePoint const now = Clock::now();
    if (now < next_shortage_line_) return;
    next_shortage_line_ = now + kShortageQuiet;
    log::warn("{}: connections wait to be accepted: {}", spec_.id(), error.text);
    return;
  }
  if (error.code != Errc::closed) {
    log::warn("{}: {}: the port is opened anew", spec_.id(), error.text);
  }
  give_away();
}

}  // namespace kportal::forward
