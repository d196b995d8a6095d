// SPDX-License-Identifier: MIT
// The rows of the bench of speed: what a forward costs, beside kubectl, beside a bare TLS relay and
// beside the bare machine. Each row is a Comparison of some of the tools.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tests/bench/comparison.h"
#include "tests/bench/figures.h"
#include "tests/bench/tool.h"

namespace kportal::bench {

// How much is done; the defaults are those of the published table.
struct Sizes {
  int rounds = 5;
  Duration window = std::chrono::milliseconds(2500);  // of bulk
  int connects = 500;
  int far_connects = 40;
  int echoes = 4000;
  std::size_t many = 100;
  std::size_t very_many = 500;
  Duration settle = std::chrono::seconds(5);  // after which what was busy is idle
  Duration idle = std::chrono::seconds(10);
};

struct SpeedSetting {
  // A server of its own with that many Services, or the cluster. The thread that makes it must
  // outlive it.
  SpeedSetting(bool on_cluster, std::size_t services);

  Sizes sizes;
  std::unique_ptr<BenchServer> server;    // null on the cluster
  std::unique_ptr<CountedPlace> cluster;  // null in the lab
  CountedPlace const* place = nullptr;    // the one that is there
  std::unique_ptr<Place> far;             // the same, every byte 10 ms late, both ways
  std::vector<std::unique_ptr<Tool>> tools;
  std::string program;  // ours; empty: the one that was built with the bench

  // Relay, discarding client and loopback: only in the lab.
  void add_bare_tools();

  // Those of that name, and what is a build of ours where kOurs is named; in the order of names.
  std::vector<Tool const*> named(std::vector<std::string_view> const& names) const;
  bool on_cluster() const { return server == nullptr; }
};

struct SpeedRow {
  std::string_view name;
  std::string_view what;
  bool on_cluster;                                         // it can be measured there
  std::size_t services;                                    // that the lab's namespace must have
  void (*measure)(SpeedSetting const& setting, Row& row);  // throws CannotMeasure
};

// In the order of the table.
std::vector<SpeedRow> const& speed_rows();

// Bytes: speed_rows.cc.
void measure_bulk_down(SpeedSetting const& setting, Row& row);
void measure_bulk_up(SpeedSetting const& setting, Row& row);
void measure_connect(SpeedSetting const& setting, Row& row);
void measure_connect_far(SpeedSetting const& setting, Row& row);
void measure_echo(SpeedSetting const& setting, Row& row);
// Many forwards: start_rows.cc.
void measure_start(SpeedSetting const& setting, Row& row);
void measure_start_very_many(SpeedSetting const& setting, Row& row);
// As the bench of faults measures it, in a lab of its own.
void measure_stall(SpeedSetting const& setting, Row& row);

}  // namespace kportal::bench
