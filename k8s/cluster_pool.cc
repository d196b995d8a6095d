// SPDX-License-Identifier: MIT
#include "k8s/cluster_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace kportal::k8s {

ClusterPool::ClusterPool(asio::any_io_executor executor, net::Resolver& resolver,
                         Environment environment)
    : executor_(std::move(executor)), resolver_(resolver), environment_(std::move(environment)) {}

ClusterPool::~ClusterPool() = default;

Result<ClusterPool::Found> ClusterPool::find(std::string const& kubeconfig,
                                             std::string const& context) {
  auto const& loaded = load(kubeconfig);
  if (loaded.has_error()) return loaded.error();
  warn_once(loaded->warnings);
  auto const resolved = resolve_context(*loaded, context, environment_);
  if (resolved.has_error()) return resolved.error();
  warn_once(resolved->warnings);

  Found found;
  found.context = resolved->context;
  found.namespace_ = resolved->namespace_;
  auto const same = [&](auto const& cluster) { return cluster->access() == resolved->access; };
  auto const known = std::find_if(clusters_.begin(), clusters_.end(), same);
  if (known != clusters_.end()) {
    found.cluster = *known;
    return found;
  }
  auto created = Cluster::create(executor_, resolver_, resolved->access);
  if (created.has_error()) return created.error();
  found.cluster = std::move(*created);
  clusters_.push_back(found.cluster);
  return found;
}

Result<Kubeconfig> const& ClusterPool::load(std::string const& path) {
  TimePoint const now = Clock::now();
  std::erase_if(loaded_, [&](auto const& entry) { return now - entry.second.at > kFresh; });
  auto const known = loaded_.find(path);
  if (known != loaded_.end()) return known->second.kubeconfig;
  Loaded loaded{now, load_kubeconfig(path, environment_)};
  return loaded_.emplace(path, std::move(loaded)).first->second.kubeconfig;
}

void ClusterPool::warn_once(std::vector<std::string> const& warnings) {
  for (std::string const& warning : warnings) {
    if (std::find(warned_.begin(), warned_.end(), warning) != warned_.end()) continue;
    warned_.push_back(warning);
    log::warn("{}", warning);
  }
}

awaitable<void> ClusterPool::release_unused() {
  auto const used = [](auto const& cluster) { return cluster.use_count() > 1; };
  auto const first = std::stable_partition(clusters_.begin(), clusters_.end(), used);
  std::vector<std::shared_ptr<Cluster>> const unused(std::make_move_iterator(first),
                                                     std::make_move_iterator(clusters_.end()));
  clusters_.erase(first, clusters_.end());
  for (auto const& cluster : unused) co_await cluster->stop();
}

awaitable<void> ClusterPool::stop() {
  for (auto const& cluster : clusters_) co_await cluster->stop();
  clusters_.clear();
}

}  // namespace kportal::k8s
