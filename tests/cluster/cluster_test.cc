// SPDX-License-Identifier: MIT
// The program against kube-apiserver, kubelet and containerd: what the lab imitates, done by the
// real ones. Needs the cluster of this folder to be up (`./dev cluster up`); without it these tests
// fail.
#include <algorithm>
#include <fstream>
#include <future>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/cluster_fixture.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using events::Status;

bool echo_1_mib(std::uint16_t port, unsigned seed) {
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

// 200 clients at once, each sending 1 MiB of its own and ending its side; how many got it back.
int echo_200_times_1_mib(std::uint16_t port) {
  std::vector<std::future<bool>> all;
  for (unsigned seed = 1; seed <= 200; ++seed) {
    all.push_back(std::async(std::launch::async, [=] { return echo_1_mib(port, seed); }));
  }
  int equal = 0;
  for (auto& one : all) equal += one.get() ? 1 : 0;
  return equal;
}

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

// How often the plugin of kubeconfig-exec was run, by anybody.
std::size_t plugin_runs() {
  std::ifstream file(cluster_dir() + "/state/exec-credential.calls");
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
}

TEST_F(ClusterTest, LogsInByAPluginOnceForAllForwards) {
  std::size_t const before = plugin_runs();
  auto const program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: solo",
                           "resource: service/web, port: 80, localPort: auto, alias: web"},
                          "kubeconfig-exec");
  EXPECT_EQ(http_get(active_port(*program, "solo:auto")).status, 200);
  EXPECT_EQ(http_get(active_port(*program, "web:auto")).status, 200);
  EXPECT_EQ(plugin_runs(), before + 1);
}

TEST_F(ClusterTest, LogsInByATokenFile) {
  auto const program =
      up({"resource: pod/solo, port: 8080, localPort: auto, alias: solo"}, "kubeconfig-tokenfile");
  EXPECT_EQ(http_get(active_port(*program, "solo:auto")).status, 200);
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
