// SPDX-License-Identifier: MIT
// Every kind of target in one program: which pod and port each leads to, what is said where there
// is none, and that kubectl chooses the same where the choice is not ours.
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.h"
#include "tests/lab/kubectl.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using lab::WorkloadKind;
using testing::HasSubstr;

class TargetsTest : public E2eTest {
 protected:
  void add_workload(WorkloadKind kind, std::string const& name, int replicas = 1) {
    lab_.call([&](Lab& lab) {
      lab::WorkloadSpec spec;
      spec.kind = kind;
      spec.name = name;
      spec.replicas = replicas;
      if (kind == WorkloadKind::daemon_set) {
        spec.labels = {{"app", name}, {"tier", "edge"}};
        spec.expressions = {{"app", "In", {name, "other"}}, {"tier", "Exists", {}}};
      }
      lab.cluster.add_workload(spec);
    });
  }
  void add_service(std::string const& name, lab::Labels selector,
                   std::vector<lab::ServicePort> ports, std::string const& type = "ClusterIP",
                   bool headless = false) {
    lab_.call([&](Lab& lab) {
      lab::ServiceSpec spec;
      spec.name = name;
      spec.selector = std::move(selector);
      spec.ports = std::move(ports);
      spec.type = type;
      spec.headless = headless;
      lab.cluster.add_service(spec);
    });
  }
  // A pod whose port named `web` is `number`, where it serves HTTP.
  void add_web_pod(std::string const& name, std::uint16_t number, lab::Labels labels = {}) {
    lab_.call([&](Lab& lab) {
      lab::PodSpec pod;
      pod.name = name;
      pod.labels = std::move(labels);
      pod.container_ports = {{"web", number}};
      pod.ports = {{number, lab::PortBehaviour::http}};
      lab.cluster.add_pod(pod);
    });
  }

  // One of each kind, each with one pod but for the Ready one of two.
  void add_one_of_each() {
    add_pod("solo");
    add_web_pod("tool-x7k2p", 8080);
    add_web_pod("labelled", 8080, {{"app", "api"}, {"tier", "web"}});
    add_web_pod("unlabelled", 8080, {{"app", "api"}, {"tier", "db"}});
    add_workload(WorkloadKind::deployment, "deploy");
    add_workload(WorkloadKind::stateful_set, "sts");
    add_workload(WorkloadKind::daemon_set, "ds");
    add_workload(WorkloadKind::replica_set, "rs");
    add_workload(WorkloadKind::job, "job");
    add_workload(WorkloadKind::replication_controller, "rc");
    add_workload(WorkloadKind::deployment, "two", 2);
    std::string const unready = pods_of("two").front();
    lab_.call([&](Lab& lab) { lab.cluster.set_ready({"default", unready}, false); });
    add_web_pod("named", 8123, {{"app", "named"}});
    add_service("svc", {{"app", "named"}}, {{"http", 80, "web"}, {"raw", 81, "8123"}});
    add_service("headless", {{"app", "named"}}, {{"http", 8123, "8123"}}, "ClusterIP", true);
    lab_.call([&](Lab& lab) {
      lab::PodSpec pod;
      pod.name = "mesh";
      pod.sidecar_ports = {{"proxy", 8080}};
      lab.cluster.add_pod(pod);
    });
  }

