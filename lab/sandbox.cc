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

std::unique_ptr<PodSocket> Sandbox::connect(std::uint16_t port) {
  auto const at = ports_.find(port);
  if (closed_ || !running_ || at == ports_.end()) return nullptr;
  auto [ours, theirs] = make_pod_sockets(executor_, kSocketBuffer);
  ++accepted_;
  programs_.spawn(run(at->second, std::move(theirs)));
  changed_.notify();
  return std::move(ours);
}

awaitable<void> Sandbox::run(PortBehaviour behaviour, std::unique_ptr<PodSocket> socket) {
  struct Entry {
    Entry(Sandbox& s, PodSocket* socket)
        : sandbox(s), at(s.sockets_.insert(s.sockets_.end(), socket)) {
      ++sandbox.open_;
    }
    ~Entry() {
      sandbox.sockets_.erase(at);
      --sandbox.open_;
      sandbox.changed_.notify();
    }
    Entry(Entry const&) = delete;
    Entry& operator=(Entry const&) = delete;
    Sandbox& sandbox;
    std::list<PodSocket*>::iterator at;
  };
  Entry const entry(*this, socket.get());
  co_await run_pod_port(behaviour, program_, *socket);
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
