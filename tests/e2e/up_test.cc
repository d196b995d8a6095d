// SPDX-License-Identifier: MIT
// `up` on a healthy cluster: every kind of target, the event lines, the options, the signals.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

// The names of an object's own fields, in their order.
std::vector<std::string> keys_of(std::string const& line) {
  std::vector<std::string> keys;
  int depth = 0;
  std::size_t begin = std::string::npos;  // of the string we are in
  for (std::size_t i = 0; i < line.size(); ++i) {
    char const c = line[i];
    if (begin != std::string::npos) {
      if (c == '\\') ++i;
      if (c != '"') continue;
      bool const is_key = depth == 1 && i + 1 < line.size() && line[i + 1] == ':';
      if (is_key) keys.push_back(line.substr(begin, i - begin));
      begin = std::string::npos;
    } else if (c == '"') {
      begin = i + 1;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return keys;
}

std::vector<std::string> const kForwardKeys{"seq",     "time",      "type",     "forward",
                                            "context", "namespace", "resource", "localPort"};

// Each line is an event with the fields of the contract in its order, and seq counts from 1.
void expect_sound(std::vector<OutputLine> const& lines) {
  std::uint64_t seq = 0;
  for (OutputLine const& line : lines) {
    auto const event = line.event();
    ASSERT_NE(event, nullptr) << line.text;
    EXPECT_EQ(event->seq, ++seq) << line.text;
    auto keys = keys_of(line.text);
    if (events::forward_of(event->fact) == nullptr) continue;
    ASSERT_GE(keys.size(), kForwardKeys.size()) << line.text;
    std::vector<std::string> const head(keys.begin(), keys.begin() + 8);
    EXPECT_EQ(head, kForwardKeys) << line.text;
    if (!std::holds_alternative<events::HealthStatusChanged>(event->fact)) continue;
    std::vector<std::string> const rest(keys.begin() + 8, keys.end());
    EXPECT_EQ(rest, (std::vector<std::string>{"old", "status", "reason", "message", "pod"}));
  }
}

// The statuses of each forward as a chain: every change once, none lost.
using Chains = std::map<std::string, std::vector<events::Status>>;
Chains chains_of(std::vector<OutputLine> const& lines) {
  Chains chains;
  for (OutputLine const& line : lines) {
    auto const event = line.event();
    if (!event) continue;
    if (auto const* const stopped = std::get_if<events::ForwardStopped>(&event->fact)) {
      chains.erase(stopped->forward.id);
    }
    auto const* const change = std::get_if<events::HealthStatusChanged>(&event->fact);
    if (change == nullptr) continue;
    auto& chain = chains[change->forward.id];
    EXPECT_EQ(change->first, chain.empty()) << line.text;
    if (!chain.empty()) {
      EXPECT_EQ(change->old, chain.back()) << line.text;
      EXPECT_NE(change->old, change->status) << line.text;
    }
    chain.push_back(change->status);
  }
  return chains;
}

bool has_ipv6() {
  return Client(1, "::1").end() == End::refused;
}

class UpTest : public E2eTest {
 protected:
  void add_web() {
    add_deployment("web", 2);
    lab_.call([](Lab& lab) {
      lab::ServiceSpec service;
      service.name = "web";
      service.selector = {{"app", "web"}};
      service.ports.push_back({"numeric", 80, "8080"});
      service.ports.push_back({"named", 81, "http"});
      lab.cluster.add_service(service);
    });
  }
};

TEST_F(UpTest, EveryKindOfTargetAnswersOnBothAddresses) {
  add_web();
  add_pod("solo");
  Program program =
      up({"resource: pod/solo, port: 8080, localPort: auto, alias: exact",
          "resource: pod/web, port: http, localPort: auto, alias: prefix",
          "resource: pod, selector: \"app=web\", port: 8080, localPort: auto, alias: label",
          "resource: service/web, port: 80, localPort: auto, alias: numeric",
          "resource: svc/web, port: 81, localPort: auto, alias: named",
          "resource: service/web, port: named, localPort: auto, alias: word",
          "resource: deployment/web, port: 8080, localPort: auto, alias: workload"},
         "");
  for (std::string const alias :
       {"exact", "prefix", "label", "numeric", "named", "word", "workload"}) {
    std::uint16_t const port = active_port(program, alias + ":auto");
    ASSERT_NE(port, 0);
    for (char const* const address : {"127.0.0.1", "::1"}) {
      if (address == std::string("::1") && !has_ipv6()) continue;
      HttpAnswer const answer = http_get(port, "/hello", address);
      EXPECT_EQ(answer.status, 200) << alias << " on " << address << ": " << to_word(answer.end);
      EXPECT_NE(answer.body.find("path=/hello"), std::string::npos);
      std::string const expected = alias == "exact" ? "solo" : "web-";
      EXPECT_TRUE(pod_of(answer).starts_with(expected)) << alias << ": " << answer.body;
    }
  }
}

TEST_F(UpTest, AFixedPortIsTheOneOfTheFile) {
  add_pod("solo");
  auto const port = std::to_string(free_port());
  Program program = up({"resource: pod/solo, port: 8080, localPort: " + port});
  EXPECT_EQ(std::to_string(active_port(program, "lab/default/pod/solo:" + port)), port);
}

TEST_F(UpTest, EventsKeepTheContract) {
  add_deployment("web");
  add_pod("solo");
  Program program =
      up({"resource: deployment/web, port: 8080, localPort: auto, alias: web",
          "resource: pod/solo, port: 9999, localPort: auto, alias: refused",
          "resource: pod/solo, port: 7000, localPort: auto, alias: off, disabled: true"},
         "healthCheck: { interval: 500ms, timeout: 500ms, startupGrace: 1s }\n");
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  ASSERT_TRUE(program.wait_for_status("refused:auto", Status::error));
  std::string const pod = pods_of("web").at(0);
  std::size_t const mark = program.mark();
  lab_.call([&](Lab& lab) { lab.cluster.delete_pod(lab::PodName("default", pod)); });
  ASSERT_TRUE(program.wait_for_event("forward.disconnected", "web:auto", mark));
  ASSERT_TRUE(program.wait_for_event("forward.connected", "web:auto", mark));
  ASSERT_TRUE(program.wait_for_status("web:auto", Status::active));
  Chains const chains = chains_of(program.lines());
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
  expect_sound(program.lines());
  EXPECT_EQ(chains.at("web:auto"),
            (std::vector{Status::starting, Status::active, Status::reconnecting, Status::active}));
  EXPECT_EQ(chains.at("refused:auto"), (std::vector{Status::starting, Status::error}));
  EXPECT_EQ(chains.at("off:auto"), (std::vector{Status::disabled}));
  for (std::string const id : {"web:auto", "refused:auto"}) {
    EXPECT_TRUE(program.wait_for_event("forward.starting", id)) << id;
    EXPECT_TRUE(program.wait_for_event("forward.stopped", id)) << id;
  }
  auto const connected = program.wait_for_event("forward.connected", "web:auto");
  ASSERT_TRUE(connected);
  auto const& fact = std::get<events::ForwardConnected>(connected->fact);
  EXPECT_EQ(fact.transport, "websocket");
  EXPECT_EQ(fact.pod, pod);
  EXPECT_EQ(fact.forward.context, "lab");
  EXPECT_NE(fact.forward.local_port, 0);
}

TEST_F(UpTest, TextLinesForPeople) {
  add_pod("solo");
  std::string const file = dir_.write(
      "forwards.yaml", forwards({"resource: pod/solo, port: 8080, localPort: auto, alias: page"}));
  Program program({"up", "-f", file});
  auto const line = program.wait_for_line("Starting -> Active");
  ASSERT_TRUE(line);
  // 14:05:01.123  api:8080  Starting -> Active  pod api-7d9f-x2x
  EXPECT_EQ(line->text.find("  page:auto  Starting -> Active  pod solo"), 12u) << line->text;
  EXPECT_EQ(line->text.find('\x1b'), std::string::npos);
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(UpTest, QuietLeavesOnlyTrouble) {
  add_pod("solo");
  std::uint16_t const port = free_port();
  std::string const file = dir_.write(
      "forwards.yaml",
      forwards({"resource: pod/solo, port: 8080, alias: good, localPort: " + std::to_string(port),
                "resource: pod/missing, port: 8080, localPort: auto, alias: bad"}));
  Program program({"up", "-q", "-f", file});
  ASSERT_TRUE(program.wait_for_line("Starting -> Error"));
  // Its answer makes the good one Active.
  EXPECT_EQ(http_get(port).status, 200);
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  for (OutputLine const& line : program.lines()) {
    EXPECT_NE(line.text.find("bad:auto"), std::string::npos) << line.text;
  }
  EXPECT_EQ(program.errors(), "");
}

TEST_F(UpTest, NamesChooseForwards) {
  add_pod("solo");
  dir_.write("forwards.yaml",
             forwards({"resource: pod/solo, port: 8080, localPort: auto, alias: one",
                       "resource: pod/solo, port: 7000, localPort: auto, alias: two",
                       "resource: pod/solo, port: 9003, localPort: auto, alias: three"}));
  Program program(up_arguments({"one", "three:auto"}));
  ASSERT_TRUE(program.wait_for_status("one:auto", Status::active));
  ASSERT_TRUE(program.wait_for_status("three:auto", Status::active));
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_FALSE(program.wait_for_line("two:auto"));
}

TEST_F(UpTest, TheLogGoesToTheFileThatWasAskedFor) {
  dir_.write("forwards.yaml", forwards({}));
  std::string const log = dir_.file("log");
  Program program(up_arguments({"--log-file", log}));
  auto const log_text = [&] {
    std::ostringstream text;
    text << std::ifstream(log).rdbuf();
    return text.str();
  };
  TimePoint const deadline = Clock::now() + kPatience;
  while (log_text().find("no forwards") == std::string::npos && Clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_NE(log_text().find("there are no forwards"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(log).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(program.errors(), "");
}

TEST_F(UpTest, TheConfigurationMayComeFromStandardInput) {
  add_pod("solo");
  ProgramOptions options;
  options.input = forwards({"resource: pod/solo, port: 8080, localPort: auto, alias: page"});
  options.directory = dir_.path();  // where its kubeconfig is looked for
  Program program({"up", "-f", "-", "--log-format", "json"}, options);
  EXPECT_EQ(http_get(active_port(program, "page:auto")).status, 200);
}

TEST_F(UpTest, Sigusr1WritesTheStateToTheLog) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: page"});
  ASSERT_NE(active_port(program, "page:auto"), 0);
  program.signal(SIGUSR1);
  EXPECT_TRUE(program.wait_for_error_text("state: page:auto Active pod=solo")) << program.errors();
}

TEST_F(UpTest, SigintAndSigtermEndItWithin3Seconds) {
  add_pod("solo");
  for (int const number : {SIGINT, SIGTERM}) {
    Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: page"});
    std::uint16_t const port = active_port(program, "page:auto");
    ASSERT_NE(port, 0);
    TimePoint const asked = Clock::now();
    program.signal(number);
    EXPECT_EQ(program.wait(), 0);
    EXPECT_LT(Clock::now() - asked, 3s);
    EXPECT_EQ(Client(port).end(), End::refused);
  }
  EXPECT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_connections() == 0; }));
}

TEST_F(UpTest, AnswersInProgressArriveWholeAfterTheFirstSignal) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: page"});
  Client client(active_port(program, "page:auto"));
  client.send("GET /sleep?ms=700 HTTP/1.1\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(lab_.wait_for([](Lab& lab) {
    return lab.server.open_pod_connections(lab::PodName("default", "solo")) > 0;
  }));
  program.signal(SIGINT);
  EXPECT_NE(client.read_to_end().find("slept 700"), std::string::npos) << to_word(client.end());
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(UpTest, ASecondSignalDoesNotWaitForConnections) {
  add_pod("solo");
  for (bool const twice : {false, true}) {
    Program program = up({"resource: pod/solo, port: 9003, localPort: auto, alias: banner"});
    Client client(active_port(program, "banner:auto"));
    ASSERT_EQ(client.read(12), "READY solo\r\n");
    TimePoint const asked = Clock::now();
    program.signal(SIGINT);
    ASSERT_TRUE(program.wait_for_event("forward.stopped"));
    if (twice) program.signal(SIGINT);
    EXPECT_EQ(program.wait(), 0);
    Duration const took = Clock::now() - asked;
    if (twice) {
      EXPECT_LT(took, 1500ms);
    } else {
      EXPECT_GT(took, 1500ms);
      EXPECT_LT(took, 3s);
    }
  }
}

TEST_F(UpTest, SignalsThatComeWhileItEndsDoNotChangeTheExitCode) {
  dir_.write("forwards.yaml", forwards({}));
  for (int i = 0; i < 20; ++i) {
    Program program(up_arguments());
    ASSERT_TRUE(program.wait_for_error_text("no forwards"));
    program.signal(SIGINT);
    std::optional<int> code;
    TimePoint const deadline = Clock::now() + kPatience;
    while (!code && Clock::now() < deadline) {
      program.signal(SIGHUP);
      code = program.wait(std::chrono::microseconds(200));
    }
    EXPECT_EQ(code, 0);
  }
}

}  // namespace
}  // namespace kportal::test
