// SPDX-License-Identifier: MIT
// What users see while pods, tunnels and API servers go and come back: nobody is refused, new
// connections wait, and the statuses say why.
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using lab::Failure;
using lab::RequestKind;

class FailoverTest : public E2eTest {
 protected:
  Program web(std::string const& head = kQuick) {
    return up({"resource: deployment/web, port: 8080, localPort: auto, alias: web"}, head);
  }
  bool delete_pod(std::string const& name) {
    return lab_.call(
        [&](Lab& lab) { return lab.cluster.delete_pod(lab::PodName("default", name)); });
  }
  bool set_ready(std::string const& name, bool ready) {
    return lab_.call(
        [&](Lab& lab) { return lab.cluster.set_ready(lab::PodName("default", name), ready); });
  }
  // Asks each 20 ms, each time by a new connection, until another pod than `old` has answered
  // `wanted` times. Every request must be answered.
  void ask_until_another_answers(std::uint16_t port, std::string const& old, int wanted = 20) {
    TimePoint const deadline = Clock::now() + kPatience;
    Duration longest{};
    int asked = 0;
    for (int others = 0; others < wanted && Clock::now() < deadline; ++asked) {
      HttpAnswer const answer = http_get(port);
      ASSERT_EQ(answer.status, 200) << "request " << asked << ": " << to_word(answer.end);
      longest = std::max(longest, answer.took);
      others = pod_of(answer) == old ? 0 : others + 1;
      std::this_thread::sleep_for(20ms);
    }
    ASSERT_LT(Clock::now(), deadline) << "only " << old << " answers";
    auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(longest);
    std::printf("%d requests answered, the slowest after %lld ms\n", asked,
                static_cast<long long>(ms.count()));
  }
  static events::HealthStatusChanged const& first_change_to(Program& program, Status status) {
    static events::HealthStatusChanged const none;
    auto const line = program.wait_for([&](OutputLine const& each) {
      auto const event = each.event();
      if (!event) return false;
      auto const* const change = std::get_if<events::HealthStatusChanged>(&event->fact);
      return change != nullptr && change->status == status;
    });
    EXPECT_TRUE(line) << "never " << events::to_word(status);
    kept_ = line ? line->event() : nullptr;
    return kept_ ? std::get<events::HealthStatusChanged>(kept_->fact) : none;
  }
  static inline events::SharedEvent kept_;
};

TEST_F(FailoverTest, ADeletedPodIsLeftForAReadyOneAndNobodyIsRefused) {
  add_deployment("web", 2);
  Program program = web();
  std::uint16_t const port = active_port(program, "web:auto");
  std::string const old = pod_of(http_get(port));
  std::thread killer([&] {
    std::this_thread::sleep_for(200ms);  // in the midst of the asking
    EXPECT_TRUE(delete_pod(old));
  });
  ask_until_another_answers(port, old);
  killer.join();
  EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
}

TEST_F(FailoverTest, ConnectionsWaitWhileNoPodIsReady) {
  add_deployment("web", 1, 1500ms);
  Program program = web();
  std::uint16_t const port = active_port(program, "web:auto");
  std::string const old = pod_of(http_get(port));
  std::size_t const mark = program.mark();
  ASSERT_TRUE(delete_pod(old));
  ASSERT_TRUE(program.wait_for_event("forward.disconnected", "web:auto", mark));
  TimePoint const asked = Clock::now();
  std::vector<Client> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(port);
    EXPECT_TRUE(clients.back().send("GET / HTTP/1.1\r\n\r\n"));
  }
  std::string const begin = "HTTP/1.1 200 OK";
  for (Client& client : clients) {
    EXPECT_EQ(client.read(begin.size()), begin) << to_word(client.end());
  }
  EXPECT_GT(Clock::now() - asked, 1s);
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  EXPECT_NE(pod_of(http_get(port)), old);
}

