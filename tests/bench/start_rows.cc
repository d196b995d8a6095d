// SPDX-License-Identifier: MIT
#include <thread>

#include <fmt/format.h>

#include "tests/bench/load.h"
#include "tests/bench/loop_waits.h"
#include "tests/bench/speed_rows.h"

namespace kportal::bench {
namespace {

constexpr double kMega = 1e6;

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

// In the lab each has a Service of its own; the cluster has one for all.
std::vector<Forward> services(SpeedSetting const& setting, std::size_t count) {
  std::vector<Forward> forwards;
  for (std::size_t i = 0; i < count; ++i) {
    forwards.emplace_back(setting.on_cluster() ? "service/web" : fmt::format("service/s{}", i), 80);
  }
  return forwards;
}

// Tunnels of tools that ended are still ending.
void wait_until_unused(BenchServer const& server) {
  TimePoint const deadline = Clock::now() + std::chrono::seconds(60);
  while (server.counts().tunnels > 0) {
    if (Clock::now() > deadline) throw CannotMeasure("tunnels of the row before do not end");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

struct Goals {
  Goal took;
  Goal memory;
  Goal requests;
};

// Starts that many, and says what it took. They run on.
std::unique_ptr<Running> start(SpeedSetting const& setting, Tool const& tool, std::size_t count,
                               Goals const& goals, Turn& turn) {
  auto const forwards = services(setting, count);
  if (!setting.on_cluster()) wait_until_unused(*setting.server);
  Counts const before = setting.place->counts();
  TimePoint const begin = Clock::now();
  auto running = tool.start(*setting.place, forwards);
  TimePoint const end = answered_by_all(*running, count);
  turn.add("all have answered", "s", seconds(end - begin), goals.took);
  Pids const pids = running->pids();
  Memory const used = memory(pids);
  // Of many processes what they share counts once; of one, all that it has.
  turn.add("memory", "MB", (pids.size() > 1 ? used.shared : used.resident) / kMega, goals.memory);
  turn.add("CPU", "s", seconds(cpu_time(pids)));
  Counts const after = setting.place->counts();
  auto const upgrades = static_cast<double>(after.upgrades - before.upgrades);
  auto const others = static_cast<double>(after.others - before.others);
  turn.add("API requests", "", upgrades + others, goals.requests);
  turn.add("upgrades among them", "", upgrades);
  return running;
}

// A program of ours whose waits are counted.
struct Watched {
  explicit Watched(SpeedSetting const& setting)
      : tool(make_ours(kOurs, setting.program, waits.environment())) {}
  LoopWaits waits;
  std::unique_ptr<Tool> tool;
};

void add_idle(SpeedSetting const& setting, Watched const& watched, Running& running,
              std::size_t count, Turn& turn) {
  for (std::size_t i = 0; i < count; ++i) running.ready_port(i);
  std::this_thread::sleep_for(setting.sizes.settle);
  pid_t const pid = running.pids().at(0);
  Duration const window = setting.sizes.idle;
  auto const timers = [&] { return watched.waits.by_timer() + wake_ups_of_helpers(pid); };
  std::uint64_t const timers_before = timers();
  std::uint64_t const all_before = wake_ups(pid);
  std::uint64_t const pings_before = setting.server->counts().pings;
  Duration const cpu_before = cpu_time({pid});
  TimePoint const begin = Clock::now();
  std::this_thread::sleep_for(window);
  double const took = seconds(Clock::now() - begin);
  turn.add("idle: CPU of a core", "%", 100 * seconds(cpu_time({pid}) - cpu_before) / took,
           Goal::median_at_most(1.5));
  turn.add("idle: timer wake-ups", "1/s", static_cast<double>(timers() - timers_before) / took,
           Goal::median_at_most(5));
  turn.add("idle: all wake-ups", "1/s", static_cast<double>(wake_ups(pid) - all_before) / took);
  turn.add("idle: pings", "1/s",
           static_cast<double>(setting.server->counts().pings - pings_before) / took);
  turn.add("idle: memory", "MB", memory({pid}).resident / kMega, Goal::median_at_most(50));
}

}  // namespace

void measure_start(SpeedSetting const& setting, Row& row) {
  row.note("memory of many processes: what they share counts once");
  std::size_t const count = setting.sizes.many;
  auto const tools = setting.named({kOurs, kKubectl});
  auto const measure = [&](Tool const& tool, Turn& turn) {
    Goals goals;
    if (tool.name() == kOurs) {
      goals.requests = Goal::median_at_most(static_cast<double>(count) + 10);
      // On the cluster the time is the server's.
      if (!setting.on_cluster()) goals.took = Goal::median_at_most(1.5);
      goals.memory = Goal::median_at_most(22);
    }
    start(setting, tool, count, goals, turn);
  };
  compare(tools, setting.sizes.rounds,
          {
              {"all have answered", kOurs, kKubectl, Goal::none()},
              {"memory", kOurs, kKubectl, Goal::none()},
          },
          measure, row);
}

void measure_start_very_many(SpeedSetting const& setting, Row& row) {
  row.note("timer wake-ups: of the loop by a timer, and all of the other threads");
  std::size_t const count = setting.sizes.very_many;
  Watched const watched(setting);
  auto const measure = [&](Tool const& tool, Turn& turn) {
    Goals const goals{Goal::median_at_most(6), Goal::median_at_most(50), Goal::none()};
    auto const running = start(setting, tool, count, goals, turn);
    add_idle(setting, watched, *running, count, turn);
  };
  compare({watched.tool.get()}, setting.sizes.rounds, {}, measure, row);
}

}  // namespace kportal::bench
