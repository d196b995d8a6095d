// SPDX-License-Identifier: MIT
// What users see while the real cluster deletes, evicts and rolls out pods, and while its parts are
// restarted: a connection every 20 ms all the while. The figures are printed.
#include <algorithm>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/cluster_fixture.h"
#include "tests/e2e/pulse.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using events::Status;
using testing::HasSubstr;

constexpr char const* kNamespace = "kportal-failover";

long long to_ms(Duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

void ctl(std::string const& arguments) {
  std::string const command =
      fmt::format("{}/ctl {} >/dev/null 2>&1", KPORTAL_CLUSTER_SOURCES, arguments);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

// Pods of an app as a watch of kubectl tells of them, a line a change: name, Ready.
class PodWatch {
 public:
  explicit PodWatch(std::string const& app)
      : before_(kubectl(fmt::format("-n {} get pods -l app={} -o name", kNamespace, app))),
        watch_({}, options(app)) {}
  // When a pod that was not there before is Ready.
  TimePoint next_ready() const {
    auto const line = watch_.wait_for([&](OutputLine const& each) {
      bool const ready = each.text.find(" True") != std::string::npos;
      return ready && before_.find(each.text.substr(0, each.text.find(' '))) == std::string::npos;
    });
    EXPECT_TRUE(line) << "no other pod is Ready";
    return line ? line->at : TimePoint();
  }

 private:
  static ProgramOptions options(std::string const& app) {
    ProgramOptions options;
    options.wrapper = {
        "/bin/sh", "-c",
        fmt::format("exec {0}/bin/kubectl --kubeconfig {0}/kubeconfig -n {1} get pods -l app={2} "
                    "-w --no-headers -o 'custom-columns=N:.metadata.name,"
                    "R:.status.conditions[?(@.type==\"Ready\")].status'",
                    cluster_dir(), kNamespace, app)};
    return options;
  }
  std::string before_;
  Program watch_;
};

std::string deployment(std::string const& name, int replicas, std::string const& strategy) {
  return fmt::format(R"(
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {0}}}
spec:
  replicas: {1}
  selector: {{matchLabels: {{app: {0}}}}}
  strategy: {{rollingUpdate: {2}}}
  template:
    metadata: {{labels: {{app: {0}}}}}
    spec:
      automountServiceAccountToken: false
      dnsPolicy: Default
      terminationGracePeriodSeconds: 5
      containers:
      - name: server
        image: kportal.test/pod:1
        imagePullPolicy: Never
        env: [{{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}
)",
                     name, replicas, strategy);
}

class FailoverClusterTest : public ClusterTest {
 protected:
  static void SetUpTestSuite() {
    // What an earlier run may have left has to be gone first.
    kubectl(fmt::format("delete --ignore-not-found namespace {}", kNamespace));
    kubectl(fmt::format("create namespace {}", kNamespace));
    TempDir dir;
    std::string const file = dir.write(
        "objects.yaml", deployment("one", 1, "{maxSurge: 1, maxUnavailable: 0}") +
                            deployment("surge", 3, "{maxSurge: 1, maxUnavailable: 0}") +
                            deployment("in-place", 3, "{maxSurge: 0, maxUnavailable: 1}"));
    in_namespace("apply -f " + file);
  }
  static void TearDownTestSuite() {
    kubectl(fmt::format("delete namespace {} --wait=false", kNamespace));
  }
  static std::string in_namespace(std::string const& arguments) {
    return kubectl(fmt::format("-n {} {}", kNamespace, arguments));
  }
  static void wait_rolled_out(std::string const& name) {
    ASSERT_THAT(in_namespace("rollout status --timeout=90s deployment/" + name),
                HasSubstr("successfully"));
  }
  Program forward(std::string const& name, std::string const& head = "") {
    std::string const text = fmt::format(
        "healthCheck: {{ interval: 1s, timeout: 1s }}\n{}"
        "contexts: [{{name: \"\", kubeconfig: {}/kubeconfig, namespaces: [{{name: {}, forwards: ["
        "{{resource: deployment/{}, port: 8080, localPort: auto, alias: x}}]}}]}}]\n",
        head, cluster_dir(), kNamespace, name);
    return Program({"up", "--log-format", "json", "-f", dir_.write("failover.yaml", text)});
  }
  static std::string newest_pod(Pulse const& pulse) {
    auto const beats = pulse.beats();
    auto const last = std::ranges::find_if(beats.rbegin(), beats.rend(),
                                           [](auto const& beat) { return beat.status == 200; });
    return last == beats.rend() ? std::string() : last->pod;
  }
  // Those asked after `from` and until `until` were not answered; for all of them that is a failure
  // but in these times.
  static void expect_all_answered(Pulse& pulse, std::string const& fault, TimePoint from = {},
                                  TimePoint until = {}) {
    pulse.stop();
    PulseCount const count = pulse.count();
    fmt::print("{}: {} asked, {} answered, {} refused, {} reset, {} cut; longest wait {} ms\n",
               fault, count.asked, count.answered, count.refused, count.reset, count.cut,
               to_ms(count.longest));
    EXPECT_EQ(count.refused, 0);
    EXPECT_EQ(count.waiting, 0);
    for (Pulse::Beat const& beat : pulse.beats()) {
      bool const excused = beat.asked >= from - 1s && beat.asked <= until;
      ASSERT_TRUE(beat.status == 200 || excused)
          << fault << ": " << to_word(beat.end) << " after " << to_ms(beat.ended - beat.asked);
    }
  }
  static void print(std::string const& fault, std::vector<Duration> times) {
    std::ranges::sort(times);
    fmt::print("{}: first answer after Ready: median {} ms, worst {} ms, of {}\n", fault,
               to_ms(times.at(times.size() / 2)), to_ms(times.back()), times.size());
    EXPECT_LE(times.at(times.size() / 2), 300ms);
    EXPECT_LE(times.back(), 1s);
  }
  // `away` ends the only pod at hand, whose name it gets.
  template <class Away>
  void replace_pods(std::string const& fault, int repetitions, Away away) {
    wait_rolled_out("one");
    Program program = forward("one");
    Pulse pulse(active_port(program, "x:auto"));
    std::vector<Duration> times;
    for (int i = 0; i < repetitions; ++i) {
      ASSERT_TRUE(pulse.wait_for_answer(Clock::now()));
      std::string const old = newest_pod(pulse);
      PodWatch const watch("one");
      away(old);
      TimePoint const ready = watch.next_ready();
      auto const answer = pulse.wait_for_answer(ready, old);
      ASSERT_TRUE(answer);
      // The program may hear of it before kubectl.
      times.push_back(std::max<Duration>(Duration(), *answer - ready));
      wait_rolled_out("one");
    }
    print(fault, times);
    expect_all_answered(pulse, fault);
    EXPECT_FALSE(program.wait_for_line("connection.failed", 0, 0s));
  }
  void roll_out(std::string const& name) {
    wait_rolled_out(name);
    Program program = forward(name);
    Pulse pulse(active_port(program, "x:auto"));
    Pulse slow(active_port(program, "x:auto"), 20ms, "/sleep?ms=300&n=");
    ASSERT_TRUE(pulse.wait_for_asked(10));
    in_namespace("rollout restart deployment/" + name);
    wait_rolled_out(name);
    ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 150));
    expect_all_answered(pulse, "rollout of 3, " + name);
    expect_all_answered(slow, "rollout of 3, requests of 300 ms, " + name);
  }
  // A part of the cluster is restarted: what is in a tunnel then may be lost.
  template <class Break>
  void break_part(std::string const& fault, Break break_it) {
    wait_rolled_out("one");
    Program program = forward("one");
    Pulse pulse(active_port(program, "x:auto"));
    ASSERT_TRUE(pulse.wait_for_asked(10));
    std::size_t const mark = program.mark();
    TimePoint const begin = Clock::now();
    break_it();
    TimePoint const back = Clock::now();
    auto const answer = pulse.wait_for_answer(back);
    ASSERT_TRUE(answer);
    ASSERT_NE(program.wait_for_status("x:auto", Status::active), nullptr);
    fmt::print("{}: {} ms, then first answer after {} ms, Active after {} ms\n", fault,
               to_ms(back - begin), to_ms(*answer - back), to_ms(Clock::now() - back));
    ASSERT_TRUE(pulse.wait_for_asked(pulse.count().asked + 100));
    auto const lost = program.wait_for_line("forward.disconnected", mark, 0s);
    expect_all_answered(pulse, fault, begin, lost ? lost->at : begin);
    EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", mark, 0s));
  }
};

