// SPDX-License-Identifier: MIT
// ExecPluginMachine: when a login plugin runs, and whose answer a request gets meanwhile. One run
// serves all who wait; a credential is renewed before it expires and once after a server refused
// it; a failure is everybody's for a while. Pure: it neither runs nor waits. Two clocks: expiry is
// a wall clock's, which goes on while the machine sleeps, pauses are a steady one's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "k8s/exec_plugin_format.h"

namespace kportal::k8s {

// What a run gave.
struct PluginLogin {
  PluginCredential credential;
  std::uint64_t generation = 1;  // another one for another credential, never 0
  Duration took{};               // the run
};
using SharedLogin = std::shared_ptr<PluginLogin const>;

class ExecPluginMachine {
 public:
  // For so long after a failed run its error is the answer.
  static constexpr Duration kFailurePause = std::chrono::seconds(5);
  // Between two runs that a server's refusal asks for.
  static constexpr Duration kRefusedPause = std::chrono::seconds(5);
  // Renewal begins when a fifth of its time is left, at most this long before the end...
  static constexpr Duration kMaxMargin = std::chrono::seconds(60);
  // ... and at least this long after the last run.
  static constexpr Duration kRenewalPause = std::chrono::seconds(2);
  // How often in a row a run is given up; then one keeps its whole time, for it may only be slow.
  static constexpr int kMaxRestarts = 2;
  // The longest wait of Step: a wall clock may be set, or go on without the steady one.
  static constexpr Duration kLook = std::chrono::seconds(30);

  struct Now {
    TimePoint steady;
    WallTime wall;
    Now(TimePoint s, WallTime w) : steady(s), wall(w) {}
  };

  // `renews`: without being asked. Not where a run may ask somebody for something.
  explicit ExecPluginMachine(bool renews) : renews_(renews) {}

  // The answer to a request: a credential, an error, or nothing: wait for finished() and ask again.
  // `refused`: the generation that a server answered 401 to, 0 = none. Errc::unauthorized: it was
  // refused just before, and the run after that gave nothing better.
  std::optional<Result<SharedLogin>> ask(std::uint64_t refused, Now now);

  // What made the last run fail may be over: the next request has it run. What made the one in
  // progress wait may be over, too, but it need not know.
  void retry() {
    failure_.reset();
    doubted_ = running_;
  }

  struct Step {
    bool run = false;
    TimePoint until = kNever;  // else: wait for a request, at most until then
  };
  Step next(Now now) const;
  // A run has begun. If it has not ended at that time, and the network is another one by then, it
  // hangs on the one before. kNever: what it waits for is no network.
  void began(TimePoint hangs_at);
  // When the run in progress is to be ended, given_up(), and begun anew; kNever: not so far. To be
  // asked again after retry().
  TimePoint give_up_at() const;
  void given_up();
  void finished(Result<PluginCredential> outcome, Duration took, Now now);

 private:
  bool usable(WallTime wall) const;

  bool renews_;
  SharedLogin login_;
  bool wanted_ = false;   // somebody waits for a run
  bool refused_ = false;  // what login_ holds, by a server
  std::uint64_t generation_ = 0;
  std::optional<Error> failure_;
  TimePoint failure_until_ = TimePoint::min();
  TimePoint next_refusal_ = TimePoint::min();
  TimePoint next_renewal_ = TimePoint::min();
  WallTime renew_at_ = WallTime::max();
  bool running_ = false;
  bool doubted_ = false;  // the network is another one than when it began
  TimePoint hangs_at_ = kNever;
  int restarts_ = 0;
};

}  // namespace kportal::k8s
