// SPDX-License-Identifier: MIT
// Manager: the set of workers that a configuration asks for, and the one subscriber of the bus that
// acts: it turns facts (stale, unhealthy) into requests to a worker. It never restarts what did not
// change. It does not read files. Owned by the program.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "events/bus.h"
#include "forward/worker.h"

namespace kportal::forward {

class Manager {
 public:
  // How long the open connections of a removed or replaced forward may go on.
  static constexpr Duration kDrain = std::chrono::seconds(3);

  explicit Manager(Shared& shared);
  ~Manager();

  // Makes the running forwards those of `wanted`: unchanged ones keep tunnels and connections, a
  // listener whose addresses and port are still wanted stays open, whoever wants it.
  void apply(config::Config wanted);
  config::Config const& config() const { return config_; }

  // Ends all forwards; their open connections may go on until `deadline`. Before destruction.
  awaitable<void> stop(TimePoint deadline);

 private:
  using Workers = std::map<std::string, std::unique_ptr<Worker>>;
  using Listeners = std::map<std::string, std::unique_ptr<net::Listener>>;  // by the old owner's id

  void act(events::Event const& event);
  void refresh(std::string const& id);
  void retire(std::string const& id, Listeners& listeners);
  awaitable<void> end(std::unique_ptr<Worker> worker, TimePoint deadline);

  Shared& shared_;
  config::Config config_;
  Workers workers_;
  events::Subscription facts_;
  TaskGroup ending_;
};

}  // namespace kportal::forward
