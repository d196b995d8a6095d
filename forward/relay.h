// SPDX-License-Identifier: MIT
// Relay: one accepted local connection and, while it is placed, its pair of streams on a tunnel:
// two pumps and the order in which they end. What it means is decided by RelayMachine (for the
// connection) and WorkerMachine (for the forward). Owned by the worker; its pumps are tasks of the
// worker's group.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <boost/asio/ip/tcp.hpp>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "forward/relay_machine.h"
#include "forward/worker_machine.h"
#include "net/port_stream.h"
#include "net/spdy_connection.h"

namespace kportal::forward {

// What relays count and tell, all on the loop.
class RelayOwner {
 public:
  virtual ~RelayOwner() = default;
  // The relay is off its tunnel: over, or waiting to be placed again or reset. No pump runs any
  // more.
  virtual void relay_left(ConnectionId connection, ConnectionEnd end) = 0;
  virtual void bytes_sent(TunnelId tunnel, std::size_t n) = 0;
  // `first`: nothing came back on this connection before.
  virtual void bytes_received(TunnelId tunnel, std::size_t n, bool first) = 0;
};

class Relay final : private net::DataSink {
 public:
  // A pod that ended its stream says why on the error stream soon after.
  static constexpr Duration kErrorTextWait = std::chrono::seconds(2);
  // How long what the client still sends is read and dropped after the pod's end, so that closing
  // does not take the answer back.
  static constexpr Duration kLinger = std::chrono::seconds(5);

  Relay(ConnectionId id, asio::ip::tcp::socket socket, config::HalfClose half_close,
        RelayOwner& owner, TaskGroup& tasks);
  ~Relay() override;

  // Starts the pumps through `tunnel`. relay_left follows, at once where the tunnel has ended. Not
  // while placed.
  void place(TunnelId id, std::shared_ptr<net::SpdyConnection> tunnel, std::uint16_t port,
             std::uint32_t request_id);
  // Ends the local side with a reset. Not while placed.
  void reset();

  TunnelId tunnel() const { return tunnel_; }
  bool placed() const { return stream_ != nullptr; }
  TimePoint arrived() const { return arrived_; }
  // The pod's port accepted the connection: it sent a byte, or did not refuse for a second.
  bool accepted_by_pod(TimePoint now) const;

 private:
  std::size_t take(Bytes bytes) noexcept override;
  awaitable<void> run();
  awaitable<error_code> pump_down();
  awaitable<ConnectionEnd> judge(error_code end);
  awaitable<void> pump_up();
  awaitable<void> read_local();
  awaitable<void> pass_fin();
  awaitable<void> linger();
  awaitable<void> end_pump_up();
  awaitable<error_code> resend_kept();
  void local_failed();
  void received(std::size_t n);

  ConnectionId id_;
  asio::ip::tcp::socket socket_;
  RelayMachine machine_;
  RelayOwner& owner_;
  TaskGroup& tasks_;
  TimePoint arrived_;
  TimePoint placed_at_{};
  TunnelId tunnel_ = 0;
  std::uint16_t port_ = 0;
  std::shared_ptr<net::SpdyConnection> connection_;  // outlives the streams on it
  std::unique_ptr<net::PortStream> stream_;
  Wakeup up_wake_;  // for pump_up, while it waits to pass the end of stream
  Wakeup up_ended_;
  bool up_running_ = false;
  bool stopping_up_ = false;
  bool discarding_ = false;    // the pod's side is over: local bytes are read and dropped
  bool local_failed_ = false;  // the client reset the connection, or we were told to
  bool writing_ = false;       // pump_down writes: the sink must not overtake it
};

}  // namespace kportal::forward
