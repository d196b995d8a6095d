// SPDX-License-Identifier: MIT
// Doctor: goes the way of every forward of a configuration, once, and reports. What forwards of one
// context share is gone once; clusters are examined at the same time, and so are a bounded number
// of forwards. It repairs nothing and leaves nothing open. Owned by the command.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "base/task_group.h"
#include "config/config.h"
#include "doctor/cluster_examination.h"
#include "doctor/forward_examination.h"
#include "doctor/report.h"
#include "k8s/cluster_pool.h"
#include "k8s/dial_gate.h"
#include "net/resolver.h"

namespace kportal::doctor {

class Doctor {
 public:
  // Forwards examined at the same time.
  static constexpr std::size_t kMaxAtOnce = 16;

  // All must outlive it; the pool is stopped by its owner.
  Doctor(asio::any_io_executor executor, net::Resolver& resolver, k8s::ClusterPool& clusters,
         config::Config const& config);

  // Fills the clusters and forwards of `report`. Once.
  awaitable<void> examine(Report& report);
  // examine() returns soon, with what it has found by then.
  void give_up();

 private:
  // The forwards of one context of one kubeconfig.
  struct Group {
    std::string kubeconfig;
    std::string context;
    std::vector<std::size_t> forwards;
  };

  void group_forwards(Report& report);
  awaitable<void> examine_group(std::size_t index, Report& report);
  awaitable<void> examine_one(std::size_t index, std::shared_ptr<k8s::Cluster> cluster,
                              Report& report);

  asio::any_io_executor executor_;
  net::Resolver& resolver_;
  k8s::ClusterPool& clusters_;
  config::Config const& config_;
  std::vector<Group> groups_;
  k8s::DialGate at_once_;
  std::list<ClusterExamination> clusters_examined_;
  std::list<ForwardExamination> forwards_examined_;
  TaskGroup tasks_;  // one a group, one a forward
};

}  // namespace kportal::doctor
