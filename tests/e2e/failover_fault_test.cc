// SPDX-License-Identifier: MIT
// Each way in which pods go, with a user who opens a connection every 20 ms all the while: nobody
// is refused, nobody is reset but by the end of the pod that served him, and the first answer comes
// soon after a pod is Ready. The figures are printed.
#include <algorithm>
#include <charconv>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/pulse.h"
#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using lab::ObjectName;
using lab::PodName;
using lab::Rollout;

// From the readiness of a pod to the first answer, at the worst.
constexpr Duration kRepair = kSanitized ? 3s : 1s;

double milliseconds(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

class FailoverFaultTest : public E2eTest {
 protected:
  Program web(std::string const& head = kQuick, std::string const& resource = "deployment/web") {
    return up({"resource: " + resource + ", port: 8080, localPort: auto, alias: web"}, head);
  }
  static PodName pod(std::string const& name) { return PodName("default", name); }
  bool delete_pod(std::string const& name, Duration grace = lab::Cluster::kGrace) {
    return lab_.call([&](Lab& lab) { return lab.cluster.delete_pod(pod(name), grace); });
  }
  bool set_ready(std::string const& name, bool ready) {
    return lab_.call([&](Lab& lab) { return lab.cluster.set_ready(pod(name), ready); });
  }
  std::string uid_of(std::string const& name) {
    return lab_.call([&](Lab& lab) { return lab.cluster.find_pod(pod(name))->uid; });
  }
  // When a pod of the workload, not of this uid, is Ready.
  TimePoint when_ready(std::string const& workload, std::string const& old_uid) {
    EXPECT_TRUE(lab_.wait_for([&](Lab& lab) {
      for (auto const& name : lab.cluster.pods_of(ObjectName("default", workload))) {
        auto const* const it = lab.cluster.find_pod(name);
        if (it->spec.ready && it->uid != old_uid) return true;
      }
      return false;
    }));
    return Clock::now();
  }
  // Everybody was answered, but for those who had asked before `pod_ended` and were not answered
  // then.
  static void expect_all_answered(Pulse& pulse, std::string const& fault,
                                  TimePoint pod_ended = TimePoint{}) {
    pulse.stop();
    PulseCount const count = pulse.count();
    std::printf(
        "%s: %d asked, %d answered, %d refused, %d reset, %d cut, the longest wait %.0f ms\n",
        fault.c_str(), count.asked, count.answered, count.refused, count.reset, count.cut,
        milliseconds(count.longest));
    EXPECT_EQ(count.refused, 0);
    EXPECT_EQ(count.waiting, 0);
    for (int number = 0; Pulse::Beat const& beat : pulse.beats()) {
      ASSERT_TRUE(beat.status == 200 || beat.asked <= pod_ended)
          << fault << ", connection " << number << ": " << to_word(beat.end) << " after "
          << milliseconds(beat.ended - beat.asked) << " ms";
      ++number;
    }
  }
  static void expect_repaired(Pulse const& pulse, std::string const& fault, TimePoint ready,
                              std::string const& old) {
    auto const first = pulse.wait_for_answer(ready, old);
    ASSERT_TRUE(first) << "nobody but " << old << " answers";
    std::printf("%s: first answer %.0f ms after Ready\n", fault.c_str(),
                milliseconds(*first - ready));
    EXPECT_LT(*first - ready, kRepair);
  }
};

TEST_F(FailoverFaultTest, ADeletedPodWhoseReplacementIsReadyAfterTwoSeconds) {
  add_deployment("web", 1, 2s);
  Program program = web();
  Pulse pulse(active_port(program, "web:auto"));
  ASSERT_TRUE(pulse.wait_for_asked(10));
  std::string const old = pods_of("web").at(0);
  std::string const uid = uid_of(old);
  ASSERT_TRUE(delete_pod(old));
  TimePoint const ready = when_ready("web", uid);
  expect_repaired(pulse, "deleted, replaced", ready, old);
  expect_all_answered(pulse, "deleted, replaced");
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
}

TEST_F(FailoverFaultTest, ADeletedPodBesideAReadyOne) {
  add_deployment("web", 2);
  Program program = web();
  Pulse pulse(active_port(program, "web:auto"));
  ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
  std::string const old = pulse.beats().front().pod;
  TimePoint const deleted = Clock::now();
  ASSERT_TRUE(delete_pod(old));
  expect_repaired(pulse, "deleted, another ready", deleted, old);
  expect_all_answered(pulse, "deleted, another ready");
}

TEST_F(FailoverFaultTest, AnEvictedPod) {
  for (int const replicas : {1, 2}) {
    SCOPED_TRACE(replicas);
    std::string const name = "web-" + std::to_string(replicas);
    add_deployment(name, replicas, 500ms);
    Program program = web(kQuick, "deployment/" + name);
    Pulse pulse(active_port(program, "web:auto"));
    ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
    std::string const old = pulse.beats().front().pod;
    std::string const uid = uid_of(old);
    TimePoint const evicted = lab_.call([&](Lab& lab) {
      EXPECT_TRUE(lab.cluster.evict_pod(pod(old)));
      return Clock::now();
    });
    TimePoint const ready = when_ready(name, uid);
    expect_repaired(pulse, "evicted", ready, old);
    expect_all_answered(pulse, "evicted", evicted);
  }
}

TEST_F(FailoverFaultTest, APodThatTurnsUnready) {
  add_deployment("web", 2);
  Program program = web();
  Pulse pulse(active_port(program, "web:auto"));
  ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
  std::string const first = pulse.beats().front().pod;
  TimePoint turned = Clock::now();
  ASSERT_TRUE(set_ready(first, false));
  expect_repaired(pulse, "unready, another ready", turned, first);
  std::string const second = pulse.beats().back().pod == first ? "" : pulse.beats().back().pod;
  std::string const last =
      second.empty() ? pod_of(http_get(active_port(program, "web:auto"))) : second;
  // Now none is Ready: the one in use stays.
  std::size_t const mark = program.mark();
  ASSERT_TRUE(set_ready(last, false));
  ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 25));
  EXPECT_EQ(pod_of(http_get(active_port(program, "web:auto"))), last);
  turned = Clock::now();
  ASSERT_TRUE(set_ready(first, true));
  expect_repaired(pulse, "unready, another turns ready", turned, last);
  expect_all_answered(pulse, "unready");
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", mark, 0s));
}