TEST_F(FailoverClusterTest, ADeletedPod) {
  replace_pods("pod deleted", 5,
               [](std::string const& pod) { in_namespace("delete pod --wait=false " + pod); });
}

TEST_F(FailoverClusterTest, AnEvictedPod) {
  replace_pods("pod evicted", 3, [this](std::string const& pod) {
    std::string const eviction = fmt::format(
        R"({{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{}","namespace":"{}"}}}})",
        pod, kNamespace);
    kubectl(fmt::format("create --raw /api/v1/namespaces/{}/pods/{}/eviction -f {}", kNamespace,
                        pod, dir_.write("eviction.json", eviction)));
  });
}

TEST_F(FailoverClusterTest, ARolloutWithSurgeFailsNobody) {
  roll_out("surge");
}

TEST_F(FailoverClusterTest, ARolloutInPlaceFailsNobody) {
  roll_out("in-place");
}

TEST_F(FailoverClusterTest, TheKubeletIsRestarted) {
  break_part("kubelet restarted", [] { ctl("restart kubelet"); });
}

TEST_F(FailoverClusterTest, ContainerdIsRestarted) {
  break_part("containerd restarted", [] { ctl("restart containerd"); });
}

TEST_F(FailoverClusterTest, TheApiServerIsRestarted) {
  break_part("API server restarted", [] {
    ctl("kill kube-apiserver");
    ctl("start kube-apiserver");
  });
}

// For longer than a silent tunnel is trusted.
TEST_F(FailoverClusterTest, TheNodeFallsSilent) {
  break_part("kubelet frozen", [] {
    ctl("freeze kubelet");
    ::sleep(9);
    ctl("thaw kubelet");
  });
}

}  // namespace
}  // namespace kportal::test
