// SPDX-License-Identifier: MIT
// Sandbox: a pod's network as the container runtime sees it: what listens, what is connected, and
// whether it still exists. A tunnel is bound to the sandbox it was opened for and never follows the
// pod's name; so a Sandbox may outlive its pod. Owned by the pod and by the tunnels to it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "base/task_group.h"
#include "lab/change_signal.h"
#include "lab/pod_ports.h"

namespace kportal::lab {

class Sandbox {
 public:
  // Bytes that each direction of a connection in the pod holds.
  static constexpr std::size_t kSocketBuffer = 128 * 1024;

  // The programs' coroutines run in `programs`; `changed` is told when a connection opens or ends.
  Sandbox(asio::any_io_executor executor, TaskGroup& programs, ChangeSignal& changed,
          std::string id, std::shared_ptr<PodProgram> program, PodPorts ports);

  // 64 hexadecimal digits, as in the runtime's messages.
  std::string const& id() const { return id_; }
  std::string const& netns() const { return netns_; }
  bool closed() const { return closed_; }

  // The runtime's end of a new connection; null when nothing listens on the port.
  std::unique_ptr<PodSocket> connect(std::uint16_t port);
  // The runtime fails to connect that many times more, whatever listens, and says `text` (empty:
  // connection refused).
  void refuse_next(int connections, std::string text);
  // Counts one of them: what the runtime says.
  std::optional<std::string> next_refusal();
  // The pod's processes ended: open connections end, and nothing listens until start().
  void stop();
  void start();
  // The network is gone for good.
  void close();
  // Takes or gives a listener; connections that are open stay.
  void listen(std::uint16_t port, PortBehaviour behaviour);
  void unlisten(std::uint16_t port);

  std::size_t open_connections() const { return open_->sockets.size(); }
  std::uint64_t connections() const { return accepted_; }
  PodProgram& program() { return *program_; }

 private:
  // Programs may end after the sandbox is gone.
  struct Open {
    explicit Open(ChangeSignal& c) : changed(c) {}
    ChangeSignal& changed;
    std::list<PodSocket*> sockets;  // of the programs; each leaves the list before it dies
  };
  class Accepted;
  static awaitable<void> run(PortBehaviour behaviour, std::shared_ptr<PodProgram> program,
                             std::unique_ptr<Accepted> accepted);

  asio::any_io_executor executor_;
  TaskGroup& programs_;
  std::shared_ptr<Open> open_;
  std::string id_;
  std::string netns_;
  std::shared_ptr<PodProgram> program_;
  PodPorts ports_;
  bool running_ = true;
  bool closed_ = false;
  std::uint64_t accepted_ = 0;
  int refusals_ = 0;  // to come
  std::string refusal_;
};

}  // namespace kportal::lab
