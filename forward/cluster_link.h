// SPDX-License-Identifier: MIT
// ClusterLink: one forward's way into its cluster: which one the kubeconfig means now, the watch of
// its target there, and the tasks that go by it. It judges nothing of what it sees and dials
// nothing (the worker does). Owned by the worker.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/task_group.h"
#include "config/config.h"
#include "forward/occupancy.h"
#include "k8s/cluster_pool.h"
#include "k8s/target_watch.h"

namespace kportal::forward {

class ClusterLink {
 public:
  enum class News { access, network, target };
  enum class Change { none, credentials, cluster };

  // `tell` is called when there is news; it must only take note. `spec` outlives it.
  ClusterLink(asio::any_io_executor executor, k8s::ClusterPool& pool,
              config::ForwardSpec const& spec, std::function<void(News)> tell);

  // News of the kubeconfig comes from now on.
  void follow();
  // Asks all tasks to end; no news comes any more. leave() may not follow, join() must.
  void stop();
  awaitable<void> join();

  // While it is not entered. Why there is no cluster.
  std::optional<Error> enter();
  bool entered() const { return found_.cluster != nullptr; }
  // What the kubeconfig means now: perhaps another token for the same cluster, perhaps another
  // cluster, which is entered then. An edit that leaves none changes nothing: the pool tells of it.
  Change look_again();
  // Begins anew with the same cluster and other connections.
  void start_over();

  // Of the cluster; only while it is entered.
  std::shared_ptr<k8s::Cluster> const& cluster() const { return found_.cluster; }
  k8s::TargetWatch& target() { return *target_; }
  k8s::TargetWatch const& target() const { return *target_; }
  // The context's name, also that of the current one; empty before.
  std::string const& context() const { return found_.context; }

  // A task that goes by this cluster: it ends when that is left.
  void run(TunnelId id, awaitable<void> task);
  // Nothing for one that is done().
  void cancel(TunnelId id);
  void done(TunnelId id) { running_.erase(id); }

 private:
  void enter(k8s::ClusterPool::Found found);
  void leave();
  awaitable<void> end(std::unique_ptr<k8s::TargetWatch> target, std::unique_ptr<TaskGroup> tasks,
                      std::shared_ptr<k8s::Cluster> cluster);

  asio::any_io_executor executor_;
  k8s::ClusterPool& pool_;
  config::ForwardSpec const& spec_;
  std::function<void(News)> tell_;
  k8s::Subscription access_;
  k8s::Subscription network_;
  k8s::ClusterPool::Found found_;
  std::unique_ptr<k8s::TargetWatch> target_;
  std::unique_ptr<TaskGroup> tasks_;  // of the watch, and run()
  std::map<TunnelId, TaskGroup::TaskId> running_;
  TaskGroup leaving_;
};

}  // namespace kportal::forward
