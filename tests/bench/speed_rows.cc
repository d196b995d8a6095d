// SPDX-License-Identifier: MIT
#include "tests/bench/speed_rows.h"

#include <algorithm>

#include "tests/bench/cluster_place.h"
#include "tests/bench/far_place.h"
#include "tests/bench/load.h"
#include "tests/bench/rows.h"

namespace kportal::bench {
namespace {

using namespace std::chrono_literals;

constexpr char const* kSolo = "pod/solo";
constexpr double kMega = 1e6;

// Against which builds of ours are held, too: the first of ours against all others of them.
std::vector<Ratio> with_builds(std::vector<Tool const*> const& tools, std::vector<Ratio> ratios) {
  std::vector<Ratio> more;
  for (Ratio const& ratio : ratios) {
    for (Tool const* const tool : tools) {
      bool const known = std::ranges::any_of(more, [&](Ratio const& each) {
        return each.figure == ratio.figure && each.than == tool->name();
      });
      if (tool->is_build() && tool->name() != kOurs && !known) {
        more.emplace_back(ratio.figure, kOurs, tool->name(), Goal::none());
      }
    }
  }
  ratios.insert(ratios.end(), more.begin(), more.end());
  return ratios;
}

void bulk(SpeedSetting const& setting, std::vector<Tool const*> const& tools, Way way,
          std::vector<Ratio> const& ratios, Row& row) {
  auto const measure = [&](Tool const& tool, Turn& turn) {
    std::uint16_t const port = way == Way::down ? kSourcePort : kDiscardPort;
    auto const running = tool.start(*setting.place, {Forward(kSolo, port)});
    Bulk const bulk = measure_bulk(*running, 0, way, setting.sizes.window);
    turn.add("rate", "MB/s", bulk.bytes_per_second / kMega);
    if (running->pids().empty()) return;
    turn.add("CPU", "s/GB", bulk.cpu_seconds_per_gigabyte);
    bool const ours = tool.name() == kOurs;
    turn.add("memory, most", "MB", bulk.memory.peak / kMega,
             ours ? Goal::median_at_most(20) : Goal::none());
    turn.add("memory, then", "MB", bulk.memory.resident / kMega);
  };
  compare(tools, setting.sizes.rounds, with_builds(tools, ratios), measure, row);
}

}  // namespace

void measure_bulk_down(SpeedSetting const& setting, Row& row) {
  auto const tools = setting.named({kOurs, kKubectl, kDiscarder, kRelay, kLoopback});
  std::vector<Ratio> ratios = {
      {"CPU", kOurs, kKubectl, Goal::median_at_most(0.5)},
      {"CPU", kOurs, kRelay, Goal::median_at_most(1.1)},
      {"CPU", kOurs, kDiscarder, Goal::none()},
  };
  // On the cluster the rate is the server's.
  Goal const faster = setting.on_cluster() ? Goal::none() : Goal::median_at_least(1.4);
  ratios.emplace_back("rate", kOurs, kKubectl, faster);
  ratios.emplace_back("rate", kOurs, kDiscarder, Goal::median_at_least(0.9));
  ratios.emplace_back("rate", kOurs, kRelay, Goal::none());
  bulk(setting, tools, Way::down, ratios, row);
}

void measure_bulk_up(SpeedSetting const& setting, Row& row) {
  bulk(setting, setting.named({kOurs, kKubectl, kRelay, kLoopback}), Way::up,
       {
           {"rate", kOurs, kKubectl, Goal::none()},
           {"rate", kOurs, kRelay, Goal::none()},
           {"CPU", kOurs, kKubectl, Goal::median_at_most(0.5)},
           {"CPU", kOurs, kRelay, Goal::median_at_most(1.1)},
       },
       row);
}

void measure_connect(SpeedSetting const& setting, Row& row) {
  auto const tools = setting.named({kOurs, kKubectl, kRelay, kLoopback});
  auto const measure = [&](Tool const& tool, Turn& turn) {
    auto const running = tool.start(*setting.place, {Forward(kSolo, kEchoPort)});
    Times const times = measure_connects(*running, 0, setting.sizes.connects);
    turn.add("p50", "ms", times.percentile(50) / 1000);
    turn.add("p99", "ms", times.percentile(99) / 1000);
    if (!running->pids().empty()) turn.add("CPU each", "us", times.cpu_micros);
  };
  compare(tools, setting.sizes.rounds,
          with_builds(tools,
                      {
                          {"p50", kOurs, kKubectl, Goal::median_at_most(0.6)},
                          {"p50", kOurs, kRelay, Goal::none()},
                          {"p99", kOurs, kKubectl, Goal::none()},
                          {"CPU each", kOurs, kKubectl, Goal::none()},
                      }),
          measure, row);
}

void measure_connect_far(SpeedSetting const& setting, Row& row) {
  row.note(
      "10 ms each way in user space, between the tool and the server; the handshake of TCP too");
  auto const tools = setting.named({kOurs, kKubectl});
  auto const measure = [&](Tool const& tool, Turn& turn) {
    auto const running = tool.start(*setting.far, {Forward(kSolo, kEchoPort)});
    Times const times = measure_connects(*running, 0, setting.sizes.far_connects);
    bool const ours = tool.name() == kOurs;
    turn.add("p50", "ms", times.percentile(50) / 1000,
             ours ? Goal::median_at_most(25) : Goal::none());
    turn.add("p90", "ms", times.percentile(90) / 1000);
  };
  compare(tools, setting.sizes.rounds, with_builds(tools, {{"p50", kOurs, kKubectl, Goal::none()}}),
          measure, row);
}

void measure_echo(SpeedSetting const& setting, Row& row) {
  auto const tools = setting.named({kOurs, kKubectl, kRelay, kLoopback});
  auto const measure = [&](Tool const& tool, Turn& turn) {
    auto const running = tool.start(*setting.place, {Forward(kSolo, kEchoPort)});
    Times const times = measure_echoes(*running, 0, setting.sizes.echoes);
    turn.add("p50", "us", times.percentile(50));
    turn.add("p99", "us", times.percentile(99));
    if (!running->pids().empty()) turn.add("CPU each", "us", times.cpu_micros);
  };
  compare(tools, setting.sizes.rounds,
          with_builds(tools,
                      {
                          {"p50", kOurs, kKubectl, Goal::median_at_most(0.6)},
                          {"p50", kOurs, kRelay, Goal::none()},
                          {"CPU each", kOurs, kKubectl, Goal::median_at_most(0.5)},
                          {"CPU each", kOurs, kRelay, Goal::none()},
                      }),
          measure, row);
}

void measure_stall(SpeedSetting const&, Row& row) {
  auto const ground = make_lab_ground();
  measure_stalled_reader(*ground, Repeats(1), row);
}

SpeedSetting::SpeedSetting(bool on_cluster, std::size_t services) {
  if (on_cluster) cluster = std::make_unique<ClusterPlace>();
  if (!on_cluster) server = std::make_unique<BenchServer>(services);
  place = on_cluster ? cluster.get() : static_cast<CountedPlace const*>(server.get());
  far = std::make_unique<FarPlace>(*place, 20ms);
}

void SpeedSetting::add_bare_tools() {
  if (on_cluster()) return;
  tools.push_back(make_discarder(*server));
  tools.push_back(make_relay(*server));
  tools.push_back(make_loopback(*server));
}

std::vector<Tool const*> SpeedSetting::named(std::vector<std::string_view> const& names) const {
  std::vector<Tool const*> result;
  for (std::string_view const name : names) {
    for (auto const& tool : tools) {
      if (tool->name() == name || (name == kOurs && tool->is_build())) result.push_back(tool.get());
    }
  }
  return result;
}

std::vector<SpeedRow> const& speed_rows() {
  static std::vector<SpeedRow> const rows = {
      {"bulk-down", "one connection that reads as fast as it can", true, 0, &measure_bulk_down},
      {"bulk-up", "one connection that writes as fast as it can", true, 0, &measure_bulk_up},
      {"connect", "a new connection, from its begin to the first answer", true, 0,
       &measure_connect},
      {"connect-20ms", "the same, the server a round trip of 20 ms away", true, 0,
       &measure_connect_far},
      {"echo", "64 bytes and their return, one connection", true, 0, &measure_echo},
      {"start-100", "forwards of one namespace, from the start until each has answered", true,
       Sizes().many, &measure_start},
      {"start-500", "the same, ours only; then idle", false, Sizes().very_many,
       &measure_start_very_many},
      {"stalled-reader", "one reader of 8 stalls for 60 s on a full-speed source", false, 0,
       &measure_stall},
  };
  return rows;
}

}  // namespace kportal::bench
