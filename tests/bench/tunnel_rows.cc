// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <numeric>
#include <thread>

#include <fmt/format.h>

#include "tests/bench/flows.h"
#include "tests/bench/rows.h"
#include "tests/bench/up.h"
#include "tests/e2e/pulse.h"

namespace kportal::bench {

using namespace std::chrono_literals;
using events::Status;

namespace {

constexpr double kNeverHappened = std::numeric_limits<double>::infinity();
// Ten dials in ten seconds is what the program allows itself for a forward.
constexpr Duration kBetweenLosses = 1050ms;
constexpr Duration kBlackhole = 30s;
constexpr int kRestartForwards = 10;
constexpr int kChurnForwards = 50;
constexpr int kLosses = 10'000;

double since(std::optional<TimePoint> at, TimePoint from) {
  return at ? millis(*at - from) : kNeverHappened;
}

std::string alias(char const* name, int i) {
  return fmt::format("{}{}", name, i);
}

}  // namespace

void measure_tunnels_reset(Ground& ground, Repeats repeats, Row& row) {
  Up up(ground, {"resource: pod/solo, port: 8080, localPort: auto, alias: solo"});
  std::uint16_t const port = up.active_port("solo:auto");
  row.note(std::string(ground.how_tunnels_are_reset()));
  while (repeats.next()) {
    std::this_thread::sleep_for(2 * kBetweenLosses);
    if (ground.reset_tunnels(up.program()) == 0) throw CannotMeasure("no tunnel to reset");
    auto const next = test::http_get(port);
    test::Pulse pulse(port);
    std::this_thread::sleep_for(500ms);
    pulse.stop();
    auto const count = pulse.count();
    bool const answered = next.status == 200;
    row.add("next connection answered", "ms", Goal::median_at_most(150),
            answered ? millis(next.took) : kNeverHappened);
    bool const refused = next.end == test::End::refused;
    row.add("refused", "", Goal::at_most(0), count.refused + (refused ? 1 : 0));
    row.add("reset or without answer", "", Goal::at_most(0),
            count.reset + count.cut + count.waiting + (answered || refused ? 0 : 1));
  }
}

void measure_blackhole(Ground& ground, Repeats repeats, Row& row) {
  auto const wire = ground.make_wire();
  row.note(std::string(ground.how_wire_is_cut()));
  Up up(ground, {"resource: pod/solo, port: 8080, localPort: auto, alias: used",
                 "resource: pod/solo, port: 8080, localPort: auto, alias: idle"});
  std::uint16_t const used = up.active_port("used:auto");
  std::uint16_t const idle = up.active_port("idle:auto");
  while (repeats.next()) {
    test::Pulse asking(used, 100ms);
    if (!asking.wait_for_answer({})) throw CannotMeasure("no answer before the fault");
    std::size_t const mark = up.program().mark();
    TimePoint const cut = Clock::now();
    wire->cut();
    std::this_thread::sleep_until(cut + kBlackhole);
    TimePoint const healed = Clock::now();
    wire->heal();
    test::Pulse later(idle, 100ms);
    auto const first = asking.wait_for_answer(healed);
    auto const first_of_idle = later.wait_for_answer(healed);
    asking.stop();
    later.stop();
    Goal const goal = Goal::at_most(8.5);
    for (char const* const name : {"used", "idle"}) {
      auto const left = up.when(fmt::format("{}:auto", name), Status::active, true, mark, 0s);
      row.add(fmt::format("leaves Active ({})", name), "s", goal, since(left, cut) / 1000);
    }
    row.add("first answer after healing (used)", "s", Goal::at_most(2),
            since(first, healed) / 1000);
    row.add("first answer after healing (idle)", "s", Goal::at_most(2),
            since(first_of_idle, healed) / 1000);
    up.active_port("used:auto");
    up.active_port("idle:auto");
  }
}

namespace {

class Restart {
 public:
  explicit Restart(Ground& ground) : ground_(ground), up_(ground, forwards()) {
    for (int i = 0; i < kRestartForwards; ++i) ports_.push_back(up_.active_port(id(i)));
  }

  void measure(Row& row) {
    Echoes echoes(ports_[0], 5, 1024, 10ms);
    if (!echoes.wait_for_blocks(1, 30s)) throw CannotMeasure("no echo before the fault");
    std::size_t const mark = up_.program().mark();
    TimePoint const ended = ground_.end_api_server();
    auto const flows = echoes.finish();
    auto const cut_by_us = std::ranges::count_if(
        flows, [&](Echoes::Flow const& flow) { return !flow.untouched() && flow.ended < ended; });
    TimePoint const back = ground_.start_api_server();
    double const answered = first_answer_of_half();
    double const active = until_active(mark, back, 0);
    double const active_by_dial = until_active(mark, back, 1);
    row.add("every forward Active", "s", Goal::at_most(3), active);
    row.add("every forward Active (tcp-dial)", "s", Goal::at_most(3), active_by_dial);
    row.add("connections cut by us", "", Goal::at_most(0), static_cast<double>(cut_by_us));
    row.add("a user's first answer, the last of 5", "s", Goal::none(), answered);
    if (std::max(active, active_by_dial) == kNeverHappened) {
      throw CannotMeasure("forwards do not come back");
    }
  }

 private:
  static std::string id(int i) { return alias("echo", i) + ":auto"; }
  static std::vector<std::string> forwards() {
    std::vector<std::string> result;
    for (int i = 0; i < kRestartForwards; ++i) {
      result.push_back("resource: pod/solo, port: 7000, localPort: auto, alias: " +
                       alias("echo", i));
      if (i % 2 == 1) result.back() += ", healthCheck: { method: tcp-dial }";
    }
    return result;
  }

