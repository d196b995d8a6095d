// SPDX-License-Identifier: MIT
// Connection: one local connection: what its client does, and what forward/relay does with it. What
// is decided is decided by the product's RelayMachine. Owned by its forward, kept until the
// schedule ends.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "forward/relay_machine.h"
#include "forward/worker_machine.h"
#include "tests/sim/ledger.h"
#include "tests/sim/link.h"

namespace kportal::sim {

using forward::ConnectionEnd;
using forward::ConnectionId;
using forward::TunnelId;

struct ClientPlan {
  enum class End { stays, half_closes, resets };
  std::size_t first = 32;  // bytes at once, at least an id, or none
  int more = 0;            // further writes
  Duration pause{};        // before each
  End end = End::stays;
  // It does not read from then on, for so long.
  Duration stall_at{};
  Duration stall{};
  Duration until_end{};
};

// As forward::RelayOwner.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  virtual void relay_left(ConnectionId connection, ConnectionEnd end) = 0;
  virtual void client_left(ConnectionId connection) = 0;
  virtual void bytes_sent(TunnelId tunnel) = 0;
  virtual void bytes_received(TunnelId tunnel) = 0;
  virtual void relay_answered(TunnelId tunnel) = 0;
  virtual void relay_moved(ConnectionId connection) = 0;
  virtual void relay_full(ConnectionId connection, bool full) = 0;
};

class Connection final : private Pair {
 public:
  // As in forward/relay.cc, which keeps it to itself.
  static constexpr Duration kAcceptedAfter = std::chrono::seconds(1);
  // What is buffered for a client that does not read; small, so that it fills soon.
  static constexpr std::size_t kMaxBuffered = 256;

  // `mark` is its id in the ledger.
  Connection(Stage& stage, Ledger& ledger, ConnectionOwner& owner, ConnectionId id,
             std::uint64_t mark, config::HalfClose half_close);

  void begin(ClientPlan plan);
  void place(TunnelId id, Link& link, std::uint16_t port, std::uint32_t request);
  void place_on_ended(TunnelId id);
  void reset();
  void evict(Error why);
  // It ended as both sides wanted.
  void finish() { over_ = true; }
  // The client goes.
  void hang_up();
  // Whoever owns it is going: the end of a pump that is cancelled.
  void abandon();

  ConnectionId id() const { return id_; }
  TunnelId tunnel() const { return tunnel_; }
  bool placed() const { return link_ != nullptr; }
  bool over() const { return over_; }
  // Since when it stops its tunnel, by the clock that stands still with the loop.
  std::optional<TimePoint> full_since() const {
    return full_ ? std::optional(full_since_) : std::nullopt;
  }
  bool is_leaving() const { return evicted_.has_value(); }
  TimePoint arrived() const { return arrived_; }
  TimePoint arrived_awake() const { return arrived_awake_; }
  bool accepted_by_pod(TimePoint now) const {
    if (!placed() || !is_replied()) return false;
    return machine_.answered() || now - replied_at >= kAcceptedAfter;
  }

 private:
  void data(Bytes bytes) override;
  void writable() override { pump_up(); }
  void ended(error_code why) override;
  void told() override;

  void write(std::size_t size);
  void deliver(std::size_t size);
  void set_reading(bool reads);
  void set_full(bool full);
  void tell_moved();
  void half_close();
  void pump_up();
  void pass_fin();
  void judge_soon();
  void judge();
  Error why_not_clean(bool& failed) const;
  bool blocks_tunnel() const;
  void leave(ConnectionEnd end);
  void local_failed();

  Stage& stage_;
  Ledger& ledger_;
  ConnectionOwner& owner_;
  ConnectionId id_;
  std::uint64_t mark_;
  forward::RelayMachine machine_;
  TimePoint arrived_;
  TimePoint arrived_awake_;
  TunnelId tunnel_ = 0;
  std::uint16_t port_ = 0;
  Link* link_ = nullptr;
  std::uint64_t placement_ = 0;  // tasks of an earlier one find that it is another
  std::size_t written_ = 0;      // by the client
  std::size_t taken_ = 0;        // of it by the relay
  std::size_t downloaded_ = 0;
  std::size_t buffered_ = 0;
  bool reads_ = true;
  bool full_ = false;
  TimePoint full_since_{};
  TimePoint next_tell_{};
  std::optional<Error> evicted_;
  bool client_ended_ = false;
  bool client_reset_ = false;
  bool local_ended_ = false;  // the relay knows
  bool local_failed_ = false;
  bool discarding_ = false;
  bool over_ = false;
  bool waits_for_text_ = false;
  bool judged_ = false;
  std::optional<error_code> end_;
  TimePoint ended_at_{};
  TimePoint fin_sent_at_{};
};

}  // namespace kportal::sim
