// SPDX-License-Identifier: MIT
// Way: what forwards to one cluster share of the way to it: their dials, and the scout that asks a
// cluster that is silent. When it is asked is decided by the product's ScoutMachine, and checked
// here; what k8s/scout and k8s/cluster do around that is a copy, without the gate, for which a
// schedule has too few dials. Ways: a network, and the ways over it. Kept until the schedule ends.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "k8s/cluster.h"
#include "k8s/scout_machine.h"
#include "tests/sim/link.h"
#include "tests/sim/stage.h"
#include "tests/sim/weather.h"

namespace kportal::sim {

class Way {
 public:
  using Machine = k8s::ScoutMachine;
  using DialId = std::uint64_t;
  static constexpr int kMaxRestarts = k8s::Cluster::kMaxRestarts;

  // What the server's end makes of a dial, each time a packet of it arrives.
  struct Dial {
    Duration server_time;  // from the beginning to its answer
    Duration timeout;
    std::function<bool()> is_mute;                  // not even TCP answers
    std::function<std::optional<Error>()> refused;  // by TCP
    std::function<bool()> hangs;
    std::function<std::optional<Error>()> answer;
    std::function<void(std::optional<Error>)> done;  // once, and not within dial()
  };

  Way(Stage& stage, Network const& network) : stage_(stage), network_(network) {}
  Way(Way const&) = delete;
  Way& operator=(Way const&) = delete;

  DialId dial(Dial dial);
  void cancel(DialId dial) { attempts_.erase(dial); }
  void remember(Link& tunnel) { tunnels_.push_back(&tunnel); }
  // A tunnel was lost to silence, a request got no answer; an answer came.
  void doubt(TimePoint since);
  void heard(TimePoint at);
  // There are other routes or addresses.
  void network_changed();
  void subscribe(void const* who, std::function<void()> network_is_back) {
    users_[who] = std::move(network_is_back);
  }
  void unsubscribe(void const* who) { users_.erase(who); }

  bool dark() const { return machine_.dark(); }
  // What every step must leave behind.
  void check();

 private:
  struct Attempt {
    Dial dial;
    bool inside = false;  // it has begun; else it waits for a sign of life
    bool patient = false;
    bool answered = false;
    bool doubted = false;
    bool again = false;
    int restarts = 0;
    TimePoint began{};
    TimePoint last_sign{};

    explicit Attempt(Dial d) : dial(std::move(d)) {}
  };

  // Of a dial that is still the same try.
  Attempt* find(DialId id, int restarts);
  void begin(DialId id, Attempt& attempt);
  void reach(DialId id, int restarts, std::size_t resent);
  void answer(DialId id, int restarts);
  void finish(DialId id, std::optional<Error> error);
  void look(DialId id);
  void wake_all();
  void run();
  void knock(TimePoint began);
  void knock_arrives(TimePoint began, std::size_t resent);
  void knock_failed(TimePoint began, Error const& error);
  void tell_users();
  TimePoint last_heard() const;

  Stage& stage_;
  Network const& network_;
  Machine machine_;
  std::map<DialId, Attempt> attempts_;
  DialId last_dial_ = 0;
  std::vector<Link*> tunnels_;
  std::map<void const*, std::function<void()>> users_;
  std::set<TimePoint> knocks_;  // in flight, by when they began
  std::uint64_t wakes_ = 0;

  // For the checks, by the clock that stands still with the loop:
  TimePoint dark_since_{};
  TimePoint asked_{};
  std::optional<TimePoint> answering_since_;
  std::uint64_t seen_changes_ = 0;    // of the network
  std::optional<TimePoint> changed_;  // while it was dark, and was not asked since
  // and by the other:
  TimePoint newest_{};  // that was heard
  TimePoint knocked_{};
  TimePoint eager_until_{};
  bool refused_ = false;    // the last time, at once, and that counts
  bool may_hurry_ = false;  // it has just become dark, or the network is another one
};

class Ways {
 public:
  explicit Ways(Stage& stage) : stage_(stage) { open(); }

  Network& network() { return network_; }
  // What all take at first, and one to another cluster.
  Way& first() { return *all_.front(); }
  Way& open() {
    all_.push_back(std::make_unique<Way>(stage_, network_));
    return *all_.back();
  }
  void network_changed() {
    for (auto const& way : all_) way->network_changed();
  }
  void check() const {
    for (auto const& way : all_) way->check();
  }

 private:
  Stage& stage_;
  Network network_;
  std::vector<std::unique_ptr<Way>> all_;
};

}  // namespace kportal::sim
