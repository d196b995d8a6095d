// SPDX-License-Identifier: MIT
// Site: one forward of a schedule with all that belongs to it: its weather, its pods, the driver
// that runs now and those that a reload replaced. What faults and clients act on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "forward/manager.h"
#include "tests/sim/driver.h"
#include "tests/sim/settings.h"

namespace kportal::sim {

class Site {
 public:
  // How long connections of a replaced forward may go on.
  static constexpr Duration kDrain = forward::Manager::kDrain;

  Site(Stage& stage, Product product, Ways& ways, config::ForwardSpec spec,
       config::Reliability reliability)
      : stage_(stage),
        product_(product),
        ways_(ways),
        weather_(ways.network()),
        pods_(stage, weather_, spec.target, spec.port, spec.allow_unready) {
    ways.network().at_healing.emplace_back([this] { network_healed(); });
    ways.network().at_closing.emplace_back([this] { cut_all(); });
    begin(std::move(spec), reliability, ways.first());
  }
  Site(Site const&) = delete;
  Site& operator=(Site const&) = delete;

  Weather& weather() { return weather_; }
  Network& network() { return ways_.network(); }
  Ways& ways() { return ways_; }
  Pods& pods() { return pods_; }
  Driver& driver() { return *drivers_.back(); }
  std::string id() const { return drivers_.back()->id(); }

  // What the manager makes of a new configuration, of this forward: as Manager::apply.
  void reload(config::ForwardSpec spec, config::Reliability reliability);
  void cut_all();
  void stop();
  bool over() const;
  void check() const;
  // Every tunnel works, or is known not to.
  bool tunnels_work() const;

 private:
  void begin(config::ForwardSpec spec, config::Reliability reliability, Way& way);
  void network_healed();

  Stage& stage_;
  Product product_;
  Ways& ways_;
  Weather weather_;
  Pods pods_;
  config::ForwardSpec wanted_;
  std::vector<std::unique_ptr<Driver>> drivers_;
};

}  // namespace kportal::sim
