// SPDX-License-Identifier: MIT
// TargetWatch: one forward's view of its target: it feeds the pure choice (k8s/target) from the
// cluster's shared caches, asks for the workload where there is one, and tells when the answer may
// have changed. It dials nothing. Owned by the worker.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "k8s/object_cache.h"
#include "k8s/object_poll.h"
#include "k8s/target.h"

namespace kportal::k8s {

class Cluster;

class TargetWatch {
 public:
  // A workload is asked for again this soon after its pods made one doubt it,
  static constexpr Duration kWorkloadPause = std::chrono::seconds(2);
  // and this often while it could not be read or has no pod that may be used.
  static constexpr Duration kWorkloadRetry = std::chrono::seconds(10);

  // `changed` is called on the loop whenever choose() may give something new; it must only take
  // note. `cluster` and `tasks` outlive it; the tasks are joined before it is destroyed.
  TargetWatch(Cluster& cluster, TargetQuery query, std::function<void()> changed, TaskGroup& tasks);
  ~TargetWatch();

  // The choices now, the best first; `in_use` are the uids of the pods that the forward uses.
  // Nothing while the cluster has not answered yet.
  std::optional<Result<Choices>> choose(std::vector<std::string> in_use);
  // Whether the pod of this name and uid is known to be gone or going. Without a uid (it was never
  // seen) nothing is known.
  bool gone(std::string const& pod, std::string const& uid) const;
  // The pod's own sign of trouble: another value after each container restart and change of
  // readiness.
  std::uint64_t unrest(std::string const& pod, std::string const& uid) const;
  // False: the pod is known not to be Ready, and this target asks for Ready pods.
  bool vouches_for(std::string const& pod) const;
  // Asks the cluster again.
  void refresh();
  // The server may answer again: what is asked for by name and not watched is asked for now.
  void hurry();

 private:
  // Begins to ask by name for what may not be listed.
  void poll_if_forbidden();
  // Where pods may not be listed.
  std::optional<Result<Choices>> choose_narrowly();
  Result<Choices> one_unseen() const;
  // Of a service: what is there, or nothing yet.
  std::optional<Result<Service const*>> service() const;
  awaitable<void> follow_workload();
  awaitable<Result<std::string>> look_up_workload(TimePoint deadline);
  bool take_workload(Result<Workload> answer);
  void doubt_workload(bool failed);
  std::set<std::string> family() const;
  std::string workload_path() const;
  Pod const* find(std::string const& pod, std::string const& uid) const;

  Cluster& cluster_;
  TargetQuery query_;
  std::function<void()> changed_;
  TargetMemory memory_;
  PodCache& pods_;
  ServiceCache* services_ = nullptr;             // for a service only
  std::optional<Result<Workload>> workload_;     // for a workload only
  bool no_choice_ = false;                       // the last choose() ended in an error
  std::optional<std::set<std::string>> family_;  // the uids of its pods, as last seen
  // In place of the caches once those may not be listed: of a pod by name, of a service.
  std::unique_ptr<ObjectPoll<Pod>> pod_poll_;
  std::unique_ptr<ObjectPoll<Service>> service_poll_;
  TaskGroup& tasks_;
  Wakeup ask_again_;
  Subscription pods_changed_;
  Subscription services_changed_;
};

}  // namespace kportal::k8s
