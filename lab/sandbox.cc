// SPDX-License-Identifier: MIT
#include "lab/sandbox.h"

#include <utility>

#include <fmt/format.h>

namespace kportal::lab {

Sandbox::Sandbox(asio::any_io_executor executor, TaskGroup& programs, ChangeSignal& changed,
                 std::string id, std::shared_ptr<PodProgram> program, PodPorts ports)
    : executor_(std::move(executor)),
      programs_(programs),
      open_(std::make_shared<Open>(changed)),
      id_(std::move(id)),
      netns_(fmt::format("/var/run/netns/cni-{}", id_.substr(0, 12))),
      program_(std::move(program)),
      ports_(std::move(ports)) {}

// A program's end of a connection, listed for as long as it lives.
class Sandbox::Accepted {
 public:
  Accepted(std::shared_ptr<Open> open, std::unique_ptr<PodSocket> socket)
      : open_(std::move(open)),
        socket_(std::move(socket)),
        at_(open_->sockets.insert(open_->sockets.end(), socket_.get())) {}
  ~Accepted() {
    open_->sockets.erase(at_);
    open_->changed.notify();
  }
  Accepted(Accepted const&) = delete;
  Accepted& operator=(Accepted const&) = delete;
  PodSocket& socket() { return *socket_; }

 private:
  std::shared_ptr<Open> open_;
  std::unique_ptr<PodSocket> socket_;
  std::list<PodSocket*>::iterator at_;
};

std::unique_ptr<PodSocket> Sandbox::connect(std::uint16_t port) {
  auto const at = ports_.find(port);
  if (closed_ || !running_ || at == ports_.end()) return nullptr;
  auto [ours, theirs] = make_pod_sockets(executor_, kSocketBuffer);
  ++accepted_;
  programs_.spawn(run(at->second, program_, std::make_unique<Accepted>(open_, std::move(theirs))));
  open_->changed.notify();
  return std::move(ours);
}

awaitable<void> Sandbox::run(PortBehaviour behaviour, std::shared_ptr<PodProgram> program,
                             std::unique_ptr<Accepted> accepted) {
  co_await run_pod_port(behaviour, std::move(program), accepted->socket());
}

void Sandbox::refuse_next(int connections, std::string text) {
  refusals_ = connections;
  refusal_ = std::move(text);
}

std::optional<std::string> Sandbox::next_refusal() {
  if (refusals_ == 0) return std::nullopt;
  --refusals_;
  open_->changed.notify();
  return refusal_;
}

void Sandbox::stop() {
  running_ = false;
  for (auto* const socket : open_->sockets) socket->close();
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
