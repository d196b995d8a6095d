// SPDX-License-Identifier: MIT
// Manager: the set of workers that a configuration asks for, and the one subscriber of the bus that
// acts: it turns facts (stale, unhealthy) into requests to a worker. It never restarts what did not
// change. It does not read files. Owned by the program.
#pragma once

#include <list>
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

  // Lets each worker look for what it has under way for too long, once in kLook at the most.
  void look_for_overruns(TimePoint now);
  static constexpr Duration kLook = std::chrono::seconds(1);

  // Ends all forwards; open connections, also those of forwards that ended before, may go on until
  // `deadline` at the most. Before destruction, and apply() must not follow.
  awaitable<void> stop(TimePoint deadline);

 private:
  using Workers = std::map<std::string, std::unique_ptr<Worker>>;
  using Listeners = std::map<std::string, std::unique_ptr<net::Listener>>;  // by the old owner's id

  void act(events::Event const& event);
  void refresh(std::string const& id);
  // Its listener; nothing is left but to let its connections go on until `deadline`.
  std::unique_ptr<net::Listener> retire(Workers::iterator worker, TimePoint deadline);
  awaitable<void> end(std::list<std::unique_ptr<Worker>>::iterator worker);

  Shared& shared_;
  config::Config config_;
  Workers workers_;
  std::list<std::unique_ptr<Worker>> retired_;
  TimePoint next_look_{};
  events::Subscription facts_;
  TaskGroup ending_;
};

}  // namespace kportal::forward
