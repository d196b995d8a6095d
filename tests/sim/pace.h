// SPDX-License-Identifier: MIT
// Pace: checks the dials of one forward against the promises of its back-off and its budget
// (product contract, section 5). It sees what the machine says and does, and what may hurry it.
#pragma once

#include <list>
#include <string>
#include <utility>

#include "forward/worker_machine.h"
#include "tests/sim/stage.h"

namespace kportal::sim {

class Pace {
 public:
  explicit Pace(Stage& stage) : stage_(stage) {}

  // A dial to this pod, with so many to have a tunnel.
  void dialled(std::string const& pod, std::size_t pods);
  // The machine says when it will try again.
  void announced(forward::MarkReconnecting const& action, Duration retry_after, bool final);
  // A tunnel brought proof of life: the count begins anew.
  void proved_alive() {
    anew_ = true;
    unknown_ = false;
    failures_ = 0;
  }
  // A dial failed, or a tunnel was lost.
  void failed() { ++failures_; }
  // Something may have ended the wait.
  void hurried() { not_before_ = TimePoint{}; }
  // Pods differ: each has a back-off of its own, so only the single one's is followed.
  void follow(bool single) { single_ = single; }

 private:
  Stage& stage_;
  bool single_ = true;
  struct Dial {
    TimePoint at;
    std::string pod;
    bool again;          // after another one to this pod
    std::size_t budget;  // then

    Dial(TimePoint a, std::string p, bool b, std::size_t n)
        : at(a), pod(std::move(p)), again(b), budget(n) {}
  };
  std::list<Dial> dials_;  // within the window
  int attempt_ = 0;
  bool anew_ = true;      // the count may begin anew
  bool unknown_ = false;  // the pod was, since a proof of life
  int failures_ = 0;      // since a proof of life
  TimePoint not_before_{};
};

}  // namespace kportal::sim
