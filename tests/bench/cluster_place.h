// SPDX-License-Identifier: MIT
// ClusterPlace: the test cluster (tests/cluster) as it stands, with its pod `solo` and its Service
// `web`. Nothing is changed there.
#pragma once

#include "tests/bench/place.h"
#include "tests/cluster/cluster_fixture.h"

namespace kportal::bench {

class ClusterPlace final : public Place {
 public:
  // Throws CannotMeasure if it is not up.
  ClusterPlace() {
    if (test::kubectl("get --raw /readyz") != "ok") throw CannotMeasure("the cluster is not up");
  }
  std::string_view name() const override { return "cluster"; }
  std::string kubeconfig() const override { return test::cluster_dir() + "/kubeconfig"; }
  std::string name_space() const override { return "kportal-e2e"; }
};

}  // namespace kportal::bench
