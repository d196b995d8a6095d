// SPDX-License-Identifier: MIT
// Phases: what a worker has under way, and by when each must be over. Each phase has bounds of its
// own, so one that is still under way past its due time is stuck by a fault of ours; it is reported
// once and the worker starts it anew. Pure. Owned by the worker.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace kportal::forward {

enum class Phase {
  turn,     // the worker's own loop sleeps, and wakes when it meant to
  resolve,  // the cluster's first word on where to forward
  dial,     // from its turn at the gate to the tunnel
  close,    // of a tunnel, from the wish to its end
  end       // of a relay, from the end of what it relays
};

struct Overrun {
  Phase phase{};
  std::uint64_t id = 0;  // of the tunnel, or the connection
  Duration took{};
};

// "dialling for 61 s".
std::string to_text(Overrun const& overrun);

class Phases {
 public:
  // Ends the phase at the end of its scope, however that comes.
  class Guard {
   public:
    Guard(Phases& phases, Phase phase, std::uint64_t id) : phases_(phases), key_(phase, id) {}
    ~Guard() { phases_.end(key_.first, key_.second); }
    Guard(Guard const&) = delete;
    Guard& operator=(Guard const&) = delete;

   private:
    Phases& phases_;
    std::pair<Phase, std::uint64_t> key_;
  };

  // To be over within `bound`. One that is under way begins anew.
  void begin(Phase phase, std::uint64_t id, TimePoint now, Duration bound);
  // Nothing if it is not under way.
  void end(Phase phase, std::uint64_t id);
  // Those that are past their time; each is told once.
  std::vector<Overrun> take_overrun(TimePoint now);

 private:
  struct Entry {
    TimePoint since;
    TimePoint due;
  };
  std::map<std::pair<Phase, std::uint64_t>, Entry> under_way_;
};

}  // namespace kportal::forward
