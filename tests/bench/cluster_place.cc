// SPDX-License-Identifier: MIT
#include "tests/bench/cluster_place.h"

#include <charconv>
#include <fstream>

#include "tests/cluster/cluster_fixture.h"

namespace kportal::bench {
namespace {

// The value behind the first line that begins so; 0 if there is none.
std::uint64_t metric(std::string const& metrics, std::string_view name) {
  auto const at = metrics.find(name);
  if (at == std::string::npos) return 0;
  auto const value = metrics.find(' ', at) + 1;
  double number = 0;
  std::from_chars(metrics.data() + value, metrics.data() + metrics.size(), number);
  return static_cast<std::uint64_t>(number);
}

// The API server's log of port-forward requests has a line for each stage of each.
std::uint64_t port_forward_requests() {
  std::ifstream log(test::cluster_dir() + "/logs/audit.log");
  std::uint64_t count = 0;
  for (std::string line; std::getline(log, line);) {
    if (line.find(R"("stage":"RequestReceived")") != std::string::npos) ++count;
  }
  return count;
}

}  // namespace

ClusterPlace::ClusterPlace() {
  if (test::kubectl("get --raw /readyz") != "ok") throw CannotMeasure("the cluster is not up");
}

std::string ClusterPlace::kubeconfig() const {
  return test::cluster_dir() + "/kubeconfig";
}

// Administrators' requests are exempt from flow control, and counted there, also watches that are
// still open; those that become another protocol are not.
Counts ClusterPlace::counts() const {
  std::string const metrics = test::kubectl("get --raw /metrics");
  ++asked_by_us_;
  Counts counts;
  counts.upgrades = port_forward_requests();
  counts.others =
      metric(metrics, R"(apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt")") -
      asked_by_us_;
  counts.tunnels =
      metric(metrics, R"(apiserver_longrunning_requests{component="apiserver",group="",)"
                      R"(resource="pods",scope="resource",subresource="portforward")");
  return counts;
}

}  // namespace kportal::bench
