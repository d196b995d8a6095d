// SPDX-License-Identifier: MIT
#include "forward/cluster_link.h"

#include <utility>

namespace kportal::forward {

ClusterLink::ClusterLink(asio::any_io_executor executor, k8s::ClusterPool& pool,
                         config::ForwardSpec const& spec, std::function<void(News)> tell)
    : executor_(std::move(executor)),
      pool_(pool),
      spec_(spec),
      tell_(std::move(tell)),
      leaving_(executor_) {}

void ClusterLink::follow() {
  access_ = pool_.subscribe(spec_.kubeconfig, spec_.context, [this] { tell_(News::access); });
}

void ClusterLink::stop() {
  access_ = k8s::Subscription();
  network_ = k8s::Subscription();
  if (tasks_) tasks_->cancel();
}

awaitable<void> ClusterLink::join() {
  if (tasks_) co_await tasks_->join();
  co_await leaving_.join();
}

std::optional<Error> ClusterLink::enter() {
  auto found = pool_.find(spec_.kubeconfig, spec_.context);
  if (found.has_error()) return found.error();
  enter(std::move(*found));
  return std::nullopt;
}

ClusterLink::Change ClusterLink::look_again() {
  auto found = pool_.find(spec_.kubeconfig, spec_.context);
  if (found.has_error()) return Change::none;
  if (found->cluster == found_.cluster) {
    found_.context = found->context;
    return Change::credentials;
  }
  leave();
  enter(std::move(*found));
  return Change::cluster;
}

void ClusterLink::start_over() {
  found_.cluster->distrust_connections();
  k8s::ClusterPool::Found found = found_;
  leave();
  enter(std::move(found));
}

void ClusterLink::enter(k8s::ClusterPool::Found found) {
  found_ = std::move(found);
  k8s::TargetQuery query;
  query.target = spec_.target;
  query.port = spec_.port;
  query.allow_unready = spec_.allow_unready;
  query.namespace_ = spec_.namespace_;
  tasks_ = std::make_unique<TaskGroup>(executor_);
  target_ = std::make_unique<k8s::TargetWatch>(
      *found_.cluster, std::move(query), [this] { tell_(News::target); }, *tasks_);
  network_ = found_.cluster->subscribe([this] { tell_(News::network); });
  tell_(News::target);
}

void ClusterLink::leave() {
  running_.clear();
  leaving_.spawn(end(std::move(target_), std::move(tasks_), std::move(found_.cluster)));
}

// The cluster outlives the watch and the tasks. Where nobody else needs it, a login to it ends,
// too.
awaitable<void> ClusterLink::end(std::unique_ptr<k8s::TargetWatch> target,
                                 std::unique_ptr<TaskGroup> tasks,
                                 std::shared_ptr<k8s::Cluster> cluster) {
  tasks->cancel();
  co_await tasks->join();
  target.reset();
  cluster.reset();
  co_await pool_.release_unused();
}

void ClusterLink::run(TunnelId id, awaitable<void> task) {
  running_[id] = tasks_->spawn(std::move(task));
}

void ClusterLink::cancel(TunnelId id) {
  if (auto const task = running_.extract(id)) tasks_->cancel(task.mapped());
}

}  // namespace kportal::forward
