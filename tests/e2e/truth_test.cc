// SPDX-License-Identifier: MIT
// The truth of what the program says: each status and each reason by a cause that is real, one
// event per change, and no lie for longer than the contract allows, whatever happens to pods and
// networks.
#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/e2e/history.h"
#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Each cause

// One forward in the file, and what is to be said of it.
struct Cause {
  std::string alias;
  std::string context;
  std::string forward;  // the rest of its flow mapping
  events::Status status;
  events::Reason reason;
  std::string thing;  // what the message has to name,
  std::string cure;   // and what to do
};

class CausesTest : public E2eTest {
 protected:
  void SetUp() override {
    add_pod("solo");
    add_pod("victim");
    add_pod("torn");
    lab_.call([](Lab& lab) {
      lab.server.access().add_user("guest", "guest-token");
      lab::WorkloadSpec none;
      none.name = "none";
      none.replicas = 0;
      lab.cluster.add_workload(none);
      lab::ServiceSpec outside;
      outside.name = "outside";
      outside.type = "ExternalName";
      outside.ports.push_back({"http", 80, "8080"});
      lab.cluster.add_service(outside);
    });
    for (auto* const each : {&broken_, &busy_}) {
      each->call([](Lab& lab) { lab.cluster.add_pod(pod("solo")); });
    }
    broken_.call(
        [](Lab& lab) { lab.server.faults().fail(lab::RequestKind::any, lab::Failure(503)); });
    busy_.call([](Lab& lab) {
      lab.server.faults().fail(lab::RequestKind::any,
                               lab::Failure(429, "", lab::Failure::Body::status, 1));
    });
    write_kubeconfigs();
  }

  static lab::PodSpec pod(std::string name) {
    lab::PodSpec pod;
    pod.name = std::move(name);
    return pod;
  }

  static lab::KubeconfigOptions context(std::string name, std::string token,
                                        std::string server = {}) {
    lab::KubeconfigOptions options;
    options.context = std::move(name);
    options.token = std::move(token);
    options.server = std::move(server);
    return options;
  }

  void write_kubeconfigs() {
    auto const other = broken_.call([](Lab& lab) { return lab.server.url(); });
    auto const local = [](std::uint16_t port) { return fmt::format("https://127.0.0.1:{}", port); };
    std::vector<lab::KubeconfigOptions> const all{
        context("lab", ""),
        context("stranger", "no-such-token"),
        context("guest", "guest-token"),
        context("login", "of-login"),
        context("slow-login", "of-slow-login"),
        context("away", "", local(free_port())),
        context("mute", "", local(mute_.port())),
        context("impostor", "", other),
    };
    std::string text = lab_.call([&](Lab& lab) { return lab.server.kubeconfig(all); });
    use_plugin(text, "of-login", script("failing-login", "echo 'no ticket' >&2; exit 3"));
    use_plugin(text, "of-slow-login",
               script("slow-login",
                      "sleep 2.5; echo '{\"apiVersion\": \"client.authentication.k8s.io/v1\", "
                      "\"kind\": \"ExecCredential\", \"status\": {\"token\": \"slow-token\"}}'"));
    lab_.call(
        [](Lab& lab) { lab.server.access().add_user("slow", "slow-token", {"system:masters"}); });
    dir_.write("kubeconfig", text);
    dir_.write("garbled", "clusters: [");
    dir_.write("broken", broken_.kubeconfig());
    dir_.write("busy", busy_.kubeconfig());
  }