  struct Row {
    char const* resource;
    char const* port;
    std::string pod;
    std::uint16_t number;
  };
  std::vector<Row> rows() {
    auto const of = [&](char const* workload) { return pods_of(workload).back(); };
    return {{"pod/solo", "8080", "solo", 8080},
            {"po/solo", "http", "solo", 8080},
            {"pod/mesh", "proxy", "mesh", 8080},
            {"deployment/deploy", "8080", of("deploy"), 8080},
            {"deploy/deploy", "http", of("deploy"), 8080},
            {"statefulset/sts", "8080", of("sts"), 8080},
            {"sts/sts", "http", of("sts"), 8080},
            {"daemonset/ds", "8080", of("ds"), 8080},
            {"replicaset/rs", "8080", of("rs"), 8080},
            {"job/job", "8080", of("job"), 8080},
            {"rc/rc", "8080", of("rc"), 8080},
            {"deployment/two", "8080", of("two"), 8080},
            {"service/svc", "80", "named", 8123},
            {"svc/svc", "http", "named", 8123},
            {"svc/svc", "81", "named", 8123},
            {"svc/headless", "8123", "named", 8123}};
  }
  static std::string line(std::string const& alias, std::string const& resource,
                          std::string const& port) {
    return fmt::format("resource: {}, port: {}, localPort: auto, alias: {}", resource, port, alias);
  }
  // The message of the Error that the forward comes to, and its reason.
  static std::string error_of(Program& program, std::string const& alias, Reason reason) {
    auto const* const change = program.wait_for_status(alias + ":auto", Status::error);
    if (change == nullptr) return "not in Error";
    EXPECT_EQ(change->reason, reason) << change->message;
    return change->message;
  }
};

TEST_F(TargetsTest, EveryKindLeadsToItsPod) {
  add_one_of_each();
  auto const all = rows();
  std::vector<std::string> lines{
      "resource: pod/tool, port: web, localPort: auto, alias: prefix",
      "resource: pod, selector: 'app=api,tier in (web,x),!gone,tier!=db', port: web, localPort: "
      "auto, alias: selector"};
  for (std::size_t i = 0; i < all.size(); ++i) {
    lines.push_back(line(fmt::format("t{}", i), all[i].resource, all[i].port));
  }
  Program program = up(lines);
  EXPECT_EQ(pod_of(http_get(active_port(program, "prefix:auto"))), "tool-x7k2p");
  EXPECT_EQ(pod_of(http_get(active_port(program, "selector:auto"))), "labelled");
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::uint16_t const port = active_port(program, fmt::format("t{}:auto", i));
    EXPECT_EQ(pod_of(http_get(port)), all[i].pod) << all[i].resource << " " << all[i].port;
  }
  EXPECT_EQ(program.errors(), "");
}

TEST_F(TargetsTest, ANamedPortHasTheNumberOfEachPod) {
  add_web_pod("old", 8001, {{"app", "web"}});
  add_web_pod("new", 8002, {{"app", "web"}});
  add_service("web", {{"app", "web"}}, {{"http", 80, "web"}});
  Program program = up({line("web", "svc/web", "http") + ", balance: round-robin"});
  std::uint16_t const port = active_port(program, "web:auto");
  std::map<std::string, int> answers;
  TimePoint const deadline = Clock::now() + kPatience;
  while (answers.size() < 2 && Clock::now() < deadline) ++answers[pod_of(http_get(port))];
  EXPECT_TRUE(answers.contains("old") && answers.contains("new"));
}

