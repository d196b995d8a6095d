// SPDX-License-Identifier: MIT
#include "forward/manager.h"

#include <algorithm>
#include <utility>

#include "config/diff.h"
#include "forward/manager_rules.h"

namespace kportal::forward {

Manager::Manager(Shared& shared)
    : shared_(shared),
      facts_(shared.bus.subscribe([this](events::Event const& event) { act(event); })),
      ending_(shared.executor) {}

Manager::~Manager() = default;

void Manager::act(events::Event const& event) {
  auto const id = forward_to_refresh(event.fact, config_.reliability);
  if (id) refresh(*id);
}

void Manager::refresh(std::string const& id) {
  if (auto const at = workers_.find(id); at != workers_.end()) at->second->refresh();
}

void Manager::apply(config::Config wanted) {
  config::Diff const diff = config::diff(config_, wanted);
  config_ = std::move(wanted);
  // All that go give up their ports before any that come ask for them.
  Listeners listeners;
  TimePoint const deadline = Clock::now() + kDrain;
  for (auto const* const ids : {&diff.removed, &diff.changed}) {
    for (std::string const& id : *ids) listeners[id] = retire(workers_.find(id), deadline);
  }
  std::map<std::string, std::string> heirs;  // new id -> old id
  for (auto const& kept : diff.listeners) heirs.emplace(kept.to, kept.from);
  for (config::ForwardSpec const& spec : config_.forwards) {
    std::string const id = spec.id();
    if (auto const running = workers_.find(id); running != workers_.end()) {
      running->second->update(spec.health, config_.reliability, spec.tags);
      continue;
    }
    auto worker = std::make_unique<Worker>(shared_, spec, config_.reliability);
    auto const heir = heirs.find(id);
    worker->start(heir == heirs.end() ? nullptr : std::move(listeners[heir->second]));
    workers_.emplace(id, std::move(worker));
  }
}

void Manager::look_for_overruns(TimePoint now) {
  if (now < next_look_) return;
  next_look_ = now + kLook;
  for (auto const& [id, worker] : workers_) worker->look_for_overruns(now);
}

std::unique_ptr<net::Listener> Manager::retire(Workers::iterator at, TimePoint deadline) {
  auto const worker = retired_.insert(retired_.end(), std::move(at->second));
  workers_.erase(at);
  auto listener = (*worker)->retire();
  (*worker)->end_by(deadline);
  ending_.spawn(end(worker));
  return listener;
}

awaitable<void> Manager::end(std::list<std::unique_ptr<Worker>>::iterator worker) {
  co_await (*worker)->stop();
  retired_.erase(worker);
  co_await shared_.clusters.release_unused();
}

awaitable<void> Manager::stop(TimePoint deadline) {
  for (auto const& worker : retired_) worker->end_by(deadline);
  while (!workers_.empty()) retire(workers_.begin(), deadline);
  co_await ending_.join();
}

}  // namespace kportal::forward
