// SPDX-License-Identifier: MIT
// PortForwardSession: the container runtime's end of one tunnel, as bad as the real one
// (moby/spdystream under containerd; protocol.md 2.3 to 2.7 and 3.3): five workers with queues of
// 50 frames and blocking hand-over, no flow control, split writes, one second after a half-close
// the rest is cut. On purpose it does not use net/spdy_session, so that two readings of the
// protocol meet. Owned by the API server.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include <boost/asio/any_io_executor.hpp>

#include "base/task_group.h"
#include "lab/change_signal.h"
#include "lab/faults.h"
#include "lab/sandbox.h"
#include "net/transport.h"

namespace kportal::lab {

// How a failed dial or a reset by the application ends the error stream.
enum class RuntimeFlavour {
  message_and_reset,  // containerd 2.1+, CRI-O 1.33+
  message_and_fin,    // containerd 2.0, kubelet code before 1.32
  reset_only,         // containerd 1.6 and 1.7 for a reset by the application: no message
};

struct RuntimeOptions {
  std::size_t workers = 5;
  std::size_t worker_queue = 50;
  RuntimeFlavour flavour = RuntimeFlavour::message_and_reset;
  bool split_writes = true;  // each header field is a write of its own (protocol.md 2.7)
  Duration half_close_wait = std::chrono::seconds(1);
  Duration pair_timeout = std::chrono::seconds(30);
  Duration idle_timeout = std::chrono::hours(4);
};

// How a session is ended by script.
enum class SessionEnd {
  cut,               // the TCP connection is reset
  eof,               // the TCP connection ends orderly, without a word
  goaway,            // GOAWAY, then the end
  resets_and_goaway  // RST for each stream, GOAWAY, then the end
};

// What sessions count together.
struct RuntimeCounters {
  std::uint64_t streams = 0;  // opened by clients
  std::uint64_t pings = 0;    // answered
};

class PortForwardSession {
 public:
  // What is passed by reference must outlive the session. `tunnelled`: writes are messages, so that
  // empty ones are seen.
  PortForwardSession(asio::any_io_executor executor, net::Transport& transport, bool tunnelled,
                     std::shared_ptr<Sandbox> sandbox, Faults const& faults, RuntimeOptions options,
                     RuntimeCounters& counters, ChangeSignal& changed);
  ~PortForwardSession();

  // Runs until the client, the transport, or end() and stop() end it; then the transport is closed
  // and the connections in the pod too. While its reader waits for a worker it does not notice that
  // the client has gone, as the real one. Once; must not be cancelled.
  awaitable<void> run();
  // Ends it by script: goaway or resets_and_goaway. The others are of the connection below.
  void end(SessionEnd how);
  // Lets run() return, also while its reader waits for a worker. The transport is closed by the
  // owner.
  void stop();
  std::size_t open_streams() const;
  Sandbox const& sandbox() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kportal::lab
