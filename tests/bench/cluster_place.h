// SPDX-License-Identifier: MIT
// ClusterPlace: the test cluster (tests/cluster) as it stands, with its pod `solo` and its Service
// `web`. Nothing is changed there. Its counts are of all administrators together: who else works as
// one meanwhile is counted too.
#pragma once

#include "tests/bench/counted_place.h"

namespace kportal::bench {

class ClusterPlace final : public CountedPlace {
 public:
  // Throws CannotMeasure if it is not up.
  ClusterPlace();

  std::string_view name() const override { return "cluster"; }
  std::string kubeconfig() const override;
  std::string name_space() const override { return "kportal-e2e"; }
  Counts counts() const override;

 private:
  mutable std::uint64_t asked_by_us_ = 0;
};

}  // namespace kportal::bench