  static void use_plugin(std::string& kubeconfig, std::string const& token,
                         std::string const& command) {
    std::string const placeholder = "token: \"" + token + "\"";
    kubeconfig.replace(
        kubeconfig.find(placeholder), placeholder.size(),
        "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: " +
            command + "}");
  }
  std::string script(std::string const& name, std::string const& body) {
    std::string const path = dir_.write(name, "#!/bin/sh\n" + body + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }

  std::vector<Cause> causes() const {
    auto const busy = std::to_string(taken_.port());
    return {
        {"active", "lab", "resource: pod/solo, port: 8080", Status::active, Reason::none, "", ""},
        {"victim", "lab", "resource: pod/victim, port: 7000", Status::active, Reason::none, "", ""},
        {"torn", "lab", "resource: pod/torn, port: 7000", Status::active, Reason::none, "", ""},
        {"old", "lab",
         "resource: pod/solo, port: 7000, healthCheck: { method: tcp-dial, maxConnectionAge: 1s, "
         "maxIdleTime: 500ms }",
         Status::active, Reason::none, "", ""},
        {"source", "lab", "resource: pod/solo, port: 9001", Status::active, Reason::none, "", ""},
        {"off", "lab", "resource: pod/solo, port: 8080, disabled: true", Status::disabled,
         Reason::none, "", ""},
        {"slow-login", "slow-login", "resource: pod/solo, port: 8080", Status::active, Reason::none,
         "", ""},
        {"port-in-use", "lab", "resource: pod/solo, port: 8080, localPort: " + busy, Status::error,
         Reason::port_in_use, busy, fmt::format("pid {}", ::getpid())},
        {"no-such-context", "nowhere", "resource: pod/solo, port: 8080", Status::error,
         Reason::no_such_context, "nowhere", "there are: away, guest"},
        {"kubeconfig", "garbled:lab", "resource: pod/solo, port: 8080", Status::error,
         Reason::kubeconfig, "garbled", "line 1, column 1"},
        {"unauthorized", "stranger", "resource: pod/solo, port: 8080", Status::error,
         Reason::unauthorized, "https://127.0.0.1", "log in again"},
        {"auth-plugin", "login", "resource: pod/solo, port: 8080", Status::error,
         Reason::auth_plugin, "failing-login", "no ticket"},
        {"forbidden", "guest", "resource: pod/solo, port: 8080", Status::error, Reason::forbidden,
         "pods/portforward", "kubectl create role"},
        {"not-found", "lab", "resource: pod/nobody, port: 8080", Status::error, Reason::not_found,
         "pod/nobody", "namespace default has no pod of this name"},
        {"no-ready-pod", "lab", "resource: deployment/none, port: 8080", Status::error,
         Reason::no_ready_pod, "deployment/none", "scaled to 0 replicas"},
        {"no-such-port", "lab", "resource: pod/solo, port: nameless", Status::error,
         Reason::no_such_port, "nameless", "8080 (http)"},
        {"refused", "lab", "resource: pod/solo, port: 9999", Status::error, Reason::refused, "9999",
         "nothing listens"},
        {"probe-failed", "lab", "resource: pod/solo, port: 9005, healthCheck: { timeout: 2s }",
         Status::error, Reason::probe_failed, "9005", "reset"},
        {"unsupported", "lab", "resource: service/outside, port: 80", Status::error,
         Reason::unsupported, "service/outside", "connect to"},
        {"tls", "impostor", "resource: pod/solo, port: 8080", Status::error, Reason::tls,
         "https://127.0.0.1", "certificate-authority-data"},
        {"network", "away", "resource: pod/solo, port: 8080", Status::error, Reason::network,
         "https://127.0.0.1", "connect"},
        {"timeout", "mute", "resource: pod/solo, port: 8080", Status::error, Reason::timeout,
         "API server", "VPN"},
        {"server-503", "broken:lab", "resource: pod/solo, port: 8080", Status::error,
         Reason::server, "https://127.0.0.1", "503"},
        {"server-429", "busy:lab", "resource: pod/solo, port: 8080", Status::error, Reason::server,
         "https://127.0.0.1", "429"},
    };
  }

  void write_forwards() {
    std::string text =
        "healthCheck: { interval: 200ms, timeout: 500ms, startupGrace: 1s }\n"
        "reliability: { hold: 0, maxTunnels: 1 }\ncontexts:\n";
    for (Cause const& each : causes()) {
      auto const colon = each.context.find(':');
      bool const own_file = colon != std::string::npos;
      bool const fixed = each.forward.find("localPort") != std::string::npos;
      text += fmt::format(
          "  - name: {}\n    kubeconfig: {}\n    namespaces:\n      - name: default\n"
          "        forwards:\n          - {{ {}, alias: {}{} }}\n",
          own_file ? each.context.substr(colon + 1) : each.context,
          own_file ? each.context.substr(0, colon) : "kubeconfig", each.forward, each.alias,
          fixed ? "" : ", localPort: auto");
    }
    dir_.write("forwards.yaml", text);
  }

  std::string id_of(Cause const& cause) const {
    bool const fixed = cause.reason == Reason::port_in_use;
    return cause.alias + (fixed ? ":" + std::to_string(taken_.port()) : ":auto");
  }
  static void expect_told(Program const& program, std::string const& alias, Reason reason) {
    auto const told = program.wait_for([&](OutputLine const& line) {
      auto const event = line.event();
      auto const* const fact =
          event ? std::get_if<events::ConnectionFailed>(&event->fact) : nullptr;
      return fact != nullptr && fact->forward.id == alias + ":auto" && fact->reason == reason;
    });
    EXPECT_TRUE(told) << alias << ": no connection.failed with " << events::to_word(reason);
  }
  // A connection to it ends by a reset, and why is told.
  void expect_failure(Program const& program, std::string const& alias, Reason reason) {
    Client client(ports_.at(alias));
    client.send("hello");
    EXPECT_EQ(client.read_to_end(), "") << alias;
    EXPECT_EQ(client.end(), End::reset) << alias;
    expect_told(program, alias, reason);
  }

  std::map<std::string, std::uint16_t> ports_;  // by alias
  LabThread broken_;
  LabThread busy_;
  BusyPort taken_;
  BusyPort mute_;  // accepts, says nothing
};

TEST_F(CausesTest, EachStatusAndEachReasonIsReachedAndTold) {
  write_forwards();
  Program program(up_arguments());
  // Two that take their time, while the rest goes on.
  Client half_closed(active_port(program, "active:auto"));
  half_closed.send("GET /sleep?ms=2400 HTTP/1.1\r\n\r\n");
  half_closed.shutdown_send();
  std::uint16_t const source = active_port(program, "source:auto");
  Client stalled(source);
  ASSERT_EQ(stalled.skip(1), 1U);
  Client blocked(source);
  for (Cause const& each : causes()) {
    auto const* const change = program.wait_for_status(id_of(each), each.status);
    ASSERT_NE(change, nullptr) << each.alias;
    EXPECT_EQ(change->reason, each.reason) << each.alias << ": " << change->message;
    EXPECT_THAT(change->message, HasSubstr(each.thing)) << each.alias;
    EXPECT_THAT(change->message, HasSubstr(each.cure)) << each.alias;
    ports_[each.alias] = change->forward.local_port;
  }
  expect_failure(program, "refused", Reason::refused);
  expect_failure(program, "probe-failed", Reason::reset);
  expect_failure(program, "no-ready-pod", Reason::hold_timeout);
  expect_failure(program, "forbidden", Reason::forbidden);
  lab_.call([](Lab& lab) {
    lab.server.drop_tunnels(lab::SessionEnd::cut, lab::PodName("default", "torn"));
  });
  // Nobody tells that this one has gone, and there is no other to take the connection.
  lab_.call([](Lab& lab) {
    lab.server.silence_watches(true);
    lab.cluster.delete_pod(lab::PodName("default", "victim"), Duration::zero());
  });
  expect_failure(program, "victim", Reason::pod_gone);
  lab_.call([](Lab& lab) { lab.server.silence_watches(false); });
  expect_told(program, "active", Reason::half_close_cut);
  expect_told(program, "source", Reason::stalled);

  ASSERT_TRUE(program.wait_for_event("health.stale", "old:auto"));
  ASSERT_TRUE(program.wait_for_status("torn:auto", Status::active));
  // One event for each change, and none beside.
  History const history(program.lines());
  EXPECT_EQ(history.words("torn:auto"), "Starting, Active, Reconnecting network, Active");
  EXPECT_THAT(history.words("old:auto"), testing::StartsWith("Starting, Active, Stale, Active"));
  EXPECT_EQ(history.words("off:auto"), "Disabled");
  EXPECT_EQ(history.words("slow-login:auto"), "Starting, Active");
  for (Cause const& each : causes()) {
    if (each.status != Status::error) continue;
    EXPECT_EQ(history.chain(id_of(each)), (std::vector{Status::starting, Status::error}))
        << each.alias;
  }
}

// No lie for long

// What the lab knows of a forward's port: since when it can be reached, or cannot.
class Reach {
 public:
  explicit Reach(bool reachable) { turns_.push_back({Clock::now(), reachable}); }
  // Breaks or mends something. The time in between counts for the program.
  void breaks(std::function<void()> const& how) {
    how();
    turns_.push_back({Clock::now(), false});
  }
  void mends(std::function<void()> const& how) {
    turns_.push_back({Clock::now(), true});
    how();
  }

