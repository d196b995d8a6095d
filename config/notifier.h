// SPDX-License-Identifier: MIT
// Notifier: wakes its caller when something happens to a name in a directory. With inotify on
// Linux; elsewhere it only sleeps, and who uses it looks for itself. A hint, never a proof: both
// false alarms and silence are possible (network file systems, limits of the system).
#pragma once

#include <memory>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "base/clock.h"
#include "config/file_state.h"

namespace kportal::config {

namespace asio = boost::asio;

class Notifier {
 public:
  explicit Notifier(asio::any_io_executor executor);
  ~Notifier();
  Notifier(Notifier const&) = delete;
  Notifier& operator=(Notifier const&) = delete;

  // From now on these, and no others. Directories that do not exist are left out.
  void watch(std::vector<Lookup> const& lookups);
  // True if something happened to one of them since the last call. False at `deadline` at the
  // latest.
  asio::awaitable<bool> wait_until(TimePoint deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kportal::config