  // A byte is sent through each of the first half and awaited: seconds until the last was back.
  // Nobody uses the other half.
  double first_answer_of_half() {
    TimePoint const begin = Clock::now();
    std::vector<test::Client> users;
    for (int i = 0; i < kRestartForwards / 2; ++i) {
      users.emplace_back(ports_[static_cast<std::size_t>(i)]).send("x");
    }
    bool all = true;
    for (test::Client& user : users) all = user.read(1) == "x" && all;
    return all ? since(Clock::now(), begin) / 1000 : kNeverHappened;
  }

  // Seconds until the last of every second one, from `first` on, was Active again.
  double until_active(std::size_t mark, TimePoint back, int first) {
    double latest = 0;
    for (int i = first; i < kRestartForwards; i += 2) {
      if (!up_.when(id(i), Status::active, true, mark, 0s)) continue;
      bool const active = up_.program().wait_for_status(id(i), Status::active, 60s) != nullptr;
      auto const at = up_.when(id(i), Status::active, false, mark, 0s);
      latest = std::max(latest, active ? since(at, back) / 1000 : kNeverHappened);
    }
    return latest;
  }

  Ground& ground_;
  Up up_;
  std::vector<std::uint16_t> ports_;
};

}  // namespace

void measure_api_restart(Ground& ground, Repeats repeats, Row& row) {
  row.note(std::string(ground.how_api_server_ends()));
  row.note(
      "the pod's port says nothing by itself: a probe by data-transfer waits 2 s for its word");
  Restart restart(ground);
  while (repeats.next()) {
    restart.measure(row);
    std::this_thread::sleep_for(3s);
  }
}

namespace {

// What the program holds between two rounds.
struct Held {
  double memory = 0;  // KiB
  double files = 0;
  double streams = 0;
};

class Churn {
 public:
  explicit Churn(Ground& ground) : ground_(ground), up_(ground, forwards()) {
    for (int i = 0; i < kChurnForwards; ++i) ports_.push_back(up_.active_port(id(i)));
  }

  // All tunnels are lost, and are back; a request through one of them.
  void round(int number) {
    std::this_thread::sleep_until(next_);
    next_ = Clock::now() + kBetweenLosses;
    std::size_t const mark = up_.program().mark();
    ground_.reset_tunnels(up_.program());
    for (int i = 0; i < kChurnForwards; ++i) {
      up_.program().wait_for_event("forward.connected", id(i), mark, 60s);
    }
    lost_ += kChurnForwards;
    std::uint16_t const port = ports_[static_cast<std::size_t>(number % kChurnForwards)];
    if (test::http_get(port).status != 200) ++unanswered_;
    held_.push_back(held());
  }
  int lost() const { return lost_; }
  int unanswered() const { return unanswered_; }
  // Means of the rounds from `from` to before `to`.
  Held mean(std::size_t from, std::size_t to) const {
    Held sum;
    for (std::size_t i = from; i < to; ++i) {
      sum.memory += held_[i].memory;
      sum.files += held_[i].files;
      sum.streams += held_[i].streams;
    }
    double const n = static_cast<double>(to - from);
    return {sum.memory / n, sum.files / n, sum.streams / n};
  }
  std::size_t rounds() const { return held_.size(); }

 private:
  static std::string id(int i) { return alias("f", i) + ":auto"; }
  static std::vector<std::string> forwards() {
    std::vector<std::string> result;
    for (int i = 0; i < kChurnForwards; ++i) {
      result.push_back("resource: pod/solo, port: 8080, localPort: auto, alias: " + alias("f", i));
    }
    return result;
  }
  Held held() {
    auto& program = up_.program();
    return {static_cast<double>(program.memory_kib("VmRSS")),
            static_cast<double>(program.open_files()),
            static_cast<double>(ground_.pod_connections())};
  }

  Ground& ground_;
  Up up_;
  std::vector<std::uint16_t> ports_;
  std::vector<Held> held_;
  TimePoint next_ = Clock::now();
  int lost_ = 0;
  int unanswered_ = 0;
};

}  // namespace

void measure_churn(Ground& ground, Repeats /*once*/, Row& row) {
  Churn churn(ground);
  for (int i = 0; churn.lost() < kLosses; ++i) churn.round(i);
  // The first tenth against the last: 1,000 of 10,000.
  std::size_t const part = std::max<std::size_t>(churn.rounds() / 10, 1);
  Held const first = churn.mean(0, part);
  Held const last = churn.mean(churn.rounds() - part, churn.rounds());
  row.add("tunnels lost", "", Goal::none(), churn.lost());
  for (std::size_t i = 0; i + part <= churn.rounds(); i += part) {
    row.add("memory, of each tenth", "KiB", Goal::none(), churn.mean(i, i + part).memory);
  }
  row.add("memory, growth", "KiB", Goal::at_most(256), last.memory - first.memory);
  // The first rounds still fill caches; a leak would go on.
  Held const middle = churn.mean(churn.rounds() / 2, churn.rounds() / 2 + part);
  row.add("memory, growth in the second half", "KiB", Goal::none(), last.memory - middle.memory);
  row.add("descriptors, growth", "", Goal::at_most(0.5), last.files - first.files);
  row.add("streams, growth", "", Goal::at_most(0.5), last.streams - first.streams);
  row.add("requests without answer", "", Goal::at_most(0), churn.unanswered());
}

}  // namespace kportal::bench
