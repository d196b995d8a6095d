// SPDX-License-Identifier: MIT
#include "doctor/doctor.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "doctor/local_port.h"
#include "doctor/stopwatch.h"
#include "net/tcp.h"

namespace kportal::doctor {
namespace {

std::string server_words(k8s::Server const& server) {
  return fmt::format("{}://{}{}", server.tls ? "https" : "http",
                     net::host_port(server.host, server.port), server.path_prefix);
}

std::string kubeconfig_words(k8s::ClusterPool::Found const& found) {
  if (found.file.empty()) return "none: the service account of this pod";
  return found.user.empty() ? found.file : fmt::format("{}, user {}", found.file, found.user);
}

}  // namespace

Doctor::Doctor(asio::any_io_executor executor, net::Resolver& resolver, k8s::ClusterPool& clusters,
               config::Config const& config)
    : executor_(executor),
      resolver_(resolver),
      clusters_(clusters),
      config_(config),
      at_once_(executor, kMaxAtOnce),
      tasks_(std::move(executor)) {}

awaitable<void> Doctor::examine(Report& report) {
  group_forwards(report);
  for (std::size_t i = 0; i < config_.forwards.size(); ++i) {
    if (config_.forwards[i].disabled) continue;
    examine_local_port(executor_, config_.forwards[i], report.forwards[i].hops);
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) tasks_.spawn(examine_group(i, report));
  co_await tasks_.join();
  for (ForwardExamination& examination : forwards_examined_) co_await examination.stop();
  for (ClusterExamination& examination : clusters_examined_) co_await examination.stop();
}

void Doctor::give_up() {
  tasks_.cancel();
}

void Doctor::group_forwards(Report& report) {
  for (config::ForwardSpec const& spec : config_.forwards) {
    ForwardReport forward;
    forward.id = spec.id();
    forward.context = spec.context;
    forward.namespace_ = spec.namespace_;
    forward.resource = spec.resource;
    forward.local_port = spec.local_port;
    forward.disabled = spec.disabled;
    if (!spec.disabled) {
      auto const same = [&](Group const& group) {
        return group.kubeconfig == spec.kubeconfig && group.context == spec.context;
      };
      auto group = std::find_if(groups_.begin(), groups_.end(), same);
      if (group == groups_.end()) {
        group = groups_.insert(group, {spec.kubeconfig, spec.context, {}});
      }
      forward.cluster = static_cast<std::size_t>(group - groups_.begin());
      group->forwards.push_back(report.forwards.size());
    }
    report.forwards.push_back(std::move(forward));
  }
  report.clusters.resize(groups_.size());
}

awaitable<void> Doctor::examine_group(std::size_t index, Report& report) {
  Group const& group = groups_[index];
  ClusterReport& cluster = report.clusters[index];
  cluster.context = group.context;
  Stopwatch const watch;
  auto const found = clusters_.find(group.kubeconfig, group.context);
  if (found.has_error()) {
    cluster.hops.fail(HopName::kubeconfig, watch.took(), found.error());
    co_return;
  }
  cluster.context = found->context;
  cluster.server = server_words(found->cluster->access().server);
  for (std::size_t const forward : group.forwards) {
    report.forwards[forward].context = found->context;
  }
  cluster.hops.ok(HopName::kubeconfig, watch.took(), kubeconfig_words(*found));
  auto& examination = clusters_examined_.emplace_back(*found->cluster, resolver_, cluster.hops);
  co_await examination.run();
  if (cluster.hops.first_failed() != nullptr) co_return;
  for (std::size_t const forward : group.forwards) {
    tasks_.spawn(examine_one(forward, found->cluster, report));
  }
}

awaitable<void> Doctor::examine_one(std::size_t index, std::shared_ptr<k8s::Cluster> cluster,
                                    Report& report) {
  k8s::DialGate::Pass const pass = co_await at_once_.enter();
  auto& examination = forwards_examined_.emplace_back(
      *cluster, config_.forwards[index], config_.reliability, report.forwards[index].hops);
  co_await examination.run();
}

}  // namespace kportal::doctor