TEST_F(FailoverTest, HoldingEndsWithAReset) {
  add_deployment("web", 1, 4s);
  Program program = web("reliability: { hold: 200ms }\n" + std::string(kQuick));
  std::uint16_t const port = active_port(program, "web:auto");
  ASSERT_TRUE(delete_pod(pods_of("web").at(0)));
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::reconnecting));
  TimePoint const asked = Clock::now();
  Client client(port);
  ASSERT_TRUE(client.connected());
  client.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_EQ(client.end(), End::reset);
  EXPECT_GE(Clock::now() - asked, 200ms);
  EXPECT_LT(Clock::now() - asked, 2s);
  auto const event = program.wait_for_event("connection.failed", "web:auto");
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<events::ConnectionFailed>(event->fact).reason, Reason::hold_timeout);
}

TEST_F(FailoverTest, APodThatTurnsUnreadyIsLeftForAReadyOneAndItsConnectionsGoOn) {
  add_deployment("web", 2);
  Program program = up({"resource: deployment/web, port: 8080, localPort: auto, alias: web",
                        "resource: deployment/web, port: 7000, localPort: auto, alias: echo"});
  std::uint16_t const port = active_port(program, "web:auto");
  Client open(active_port(program, "echo:auto"));
  ASSERT_TRUE(open.send("one"));
  ASSERT_EQ(open.read(3), "one");
  std::string const old = pod_of(http_get(port));
  ASSERT_TRUE(set_ready(old, false));
  ask_until_another_answers(port, old);
  ASSERT_TRUE(open.send("two"));
  EXPECT_EQ(open.read(3), "two") << to_word(open.end());
  // The last one that is left stays in use, Ready or not.
  std::string const last = pod_of(http_get(port));
  ASSERT_TRUE(set_ready(last, false));
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_watches() > 0; }));
  EXPECT_EQ(pod_of(http_get(port)), last);
  ASSERT_TRUE(set_ready(old, true));
  ask_until_another_answers(port, last);
}

TEST_F(FailoverTest, TunnelsThatAreCutAreDialledAgainAndTheListenerStays) {
  add_deployment("web");
  Program program = web(kOneTunnel);
  std::uint16_t const port = active_port(program, "web:auto");
  for (auto const how : {lab::SessionEnd::cut, lab::SessionEnd::eof, lab::SessionEnd::goaway,
                         lab::SessionEnd::resets_and_goaway}) {
    std::size_t const mark = program.mark();
    EXPECT_EQ(lab_.call([&](Lab& lab) { return lab.server.drop_tunnels(how); }), 1u);
    EXPECT_TRUE(program.wait_for_event("forward.disconnected", "web:auto", mark));
    EXPECT_EQ(http_get(port).status, 200) << static_cast<int>(how);
    EXPECT_TRUE(program.wait_for_event("forward.connected", "web:auto", mark));
    EXPECT_TRUE(program.wait_for_status("web:auto", Status::active));
  }
  EXPECT_EQ(lab_.call([](Lab& lab) { return lab.server.tunnels(); }), 5u);
  EXPECT_EQ(lab_.open_tunnels(), 1u);
}

TEST_F(FailoverTest, AnApiServerThatGoesAndComesBack) {
  add_deployment("web");
  Program program = web();
  std::uint16_t const port = active_port(program, "web:auto");
  std::size_t const mark = program.mark();
  lab_.stop_server();
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::reconnecting));
  Client held(port);
  ASSERT_TRUE(held.send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_FALSE(held.wait_readable(1s));
  lab_.start_server();
  EXPECT_EQ(held.read(15), "HTTP/1.1 200 OK") << to_word(held.end());
  EXPECT_TRUE(program.wait_for_status("web:auto", Status::active));
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", mark, 0s));
}

