// SPDX-License-Identifier: MIT
// kubectl as the witness that the lab speaks Kubernetes: it lists, and it forwards by both
// transports.
#include "tests/lab/kubectl.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/wakeup.h"
#include "tests/lab/child_process.h"
#include "tests/lab/lab_fixture.h"

namespace kportal::lab {
namespace {

namespace fs = std::filesystem;
using asio::ip::tcp;
using test::ChildProcess;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

std::string variable(char const* name) {
  auto const* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// WebSocket is on by default since 1.31; an error text ends the whole forward, with exit code 1,
// since 1.27.
constexpr int kSpeaksWebSocket = 31;
constexpr int kGivesUp = 27;

enum class By { websocket, spdy };

class KubectlTest : public LabFixture {
 public:
  void SetUp() override {
    kubectl_ = test::find_kubectl();
    if (kubectl_.empty()) {
      stopped_ = true;
      GTEST_SKIP() << "no kubectl: set KPORTAL_KUBECTL to the path of one";
    }
    LabFixture::SetUp();
    std::string pattern = fs::temp_directory_path() / "kportal-kubectl-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    cluster_.add_deployment("default", "web");
    ServiceSpec service;
    service.name = "web";
    service.selector = {{"app", "web"}};
    service.ports = {{"http", 80, "http", "TCP"}, {"echo", 7, "7000", "TCP"}};
    cluster_.add_service(service);
    pod_ = cluster_.pods_of(ObjectName("default", "web")).front().name;
    write_kubeconfig(KubeconfigOptions());
  }
  void TearDown() override {
    LabFixture::TearDown();
    if (!directory_.empty()) fs::remove_all(directory_);
  }

  bool is_older_than(int minor) const {
    static int const version = test::kubectl_minor_version(kubectl_);
    return version < minor;
  }

  void write_kubeconfig(KubeconfigOptions const& options) {
    std::ofstream(directory_ / "kubeconfig") << server_.kubeconfig(options);
  }

  std::unique_ptr<ChildProcess> kubectl(std::vector<std::string> arguments, By by = By::websocket) {
    arguments.insert(arguments.begin(), kubectl_);
    std::vector<std::string> environment{
        "HOME=" + directory_.string(), "KUBECONFIG=" + (directory_ / "kubeconfig").string(),
        "PATH=" + variable("PATH"),
        std::string("KUBECTL_PORT_FORWARD_WEBSOCKETS=") + (by == By::spdy ? "false" : "true")};
    return std::make_unique<ChildProcess>(executor(), std::move(arguments), std::move(environment));
  }
  std::unique_ptr<ChildProcess> forward(std::string const& target, std::string const& port, By by) {
    return kubectl({"port-forward", target, ":" + port}, by);
  }

  // The local port that kubectl tells; 0 if it ends before.
  static awaitable<std::uint16_t> local_port(ChildProcess& child) {
    std::string_view const mark = "Forwarding from 127.0.0.1:";
    auto const told = co_await child.read_until(" -> ");
    auto const at = child.output().find(mark);
    EXPECT_TRUE(told && at != std::string::npos) << child.output();
    std::uint16_t port = 0;
    if (at != std::string::npos) {
      auto const* const begin = child.output().data() + at + mark.size();
      std::from_chars(begin, begin + 5, port);
    }
    co_return port;
  }

  awaitable<tcp::socket> connect(std::uint16_t port) {
    tcp::socket socket(executor());
    tcp::endpoint const to(asio::ip::address_v4::loopback(), port);
    auto const [error] = co_await socket.async_connect(to, kAsTuple);
    EXPECT_FALSE(error) << error.message();
    co_return socket;
  }

  // What the pod's web server answers to GET `path`.
  awaitable<std::string> get(std::uint16_t port, std::string path) {
    auto socket = co_await connect(port);
    auto const request =
        fmt::format("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    co_await asio::async_write(socket, asio::buffer(request), kAsTuple);
    std::string answer;
    auto const [error, n] =
        co_await asio::async_read(socket, asio::dynamic_buffer(answer), kAsTuple);
    EXPECT_EQ(error, asio::error::eof) << error.message() << " after " << n;
    co_return answer;
  }

  static awaitable<void> send_all(tcp::socket& socket, std::string const& data) {
    auto const [error, n] = co_await asio::async_write(socket, asio::buffer(data), kAsTuple);
    EXPECT_FALSE(error) << error.message() << " after " << n;
  }

  // Sends `data` to an echo and expects it back, both ways at once.
  awaitable<void> echo(std::uint16_t port, std::string data) {
    auto socket = co_await connect(port);
    TaskGroup writer(executor());
    writer.spawn(send_all(socket, data));
    std::string back(data.size(), '\0');
    auto const [error, n] = co_await asio::async_read(socket, asio::buffer(back), kAsTuple);
    EXPECT_FALSE(error) << error.message() << " after " << n;
    EXPECT_TRUE(back == data);
    co_await writer.join();
  }

  std::string pod_target() const { return "pod/" + pod_; }

  std::string kubectl_;
  fs::path directory_;
  std::string pod_;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 1;
  for (auto& c : text) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24U);
  }
  return text;
}

TEST_F(KubectlTest, GetPodsListsThem) {
  play([](KubectlTest& t) -> awaitable<void> {
    auto const child = t.kubectl({"get", "pods", "--no-headers"});
    auto const status = co_await child->wait();
    EXPECT_EQ(status, 0) << child->output();
    EXPECT_NE(child->output().find(t.pod_), std::string::npos) << child->output();
  }(*this));
}

TEST_F(KubectlTest, GetPodsOfAnUnknownTokenIsUnauthorized) {
  KubeconfigOptions options;
  options.token = "unknown";
  write_kubeconfig(options);
  play([](KubectlTest& t) -> awaitable<void> {
    auto const child = t.kubectl({"get", "pods"});
    auto const status = co_await child->wait();
    EXPECT_EQ(status, 1);
    EXPECT_NE(child->output().find("You must be logged in to the server"), std::string::npos)
        << child->output();
  }(*this));
}

class KubectlForwardTest : public KubectlTest, public testing::WithParamInterface<By> {
 public:
  void SetUp() override {
    KubectlTest::SetUp();
    if (IsSkipped() || GetParam() == By::spdy) return;
    if (is_older_than(kSpeaksWebSocket)) GTEST_SKIP() << kubectl_ << " speaks no WebSocket";
  }
  // A GET through kubectl's forward to `target`.
  awaitable<void> expect_pod_answers(std::string target, std::string port) {
    auto const child = forward(target, port, GetParam());
    auto const local = co_await local_port(*child);
    auto const answer = co_await get(local, "/hello");
    EXPECT_NE(answer.find("pod=" + pod_), std::string::npos) << answer << child->output();
    EXPECT_NE(answer.find("path=/hello"), std::string::npos) << answer;
    child->terminate();
    co_await child->wait();
    auto const by_websocket = GetParam() == By::websocket;
    EXPECT_EQ(server_.requests(RequestKind::upgrade_websocket), by_websocket ? 1U : 0U);
    EXPECT_EQ(server_.requests(RequestKind::upgrade_spdy), by_websocket ? 0U : 1U);
  }
};

TEST_P(KubectlForwardTest, ReachesAPod) {
  play(expect_pod_answers(pod_target(), "8080"));
}

TEST_P(KubectlForwardTest, ReachesAService) {
  play(expect_pod_answers("svc/web", "80"));
}

TEST_P(KubectlForwardTest, ReachesADeployment) {
  play(expect_pod_answers("deploy/web", "8080"));
}

TEST_P(KubectlForwardTest, ReachesANamedPort) {
  play(expect_pod_answers(pod_target(), "http"));
}

TEST_P(KubectlForwardTest, EchoesAMebibyteBothWaysOnSeveralConnections) {
  play([](KubectlForwardTest& t) -> awaitable<void> {
    auto const child = t.forward(t.pod_target(), "7000", GetParam());
    auto const port = co_await local_port(*child);
    TaskGroup connections(t.executor());
    auto const data = pattern(1024 * 1024);
    for (int i = 0; i < 6; ++i) connections.spawn(t.echo(port, data));
    co_await connections.join();
    EXPECT_EQ(t.server_.streams(), 12U);
    EXPECT_EQ(t.server_.tunnels(), 1U);
    child->terminate();
    co_await child->wait();
  }(*this));
}

TEST_P(KubectlForwardTest, GivesUpAtARefusedPort) {
  if (is_older_than(kGivesUp)) GTEST_SKIP() << kubectl_ << " goes on";
  play([](KubectlForwardTest& t) -> awaitable<void> {
    auto const child = t.forward(t.pod_target(), "9999", GetParam());
    auto const port = co_await local_port(*child);
    auto socket = co_await t.connect(port);
    auto const status = co_await child->wait();
    EXPECT_EQ(status, 1);
    EXPECT_NE(child->output().find("connection refused"), std::string::npos) << child->output();
    EXPECT_NE(child->output().find("lost connection to pod"), std::string::npos) << child->output();
  }(*this));
}

TEST_P(KubectlForwardTest, GivesUpAfterThePodsSandboxIsClosed) {
  if (is_older_than(kGivesUp)) GTEST_SKIP() << kubectl_ << " goes on";
  play([](KubectlForwardTest& t) -> awaitable<void> {
    auto const child = t.forward(t.pod_target(), "8080", GetParam());
    auto const port = co_await local_port(*child);
    t.cluster_.delete_pod(PodName("default", t.pod_), Duration::zero());
    EXPECT_EQ(t.server_.open_tunnels(), 1U);
    auto socket = co_await t.connect(port);
    auto const status = co_await child->wait();
    EXPECT_EQ(status, 1);
    EXPECT_NE(child->output().find("network namespace for sandbox"), std::string::npos)
        << child->output();
  }(*this));
}

TEST_P(KubectlForwardTest, IsToldWhatItMayNotDo) {
  server_.access().add_user("viewer", "viewer-token");
  AccessRule rule;
  rule.verbs = {"get", "list"};
  rule.resources = {"pods"};
  server_.access().allow("viewer", rule);
  KubeconfigOptions options;
  options.token = "viewer-token";
  write_kubeconfig(options);
  play([](KubectlForwardTest& t) -> awaitable<void> {
    auto const child = t.forward(t.pod_target(), "8080", GetParam());
    auto const status = co_await child->wait();
    EXPECT_EQ(status, 1);
    EXPECT_NE(child->output().find("User \"viewer\" cannot create resource \"pods/portforward\""),
              std::string::npos)
        << child->output();
  }(*this));
}

TEST_F(KubectlTest, AuthCanIAgreesWithTheRules) {
  server_.access().add_user("limited", "limited-token");
  AccessRule forward;
  forward.verbs = {"create"};
  forward.resources = {"pods/portforward"};
  forward.namespaces = {"default"};
  server_.access().allow("limited", forward);
  KubeconfigOptions options;
  options.token = "limited-token";
  write_kubeconfig(options);
  play([](KubectlTest& t) -> awaitable<void> {
    struct Row {
      std::vector<std::string> question;
      char const* answer;
    };
    std::vector<Row> const rows = {
        {{"create", "pods", "--subresource=portforward"}, "yes"},
        {{"create", "pods", "--subresource=portforward", "-n", "other"}, "no"},
        {{"get", "pods", "--subresource=portforward"}, "no"},
        {{"create", "pods"}, "no"},
        {{"get", "deployments.apps/web"}, "no"}};
    for (Row const& row : rows) {
      std::vector<std::string> arguments = {"auth", "can-i"};
      arguments.insert(arguments.end(), row.question.begin(), row.question.end());
      auto const child = t.kubectl(arguments);
      auto const status = co_await child->wait();
      EXPECT_EQ(status, std::string_view(row.answer) == "yes" ? 0 : 1) << child->output();
      EXPECT_TRUE(child->output().starts_with(row.answer)) << child->output();
    }
  }(*this));
}

std::string name_of(testing::TestParamInfo<By> const& parameter) {
  return parameter.param == By::spdy ? "Spdy" : "WebSocket";
}

INSTANTIATE_TEST_SUITE_P(Transports, KubectlForwardTest, testing::Values(By::websocket, By::spdy),
                         name_of);

class KubectlFallbackTest : public KubectlTest, public testing::WithParamInterface<WebSocketGate> {
 public:
  void SetUp() override {
    KubectlTest::SetUp();
    if (IsSkipped()) return;
    if (is_older_than(kSpeaksWebSocket)) GTEST_SKIP() << kubectl_ << " speaks no WebSocket";
  }
};

TEST_P(KubectlFallbackTest, FallsBackToSpdy) {
  server_.faults().websocket = GetParam();
  play([](KubectlFallbackTest& t) -> awaitable<void> {
    auto const child = t.forward(t.pod_target(), "8080", By::websocket);
    auto const port = co_await local_port(*child);
    auto const answer = co_await t.get(port, "/");
    EXPECT_NE(answer.find("pod="), std::string::npos) << answer;
    EXPECT_EQ(t.server_.requests(RequestKind::upgrade_websocket), 1U);
    EXPECT_EQ(t.server_.requests(RequestKind::upgrade_spdy), 1U);
    child->terminate();
    co_await child->wait();
  }(*this));
}

INSTANTIATE_TEST_SUITE_P(Gates, KubectlFallbackTest,
                         testing::Values(WebSocketGate::refused_400, WebSocketGate::refused_403,
                                         WebSocketGate::no_protocol,
                                         WebSocketGate::other_protocol));

}  // namespace
}  // namespace kportal::lab