// The sandbox stays, the port refuses meanwhile.
TEST_F(FailoverFaultTest, AContainerThatRestartsBesideAReadyPod) {
  add_deployment("web", 2);
  Program program = web();
  Pulse pulse(active_port(program, "web:auto"));
  ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
  std::string const old = pulse.beats().front().pod;
  TimePoint const ended = lab_.call([&](Lab& lab) {
    EXPECT_TRUE(lab.cluster.restart_container(pod(old), 1s));
    return Clock::now();
  });
  expect_repaired(pulse, "container restarts, another ready", ended, old);
  // The news and the refusal are on their way at the same time.
  expect_all_answered(pulse, "container restarts, another ready", ended + 50ms);
}

TEST_F(FailoverFaultTest, ARolloutFailsNobody) {
  for (auto const how : {Rollout::surge, Rollout::in_place}) {
    std::string const fault = how == Rollout::surge ? "rollout with surge" : "rollout in place";
    std::string const name = how == Rollout::surge ? "web-surge" : "web-in-place";
    add_deployment(name, 3, 300ms);
    Program program = web(kQuick, "deployment/" + name);
    std::vector<std::string> const old = pods_of(name);
    Pulse pulse(active_port(program, "web:auto"));
    ASSERT_TRUE(pulse.wait_for_asked(5));
    ASSERT_TRUE(lab_.call(
        [&](Lab& lab) { return lab.cluster.roll_out(ObjectName("default", name), how); }));
    ASSERT_TRUE(lab_.wait_for([&](Lab& lab) {
      return std::ranges::none_of(
          old, [&](std::string const& each) { return lab.cluster.find_pod(pod(each)) != nullptr; });
    }));
    expect_all_answered(pulse, fault);
    EXPECT_EQ(std::ranges::count(old, pulse.beats().back().pod), 0);
  }
}

TEST_F(FailoverFaultTest, APodThatIsReplacedUnderItsName) {
  lab_.call([](Lab& lab) {
    lab::WorkloadSpec db;
    db.kind = lab::WorkloadKind::stateful_set;
    db.name = "db";
    db.ready_after = 500ms;
    lab.cluster.add_workload(db);
  });
  Program program = up({"resource: statefulset/db, port: 8080, localPort: auto, alias: web",
                        "resource: pod/db-0, port: 8080, localPort: auto, alias: exact"});
  Pulse pulse(active_port(program, "web:auto"));
  Pulse exact(active_port(program, "exact:auto"));
  ASSERT_TRUE(pulse.wait_for_asked(5));
  std::string const uid = uid_of("db-0");
  ASSERT_TRUE(delete_pod("db-0"));
  TimePoint const ready = when_ready("db", uid);
  expect_repaired(pulse, "same name, another uid", ready, {});
  expect_repaired(exact, "same name, another uid, by name", ready, {});
  expect_all_answered(pulse, "same name, another uid");
  expect_all_answered(exact, "same name, another uid, by name");
}

