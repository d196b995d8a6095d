// SPDX-License-Identifier: MIT
#include "forward/tunnels.h"

#include <utility>

#include <fmt/format.h>

namespace kportal::forward {

Tunnels::Tunnels(asio::any_io_executor executor, WorkerMachine& machine, Phases& phases,
                 config::Reliability const& reliability, Hand& hand)
    : machine_(machine),
      phases_(phases),
      reliability_(reliability),
      hand_(hand),
      tasks_(std::move(executor)) {}

void Tunnels::add(std::shared_ptr<Tunnel> tunnel) {
  TunnelId const id = tunnel->id();
  tunnel->connection()->on_answer_late([this, id](bool late) { answer_late(id, late); });
  auto const task = tasks_.spawn(run(tunnel));
  tunnels_.emplace(id, Running{std::move(tunnel), task});
}

awaitable<void> Tunnels::run(std::shared_ptr<Tunnel> tunnel) {
  Phases::Guard const phase(phases_, Phase::close, tunnel->id());
  error_code const why = co_await tunnel->connection()->run();
  ended(tunnel->id(), why);
  hand_.carry_out();
}

std::shared_ptr<Tunnel> Tunnels::find(TunnelId id) const {
  auto const at = tunnels_.find(id);
  return at == tunnels_.end() ? nullptr : at->second.tunnel;
}

std::vector<std::shared_ptr<Tunnel>> Tunnels::in_use() const {
  std::vector<std::shared_ptr<Tunnel>> in_use;
  for (TunnelId const id : machine_.pool().all(TunnelInfo::State::up)) {
    if (auto tunnel = find(id)) in_use.push_back(std::move(tunnel));
  }
  return in_use;
}

void Tunnels::close(TunnelId id) {
  auto const tunnel = find(id);
  if (!tunnel) return;
  phases_.begin(Phase::close, id, Clock::now(), kCloseTime + reliability_.watchdog_period);
  tunnel->connection()->close();
}

void Tunnels::close_all() {
  for (auto const& [id, running] : tunnels_) running.tunnel->connection()->close();
}

void Tunnels::look_if_ended(TunnelId id) {
  auto const tunnel = find(id);
  if (tunnel && tunnel->connection()->ended()) ended(id, tunnel->connection()->end_reason());
}

void Tunnels::abandon(TunnelId id) {
  auto const at = tunnels_.find(id);
  if (at == tunnels_.end()) return;
  tasks_.cancel(at->second.task);
  ended(id, Errc::timeout);
}

void Tunnels::ended(TunnelId id, error_code why) {
  auto const node = tunnels_.extract(id);
  if (!node) return;
  Tunnel const& tunnel = *node.mapped().tunnel;
  k8s::Cluster& cluster = tunnel.cluster();
  cluster.tunnel_ended(why, Clock::now() - reliability_.ping_timeout);
  std::string const place = fmt::format("tunnel by {}", cluster.rest().server());
  machine_.tunnel_closed(id, tunnel.error_of(why, place), tunnel.lived(), Clock::now());
}

void Tunnels::answer_late(TunnelId id, bool late) {
  TimePoint const now = Clock::now();
  if (late) {
    machine_.answer_late(id, now);
  } else {
    machine_.answer_came(id, now);
  }
  hand_.carry_out_soon();
}

void Tunnels::proved_alive(TunnelId id) {
  auto const tunnel = find(id);
  if (!tunnel) return;
  tunnel->proved_alive();
  machine_.proved_alive(id);
}

void Tunnels::tell_writing() {
  for (auto const& [id, running] : tunnels_) {
    machine_.writing(id, running.tunnel->connection()->writing_since());
  }
}

void Tunnels::reliability_changed() {
  for (auto const& [id, running] : tunnels_) {
    running.tunnel->connection()->set_keepalive(reliability_.ping_interval,
                                                reliability_.ping_timeout);
  }
}

}  // namespace kportal::forward
