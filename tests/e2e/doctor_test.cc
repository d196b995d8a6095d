// SPDX-License-Identifier: MIT
// `doctor`: each kind of failure is found at its hop and explained, with the exit code of its kind.
#include <csignal>
#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using Json = nlohmann::json;

struct Visit {
  int code = -1000;
  Json forwards;  // by id: the forward, its hops by name
  std::string errors;

  // Of the only forward.
  std::string failed() const {
    return forwards.size() == 1 ? forwards.begin()->at("failed").get<std::string>() : "?";
  }
  Json const& hop(std::string const& name) const { return forwards.begin()->at("hops").at(name); }
};

class DoctorTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
  }

  static Visit visit(std::vector<std::string> arguments, ProgramOptions options = {}) {
    arguments.insert(arguments.begin(), {"doctor", "-o", "json"});
    Program program(std::move(arguments), std::move(options));
    Visit visit;
    visit.code = program.wait().value_or(-1000);
    visit.errors = program.errors();
    auto const lines = program.lines();
    auto const json = Json::parse(lines.empty() ? "" : lines.front().text, nullptr, false);
    EXPECT_TRUE(json.is_array()) << visit.errors;
    if (!json.is_array()) return visit;
    for (Json forward : json) {
      Json hops;
      for (auto const& hop : forward["hops"]) hops[hop["name"].get<std::string>()] = hop;
      forward["hops"] = hops;
      visit.forwards[forward["id"].get<std::string>()] = forward;
    }
    return visit;
  }

  // Of `solo`'s banner, by this kubeconfig.
  Visit visit_solo(std::string const& kubeconfig) {
    return visit({"pod/solo", ":9003", "--kubeconfig", dir_.write("other", kubeconfig)});
  }

  Visit visit_forwards(std::vector<std::string> const& lines) {
    return visit({"-f", dir_.write("forwards.yaml", forwards(lines))});
  }

  std::string with_server(std::string const& server) {
    lab::KubeconfigOptions options;
    options.server = server;
    return lab_.kubeconfig(options);
  }

  // The lab's kubeconfig with this user.
  std::string with_user(std::string const& user) {
    lab::KubeconfigOptions options;
    options.no_credentials = true;
    std::string text = lab_.kubeconfig(options);
    return text.replace(text.find("user: {}"), 8, "user: " + user);
  }

  static void expect_failure(Visit const& visit, std::string const& hop, int code,
                             std::string const& part) {
    EXPECT_EQ(visit.code, code) << hop << " " << visit.errors;
    ASSERT_EQ(visit.failed(), hop) << visit.forwards.dump(1);
    EXPECT_NE(visit.hop(hop)["message"].get<std::string>().find(part), std::string::npos)
        << visit.hop(hop);
    // What is wrong with a file says itself what would be right.
    EXPECT_EQ(visit.hop(hop)["cure"] == "", hop == "config");
  }
};

TEST_F(DoctorTest, AllIsWell) {
  Visit const visit = visit_forwards({"resource: pod/solo, port: 9003, localPort: auto, alias: a"});
  EXPECT_EQ(visit.code, 0);
  ASSERT_EQ(visit.failed(), "") << visit.forwards.dump(1);
  for (char const* const name : {"config", "kubeconfig", "resolve", "tcp", "rights", "target",
                                 "pod", "port", "local-port", "tunnel", "reply"}) {
    EXPECT_EQ(visit.hop(name)["verdict"], "ok") << name;
  }
  // The lab's certificates end within a day.
  EXPECT_EQ(visit.hop("tls")["verdict"], "warning");
  EXPECT_EQ(visit.hop("login")["verdict"], "warning");
  EXPECT_NE(visit.hop("login")["detail"].get<std::string>().find("lab-admin"), std::string::npos);
  EXPECT_EQ(visit.hop("pod")["detail"], "solo");
  EXPECT_EQ(visit.hop("tunnel")["detail"], "websocket");
  // Nothing is left behind.
  EXPECT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_connections() == 0; }));
}

TEST_F(DoctorTest, ATableForPeople) {
  Program program({"doctor", "pod/solo", ":9003", "--kubeconfig", dir_.file("kubeconfig")});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_TRUE(program.wait_for_line("1 forward: all work; warnings: 2"));
  for (OutputLine const& line : program.lines()) {
    if (line.text.find(dir_.path()) == std::string::npos) {
      EXPECT_LE(line.text.size(), 80u) << line.text;
    }
    EXPECT_EQ(line.text.find('\x1b'), std::string::npos) << line.text;
  }
}

TEST_F(DoctorTest, TheWayToTheServer) {
  expect_failure(visit_solo(with_server("https://no-such-host.invalid:6443")), "resolve", 1,
                 "no-such-host.invalid");
  std::string const port = std::to_string(free_port());
  expect_failure(visit_solo(with_server("https://127.0.0.1:" + port)), "tcp", 1,
                 "127.0.0.1:" + port);
  std::string const behind = lab_.kubeconfig();
  std::size_t const at = behind.find("certificate-authority-data");
  Visit const no_proxy =
      visit_solo(std::string(behind).insert(at, "proxy-url: http://127.0.0.1:" + port + "\n    "));
  expect_failure(no_proxy, "tcp", 1, "the proxy: 127.0.0.1:" + port);
  EXPECT_NE(no_proxy.hop("tcp")["cure"].get<std::string>().find("proxy-url"), std::string::npos);
  std::string const url = lab_.call([](Lab& lab) { return lab.server.url(); });
  LabThread other;
  lab::KubeconfigOptions wrong_authority;
  wrong_authority.server = url;
  expect_failure(visit_solo(other.kubeconfig(wrong_authority)), "tls", 1, "certificate");
  lab::ApiServerOptions options;
  options.expired = true;
  LabThread expired(options);
  expect_failure(visit_solo(expired.kubeconfig()), "tls", 1, "expired");
}

