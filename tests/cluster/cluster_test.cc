// SPDX-License-Identifier: MIT
// The program against kube-apiserver, kubelet and containerd: what the lab imitates, done by the
// real ones. Needs the cluster of this folder to be up (`./dev cluster up`); without it these tests
// fail.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/program.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using events::Status;

std::string cluster_dir() {
  if (char const* const dir = std::getenv("KPORTAL_CPP_CLUSTER_DIR")) return dir;
  if (char const* const cache = std::getenv("XDG_CACHE_HOME")) {
    return std::string(cache) + "/kportal-cpp-cluster";
  }
  return std::string(std::getenv("HOME")) + "/.cache/kportal-cpp-cluster";
}

// What kubectl prints, without the newline at the end.
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

class ClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(kubectl("get --raw /readyz"), "ok") << "the cluster is not up: ./dev cluster up";
  }

  // The program on forwards (flow mappings without braces), as the user of that kubeconfig.
  std::unique_ptr<Program> up(std::vector<std::string> const& forwards,
                              std::string const& kubeconfig = "kubeconfig") {
    std::string text = fmt::format(
        "healthCheck: {{ interval: 1s, timeout: 1s }}\n"
        "contexts:\n"
        "  - name: \"\"\n"
        "    kubeconfig: {}/{}\n"
        "    namespaces:\n"
        "      - name: kportal-e2e\n"
        "        forwards:\n",
        cluster_dir(), kubeconfig);
    for (std::string const& forward : forwards) text += "          - {" + forward + "}\n";
    std::string const file = dir_.write("forwards.yaml", text);
    std::vector<std::string> const arguments{"up", "--log-format", "json", "-f", file};
    return std::make_unique<Program>(arguments);
  }

  // The local port once the forward is Active; 0 if that does not happen.
  static std::uint16_t active_port(Program& program, std::string const& id) {
    auto const* const change = program.wait_for_status(id, Status::active);
    return change == nullptr ? std::uint16_t{0} : change->forward.local_port;
  }

  static std::string transport_of(Program& program, std::string const& id) {
    auto const event = program.wait_for_event("forward.connected", id);
    if (!event) return "none";
    return std::get<events::ForwardConnected>(event->fact).transport;
  }

  // 200 clients at once, each sending 1 MiB of its own and ending its side; how many got it back.
  static int echo_200_times_1_mib(std::uint16_t port) {
    std::vector<std::future<bool>> all;
    for (unsigned seed = 1; seed <= 200; ++seed) {
      all.push_back(std::async(std::launch::async, [=] { return echo_1_mib(port, seed); }));
    }
    int equal = 0;
    for (auto& one : all) equal += one.get() ? 1 : 0;
    return equal;
  }

  TempDir dir_;

 private:
  static bool echo_1_mib(std::uint16_t port, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string data(1024 * 1024, '\0');
    for (char& c : data) c = static_cast<char>(random());
    Client client(port);
    std::thread sender([&] {
      client.send(data, 60s);
      client.shutdown_send();
    });
    std::string const back = client.read(data.size(), 60s);
    sender.join();
    return back == data && client.read_to_end(60s).empty() && client.end() == End::eof;
  }
};

TEST_F(ClusterTest, AnswersThroughEveryKindOfTarget) {
  auto const program =
      up({"resource: pod/solo, port: 8080, localPort: auto, alias: solo",
          "resource: service/web, port: 80, localPort: auto, alias: web",
          "resource: deployment/pair, port: http, localPort: auto, alias: pair",
          "resource: pod, selector: app=web, port: 8080, localPort: auto, alias: s"});
  EXPECT_THAT(http_get(active_port(*program, "solo:auto")).body, testing::HasSubstr("pod=solo "));
  EXPECT_THAT(http_get(active_port(*program, "web:auto")).body, testing::HasSubstr("pod=web-"));
  EXPECT_THAT(http_get(active_port(*program, "pair:auto")).body, testing::HasSubstr("pod=pair-"));
  EXPECT_THAT(http_get(active_port(*program, "s:auto")).body, testing::HasSubstr("pod=web-"));
  EXPECT_EQ(transport_of(*program, "solo:auto"), "websocket");
}

TEST_F(ClusterTest, CarriesTwoHundredConnectionsByWebSocket) {
  auto const program = up({"resource: pod/solo, port: 7000, localPort: auto, alias: echo"});
  EXPECT_EQ(echo_200_times_1_mib(active_port(*program, "echo:auto")), 200);
  EXPECT_EQ(transport_of(*program, "echo:auto"), "websocket");
}

TEST_F(ClusterTest, CarriesTwoHundredConnectionsBySpdyWhereTheWebSocketIsForbidden) {
  auto const program =
      up({"resource: pod/solo, port: 7000, localPort: auto, alias: echo"}, "kubeconfig-createonly");
  EXPECT_EQ(echo_200_times_1_mib(active_port(*program, "echo:auto")), 200);
  EXPECT_EQ(transport_of(*program, "echo:auto"), "spdy");
}

TEST_F(ClusterTest, ARefusedPortIsErrorAndDisturbsNobody) {
  auto const program = up({"resource: pod/solo, port: 9999, localPort: auto, alias: refused",
                           "resource: pod/solo, port: 8080, localPort: auto, alias: http"});
  std::uint16_t const port = active_port(*program, "http:auto");
  auto const* const change = program->wait_for_status("refused:auto", Status::error);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, events::Reason::refused);
  Client refused(change->forward.local_port);
  EXPECT_EQ(refused.read_to_end(), "");
  EXPECT_EQ(refused.end(), End::reset);
  EXPECT_EQ(http_get(port).status, 200);
}

TEST_F(ClusterTest, NobodyIsRefusedOrResetWhileAPodIsReplaced) {
  auto const program = up({"resource: service/web, port: 80, localPort: auto, alias: web"});
  std::uint16_t const port = active_port(*program, "web:auto");
  std::string const before = kubectl("get pods -l app=web -o name");
  std::vector<std::future<HttpAnswer>> asked;
  TimePoint const begin = Clock::now();
  auto const deleting =
      std::async(std::launch::async, [] { return kubectl("delete pod -l app=web --wait=false"); });
  std::set<std::string> pods;
  TimePoint next = begin;
  while (Clock::now() < begin + 6s) {
    asked.push_back(std::async(std::launch::async, [=] { return http_get(port); }));
    next += 20ms;
    std::this_thread::sleep_until(next);
  }
  int refused = 0;
  int reset = 0;
  int answered = 0;
  Duration longest{};
  for (auto& one : asked) {
    HttpAnswer const answer = one.get();
    refused += answer.end == End::refused ? 1 : 0;
    reset += answer.end == End::reset ? 1 : 0;
    if (answer.status != 200) continue;
    ++answered;
    longest = std::max(longest, answer.took);
    pods.insert(answer.body.substr(0, answer.body.find(' ')));
  }
  fmt::print("{} asked, {} answered, {} refused, {} reset; the longest wait {} ms\n", asked.size(),
             answered, refused, reset,
             std::chrono::duration_cast<std::chrono::milliseconds>(longest).count());
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(reset, 0);
  EXPECT_EQ(answered, static_cast<int>(asked.size()));
  EXPECT_EQ(pods.size(), 2u) << before;
}

}  // namespace
}  // namespace kportal::test