TEST_F(FailoverTest, PermanentRefusalsAreErrorsAtOnce) {
  add_deployment("web");
  struct Case {
    int code;
    Reason reason;
  };
  for (Case const& each : {Case{401, Reason::unauthorized}, Case{403, Reason::forbidden}}) {
    for (bool const of_upgrade : {true, false}) {
      lab_.call([&](Lab& lab) {
        auto& faults = lab.server.faults();
        faults.clear();
        if (!of_upgrade) return faults.fail(RequestKind::list, Failure(each.code));
        faults.fail(RequestKind::upgrade_websocket, Failure(each.code));
        faults.fail(RequestKind::upgrade_spdy, Failure(each.code));
      });
      TimePoint const begin = Clock::now();
      Program program = web();
      auto const& change = first_change_to(program, Status::error);
      EXPECT_EQ(change.old, Status::starting);
      EXPECT_EQ(change.reason, each.reason) << each.code << " " << change.message;
      EXPECT_LT(Clock::now() - begin, 5s) << "not at once";
      // Nothing is held for it.
      std::uint16_t const port = change.forward.local_port;
      EXPECT_EQ(http_get(port).end, End::reset);
    }
  }
}

TEST_F(FailoverTest, ATargetThatIsNotThereSaysWhichOne) {
  add_deployment("web");
  add_pod("solo");
  lab_.call([](Lab& lab) {
    lab.cluster.set_ready(
        lab::PodName("default", lab.cluster.pods_of({"default", "web"}).at(0).name), false);
    lab::ServiceSpec service;
    service.name = "web";
    service.selector = {{"app", "web"}};
    service.ports.push_back({"http", 80, "8080"});
    lab.cluster.add_service(service);
    service.name = "loose";
    service.selector = {};
    lab.cluster.add_service(service);
  });
  Program program = up({"resource: pod/none, port: 80, localPort: auto, alias: no-pod",
                        "resource: service/none, port: 80, localPort: auto, alias: no-service",
                        "resource: deployment/none, port: 80, localPort: auto, alias: no-workload",
                        "resource: service/web, port: 12345, localPort: auto, alias: no-port",
                        "resource: service/loose, port: 80, localPort: auto, alias: no-selector",
                        "resource: deployment/web, port: 8080, localPort: auto, alias: unready",
                        "resource: pod/solo, port: nameless, localPort: auto, alias: no-name"},
                       "healthCheck: { startupGrace: 1s }\n");
  struct Case {
    std::string alias;
    Reason reason;
    std::string named;
  };
  for (Case const& each :
       {Case{"no-pod", Reason::not_found, "none"}, Case{"no-service", Reason::not_found, "none"},
        Case{"no-workload", Reason::not_found, "none"},
        Case{"no-port", Reason::no_such_port, "12345"},
        Case{"no-selector", Reason::unsupported, "selector"},
        Case{"unready", Reason::no_ready_pod, "web"},
        Case{"no-name", Reason::no_such_port, "nameless"}}) {
    auto const* const change = program.wait_for_status(each.alias + ":auto", Status::error);
    ASSERT_NE(change, nullptr) << each.alias;
    EXPECT_EQ(change->reason, each.reason) << each.alias << ": " << change->message;
    EXPECT_NE(change->message.find(each.named), std::string::npos) << change->message;
  }
}

TEST_F(FailoverTest, RefusalsThatPassAreErrorsAfterTheGraceAndTryingGoesOn) {
  add_deployment("web");
  for (int const code : {429, 500, 503}) {
    for (bool const of_upgrade : {true, false}) {
      lab_.call([&](Lab& lab) {
        auto& faults = lab.server.faults();
        auto const how = Failure(code, "", Failure::Body::status, code == 429 ? 1 : 0);
        if (!of_upgrade) return faults.fail(RequestKind::list, how);
        faults.fail(RequestKind::upgrade_websocket, how);
        faults.fail(RequestKind::upgrade_spdy, how);
      });
      TimePoint const begin = Clock::now();
      Program program = web("healthCheck: { method: tcp-dial, startupGrace: 1s }\n");
      auto const& change = first_change_to(program, Status::error);
      EXPECT_EQ(change.reason, Reason::server) << code << " " << change.message;
      EXPECT_NE(change.message.find(std::to_string(code)), std::string::npos) << change.message;
      EXPECT_GT(Clock::now() - begin, 1s);
      lab_.call([](Lab& lab) { lab.server.faults().clear(); });
      EXPECT_NE(active_port(program, "web:auto"), 0) << code << " " << of_upgrade;
    }
  }
}