  // The longest time for which the program said Active while the port could not be reached.
  Duration longest_lie(History::Steps const& steps, TimePoint end) const {
    Duration longest{};
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].status != events::Status::active) continue;
      TimePoint const until = i + 1 < steps.size() ? steps[i + 1].at : end;
      longest = std::max(longest, longest_broken(steps[i].at, until));
    }
    return longest;
  }

 private:
  struct Turn {
    TimePoint at;
    bool reachable;
  };

  Duration longest_broken(TimePoint from, TimePoint until) const {
    Duration longest{};
    for (std::size_t i = 0; i < turns_.size(); ++i) {
      if (turns_[i].reachable) continue;
      TimePoint const mended = i + 1 < turns_.size() ? turns_[i + 1].at : until;
      Duration const both = std::min(until, mended) - std::max(from, turns_[i].at);
      longest = std::max(longest, both);
    }
    return longest;
  }

  std::vector<Turn> turns_;
};

class TruthTest : public E2eTest {
 protected:
  // What takes a port away, and what gives it back.
  struct Fault {
    char const* what;
    std::function<void()> breaks;
    std::function<void()> mends;
  };

  static constexpr Duration kPodProbe = 300ms;
  static constexpr Duration kTimeout = 400ms;
  // Two ticks of the checker, and what a loaded machine adds.
  static constexpr Duration kSlack = kSanitized ? 3s : 1s;
  // A bad verdict is confirmed by a second probe.
  static constexpr Duration kBound = kPodProbe + 2 * kTimeout + kSlack;

