// SPDX-License-Identifier: MIT
// Every kind of workload as the real controllers make them, in a namespace of the test's own; and
// connections in turn over the pods of a Deployment.
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/cluster_fixture.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using events::Status;
using testing::HasSubstr;
using testing::StartsWith;

// A workload with a pod of the test cluster's server.
std::string workload(std::string const& kind, std::string const& api, std::string const& name,
                     std::string const& spec, std::string const& restart = "Always") {
  return fmt::format(R"(
---
apiVersion: {}
kind: {}
metadata: {{name: {}}}
spec:
  {}
  template:
    metadata: {{labels: {{app: {}}}}}
    spec:
      automountServiceAccountToken: false
      dnsPolicy: Default
      restartPolicy: {}
      terminationGracePeriodSeconds: 1
      containers:
      - name: server
        image: kportal.test/pod:1
        imagePullPolicy: Never
        env: [{{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}
)",
                     api, kind, name, spec, name, restart);
}

class TargetsClusterTest : public ClusterTest {
 protected:
  // Of the test's own, in place of what an earlier run may have left.
  void enter(std::string const& name_space) {
    namespace_ = name_space;
    kubectl("delete --ignore-not-found namespace " + namespace_);
    ASSERT_THAT(kubectl("create namespace " + namespace_), HasSubstr("created"));
  }
  void TearDown() override { kubectl(fmt::format("delete namespace {} --wait=false", namespace_)); }
  std::string in_namespace(std::string const& arguments) {
    return kubectl(fmt::format("-n {} {}", namespace_, arguments));
  }
  void apply(std::string const& yaml) {
    ASSERT_THAT(in_namespace("apply -f " + dir_.write("objects.yaml", yaml)), HasSubstr("created"));
  }
  Program forwards(std::vector<std::string> const& lines) {
    std::string text = fmt::format(
        "healthCheck: {{ interval: 1s, timeout: 1s }}\n"
        "contexts: [{{name: \"\", kubeconfig: {}/kubeconfig, namespaces: [{{name: {}, forwards: "
        "[\n",
        cluster_dir(), namespace_);
    for (std::string const& line : lines) text += "  {" + line + "},\n";
    text += "]}]}]\n";
    return Program({"up", "--log-format", "json", "-f", dir_.write("targets.yaml", text)});
  }

  std::string namespace_;
};

TEST_F(TargetsClusterTest, EveryKindOfWorkloadLeadsToItsPodAndAJobsEndIsTold) {
  enter("kportal-workloads");
  auto const labels = [](std::string const& name) {
    return fmt::format("selector: {{matchLabels: {{app: {}}}}}", name);
  };
  apply(workload("StatefulSet", "apps/v1", "sts", labels("sts") + "\n  serviceName: sts") +
        workload("DaemonSet", "apps/v1", "ds",
                 "selector: {matchExpressions: [{key: app, operator: In, values: [ds, x]}]}") +
        workload("ReplicaSet", "apps/v1", "rs", labels("rs")) +
        workload("Job", "batch/v1", "job", "backoffLimit: 0", "Never") +
        workload("ReplicationController", "v1", "rc", "selector: {app: rc}"));
  std::vector<std::string> lines;
  std::vector<std::string> const kinds{"sts", "ds", "rs", "job", "rc"};
  for (std::string const& kind : kinds) {
    lines.push_back(
        fmt::format("resource: {0}/{0}, port: http, localPort: auto, alias: {0}", kind));
  }
  Program program = forwards(lines);
  for (std::string const& kind : kinds) {
    std::uint16_t const port = active_port(program, kind + ":auto");
    EXPECT_THAT(http_get(port).body, StartsWith("pod=" + kind + "-")) << kind;
  }
  http_get(active_port(program, "job:auto"), "/exit?code=0");
  auto const* const change = program.wait_for_status("job:auto", Status::error, 60s);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, events::Reason::no_ready_pod);
  EXPECT_THAT(change->message, HasSubstr("Succeeded"));
}

TEST_F(TargetsClusterTest, RoundRobinGoesToEachPodInTurnAndOneThatIsDeletedFailsNobody) {
  enter("kportal-turns");
  apply(workload("Deployment", "apps/v1", "pair",
                 "replicas: 2\n  selector: {matchLabels: {app: pair}}"));
  in_namespace("rollout status deployment/pair --timeout=60s");
  Program program =
      forwards({"resource: deployment/pair, port: http, localPort: auto, alias: pair, balance: "
                "round-robin"});
  std::uint16_t const port = active_port(program, "pair:auto");
  auto const ask = [port](int n) {
    std::map<std::string, int> answers;
    for (int i = 0; i < n; ++i) {
      std::string const body = http_get(port).body;
      ++answers[body.substr(0, body.find(' '))];
    }
    return answers;
  };
  TimePoint const deadline = Clock::now() + kPatience;
  while (ask(2).size() != 2) ASSERT_LT(Clock::now(), deadline);
  for (auto const& [pod, n] : ask(100)) EXPECT_EQ(n, 50) << pod;
  std::string const pods = in_namespace("get pods -o name");
  std::size_t const mark = program.mark();
  in_namespace(fmt::format("delete {} --wait=false", pods.substr(0, pods.find('\n'))));
  TimePoint const end = Clock::now() + 6s;
  while (Clock::now() < end) EXPECT_FALSE(ask(10).contains(""));
  EXPECT_EQ(ask(2).size(), 2U) << "its successor has not joined";
  EXPECT_FALSE(program.wait_for_line("connection.failed", mark, 0s));
  EXPECT_FALSE(program.wait_for_line("forward.disconnected", mark, 0s));
}

}  // namespace
}  // namespace kportal::test
