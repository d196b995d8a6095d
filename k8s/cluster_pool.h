// SPDX-License-Identifier: MIT
// ClusterPool: from the words of a forward (kubeconfig, context) to the Cluster it shares with the
// others that mean the same server and user. Reads kubeconfig files; opens no connection itself.
// Owned by the program, and outlives all forwards.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "k8s/cluster.h"

namespace kportal::k8s {

class ClusterPool {
 public:
  // How old the kubeconfig of a find() may be.
  static constexpr Duration kFresh = std::chrono::milliseconds(250);

  ClusterPool(asio::any_io_executor executor, net::Resolver& resolver, Environment environment);
  ~ClusterPool();

  struct Found {
    std::shared_ptr<Cluster> cluster;
    std::string context;     // the name that "" stood for
    std::string namespace_;  // the context's own
  };
  // Reads the kubeconfig anew, so that an edit counts at the next try; but many forwards that start
  // together read it once. What the kubeconfig warns of is logged once a text.
  Result<Found> find(std::string const& kubeconfig, std::string const& context);

  // Stops the clusters that nobody but the pool holds.
  awaitable<void> release_unused();
  // Stops all. Before destruction.
  awaitable<void> stop();

 private:
  struct Loaded {
    TimePoint at;
    Result<Kubeconfig> kubeconfig;
  };

  Result<Kubeconfig> const& load(std::string const& path);
  void warn_once(std::vector<std::string> const& warnings);

  asio::any_io_executor executor_;
  net::Resolver& resolver_;
  Environment environment_;
  std::map<std::string, Loaded> loaded_;  // by path; what is older than kFresh goes
  std::vector<std::shared_ptr<Cluster>> clusters_;
  std::vector<std::string> warned_;
};

}  // namespace kportal::k8s