TEST_F(DoctorTest, LoginAndRights) {
  expect_failure(visit_solo(with_user("{token: unknown}")), "login", 4, "401");
  expect_failure(visit_solo(with_user("{exec: {apiVersion: client.authentication.k8s.io/v1, "
                                      "interactiveMode: Never, command: /bin/false}}")),
                 "login", 4, "false");
  lab_.call([](Lab& lab) { lab.server.access().add_user("jane", "janes-token"); });
  Visit const nothing = visit_solo(with_user("{token: janes-token}"));
  expect_failure(nothing, "rights", 4, "pods/portforward");
  EXPECT_NE(nothing.hop("login")["detail"].get<std::string>().find("jane"), std::string::npos);
  EXPECT_EQ(nothing.hop("tunnel")["verdict"], "skipped");
  EXPECT_EQ(nothing.hop("local-port")["verdict"], "ok");
  lab_.call([](Lab& lab) {
    lab.server.access().allow("jane", {{"get", "create"}, {"pods/portforward"}});
  });
  Visit const narrow = visit_solo(with_user("{token: janes-token}"));
  EXPECT_EQ(narrow.code, 0) << narrow.forwards.dump(1);
  EXPECT_EQ(narrow.hop("rights")["verdict"], "warning");
}

TEST_F(DoctorTest, TargetPodAndPort) {
  add_pod("unready");
  lab_.call([](Lab& lab) {
    lab.cluster.set_ready(lab::PodName("default", "unready"), false);
    lab.cluster.set_labels(lab::PodName("default", "unready"), {{"app", "unready"}});
    lab.cluster.add_service({"default", "front", {{"app", "unready"}}, {{"line", 80, "9003"}}});
  });
  Visit const visit =
      visit_forwards({"resource: pod/solo, port: 9003, localPort: auto, alias: good",
                      "resource: pod/none, port: 80, localPort: auto, alias: no-pod",
                      "resource: service/none, port: 80, localPort: auto, alias: no-service",
                      "resource: service/front, port: 80, localPort: auto, alias: no-ready-pod",
                      "resource: pod/solo, port: nothing, localPort: auto, alias: no-port",
                      "resource: pod/solo, port: 9999, localPort: auto, alias: refused",
                      "resource: pod/solo, port: 80, localPort: auto, alias: off, disabled: true"});
  EXPECT_EQ(visit.code, 1);
  auto const failed = [&](std::string const& alias) {
    return visit.forwards.at(alias + ":auto").at("failed").get<std::string>();
  };
  EXPECT_EQ(failed("good"), "");
  EXPECT_EQ(failed("no-pod"), "target");
  EXPECT_EQ(failed("no-service"), "target");
  EXPECT_EQ(failed("no-ready-pod"), "pod");
  EXPECT_EQ(failed("no-port"), "port");
  EXPECT_EQ(failed("refused"), "reply");
  EXPECT_EQ(visit.forwards.at("off:auto").at("verdict"), "skipped");
}

TEST_F(DoctorTest, TheConfiguration) {
  Visit const broken = visit({"-f", dir_.write("broken.yaml", "contexts: {\n")});
  expect_failure(broken, "config", 3, "broken.yaml:");
  EXPECT_EQ(visit({"-f", dir_.file("forwards.yaml"), "nobody"}).code, 3);
  Visit const context =
      visit({"pod/solo", ":80", "--context", "none", "--kubeconfig", dir_.file("kubeconfig")});
  expect_failure(context, "kubeconfig", 3, "none");
  EXPECT_EQ(Program({"doctor", "pod/solo", "0"}).wait(), 2);
}

TEST_F(DoctorTest, ASignalEndsItAndThePluginThatItWaitsFor) {
  std::string const started = dir_.file("started");
  std::string const user =
      "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: "
      "Never, command: /bin/sh, args: [-c, \"echo $$ > " +
      started + ".new; mv " + started + ".new " + started + "; sleep 600\"]}}";
  Program program(
      {"doctor", "pod/solo", ":9003", "--kubeconfig", dir_.write("other", with_user(user))});
  TimePoint const deadline = Clock::now() + kPatience;
  pid_t plugin = 0;
  while (plugin == 0 && Clock::now() < deadline) {
    std::ifstream(started) >> plugin;
    if (plugin == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_GT(plugin, 0);
  EXPECT_EQ(::kill(plugin, 0), 0);
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 1);
  EXPECT_EQ(::kill(plugin, 0), -1);
}

TEST_F(DoctorTest, ItRunsBesideARunningInstance) {
  std::uint16_t const port = free_port();
  std::string const line =
      "resource: pod/solo, port: 9003, alias: a, localPort: " + std::to_string(port);
  Program program = up({line});
  ASSERT_EQ(active_port(program, "a:" + std::to_string(port)), port);
  Client client(port);
  ASSERT_EQ(client.read(12), "READY solo\r\n");
  Visit const beside = visit_forwards({line});
  EXPECT_EQ(beside.code, 0);
  EXPECT_EQ(beside.hop("local-port")["verdict"], "ok");
  EXPECT_EQ(client.end(), End::open);
  BusyPort busy;
  Visit const taken = visit(
      {"pod/solo", std::to_string(busy.port()) + ":9003", "--kubeconfig", dir_.file("kubeconfig")});
  EXPECT_EQ(taken.code, 0);
  EXPECT_EQ(taken.hop("local-port")["verdict"], "warning");
  EXPECT_NE(taken.hop("local-port")["message"].get<std::string>().find("pid"), std::string::npos);
}

}  // namespace
}  // namespace kportal::test