TEST_F(FailoverFaultTest, AServiceThatSelectsOtherPods) {
  add_pod("blue", {{"app", "blue"}});
  add_pod("green", {{"app", "green"}});
  auto const select = [&](std::string const& app) {
    lab_.call([&](Lab& lab) {
      lab::ServiceSpec service;
      service.name = "web";
      service.selector = {{"app", app}};
      service.ports.push_back({"http", 80, "8080"});
      service.ports.push_back({"echo", 7, "7000"});
      lab.cluster.add_service(service);
    });
  };
  select("blue");
  Program program = up({"resource: service/web, port: 80, localPort: auto, alias: web",
                        "resource: service/web, port: 7, localPort: auto, alias: echo"});
  Client live(active_port(program, "echo:auto"));
  ASSERT_TRUE(live.send("one"));
  ASSERT_EQ(live.read(3), "one");
  Pulse pulse(active_port(program, "web:auto"));
  ASSERT_TRUE(pulse.wait_for_asked(5));
  TimePoint const changed = Clock::now();
  select("green");
  expect_repaired(pulse, "another selector", changed, "blue");
  ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 10));
  expect_all_answered(pulse, "another selector");
  EXPECT_EQ(pulse.beats().back().pod, "green");
  ASSERT_TRUE(live.send("two"));
  EXPECT_EQ(live.read(3), "two") << to_word(live.end());
}

// What was sent into the silent tunnel may have been seen: that is reset once the tunnel is known
// to be dead. All that came later is answered by the other pod, which the API calls as good as the
// lost one.
TEST_F(FailoverFaultTest, ANodeThatIsGone) {
  for (std::string const name : {"a", "b"}) {
    lab_.call([&](Lab& lab) {
      lab::PodSpec spec;
      spec.name = name;
      spec.node = "node-" + name;
      spec.labels = {{"app", "web"}};
      lab.cluster.add_pod(spec);
    });
  }
  Program program =
      up({"resource: pod, selector: app=web, port: 8080, localPort: auto, alias: web"},
         "reliability: { pingInterval: 300ms, pingTimeout: 300ms }\n" + std::string(kQuick));
  Pulse pulse(active_port(program, "web:auto"));
  ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
  std::string const old = pulse.beats().front().pod;
  std::size_t const mark = program.mark();
  lab_.call([&](Lab& lab) {
    lab.cluster.lose_node("node-" + old);
    EXPECT_GT(lab.server.freeze_tunnels(lab::Direction::both, pod(old)), 0u);
  });
  TimePoint const lost = Clock::now();
  ASSERT_TRUE(program.wait_for_event("forward.disconnected", "web:auto", mark));
  TimePoint const noticed = Clock::now();
  EXPECT_LT(noticed - lost, kRepair + 600ms);
  expect_repaired(pulse, "node gone", noticed, old);
  ASSERT_TRUE(set_ready(old, false));  // as the controller says at last
  ASSERT_TRUE(delete_pod(old, 1h));
  ASSERT_TRUE(delete_pod(old, 0s));
  ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 10));
  expect_all_answered(pulse, "node gone", noticed);
}

TEST_F(FailoverFaultTest, TheOnlyNodeIsGoneAndComesBack) {
  add_pod("solo");
  Program program =
      web("reliability: { pingInterval: 300ms, pingTimeout: 300ms }\n" + std::string(kQuick),
          "pod/solo");
  std::uint16_t const port = active_port(program, "web:auto");
  lab_.call([&](Lab& lab) {
    lab.cluster.lose_node("lab-node");
    EXPECT_GT(lab.server.freeze_tunnels(), 0u);
  });
  auto const* const lost = program.wait_for_status("web:auto", Status::reconnecting);
  ASSERT_NE(lost, nullptr);
  Pulse pulse(port);
  ASSERT_TRUE(pulse.wait_for_waiting(20));
  ASSERT_TRUE(program.wait_for_line("no route to host"));
  lab_.call([&](Lab& lab) { lab.cluster.find_node("lab-node"); });
  ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
  expect_all_answered(pulse, "the only node gone");
  EXPECT_TRUE(program.wait_for_status("web:auto", Status::active));
}

