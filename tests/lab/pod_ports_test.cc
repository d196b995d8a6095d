// SPDX-License-Identifier: MIT
// The programs in the pods, spoken to through a sandbox as the runtime does.
#include "lab/pod_ports.h"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "lab/cluster.h"
#include "tests/support/loop_fixture.h"

namespace kportal::lab {
namespace {

class LabPodPortsTest : public test::LoopFixture {
 public:
  using LoopFixture::executor;

  void SetUp() override {
    PodSpec spec;
    spec.name = "web";
    cluster_.add_pod(spec);
  }
  void TearDown() override { run(cluster_.stop()); }

  std::unique_ptr<PodSocket> connect(std::uint16_t port) {
    return cluster_.find_pod(pod_)->sandbox->connect(port);
  }
  static awaitable<error_code> send(PodSocket& socket, std::string text) {
    auto chunk = Chunk::copy_of(as_bytes(text));
    co_return co_await socket.write(std::move(chunk));
  }
  // Reads until `size` bytes or the end; `end` gets the error.
  static awaitable<std::string> read(PodSocket& socket, std::size_t size, error_code& end) {
    std::string all;
    std::vector<std::byte> buffer(4096);
    while (all.size() < size) {
      auto const [error, n] = co_await socket.read_some(buffer);
      all += as_text(Bytes(buffer).first(n));
      end = error;
      if (error) break;
    }
    co_return all;
  }
  // Sends `request` to the port, ends its side and reads all of the answer.
  awaitable<std::string> ask(std::uint16_t port, std::string request) {
    auto const socket = connect(port);
    co_await send(*socket, std::move(request));
    socket->shutdown_send();
    error_code end;
    auto answer = co_await read(*socket, 1'000'000, end);
    co_return answer + "[" + end.message() + "]";
  }
  void expect_answer(std::uint16_t port, std::string request, std::string answer) {
    run([](LabPodPortsTest& t, std::uint16_t p, std::string q, std::string a) -> awaitable<void> {
      auto const got = co_await t.ask(p, q);
      EXPECT_EQ(got, a);
    }(*this, port, request, answer));
  }

  PodName pod_{"default", "web"};
  Cluster cluster_{executor()};
};

TEST_F(LabPodPortsTest, EchoEndsAfterItsPeer) {
  expect_answer(7000, "hello", "hello[End of file]");
}

TEST_F(LabPodPortsTest, BannerGreetsAndIdles) {
  expect_answer(9003, "ignored", "READY web\r\n[End of file]");
}

TEST_F(LabPodPortsTest, DiscardAndSilentSayNothing) {
  expect_answer(9000, "x", "[End of file]");
  expect_answer(9004, "x", "[End of file]");
}

TEST_F(LabPodPortsTest, ByeEndsAtOnce) {
  expect_answer(9006, "", "BYE\r\n[End of file]");
}

TEST_F(LabPodPortsTest, ByeWithUnreadBytesEndsInAReset) {
  expect_answer(9006, "x", "BYE\r\n[Connection reset by peer]");
}

TEST_F(LabPodPortsTest, ResetResets) {
  expect_answer(9005, "x", "[Connection reset by peer]");
  expect_answer(9005, "", "[Connection reset by peer]");
}

TEST_F(LabPodPortsTest, NothingListensOn9999) {
  EXPECT_EQ(connect(9999), nullptr);
  cluster_.listen(pod_, 9999, PortBehaviour::bye);
  expect_answer(9999, "", "BYE\r\n[End of file]");
  cluster_.unlisten(pod_, 9999);
  EXPECT_EQ(connect(9999), nullptr);
}

TEST_F(LabPodPortsTest, HttpAnswersOneRequestAfterAnother) {
  expect_answer(8080, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 41\r\n\r\n"
                "pod=web node=lab-node method=GET path=/a"
                "\n"
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 42\r\n\r\n"
                "[End of file]");
}

TEST_F(LabPodPortsTest, HttpCountsBodies) {
  std::string const counted =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n5\n";
  expect_answer(
      8080,
      "POST /count HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde"
      "POST /count HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n"
      "\r\n",
      counted + counted + "[End of file]");
}

TEST_F(LabPodPortsTest, HttpSendsAsMuchAsAsked) {
  run([](LabPodPortsTest& t) -> awaitable<void> {
    auto const got =
        co_await t.ask(8080, "GET /bytes?n=300000 HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_NE(got.find("Content-Length: 300000\r\nConnection: close\r\n\r\nxxx"),
              std::string::npos);
    EXPECT_GT(got.size(), 300'000U);
  }(*this));
}

TEST_F(LabPodPortsTest, HttpSwitchesReadinessAndExits) {
  expect_answer(8080, "GET /unready HTTP/1.0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n"
                "Connection: close\r\n\r\n[End of file]");
  EXPECT_FALSE(cluster_.find_pod(pod_)->spec.ready);
  expect_answer(8080, "GET /healthz HTTP/1.0\r\n\r\n",
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                "Content-Length: 10\r\nConnection: close\r\n\r\nnot ready\n[End of file]");
  expect_answer(8080, "GET /exit?code=3 HTTP/1.1\r\n\r\n", "[End of file]");
  EXPECT_EQ(cluster_.find_pod(pod_)->restarts, 1);
  EXPECT_TRUE(cluster_.find_pod(pod_)->spec.ready);
}

TEST_F(LabPodPortsTest, SourceAndStuckAreHeldByTheBuffer) {
  run([](LabPodPortsTest& t) -> awaitable<void> {
    auto const source = t.connect(9001);
    error_code end;
    auto const got = co_await read(*source, 500'000, end);
    EXPECT_GE(got.size(), 500'000U);
    EXPECT_EQ(got.substr(0, 28), "abcdefghijklmnopqrstuvwxyzab");
    source->close();

    auto const stuck = t.connect(9002);
    TaskGroup writer(t.executor());
    std::size_t written = 0;
    auto const write = [](PodSocket& to, std::size_t& count) -> awaitable<void> {
      for (;;) {
        auto const failed = co_await send(to, std::string(1024, 'x'));
        if (failed) co_return;
        count += 1024;
      }
    };
    writer.spawn(write(*stuck, written));
    std::function<bool()> const full = [&] { return written >= Sandbox::kSocketBuffer; };
    for (int i = 0; i < 1000 && !full(); ++i) {
      co_await asio::post(t.executor(), asio::use_awaitable);
    }
    EXPECT_EQ(written, Sandbox::kSocketBuffer);
    stuck->close();
    co_await writer.join();
  }(*this));
}

TEST_F(LabPodPortsTest, ConnectionsEndWithThePod) {
  run([](LabPodPortsTest& t) -> awaitable<void> {
    auto const socket = t.connect(9004);
    auto const sandbox = t.cluster_.find_pod(t.pod_)->sandbox;
    std::function<bool()> const open = [&] { return sandbox->open_connections() == 1; };
    auto const opened = co_await t.cluster_.changed().wait_for(open, Clock::now() + kDeadline);
    EXPECT_TRUE(opened);
    t.cluster_.delete_pod(t.pod_, Duration::zero());
    error_code end;
    auto const got = co_await read(*socket, 1, end);
    EXPECT_EQ(got, "");
    EXPECT_EQ(end, asio::error::eof);
    EXPECT_EQ(sandbox->connect(9004), nullptr);
  }(*this));
}

}  // namespace
}  // namespace kportal::lab