TEST_F(TargetsTest, WhatCannotBeForwardedSaysWhyAndWhatToDo) {
  add_pod("solo", {{"app", "solo"}});
  add_service("manual", {}, {{"", 80, ""}});
  add_service("external", {}, {}, "ExternalName");
  add_service("dns", {{"app", "solo"}}, {{"dns", 53, "53", "UDP"}});
  add_service("web", {{"app", "solo"}}, {{"http", 80, "http"}, {"echo", 7, "7000"}});
  add_workload(WorkloadKind::deployment, "idle", 0);
  add_workload(WorkloadKind::job, "done");
  lab_.call([](Lab& lab) { lab.cluster.complete_job({"default", "done"}); });
  Program program = up({line("manual", "svc/manual", "80"), line("external", "svc/external", "80"),
                        line("dns", "svc/dns", "53"), line("port", "svc/web", "81"),
                        line("name", "pod/solo", "grpc"), line("nobody", "sts/nobody", "80"),
                        line("idle", "deploy/idle", "80"), line("done", "job/done", "8080"),
                        line("warned", "svc/web", "8080")},
                       "healthCheck: { method: tcp-dial, startupGrace: 100ms }\n");
  EXPECT_THAT(error_of(program, "manual", Reason::unsupported),
              HasSubstr("has no selector, so no pods are known to be behind it: name a pod"));
  EXPECT_THAT(error_of(program, "external", Reason::unsupported),
              HasSubstr("ExternalName and has no pods: connect to example.test directly"));
  EXPECT_THAT(error_of(program, "dns", Reason::unsupported), HasSubstr("only TCP"));
  EXPECT_THAT(error_of(program, "port", Reason::no_such_port),
              HasSubstr("has no port 81; it has 80 (http), 7 (echo)"));
  EXPECT_THAT(error_of(program, "name", Reason::no_such_port),
              HasSubstr("no port named grpc; it has 7000 (echo), 8080 (http), "));
  EXPECT_THAT(error_of(program, "nobody", Reason::not_found),
              HasSubstr("namespace default has no statefulset of this name"));
  EXPECT_THAT(error_of(program, "idle", Reason::no_ready_pod),
              HasSubstr("it is scaled to 0 replicas"));
  EXPECT_THAT(error_of(program, "done", Reason::no_ready_pod),
              HasSubstr("is Succeeded; it has completed"));
  EXPECT_EQ(pod_of(http_get(active_port(program, "warned:auto"))), "solo");
  EXPECT_TRUE(program.wait_for_error_text("targetPort of its port 80 (http): write port 80"));
}

TEST_F(TargetsTest, AWorkloadThatIsMadeAnewWithOtherLabelsIsFollowed) {
  add_workload(WorkloadKind::stateful_set, "db");
  Program program = up({line("db", "sts/db", "8080")});
  std::uint16_t const port = active_port(program, "db:auto");
  EXPECT_EQ(pod_of(http_get(port)), "db-0");
  std::size_t const mark = program.mark();
  lab_.call([](Lab& lab) {
    lab.cluster.delete_workload({"default", "db"});
    lab::WorkloadSpec spec;
    spec.kind = WorkloadKind::stateful_set;
    spec.name = "db";
    spec.labels = {{"app", "database"}};
    spec.replicas = 2;
    lab.cluster.add_workload(spec);
  });
  ASSERT_TRUE(program.wait_for_event("forward.connected", "db:auto", mark));
  EXPECT_THAT(pod_of(http_get(port)), testing::StartsWith("db-"));
}

// kubectl prints the port it leads to; the pod answers who it is.
TEST_F(TargetsTest, KubectlLeadsToTheSamePodsAndPorts) {
  std::string const kubectl = find_kubectl();
  // Older ones do not know the ports of sidecars.
  if (kubectl.empty() || kubectl_minor_version(kubectl) < 30) {
    GTEST_SKIP() << "no kubectl of 1.30 or newer: set KPORTAL_KUBECTL to the path of one";
  }
  add_one_of_each();
  for (Row const& row : rows()) {
    ProgramOptions options;
    options.wrapper = {"sh", "-c",
                       fmt::format("exec {} --kubeconfig {} port-forward {} :{}", kubectl,
                                   dir_.file("kubeconfig"), row.resource, row.port)};
    Program const theirs({}, options);
    auto const told = theirs.wait_for_line("Forwarding from 127.0.0.1:");
    ASSERT_TRUE(told) << row.resource << theirs.errors();
    unsigned local = 0;
    unsigned number = 0;
    ASSERT_EQ(
        std::sscanf(told->text.c_str(), "Forwarding from 127.0.0.1:%u -> %u", &local, &number), 2);
    EXPECT_EQ(number, row.number) << row.resource << " " << row.port;
    EXPECT_EQ(pod_of(http_get(static_cast<std::uint16_t>(local))), row.pod) << row.resource;
  }
}

}  // namespace
}  // namespace kportal::test
