// SPDX-License-Identifier: MIT
// ForwardExamination: goes the way of one forward behind the login: rights, target, pod, port,
// tunnel and the answer of the pod's port, with the product's own code and nothing left behind: the
// tunnel is closed again. Owned by the Doctor.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "config/config.h"
#include "doctor/report.h"
#include "doctor/rights.h"
#include "k8s/cluster.h"
#include "k8s/target_watch.h"

namespace kportal::doctor {

class ForwardExamination {
 public:
  // Fills `hops` from `rights` on, `local_port` apart. All must outlive it.
  ForwardExamination(k8s::Cluster& cluster, config::ForwardSpec const& spec,
                     config::Reliability const& reliability, Hops& hops);

  // Once; may be cancelled.
  awaitable<void> run();
  // Ends the tunnel and all else that it opened. Before destruction.
  awaitable<void> stop();

 private:
  struct Answer {
    Right right;
    bool allowed = false;
    std::optional<Error> error;
    explicit Answer(Right r) : right(std::move(r)) {}
  };

  awaitable<void> ask_rights();
  awaitable<void> ask_right(Answer& answer, TimePoint deadline);
  awaitable<void> find_pod();
  void judge_choice(std::optional<Result<k8s::Choices>> const& choices,
                    std::chrono::microseconds took);
  void judge_no_choice(Error const& error, std::chrono::microseconds took);
  awaitable<void> dial();
  awaitable<void> probe();
  // What failed on the way so far; a local port is not on it.
  bool stopped() const { return hops_.failed_before(HopName::local_port); }

  k8s::Cluster& cluster_;
  config::ForwardSpec const& spec_;
  config::Reliability const& reliability_;
  Hops& hops_;
  std::vector<Answer> answers_;
  std::unique_ptr<k8s::TargetWatch> target_;
  Wakeup target_news_;
  k8s::Choice choice_;
  std::shared_ptr<net::SpdyConnection> connection_;
  TaskGroup asking_;        // rights
  TaskGroup target_tasks_;  // of the TargetWatch
  TaskGroup tunnel_task_;
};

}  // namespace kportal::doctor
