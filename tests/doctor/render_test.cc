// SPDX-License-Identifier: MIT
#include "doctor/render.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kportal::doctor {
namespace {

using namespace std::chrono_literals;

Report one_forward() {
  Report report;
  report.config.ok(HopName::config, 3ms, "forwards.yaml");
  ClusterReport cluster;
  cluster.context = "staging";
  cluster.server = "https://10.0.0.1:6443";
  cluster.hops.ok(HopName::kubeconfig, 2ms, "user admin");
  cluster.hops.ok(HopName::resolve, 100us, "10.0.0.1");
  cluster.hops.ok(HopName::tcp, 1200ms, "10.0.0.1:6443");
  cluster.hops.skip(HopName::proxy, "none");
  report.clusters.push_back(cluster);
  ForwardReport forward;
  forward.id = "api:8080";
  forward.context = "staging";
  forward.namespace_ = "shop";
  forward.resource = "service/api";
  forward.local_port = 8080;
  report.forwards.push_back(forward);
  return report;
}

TEST(RenderTest, ATableOfAFailureOfTheCluster) {
  Report report = one_forward();
  report.clusters[0].hops.fail(HopName::tls, 12ms, Error(Errc::timeout, "no handshake in time"));
  report.forwards[0].hops.ok(HopName::local_port, 1ms, "8080 is free");
  EXPECT_EQ(to_table(report, false),
            "configuration\n"
            "  ok       config         3 ms  forwards.yaml\n"
            "\n"
            "context staging, https://10.0.0.1:6443\n"
            "  ok       kubeconfig     2 ms  user admin\n"
            "  ok       resolve       <1 ms  10.0.0.1\n"
            "  ok       tcp           1.2 s  10.0.0.1:6443\n"
            "  skipped  proxy                none\n"
            "  failed   tls           12 ms\n"
            "           no handshake in time\n"
            "           -> something accepts connections there, but speaks no TLS\n"
            "  skipped  not tried: login\n"
            "\n"
            "api:8080  service/api in shop\n"
            "  failed   tls: see context staging, https://10.0.0.1:6443 above\n"
            "  ok       local-port     1 ms  8080 is free\n"
            "  skipped  not tried: rights, target, pod, port, tunnel, reply\n"
            "\n"
            "1 forward: 1 failed: api:8080 (tls)\n");
}

TEST(RenderTest, LinesAreWrappedAndWhatCannotBePrintedIsShown) {
  Report report = one_forward();
  std::string words;
  for (int i = 0; i < 40; ++i) words += "wörd ";
  report.forwards[0].hops.ok(HopName::target, 1ms, words);
  report.forwards[0].hops.warn(HopName::pod, 1ms, words, "bad\x1b[31m " + words);
  std::string const table = to_table(report, false);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  std::size_t begin = 0;
  while (begin < table.size()) {
    std::size_t const end = table.find('\n', begin);
    std::string const line = table.substr(begin, end - begin);
    auto const continuations = std::count_if(line.begin(), line.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
    });
    EXPECT_LE(line.size() - static_cast<std::size_t>(continuations), kColumns) << line;
    EXPECT_FALSE(line.ends_with(' ')) << line;
    begin = end + 1;
  }
}

TEST(RenderTest, ColorIsOnTheVerdictAlone) {
  Report const report = one_forward();
  std::string const table = to_table(report, true);
  EXPECT_NE(table.find("  \x1b[32mok\x1b[0m       config"), std::string::npos);
}

TEST(RenderTest, ProblemsOfTheConfigurationStandOnLinesOfTheirOwn) {
  Report report;
  report.config.fail(HopName::config, 1ms, Error(Errc::local, "f.yaml:1:1: a\nf.yaml:2:1: b"));
  EXPECT_EQ(to_table(report, false),
            "configuration\n"
            "  failed   config         1 ms\n"
            "           f.yaml:1:1: a\n"
            "           f.yaml:2:1: b\n");
  auto const json = nlohmann::json::parse(to_json(report));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["failed"], "config");
  EXPECT_EQ(json[0]["hops"][0]["message"], "f.yaml:1:1: a\nf.yaml:2:1: b");
}

TEST(RenderTest, JsonHasEveryHopOfEveryForward) {
  Report report = one_forward();
  report.forwards[0].hops.fail(HopName::pod, 1500us, Error(Errc::no_ready_pod, "\"none\""));
  ForwardReport disabled;
  disabled.id = "db:auto";
  disabled.disabled = true;
  report.forwards.push_back(disabled);
  auto const json = nlohmann::json::parse(to_json(report));
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["id"], "api:8080");
  EXPECT_EQ(json[0]["context"], "staging");
  EXPECT_EQ(json[0]["namespace"], "shop");
  EXPECT_EQ(json[0]["resource"], "service/api");
  EXPECT_EQ(json[0]["localPort"], 8080);
  EXPECT_EQ(json[0]["verdict"], "failed");
  EXPECT_EQ(json[0]["failed"], "pod");
  std::vector<std::string> names;
  for (auto const& hop : json[0]["hops"]) names.push_back(hop["name"]);
  EXPECT_EQ(names, (std::vector<std::string>{"config", "kubeconfig", "resolve", "tcp", "proxy",
                                             "tls", "login", "rights", "target", "pod", "port",
                                             "local-port", "tunnel", "reply"}));
  auto const& pod = json[0]["hops"][9];
  EXPECT_EQ(pod["verdict"], "failed");
  EXPECT_EQ(pod["millis"], 1.5);
  EXPECT_EQ(pod["message"], "\"none\"");
  EXPECT_NE(pod["cure"], "");
  EXPECT_EQ(json[1]["verdict"], "skipped");
}

TEST(RenderTest, AnInterruptedForwardIsNotWell) {
  Report report = one_forward();
  report.forwards[0].hops.ok(HopName::local_port, 1ms, "8080 is free");
  EXPECT_NE(to_table(report, false).find("1 forward: 1 not tried to the end\n"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(to_json(report))[0]["verdict"], "skipped");
  report.forwards[0].hops.ok(HopName::reply, 1ms, "port 80 accepts");
  EXPECT_NE(to_table(report, false).find("1 forward: all is well\n"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(to_json(report))[0]["verdict"], "ok");
}

TEST(RenderTest, NoForwardsAreAnEmptyArray) {
  Report report;
  report.config.ok(HopName::config, 1ms, "f.yaml");
  EXPECT_EQ(to_json(report), "[]\n");
  EXPECT_NE(to_table(report, false).find("0 forwards: all is well\n"), std::string::npos);
}

}  // namespace
}  // namespace kportal::doctor