  static std::string settings(std::string const& more = ", podProbe: 300ms") {
    return "healthCheck: { interval: 200ms, timeout: 400ms, startupGrace: 1s" + more + " }\n";
  }
  static std::string forward(std::string const& pod, std::string const& port,
                             std::string const& more = "") {
    return "resource: pod/" + pod + ", port: " + port + ", localPort: auto, alias: " + pod + more;
  }
  static lab::PodName name(std::string const& pod) { return lab::PodName("default", pod); }
  void unlisten(std::string const& pod, std::uint16_t port) {
    lab_.call([&](Lab& lab) { lab.cluster.unlisten(name(pod), port); });
  }
  void listen(std::string const& pod, std::uint16_t port,
              lab::PortBehaviour behaviour = lab::PortBehaviour::echo) {
    lab_.call([&](Lab& lab) { lab.cluster.listen(name(pod), port, behaviour); });
  }
  void new_streams(lab::StreamFate fate) {
    lab_.call([=](Lab& lab) { lab.server.faults().new_streams = fate; });
  }
  std::vector<Fault> faults(std::vector<std::string> const& pods) {
    auto const each = [this, pods](void (lab::Sandbox::*what)()) {
      for (std::string const& pod : pods) {
        lab_.call([&](Lab& lab) { (lab.cluster.find_pod(name(pod))->sandbox.get()->*what)(); });
      }
    };
    return {
        {"nothing listens",
         [this, pods] {
           for (std::string const& pod : pods) unlisten(pod, 7000);
         },
         [this, pods] {
           for (std::string const& pod : pods) listen(pod, 7000);
         }},
        {"streams are not answered", [this] { new_streams(lab::StreamFate::never_reply); },
         [this] { new_streams(lab::StreamFate::normal); }},
        {"the container is away, and no watch tells", [each] { each(&lab::Sandbox::stop); },
         [each] { each(&lab::Sandbox::start); }},
        {"streams are reset", [this] { new_streams(lab::StreamFate::reject); },
         [this] { new_streams(lab::StreamFate::normal); }},
        {"the server is frozen", [this] { lab_.call([](Lab& lab) { lab.server.freeze(); }); },
         [this] { lab_.call([](Lab& lab) { lab.server.thaw(); }); }},
    };
  }
  std::uint64_t streams() {
    return lab_.call([](Lab& lab) { return lab.server.streams(); });
  }
  std::uint64_t tunnels() {
    return lab_.call([](Lab& lab) { return lab.server.tunnels(); });
  }
  bool wait_for_pings(std::uint64_t more) {
    std::uint64_t const now = lab_.call([](Lab& lab) { return lab.server.pings(); });
    return lab_.wait_for([=](Lab& lab) { return lab.server.pings() >= now + more; });
  }
  static bool leaves_active(Program& program, std::string const& id) {
    TimePoint const give_up = Clock::now() + 10s;
    while (program.wait_for_status(id, Status::active, 0s) != nullptr) {
      if (Clock::now() > give_up) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
};

// Faults of a port, one after the other, seen by each method. Whatever is said must be true again
// within the bound, and mended the forward must come back.
TEST_F(TruthTest, NoForwardIsActiveForLongWhileItsPortCannotBeReached) {
  std::vector<std::string> const pods{"dial", "transfer"};
  for (std::string const& pod : pods) add_pod(pod);
  Program program = up(
      {forward("dial", "7000", ", healthCheck: { method: tcp-dial }"), forward("transfer", "7000")},
      settings());
  for (std::string const& pod : pods) ASSERT_NE(active_port(program, pod + ":auto"), 0);
  Reach reach(true);
  for (Fault const& fault : faults(pods)) {
    reach.breaks(fault.breaks);
    for (std::string const& pod : pods) {
      EXPECT_TRUE(leaves_active(program, pod + ":auto")) << pod << ": " << fault.what;
    }
    reach.mends(fault.mends);
    for (std::string const& pod : pods) {
      EXPECT_NE(active_port(program, pod + ":auto"), 0) << pod << ": " << fault.what;
    }
  }
  TimePoint const end = Clock::now();
  History const history(program.lines());
  for (std::string const& pod : pods) {
    Duration const lie = reach.longest_lie(history.of(pod + ":auto"), end);
    std::printf(
        "%s: Active for %lld ms at most while its port could not be reached\n", pod.c_str(),
        static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(lie).count()));
    EXPECT_LT(lie, kBound) << pod << ": " << history.words(pod + ":auto");
  }
}

// A client whose stream is not even answered is no evidence of the port.
TEST_F(TruthTest, AConnectionThatThePodNeverAnsweredProvesNothing) {
  add_pod("solo");
  Program program = up({forward("solo", "7000")}, settings(", podProbe: 2s"));
  std::uint16_t const port = active_port(program, "solo:auto");
  Reach reach(true);
  reach.breaks([&] { new_streams(lab::StreamFate::never_reply); });
  Client client(port);
  ASSERT_TRUE(client.send("anybody there?"));
  EXPECT_TRUE(leaves_active(program, "solo:auto"));
  TimePoint const end = Clock::now();
  EXPECT_LT(reach.longest_lie(History(program.lines()).of("solo:auto"), end),
            kBound - kPodProbe + 2s);
}

TEST_F(TruthTest, NobodyIsInErrorForALostPacket) {
  add_pod("solo");
  Program program =
      up({forward("solo", "7000")},
         "healthCheck: { method: tcp-dial, interval: 200ms, timeout: 1s, podProbe: 300ms }\n"
         "reliability: { pingInterval: 1500ms, pingTimeout: 1500ms }\n");
  std::uint16_t const port = active_port(program, "solo:auto");
  // One probe is not answered, the second is.
  std::uint64_t const before = streams();
  new_streams(lab::StreamFate::never_reply);
  ASSERT_TRUE(lab_.wait_for([=](Lab& lab) { return lab.server.streams() >= before + 2; }));
  new_streams(lab::StreamFate::normal);
  ASSERT_TRUE(lab_.wait_for([=](Lab& lab) { return lab.server.streams() >= before + 6; }));
  // An answer to a ping that is late, but in time.
  lab_.call([](Lab& lab) { lab.server.freeze_tunnels(); });
  std::this_thread::sleep_for(kSanitized ? 300ms : 600ms);
  lab_.call([](Lab& lab) { lab.server.thaw_tunnels(); });
  ASSERT_TRUE(wait_for_pings(2));
  EXPECT_EQ(History(program.lines()).words("solo:auto"), "Starting, Active");
  EXPECT_EQ(tunnels(), 1U);
  // One that is later than that, but not too late: another tunnel is dialled beside, and what is
  // open on this one goes on.
  Client client(port);
  ASSERT_TRUE(client.send("hello") && client.read(5) == "hello");
  std::uint64_t const dialled = tunnels();
  lab_.call([](Lab& lab) { lab.server.freeze_tunnels(lab::Direction::to_client); });
  ASSERT_TRUE(lab_.wait_for([=](Lab& lab) { return lab.server.tunnels() > dialled; }));
  lab_.call([](Lab& lab) { lab.server.thaw_tunnels(); });
  EXPECT_TRUE(client.send("again") && client.read(5) == "again") << to_word(client.end());
  ASSERT_TRUE(program.wait_for_status("solo:auto", Status::active));
  EXPECT_FALSE(History(program.lines()).ever("solo:auto", Status::error));
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", 0, 0s));
}

// Up for a moment again and again: the grace is for the beginning, not for each time.
TEST_F(TruthTest, AFlappingForwardCannotHideInTheGrace) {
  add_pod("solo");
  Program program = up({forward("solo", "9003")},
                       "healthCheck: { interval: 100ms, timeout: 300ms, podProbe: 100ms, "
                       "startupGrace: 1s }\n");
  ASSERT_NE(active_port(program, "solo:auto"), 0);
  TimePoint const begin = Clock::now();
  while (!History(program.lines()).ever("solo:auto", Status::error)) {
    ASSERT_LT(Clock::now() - begin, kPatience);
    unlisten("solo", 9003);
    ASSERT_TRUE(leaves_active(program, "solo:auto"));
    listen("solo", 9003, lab::PortBehaviour::banner);
    ASSERT_TRUE(program.wait_for_status("solo:auto", Status::active));
  }
  // The grace, and one more flap.
  EXPECT_LT(Clock::now() - begin, 3s + kSlack);
}

// The probe of a tunnel that ended says so only when the next one is proven.
TEST_F(TruthTest, ALateVerdictOfAnOldTunnelChangesNothing) {
  add_pod("solo");
  Program program =
      up({forward("solo", "7000")},
         "healthCheck: { method: tcp-dial, interval: 200ms, timeout: 1s, podProbe: 300ms }\n");
  ASSERT_NE(active_port(program, "solo:auto"), 0);
  std::uint64_t const before = streams();
  new_streams(lab::StreamFate::never_reply);
  ASSERT_TRUE(lab_.wait_for([=](Lab& lab) { return lab.server.streams() >= before + 2; }));
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) {
    lab.server.faults().new_streams = lab::StreamFate::normal;
    lab.server.drop_tunnels();
  });
  ASSERT_TRUE(program.wait_for_event("forward.connected", "solo:auto", mark));
  ASSERT_TRUE(program.wait_for_status("solo:auto", Status::active));
  ASSERT_TRUE(wait_for_pings(8));  // longer than the old probe could have waited
  EXPECT_EQ(History(program.lines()).words("solo:auto"),
            "Starting, Active, Reconnecting network, Active");
}

