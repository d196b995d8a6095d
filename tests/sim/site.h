// SPDX-License-Identifier: MIT
// Site: one forward of a schedule with all that belongs to it: its weather, its pods, the driver
// that runs now and those that a reload replaced. What faults and clients act on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/driver.h"
#include "tests/sim/settings.h"

namespace kportal::sim {

class Site {
 public:
  // How long connections of a replaced forward may go on.
  static constexpr Duration kDrain = std::chrono::seconds(3);

  Site(Stage& stage, Product product, config::ForwardSpec spec, config::Reliability reliability)
      : stage_(stage),
        product_(product),
        pods_(stage, weather_, spec.target, spec.port, spec.allow_unready) {
    begin(std::move(spec), reliability);
  }

  Weather& weather() { return weather_; }
  Pods& pods() { return pods_; }
  Driver& driver() { return *drivers_.back(); }
  std::string id() const { return drivers_.back()->id(); }

  // What a reload makes of a changed forward.
  void replace(config::ForwardSpec spec, config::Reliability reliability) {
    stop();
    begin(std::move(spec), reliability);
  }
  void stop() {
    if (driver().retired()) return;
    driver().retire();
    driver().end_by(stage_.time.now() + kDrain);
  }
  bool over() const {
    return std::ranges::all_of(drivers_, [](auto const& driver) { return driver->over(); });
  }
  void check() const {
    for (auto const& driver : drivers_) driver->check();
  }
  // Every tunnel works.
  bool tunnels_work() const {
    return std::ranges::all_of(drivers_.back()->links(),
                               [](Link const* link) { return link->carries(); });
  }

 private:
  void begin(config::ForwardSpec spec, config::Reliability reliability) {
    drivers_.push_back(
        std::make_unique<Driver>(stage_, product_, std::move(spec), reliability, pods_, weather_));
    drivers_.back()->start();
  }

  Stage& stage_;
  Product product_;
  Weather weather_;
  Pods pods_;
  std::vector<std::unique_ptr<Driver>> drivers_;
};

}  // namespace kportal::sim