TEST_F(FailoverTest, RetryAfterIsObeyed) {
  add_deployment("web");
  lab_.call([](Lab& lab) {
    lab.server.faults().fail(RequestKind::list, Failure(429, "", Failure::Body::status, 3), 1);
  });
  Program program = web();
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.requests(RequestKind::list) == 1; }));
  TimePoint const refused = Clock::now();
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.requests(RequestKind::list) == 2; }));
  EXPECT_GT(Clock::now() - refused, 2900ms);
  EXPECT_NE(active_port(program, "web:auto"), 0);
}

TEST_F(FailoverTest, AStartingApiServersRefusalsAreExcused) {
  add_deployment("web");
  Program program = web();
  ASSERT_NE(active_port(program, "web:auto"), 0);
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) {
    for (int const code : {403, 401, 404}) {
      lab.server.faults().fail(RequestKind::upgrade_websocket, Failure(code), 1);
    }
    // What a WebSocket upgrade is refused with may be tried by SPDY.
    lab.server.faults().fail(RequestKind::upgrade_spdy, Failure(403), 1);
    lab.server.drop_tunnels();
  });
  ASSERT_TRUE(program.wait_for_event("forward.connected", "web:auto", mark));
  EXPECT_TRUE(program.wait_for_status("web:auto", Status::active));
  EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", mark, 0s));
}

TEST_F(FailoverTest, WithoutTheRightToListAPodIsForwardedAllTheSame) {
  add_pod("solo");
  lab_.call([](Lab& lab) {
    lab.server.access().add_user("few", "secret");
    lab.server.access().allow("few", {{"create", "get"}, {"pods/portforward"}});
  });
  lab::KubeconfigOptions user;
  user.token = "secret";
  dir_.write("kubeconfig", lab_.kubeconfig(user));
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: exact",
                        "resource: service/web, port: 80, localPort: auto, alias: service"});
  EXPECT_EQ(http_get(active_port(program, "exact:auto")).status, 200);
  auto const* const change = program.wait_for_status("service:auto", Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, Reason::forbidden) << change->message;
}

TEST_F(FailoverTest, AForbiddenUpgradeNamesTheRightThatIsMissing) {
  add_pod("solo");
  lab_.call([](Lab& lab) {
    lab.server.access().add_user("few", "secret");
    lab.server.access().allow("few", {{"get", "list", "watch"}, {"pods"}});
  });
  lab::KubeconfigOptions user;
  user.token = "secret";
  dir_.write("kubeconfig", lab_.kubeconfig(user));
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: web"});
  auto const& change = first_change_to(program, Status::error);
  EXPECT_EQ(change.reason, Reason::forbidden);
  EXPECT_NE(change.message.find("create"), std::string::npos) << change.message;
  EXPECT_NE(change.message.find("pods/portforward"), std::string::npos) << change.message;
}

// A watch that was cut, whose version is too old, or that never says a word: pods are followed.
TEST_F(FailoverTest, PodsAreFollowedAfterAWatchWasCut) {
  add_deployment("web", 2);
  Program program = web();
  std::uint16_t const port = active_port(program, "web:auto");
  for (bool const too_old : {false, true}) {
    for (bool const abruptly : {false, true}) {
      ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_watches() > 0; }));
      lab_.call([&](Lab& lab) {
        if (too_old) lab.cluster.compact();
        EXPECT_GT(lab.server.cut_watches(abruptly), 0u);
      });
      std::string const old = pod_of(http_get(port));
      ASSERT_TRUE(delete_pod(old));
      ask_until_another_answers(port, old);
    }
  }
}

TEST_F(FailoverTest, APodThatWentUnseenIsFoundOutByAConnection) {
  add_deployment("web", 2);
  Program program = web();
  std::uint16_t const port = active_port(program, "web:auto");
  std::string const old = pod_of(http_get(port));
  lab_.call([&](Lab& lab) {
    lab.server.faults().watches_silent = true;
    lab.cluster.delete_pod(lab::PodName("default", old), Duration::zero());
  });
  ask_until_another_answers(port, old);
}

}  // namespace
}  // namespace kportal::test
