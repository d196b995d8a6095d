// SPDX-License-Identifier: MIT
#include "lab/sandbox.h"

#include <utility>

#include <fmt/format.h>

namespace kportal::lab {

Sandbox::Sandbox(asio::any_io_executor executor, TaskGroup& programs, ChangeSignal& changed,
                 std::string id, std::shared_ptr<PodProgram> program, PodPorts ports)
    : executor_(std::move(executor)),
      programs_(programs),
      changed_(changed),
      id_(std::move(id)),
      netns_(fmt::format("/var/run/netns/cni-{}", id_.substr(0, 12))),
      program_(std::move(program)),
      ports_(std::move(ports)) {}

// A program's end of a connection, listed for as long as it lives.
class Sandbox::Accepted {
 public:
  Accepted(Sandbox& sandbox, std::unique_ptr<PodSocket> socket)
      : sandbox_(sandbox),
        socket_(std::move(socket)),
        at_(sandbox.sockets_.insert(sandbox.sockets_.end(), socket_.get())) {}
  ~Accepted() {
    sandbox_.sockets_.erase(at_);
    sandbox_.changed_.notify();
  }
  Accepted(Accepted const&) = delete;
  Accepted& operator=(Accepted const&) = delete;
  PodSocket& socket() { return *socket_; }

 private:
  Sandbox& sandbox_;
  std::unique_ptr<PodSocket> socket_;
  std::list<PodSocket*>::iterator at_;
};

std::unique_ptr<PodSocket> Sandbox::connect(std::uint16_t port) {
  auto const at = ports_.find(port);
  if (closed_ || !running_ || at == ports_.end()) return nullptr;
  auto [ours, theirs] = make_pod_sockets(executor_, kSocketBuffer);
  ++accepted_;
  programs_.spawn(run(at->second, program_, std::make_unique<Accepted>(*this, std::move(theirs))));
  changed_.notify();
  return std::move(ours);
}

awaitable<void> Sandbox::run(PortBehaviour behaviour, std::shared_ptr<PodProgram> program,
                             std::unique_ptr<Accepted> accepted) {
  co_await run_pod_port(behaviour, std::move(program), accepted->socket());
}

void Sandbox::stop() {
  running_ = false;
  for (auto* const socket : sockets_) socket->close();
}

void Sandbox::start() {
  running_ = true;
}

void Sandbox::close() {
  closed_ = true;
  stop();
}

void Sandbox::listen(std::uint16_t port, PortBehaviour behaviour) {
  ports_[port] = behaviour;
}

void Sandbox::unlisten(std::uint16_t port) {
  ports_.erase(port);
}

}  // namespace kportal::lab
