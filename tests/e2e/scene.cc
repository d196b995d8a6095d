// SPDX-License-Identifier: MIT
#include "tests/e2e/scene.h"

namespace kportal::test {

void E2eTest::SetUp() {
  dir_.write("kubeconfig", lab_.kubeconfig());
}

std::string E2eTest::forwards(std::vector<std::string> const& lines, std::string const& head) {
  if (lines.empty()) return head + "contexts: []\n";
  std::string text = head +
                     "contexts:\n"
                     "  - name: lab\n"
                     "    kubeconfig: kubeconfig\n"
                     "    namespaces:\n"
                     "      - name: default\n"
                     "        forwards:\n";
  for (std::string const& line : lines) text += "          - { " + line + " }\n";
  return text;
}

std::vector<std::string> E2eTest::up_arguments(std::vector<std::string> const& more) const {
  std::vector<std::string> arguments{"up", "-f", dir_.file("forwards.yaml"), "--log-format",
                                     "json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Program E2eTest::up(std::vector<std::string> const& lines, std::string const& head) {
  dir_.write("forwards.yaml", forwards(lines, head));
  return Program(up_arguments());
}

void E2eTest::add_pod(std::string const& name, lab::Labels labels) {
  lab_.call([&](Lab& lab) {
    lab::PodSpec pod;
    pod.name = name;
    pod.labels = std::move(labels);
    lab.cluster.add_pod(pod);
  });
}

void E2eTest::add_deployment(std::string const& name, int replicas, Duration ready_after) {
  lab_.call([&](Lab& lab) {
    lab::WorkloadSpec workload;
    workload.name = name;
    workload.replicas = replicas;
    workload.ready_after = ready_after;
    lab.cluster.add_workload(workload);
  });
}

std::vector<std::string> E2eTest::pods_of(std::string const& workload) {
  return lab_.call([&](Lab& lab) {
    std::vector<std::string> names;
    for (auto const& pod : lab.cluster.pods_of(lab::ObjectName("default", workload))) {
      names.push_back(pod.name);
    }
    return names;
  });
}

std::size_t E2eTest::pod_connections(std::string const& pod) {
  return lab_.call(
      [&](Lab& lab) { return lab.server.open_pod_connections(lab::PodName("default", pod)); });
}

std::uint16_t E2eTest::active_port(Program& program, std::string_view forward, Duration within) {
  auto const* const change = program.wait_for_status(forward, Status::active, within);
  EXPECT_NE(change, nullptr) << forward << " is not Active";
  return change == nullptr ? std::uint16_t{0} : change->forward.local_port;
}

std::string E2eTest::pod_of(HttpAnswer const& answer) {
  std::size_t const begin = answer.body.find("pod=");
  if (begin == std::string::npos) return {};
  return answer.body.substr(begin + 4, answer.body.find(' ', begin) - begin - 4);
}

}  // namespace kportal::test
