// SPDX-License-Identifier: MIT
// LocalPort: the port of one forward on this machine, and what is said when it cannot be opened,
// breaks, or nothing more can be accepted. It tries nothing again and knows nothing of tunnels (the
// worker does). Owned by the worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <boost/asio/ip/tcp.hpp>

#include "base/clock.h"
#include "config/config.h"
#include "net/listener.h"

namespace kportal::forward {

class LocalPort {
 public:
  // That connections wait for descriptors is told no more often than this, by whichever forward.
  static constexpr Duration kShortageQuiet = std::chrono::minutes(1);

  // `spec` and `next_shortage_line` (no earlier is a shortage told again; of all forwards) outlive
  // it.
  LocalPort(asio::any_io_executor executor, config::ForwardSpec const& spec,
            TimePoint& next_shortage_line);

  // Of a predecessor with the same addresses and port; open() still has to be called.
  void take_over(std::unique_ptr<net::Listener> listener);
  std::unique_ptr<net::Listener> give_away();

  // Why it cannot be opened: Errc::port_in_use with who has it, Errc::local. An automatic one keeps
  // its number.
  std::optional<Error> open();
  bool is_open() const { return open_; }
  // The bound one; as configured before that.
  std::uint16_t number() const { return number_; }

  // The next connection; nothing when the port is not open any more, because it broke. The tasks of
  // others have their turn among many. One call at a time.
  awaitable<std::optional<asio::ip::tcp::socket>> accept();

 private:
  void note(Error const& error);

  asio::any_io_executor executor_;
  config::ForwardSpec const& spec_;
  TimePoint& next_shortage_line_;
  std::unique_ptr<net::Listener> listener_;
  std::uint16_t number_;
  bool open_ = false;
  unsigned accepts_ = 0;
};

}  // namespace kportal::forward
