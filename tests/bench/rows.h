// SPDX-License-Identifier: MIT
// The rows of the bench of faults: each starts the program as a user would, does its fault to it a
// number of times, and adds to its figures what a client of the local port and the events saw.
#pragma once

#include <string_view>
#include <vector>

#include "tests/bench/figures.h"
#include "tests/bench/ground.h"

namespace kportal::bench {

// How often a fault is done: as often as was told; else 20 times, or 5 where one takes over 20 s.
class Repeats {
 public:
  explicit Repeats(int told = 0) : told_(told) {}
  // True: once more.
  bool next();

 private:
  int told_;
  int done_ = 0;
  bool slow_ = false;
  TimePoint begin_;
};

struct RowKind {
  std::string_view name;
  std::string_view what;
  void (*measure)(Ground& ground, Repeats repeats, Row& row);  // throws CannotMeasure
};

// In the order of the table.
std::vector<RowKind> const& row_kinds();

// Pods go: pod_rows.cc.
void measure_pod_deleted(Ground& ground, Repeats repeats, Row& row);
void measure_rollout(Ground& ground, Repeats repeats, Row& row);
// Servers and networks go: tunnel_rows.cc.
void measure_tunnels_reset(Ground& ground, Repeats repeats, Row& row);
void measure_blackhole(Ground& ground, Repeats repeats, Row& row);
void measure_api_restart(Ground& ground, Repeats repeats, Row& row);
void measure_churn(Ground& ground, Repeats repeats, Row& row);
// Connections that go wrong beside good ones: connection_rows.cc.
void measure_refused(Ground& ground, Repeats repeats, Row& row);
void measure_stalled_reader(Ground& ground, Repeats repeats, Row& row);
void measure_stalled_upload(Ground& ground, Repeats repeats, Row& row);

}  // namespace kportal::bench
