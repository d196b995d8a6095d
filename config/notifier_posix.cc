// SPDX-License-Identifier: MIT
#include <algorithm>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "config/notifier.h"

namespace kportal::config {

// How often its caller looks for itself.
constexpr std::chrono::milliseconds kLook{500};

class Notifier::Impl {
 public:
  explicit Impl(asio::any_io_executor executor) : timer(std::move(executor)) {}
  asio::steady_timer timer;
};

Notifier::Notifier(asio::any_io_executor executor)
    : impl_(std::make_unique<Impl>(std::move(executor))) {}
Notifier::~Notifier() = default;

void Notifier::watch(std::vector<Lookup> const&) {}

asio::awaitable<bool> Notifier::wait_until(TimePoint deadline) {
  impl_->timer.expires_at(std::min(deadline, Clock::now() + kLook));
  auto const [ignored] = co_await impl_->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  static_cast<void>(ignored);
  co_return false;
}

}  // namespace kportal::config
