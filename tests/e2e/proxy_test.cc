// SPDX-License-Identifier: MIT
// The program behind real proxies: tinyproxy (HTTP CONNECT) and microsocks (SOCKS5).
#include <string>

#include <gmock/gmock.h>

#include "tests/e2e/scene.h"
#include "tests/support/ipv6.h"
#include "tests/support/proxy_process.h"

namespace kportal::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class ProxyTest : public E2eTest {
 protected:
  static ProxyOptions login(std::uint16_t port = 0) {
    ProxyOptions options;
    options.user = "me";
    options.password = "pr0xypass";
    options.port = port;
    return options;
  }
  // The lab's kubeconfig with these lines in its cluster, and another host than 127.0.0.1, which
  // proxies of the environment are never asked for.
  void write_kubeconfig(std::string const& lines, std::string const& host = "127.0.0.1") {
    std::string text = lab_.kubeconfig();
    std::string const before = "    server: https://127.0.0.1:";
    auto const at = text.find(before);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, before.size(), lines + "    server: https://" + host + ":");
    dir_.write("kubeconfig", text);
  }
  Program up_with(std::vector<std::string> environment) {
    dir_.write("forwards.yaml", forwards({kForward}));
    ProgramOptions options;
    options.environment = std::move(environment);
    return Program(up_arguments(), std::move(options));
  }
  static std::string all_of(Program const& program) {
    std::string text = program.errors();
    for (auto const& line : program.lines()) text += line.text;
    return text;
  }
  static void expect_works(Program& program) {
    auto const port = active_port(program, "web:auto");
    ASSERT_NE(port, 0);
    EXPECT_THAT(http_get(port, "/").body, HasSubstr("pod="));
  }

  static constexpr char const* kForward =
      "resource: deployment/web, port: 8080, localPort: auto, alias: web";
  std::string why_not_;
};

TEST_F(ProxyTest, AForwardOutlivesItsHttpProxy) {
  auto proxy = ProxyProcess::http(login(), why_not_);
  if (!proxy) GTEST_SKIP() << why_not_;
  add_deployment("web");
  write_kubeconfig("    proxy-url: " + proxy->url() + "\n");
  Program program = up({kForward});
  expect_works(program);
  auto const port = proxy->port();
  proxy->stop();
  auto const* const lost = program.wait_for_status("web:auto", Status::reconnecting);
  ASSERT_NE(lost, nullptr);
  auto const place = "through proxy 127.0.0.1:" + std::to_string(port);
  EXPECT_TRUE(program.wait_for_line(place));
  proxy = ProxyProcess::http(login(port), why_not_);
  expect_works(program);
  EXPECT_THAT(all_of(program), Not(HasSubstr("pr0xypass")));
}

TEST_F(ProxyTest, SpdyThroughSocks5OfTheEnvironment) {
  auto const proxy = ProxyProcess::socks5(login(), why_not_);
  if (!proxy) GTEST_SKIP() << why_not_;
  add_deployment("web");
  lab_.call([](Lab& lab) { lab.server.faults().websocket = lab::WebSocketGate::refused_400; });
  write_kubeconfig("    tls-server-name: localhost\n", "0.0.0.0");
  Program program = up_with({"HTTPS_PROXY=" + proxy->url()});
  expect_works(program);
  // Who is on the other side of it is the proxy alone.
  proxy->stop();
  ASSERT_NE(program.wait_for_status("web:auto", Status::reconnecting), nullptr);
  EXPECT_TRUE(program.wait_for_line("0.0.0.0:"));
  EXPECT_TRUE(program.wait_for_line("through proxy 127.0.0.1:" + std::to_string(proxy->port())));
}

TEST_F(ProxyTest, NoProxyExempts) {
  add_deployment("web");
  write_kubeconfig("    tls-server-name: localhost\n", "0.0.0.0");
  // Nobody listens on port 1.
  Program program = up_with({"https_proxy=127.0.0.1:1", "no_proxy=10.0.0.0/8,0.0.0.0/31"});
  expect_works(program);
}

TEST_F(ProxyTest, AnIpv6Server) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  lab::ApiServerOptions options;
  options.address = "::1";
  LabThread lab(options);
  lab.call([](Lab& its) {
    lab::WorkloadSpec workload;
    workload.name = "web";
    its.cluster.add_workload(workload);
  });
  for (bool const socks : {false, true}) {
    auto const proxy =
        socks ? ProxyProcess::socks5(login(), why_not_) : ProxyProcess::http(login(), why_not_);
    if (!proxy) GTEST_SKIP() << why_not_;
    std::string text = lab.kubeconfig();
    auto const at = text.find("    server: https://[::1]:");
    ASSERT_NE(at, std::string::npos) << text;
    dir_.write("kubeconfig", text.insert(at, "    proxy-url: " + proxy->url() + "\n"));
    Program program = up({kForward});
    expect_works(program);
  }
}

TEST_F(ProxyTest, AWrongLoginIsTold) {
  auto const proxy = ProxyProcess::socks5(login(), why_not_);
  if (!proxy) GTEST_SKIP() << why_not_;
  add_deployment("web");
  auto const place = "127.0.0.1:" + std::to_string(proxy->port());
  write_kubeconfig("    proxy-url: socks5://me:wr0ngpass@" + place + "\n");
  Program program = up({kForward});
  EXPECT_TRUE(
      program.wait_for_line("through proxy " + place + ": the proxy refuses the connection"));
  EXPECT_TRUE(program.wait_for_line("\"reason\":\"network\""));
  EXPECT_THAT(all_of(program), Not(HasSubstr("wr0ngpass")));
}

}  // namespace
}  // namespace kportal::test
