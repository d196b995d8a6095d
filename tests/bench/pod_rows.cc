// SPDX-License-Identifier: MIT
#include <limits>
#include <thread>

#include "tests/bench/rows.h"
#include "tests/bench/up.h"
#include "tests/e2e/pulse.h"

namespace kportal::bench {

using namespace std::chrono_literals;

namespace {

constexpr double kNeverHappened = std::numeric_limits<double>::infinity();

}  // namespace

void measure_pod_deleted(Ground& ground, Repeats repeats, Row& row) {
  Up up(ground, {"resource: deployment/web, port: 8080, localPort: auto, alias: web"});
  std::uint16_t const port = up.active_port("web:auto");
  while (repeats.next()) {
    test::Pulse pulse(port);
    if (!pulse.wait_for_answer({})) throw CannotMeasure("no answer before the fault");
    auto const replaced = ground.replace_pod();
    auto const first = pulse.wait_for_answer(replaced.ready - 1s, replaced.old);
    std::this_thread::sleep_for(500ms);  // those that come after
    pulse.stop();
    auto const count = pulse.count();
    row.add("first answer after Ready", "ms", Goal::at_most(300, 1000),
            first ? millis(*first - replaced.ready) : kNeverHappened);
    row.add("refused", "", Goal::at_most(0), count.refused);
    row.add("reset", "", Goal::at_most(0), count.reset);
    row.add("no answer otherwise", "", Goal::at_most(0), count.cut + count.waiting);
  }
}

void measure_rollout(Ground& ground, Repeats repeats, Row& row) {
  Up up(ground, {"resource: deployment/three, port: 8080, localPort: auto, alias: three"});
  std::uint16_t const port = up.active_port("three:auto");
  while (repeats.next()) {
    test::Pulse pulse(port);
    if (!pulse.wait_for_answer({})) throw CannotMeasure("no answer before the fault");
    ground.roll_out();
    std::this_thread::sleep_for(2s);  // the last old pod ends
    pulse.stop();
    auto const count = pulse.count();
    row.add("failed requests", "", Goal::at_most(0), count.asked - count.answered);
    row.add("requests", "", Goal::none(), count.asked);
    row.add("slowest answer", "ms", Goal::none(), millis(count.longest));
  }
}

}  // namespace kportal::bench