// A minute without pods and `hold: 10s`, ten times as fast.
TEST_F(FailoverFaultTest, TheLastPodGoesAndComesBack) {
  add_deployment("web", 1, 100ms);
  Program program = web("reliability: { hold: 1s }\n" + std::string(kQuick));
  std::uint16_t const port = active_port(program, "web:auto");
  ObjectName const workload("default", "web");
  std::size_t const mark = program.mark();
  lab_.call([&](Lab& lab) { lab.cluster.scale(workload, 0); });
  ASSERT_TRUE(program.wait_for_event("forward.disconnected", "web:auto", mark));
  Pulse pulse(port);
  ASSERT_TRUE(pulse.wait_for_asked(100));
  TimePoint const back = lab_.call([&](Lab& lab) {
    lab.cluster.scale(workload, 1);
    return Clock::now();
  });
  TimePoint const ready = when_ready("web", {});
  expect_repaired(pulse, "last pod back", ready, {});
  pulse.stop();
  PulseCount const count = pulse.count();
  std::printf("last pod gone: %d asked, %d answered, %d reset\n", count.asked, count.answered,
              count.reset);
  EXPECT_EQ(count.refused + count.cut + count.waiting, 0);
  EXPECT_GT(count.reset, 0);
  TimePoint last_reset{};
  for (Pulse::Beat const& beat : pulse.beats()) {
    if (beat.status == 200) {
      EXPECT_LT(beat.ended - beat.asked, 1s + kRepair);
    } else {
      EXPECT_LT(beat.asked, back);
      EXPECT_GE(beat.ended - beat.asked, 990ms);
      EXPECT_LT(beat.ended - beat.asked, 1s + kRepair);
      EXPECT_GE(beat.ended, last_reset) << "not in their order";
      last_reset = beat.ended;
    }
  }
  int told = 0;
  for (OutputLine const& line : program.lines(mark)) {
    auto const event = line.event();
    auto const* const failed =
        event ? std::get_if<events::ConnectionFailed>(&event->fact) : nullptr;
    if (failed == nullptr) continue;
    // Of many only the first are told one by one: "30 more connections failed".
    int more = 0;
    std::from_chars(failed->message.data(), failed->message.data() + failed->message.size(), more);
    told += std::max(1, more);
    EXPECT_EQ(failed->reason, Reason::hold_timeout);
    EXPECT_NE(failed->message.find("web"), std::string::npos) << failed->message;
  }
  EXPECT_EQ(told, count.reset);
}

TEST_F(FailoverFaultTest, WhatATerminatingPodServesArrivesWhole) {
  add_deployment("web", 2);
  Program program = up({"resource: deployment/web, port: 8080, localPort: auto, alias: web",
                        "resource: deployment/web, port: 7000, localPort: auto, alias: echo"});
  std::uint16_t const port = active_port(program, "web:auto");
  std::string const old = pod_of(http_get(port));
  constexpr std::uint64_t kSize = 48 * 1024 * 1024;
  Client download(port);
  ASSERT_TRUE(download.send("GET /bytes?n=" + std::to_string(kSize) + " HTTP/1.1\r\n\r\n"));
  ASSERT_EQ(download.skip(1000), 1000u);
  Client live(active_port(program, "echo:auto"));
  ASSERT_TRUE(live.send("one"));
  ASSERT_EQ(live.read(3), "one");
  ASSERT_TRUE(delete_pod(old, 8s));
  Pulse pulse(port);
  ASSERT_TRUE(pulse.wait_for_answer(Clock::now(), old));
  ASSERT_TRUE(live.send("two"));
  EXPECT_EQ(live.read(3), "two") << to_word(live.end());
  EXPECT_EQ(download.skip(kSize - 1000), kSize - 1000) << to_word(download.end());
  expect_all_answered(pulse, "download of a terminating pod");
  // What is left open ends with the pod.
  ASSERT_TRUE(delete_pod(old, 0s));
  EXPECT_EQ(live.read_to_end(), "");
  EXPECT_NE(live.end(), End::timeout);
}