TEST_F(TruthTest, NoProbeWhileAUsersConnectionIsOpen) {
  add_pod("solo");
  Program program = up({forward("solo", "7000")},
                       "healthCheck: { interval: 100ms, timeout: 300ms, podProbe: 100ms }\n");
  Client client(active_port(program, "solo:auto"));
  ASSERT_TRUE(client.send("hello") && client.read(5) == "hello");
  // A probe that was under way may still end.
  ASSERT_TRUE(wait_for_pings(5));
  std::uint64_t const before = streams();
  ASSERT_TRUE(wait_for_pings(8));
  EXPECT_EQ(streams(), before);
  client.reset();
  EXPECT_TRUE(lab_.wait_for([=](Lab& lab) { return lab.server.streams() >= before + 4; }));
}

TEST_F(TruthTest, WithMethodNoneThePortIsNeverOpened) {
  add_deployment("web");
  std::string const pod = pods_of("web").front();
  Program program = up({"resource: deployment/web, port: 7000, localPort: auto, alias: web"},
                       settings(", method: none"));
  std::uint16_t const port = active_port(program, "web:auto");
  ASSERT_TRUE(wait_for_pings(5));
  EXPECT_EQ(streams(), 0U);
  lab_.call([&](Lab& lab) { lab.cluster.set_ready(name(pod), false); });
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::error));
  // A user's connection that the pod answers is evidence, too.
  Client client(port);
  ASSERT_TRUE(client.send("hello") && client.read(5) == "hello");
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  client.reset();
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::error));
  lab_.call([&](Lab& lab) { lab.cluster.set_ready(name(pod), true); });
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  EXPECT_EQ(streams(), 2U);
}

