// SPDX-License-Identifier: MIT
// Tunnels: those of one forward that are up: each runs until it ends, and the machine is told of
// it. Which there are to be, and what goes through them, is decided by WorkerMachine. Owned by the
// worker.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/task_group.h"
#include "config/config.h"
#include "forward/phases.h"
#include "forward/tunnel.h"
#include "forward/worker_machine.h"

namespace kportal::forward {

// Who carries out what the machine decided.
class Hand {
 public:
  virtual ~Hand() = default;
  virtual void carry_out() = 0;
  // Where it cannot be done on the spot.
  virtual void carry_out_soon() = 0;
};

class Tunnels {
 public:
  // One that is to end sends what the transport takes at once, and that is all.
  static constexpr Duration kCloseTime = std::chrono::seconds(5);

  // All outlive it.
  Tunnels(asio::any_io_executor executor, WorkerMachine& machine, Phases& phases,
          config::Reliability const& reliability, Hand& hand);

  // Runs it from now on; the machine knows it already.
  void add(std::shared_ptr<Tunnel> tunnel);
  // Null if it has ended.
  std::shared_ptr<Tunnel> find(TunnelId id) const;
  bool contains(TunnelId id) const { return tunnels_.contains(id); }
  // Those that take new connections.
  std::vector<std::shared_ptr<Tunnel>> in_use() const;

  // Its end follows. Nothing if it has ended.
  void close(TunnelId id);
  void close_all();
  // Its end is told now if it has ended and nobody knew.
  void look_if_ended(TunnelId id);
  // Its end hangs: it counts as ended.
  void abandon(TunnelId id);
  // Before destruction, after close_all().
  awaitable<void> join() { return tasks_.join(); }

  // A pod's byte or the answer to a ping came.
  void proved_alive(TunnelId id);
  // Tells the machine what it wants to know before connections arrive and time passes.
  void tell_writing();
  // Counts from now on.
  void reliability_changed();
  // Of a pair of streams; no two that are open have the same.
  std::uint32_t next_request() { return next_request_++; }

 private:
  struct Running {
    std::shared_ptr<Tunnel> tunnel;
    TaskGroup::TaskId task;
  };

  awaitable<void> run(std::shared_ptr<Tunnel> tunnel);
  void ended(TunnelId id, error_code why);
  void answer_late(TunnelId id, bool late);

  WorkerMachine& machine_;
  Phases& phases_;
  config::Reliability const& reliability_;
  Hand& hand_;
  std::map<TunnelId, Running> tunnels_;
  std::uint32_t next_request_ = 0;
  TaskGroup tasks_;  // one a tunnel, ending with it
};

}  // namespace kportal::forward