TEST_F(FailoverFaultTest, NoRequestIsSeenTwice) {
  add_deployment("web", 2);
  Program program = web("reliability: { maxTunnels: 1 }\n" + std::string(kQuick));
  Pulse pulse(active_port(program, "web:auto"), 5ms, "/sleep?ms=20&n=");
  Pulse names(active_port(program, "web:auto"));
  for (int i = 0; i < 4; ++i) {
    TimePoint const now = Clock::now();
    ASSERT_TRUE(names.wait_for_answer(now));
    std::string old;
    for (Pulse::Beat const& beat : names.beats()) {
      if (beat.status == 200) old = beat.pod;
    }
    ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 10));
    delete_pod(old, i % 2 == 0 ? 0ms : 10ms);
    ASSERT_TRUE(names.wait_for_answer(now, old));
  }
  names.stop();
  pulse.stop();
  PulseCount const count = pulse.count();
  std::printf("4 pods deleted without grace: %d asked, %d answered, %d reset, %d cut\n",
              count.asked, count.answered, count.reset, count.cut);
  EXPECT_EQ(count.refused + count.waiting, 0);
  auto const beats = pulse.beats();
  lab_.call([&](Lab& lab) {
    for (std::size_t i = 0; i < beats.size(); ++i) {
      int const seen = lab.cluster.requests_seen("/sleep?ms=20&n=" + std::to_string(i));
      EXPECT_LE(seen, 1) << "connection " << i;
      EXPECT_TRUE(seen == 1 || beats[i].status != 200) << "connection " << i;
    }
  });
}

// Descriptors for this process; the program raises its own limit.
void allow_files(rlim_t n) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = std::min(std::max(limit.rlim_cur, n), limit.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_GE(limit.rlim_cur, n);
}

class HeldConnectionsTest : public FailoverFaultTest {
 protected:
  Program echo(std::string const& hold) {
    add_deployment("web", 1, 0s);
    return up({"resource: deployment/web, port: 7000, localPort: auto, alias: web"},
              "reliability: { hold: " + hold + " }\n" + std::string(kQuick));
  }
  void take_pods_away(Program& program) {
    port_ = active_port(program, "web:auto");
    std::size_t const mark = program.mark();
    scale(0);
    ASSERT_TRUE(program.wait_for_event("forward.disconnected", "web:auto", mark));
  }
  void scale(int replicas) {
    lab_.call([&](Lab& lab) { lab.cluster.scale(ObjectName("default", "web"), replicas); });
  }
  std::uint16_t port_ = 0;
};

TEST_F(HeldConnectionsTest, AThousandAndTwentyFourAreHeldAndTheNextIsReset) {
  allow_files(2048);
  Program program = echo("60s");
  take_pods_away(program);
  std::vector<Client> held;
  for (int i = 0; i < 1024; ++i) {
    held.emplace_back(port_);
    ASSERT_TRUE(held.back().send("?"));
  }
  Client next(port_);
  next.send("?");
  EXPECT_EQ(next.read_to_end(), "");
  EXPECT_EQ(next.end(), End::reset);
  auto const event = program.wait_for_event("connection.failed", "web:auto");
  ASSERT_TRUE(event);
  auto const& failed = std::get<events::ConnectionFailed>(event->fact);
  EXPECT_EQ(failed.reason, Reason::hold_timeout);
  EXPECT_NE(failed.message.find("too many"), std::string::npos) << failed.message;
  scale(1);
  for (Client& client : held) ASSERT_EQ(client.read(1), "?") << to_word(client.end());
}

// One that gives up makes room, and neither a pod nor the log hears of it.
TEST_F(HeldConnectionsTest, AClientThatGoesAwayLeavesNothingBehind) {
  allow_files(2048);
  Program program = echo("60s");
  take_pods_away(program);
  std::size_t const files = program.open_files();
  std::vector<Client> held;
  for (int i = 0; i < 1024; ++i) {
    held.emplace_back(port_);
    ASSERT_TRUE(held.back().send("?"));
  }
  Client stays = std::move(held.back());
  held.pop_back();
  for (Client& client : held) client.reset();
  TimePoint const deadline = Clock::now() + kPatience;
  while (program.open_files() > files + 1 && Clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_LE(program.open_files(), files + 1);
  Client next(port_);
  ASSERT_TRUE(next.send("!"));
  scale(1);
  EXPECT_EQ(stays.read(1), "?") << to_word(stays.end());
  EXPECT_EQ(next.read(1), "!") << to_word(next.end());
  std::string const name = pods_of("web").at(0);
  std::uint64_t const accepted =
      lab_.call([&](Lab& lab) { return lab.cluster.find_pod(pod(name))->sandbox->connections(); });
  EXPECT_LE(accepted, 3u);  // these two, and perhaps the checker's
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
}

}  // namespace
}  // namespace kportal::test