TEST_F(TruthTest, AnyPodOfARoundRobinForwardIsLookedAtForAReason) {
  add_deployment("web", 2);
  Program program = up({"resource: deployment/web, port: 7000, localPort: auto, alias: web, "
                        "balance: round-robin, allowUnready: true"},
                       "healthCheck: { method: tcp-dial, podProbe: 0 }\n");
  ASSERT_NE(active_port(program, "web:auto"), 0);
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 2; }));
  auto const probes_of = [](Lab& lab, std::string const& pod) {
    return lab.cluster.find_pod(name(pod))->sandbox->connections();
  };
  // The same pod twice: it is not just its turn.
  auto const pods = pods_of("web");
  for (std::string const& pod : {pods.front(), pods.back(), pods.back()}) {
    std::uint64_t const before = lab_.call([&](Lab& lab) { return probes_of(lab, pod); });
    lab_.call([&](Lab& lab) {
      lab.cluster.set_ready(name(pod), !lab.cluster.find_pod(name(pod))->spec.ready);
    });
    EXPECT_TRUE(lab_.wait_for([&](Lab& lab) { return probes_of(lab, pod) > before; })) << pod;
  }
}

TEST_F(TruthTest, AClientInALoopDoesNotFloodTheEventsAndNothingIsLostSilently) {
  add_pod("solo");
  Program program = up({forward("solo", "9999")}, settings());
  auto const* const change = program.wait_for_status("solo:auto", Status::error);
  ASSERT_NE(change, nullptr);
  std::uint16_t const port = change->forward.local_port;
  constexpr int kConnections = 300;
  for (int i = 0; i < kConnections; ++i) Client(port).read_to_end();
  program.signal(SIGTERM);
  ASSERT_EQ(program.wait(), 0);
  std::uint64_t told = 0;
  std::uint64_t failed = 0;
  for (OutputLine const& line : program.lines()) {
    auto const event = line.event();
    auto const* const fact = event ? std::get_if<events::ConnectionFailed>(&event->fact) : nullptr;
    if (fact == nullptr) continue;
    EXPECT_EQ(fact->reason, Reason::refused) << line.text;
    ++told;
    unsigned long long more = 1;
    std::sscanf(fact->message.c_str(), "%llu more connections failed", &more);
    failed += more;
  }
  EXPECT_EQ(failed, static_cast<std::uint64_t>(kConnections));
  EXPECT_LT(told, static_cast<std::uint64_t>(kConnections) / 2);
}

}  // namespace
}  // namespace kportal::test
