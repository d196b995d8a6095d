// SPDX-License-Identifier: MIT
#include "tests/sim/site.h"

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>

#include "config/diff.h"

namespace kportal::sim {
namespace {

// What may be drawn anew and does not apply live.
bool forwards_alike(config::ForwardSpec const& a, config::ForwardSpec const& b) {
  return a.balance == b.balance && a.half_close == b.half_close && a.disabled == b.disabled;
}

}  // namespace

void Site::begin(config::ForwardSpec spec, config::Reliability reliability, Way& way) {
  wanted_ = spec;
  drivers_.push_back(std::make_unique<Driver>(stage_, product_, std::move(spec), reliability, pods_,
                                              weather_, ways_, way));
  drivers_.back()->start();
}

void Site::reload(config::ForwardSpec spec, config::Reliability reliability) {
  bool const alike = forwards_alike(wanted_, spec);
  config::Config before;
  before.forwards = {wanted_};
  config::Config after;
  after.forwards = {spec};
  config::Diff const diff = config::diff(before, after);
  stage_.coverage.hit(alike ? "reload.unchanged" : "reload.changed");
  stage_.require(Promise::reload_exact, diff.unchanged.empty() != alike && diff.removed.empty(),
                 "{}: a reload that changes {} replaces {}", id(), alike ? "nothing" : "it",
                 diff.unchanged.empty() ? "it" : "nothing");
  wanted_ = spec;
  if (!diff.unchanged.empty()) {
    driver().update(spec.health, reliability);
    return;
  }
  Way& way = driver().way();
  stop();
  begin(std::move(spec), reliability, way);
}

void Site::stop() {
  if (driver().retired()) return;
  driver().retire();
  driver().end_by(stage_.time.now() + kDrain);
}

void Site::cut_all() {
  for (auto const& driver : drivers_) {
    for (Link* const link : driver->links()) {
      link->cut(make_error_code(boost::asio::error::connection_reset));
    }
  }
}

// What TCP held arrives, and the watch's connection is seen to be dead, or goes on.
void Site::network_healed() {
  for (auto const& driver : drivers_) driver->released();
  stage_.time.after(std::chrono::seconds(1), [this] { pods_.refresh(); });
}

bool Site::over() const {
  return std::ranges::all_of(drivers_, [](auto const& driver) { return driver->over(); });
}

void Site::check() const {
  for (auto const& driver : drivers_) driver->check();
}

bool Site::tunnels_work() const {
  return drivers_.back()->tunnels_work();
}

}  // namespace kportal::sim
