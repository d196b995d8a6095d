// SPDX-License-Identifier: MIT
// FarPlace: another place with a long way to it: its kubeconfig names a DelayLine instead of the
// server. For servers whose certificate is for 127.0.0.1 too, as the lab's and the test cluster's.
#pragma once

#include <memory>

#include "tests/bench/delay_line.h"
#include "tests/bench/place.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::bench {

class FarPlace final : public Place {
 public:
  // `near` must outlive it.
  FarPlace(Place const& near, Duration round_trip);

  std::string_view name() const override { return near_.name(); }
  std::string kubeconfig() const override { return dir_.file("kubeconfig"); }
  std::string name_space() const override { return near_.name_space(); }

 private:
  Place const& near_;
  test::TempDir dir_;
  std::unique_ptr<DelayLine> line_;
};

}  // namespace kportal::bench
