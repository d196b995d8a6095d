// SPDX-License-Identifier: MIT
#include "tests/cluster/cluster_fixture.h"

#include <array>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace kportal::test {

using events::Status;

std::string cluster_dir() {
  if (char const* const dir = std::getenv("KPORTAL_CPP_CLUSTER_DIR")) return dir;
  if (char const* const cache = std::getenv("XDG_CACHE_HOME")) {
    return std::string(cache) + "/kportal-cpp-cluster";
  }
  return std::string(std::getenv("HOME")) + "/.cache/kportal-cpp-cluster";
}

std::string kubectl(std::string const& arguments) {
  std::string const command =
      fmt::format("{0}/bin/kubectl --kubeconfig {0}/kubeconfig {1}", cluster_dir(), arguments);
  struct Close {
    void operator()(FILE* file) const { pclose(file); }
  };
  std::unique_ptr<FILE, Close> const out(popen(command.c_str(), "r"));
  std::string text;
  std::array<char, 4096> buffer{};
  while (std::size_t const n = fread(buffer.data(), 1, buffer.size(), out.get())) {
    text.append(buffer.data(), n);
  }
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void ClusterTest::SetUp() {
  ASSERT_EQ(kubectl("get --raw /readyz"), "ok") << "the cluster is not up: ./dev cluster up";
}

std::unique_ptr<Program> ClusterTest::up(std::vector<std::string> const& forwards,
                                         std::string const& kubeconfig, ProgramOptions options) {
  std::string text =
      "healthCheck: { interval: 1s, timeout: 1s }\n"
      "contexts:\n"
      "  - name: \"\"\n";
  if (!kubeconfig.empty())
    text += fmt::format("    kubeconfig: {}/{}\n", cluster_dir(), kubeconfig);
  text +=
      "    namespaces:\n"
      "      - name: kportal-e2e\n"
      "        forwards:\n";
  for (std::string const& forward : forwards) text += "          - {" + forward + "}\n";
  std::string const file = dir_.write("forwards.yaml", text);
  std::vector<std::string> const arguments{"up", "--log-format", "json", "-f", file};
  return std::make_unique<Program>(arguments, std::move(options));
}

std::uint16_t ClusterTest::active_port(Program& program, std::string const& id) {
  auto const* const change = program.wait_for_status(id, Status::active);
  return change == nullptr ? std::uint16_t{0} : change->forward.local_port;
}

std::string ClusterTest::transport_of(Program& program, std::string const& id) {
  auto const event = program.wait_for_event("forward.connected", id);
  if (!event) return "none";
  return std::get<events::ForwardConnected>(event->fact).transport;
}

}  // namespace kportal::test
