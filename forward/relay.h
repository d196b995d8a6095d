// SPDX-License-Identifier: MIT
// Relay: one accepted local connection and, while it is placed, its pair of streams on a tunnel:
// two pumps and the order in which they end. What it means is decided by RelayMachine (for the
// connection) and WorkerMachine (for the forward). Owned by the worker; its pumps are tasks of the
// worker's group.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include <boost/asio/ip/tcp.hpp>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "forward/relay_machine.h"
#include "forward/tunnel.h"
#include "forward/worker_machine.h"
#include "net/port_stream.h"

namespace kportal::forward {

// What relays count and tell, all on the loop.
class RelayOwner {
 public:
  virtual ~RelayOwner() = default;
  // What it relayed is over, or it was evicted: relay_left follows, after kErrorTextWait and
  // kLinger at the most.
  virtual void relay_ending(ConnectionId connection) = 0;
  // The relay is off its tunnel: over, or waiting to be placed again or reset. No pump runs any
  // more.
  virtual void relay_left(ConnectionId connection, ConnectionEnd end) = 0;
  // The client of a relay that is not placed has reset its connection; or of one that is gone.
  virtual void client_left(ConnectionId connection) = 0;
  // The first byte came back on this connection. Like the two below it is told in the midst of
  // reading a tunnel: none may be closed, no relay placed or ended on the spot.
  virtual void relay_answered(TunnelId tunnel) = 0;
  // A byte passed, either way; told no more often than each kTellMoved.
  virtual void relay_moved(ConnectionId connection) = 0;
  // The client does not read: what came for it fills its buffer, which stops its tunnel; or not any
  // more.
  virtual void relay_full(ConnectionId connection, bool full) = 0;
};

class Relay final : private net::DataSink {
 public:
  // A pod that ended its stream says why on the error stream soon after.
  static constexpr Duration kErrorTextWait = std::chrono::seconds(2);
  // How long what the client still sends is read and dropped after the pod's end, so that closing
  // does not take the answer back.
  static constexpr Duration kLinger = std::chrono::seconds(5);
  static constexpr Duration kTellMoved = std::chrono::milliseconds(250);

  Relay(ConnectionId id, asio::ip::tcp::socket socket, config::HalfClose half_close,
        RelayOwner& owner, TaskGroup& tasks);
  ~Relay() override;

  // Starts the pumps through `tunnel`. relay_left follows, at once where the tunnel has ended. Not
  // while placed.
  void place(std::shared_ptr<Tunnel> tunnel, std::uint32_t request_id);
  // As place(), on a tunnel that ended meanwhile: relay_left follows at once.
  void place_on_ended(TunnelId tunnel);
  // Takes it off its tunnel: relay_left follows with this error. Nothing while it is not placed.
  void evict(Error why);
  // Its end hangs by a fault of ours: what still runs of it is cancelled, and relay_left follows
  // with this error. Nothing while it is not placed.
  void abandon(Error why);
  // Until it is placed: client_left follows if its client resets the connection.
  void watch_held();
  // Ends the local side with a reset. Not while placed.
  void reset();

  TunnelId tunnel() const { return tunnel_id_; }
  bool placed() const { return stream_ != nullptr; }
  TimePoint arrived() const { return arrived_; }
  // The pod's port accepted the connection: it sent a byte, or did not refuse for a second after
  // the stream was answered.
  bool accepted_by_pod(TimePoint now) const;

 private:
  std::size_t take(Bytes bytes) noexcept override;
  void buffer_full(bool full) noexcept override;
  static awaitable<void> wait_for_reset(asio::ip::tcp::socket& socket, RelayOwner& owner,
                                        ConnectionId id);
  awaitable<void> run();
  void leave(ConnectionEnd end);
  awaitable<void> leave_when_over(TaskGroup::TaskId cancelled, Error why);
  awaitable<error_code> pump_down();
  awaitable<ConnectionEnd> judge(error_code end);
  awaitable<void> pump_up();
  awaitable<void> read_local();
  awaitable<void> pass_fin();
  awaitable<void> linger();
  awaitable<void> end_pump_up();
  awaitable<error_code> resend_kept();
  void local_failed();
  void received();
  void sent(Bytes bytes);
  void tell_moved(TimePoint now);

  ConnectionId id_;
  asio::ip::tcp::socket socket_;
  RelayMachine machine_;
  RelayOwner& owner_;
  TaskGroup& tasks_;
  TimePoint arrived_;
  TimePoint next_tell_{};  // of bytes that passed
  TunnelId tunnel_id_ = 0;
  std::shared_ptr<Tunnel> tunnel_;  // while placed: outlives the streams on it
  std::unique_ptr<net::PortStream> stream_;
  Wakeup up_wake_;  // for pump_up, while it waits to pass the end of stream
  Wakeup up_ended_;
  TaskGroup::TaskId run_ = 0;  // in tasks_
  TaskGroup::TaskId up_ = 0;   // likewise: pump_up
  bool watching_held_ = false;
  bool up_running_ = false;
  bool stopping_up_ = false;
  bool discarding_ = false;  // the pod's side is over: local bytes are read and dropped
  std::optional<Error> evicted_;
  bool local_failed_ = false;  // the client reset the connection, or we were told to
  bool writing_ = false;       // pump_down writes: the sink must not overtake it
};

}  // namespace kportal::forward
