// SPDX-License-Identifier: MIT
// Manager and workers against the lab: what must hold while forwards come, change and go.
#include "forward/manager.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>

#include "base/wakeup.h"
#include "tests/lab/lab_fixture.h"
#include "tests/support/listening_socket.h"

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using events::Status;

class ManagerTest : public lab::LabFixture {
 public:
  void SetUp() override {
    LabFixture::SetUp();
    kubeconfig_ = server_.kubeconfig();
    for (char const* const name : {"a", "b"}) {
      lab::PodSpec pod;
      pod.name = name;
      cluster_.add_pod(pod);
    }
    spawn(run_checker());
  }
  void play(awaitable<void> (*scene)(ManagerTest&)) { run(play_and_end(scene)); }
  awaitable<void> play_and_end(awaitable<void> (*scene)(ManagerTest&)) {
    co_await scene(*this);
    checker_.stop();
    co_await manager_.stop(Clock::now());
    co_await clusters_.stop();
    co_await stop();
  }
  awaitable<void> run_checker() { co_await checker_.run(); }

  k8s::Environment environment() {
    k8s::Environment environment;
    environment.variable = [](std::string const&) { return std::optional<std::string>(); };
    environment.read_file = [this](std::string const&, std::size_t) {
      return boost::system::result<std::string>(kubeconfig_);
    };
    environment.working_directory = "/";
    return environment;
  }
  // pod/POD:PORT on a free port, as the forward "f:auto".
  static config::Config forwarding(std::string const& pod, std::string const& port) {
    config::ForwardSpec spec;
    spec.kubeconfig = "/config";
    spec.context = "lab";
    spec.namespace_ = "default";
    spec.target.name = pod;
    spec.resource = "pod/" + pod;
    spec.port = port;
    spec.alias = "f";
    spec.addresses = {"127.0.0.1"};
    spec.health.interval = 50ms;
    spec.health.timeout = 200ms;
    spec.health.startup_grace = 300ms;
    config::Config config;
    config.forwards.push_back(spec);
    return config;
  }
  void note(events::Event const& event) {
    types_.emplace_back(events::type_of(event.fact));
    if (auto const* const ref = events::forward_of(event.fact)) port_ = ref->local_port;
    auto const* const change = std::get_if<events::HealthStatusChanged>(&event.fact);
    auto const* const hung = std::get_if<events::WatchdogHung>(&event.fact);
    if (hung != nullptr) hung_.push_back(hung->forward.id + " " + hung->message);
    if (change != nullptr) status_ = change->status;
    if (change != nullptr) statuses_.push_back(change->status);
    cluster_.changed().notify();
  }
  template <class Condition>
  awaitable<void> until(Condition condition) {
    bool const held = co_await server_.wait_for(condition, 10s);
    EXPECT_TRUE(held);
  }
  awaitable<void> until_active() {
    auto const active = [this] { return status_ == Status::active; };
    co_await until(active);
  }
  // A client of the forward.
  awaitable<tcp::socket> connected() {
    tcp::socket socket(executor());
    tcp::endpoint const endpoint(asio::ip::address_v4::loopback(), port_);
    auto const [error] =
        co_await socket.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
    EXPECT_FALSE(error);
    co_return std::move(socket);
  }
  // One whose streams are open, and that has said nothing.
  awaitable<tcp::socket> placed() {
    auto const streams = server_.streams();
    auto client = co_await connected();
    auto const open = [&] { return server_.streams() == streams + 2; };
    co_await until(open);
    co_return std::move(client);
  }
  // With an echo.
  awaitable<void> talk(tcp::socket& socket) {
    asio::write(socket, asio::buffer("hello", 5));
    std::array<char, 100> bytes{};
    auto const [error, n] =
        co_await socket.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
    EXPECT_EQ(std::string(bytes.data(), n), "hello") << error.message();
  }
  long count(std::string const& type) const {
    return std::count(types_.begin(), types_.end(), type);
  }

  std::string kubeconfig_;
  net::Resolver resolver_{executor()};
  events::Bus bus_{executor()};
  k8s::ClusterPool clusters_{executor(), resolver_, environment()};
  healthcheck::Checker checker_{executor(), bus_};
  Shared shared_{executor(), bus_, checker_, clusters_};
  events::Subscription notes_ = bus_.subscribe([this](events::Event const& e) { note(e); });
  Manager manager_{shared_};
  std::vector<std::string> types_;
  std::vector<std::string> hung_;
  std::vector<Status> statuses_;
  std::optional<Status> status_;
  std::uint16_t port_ = 0;
};

awaitable<void> cut_before_a_byte(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  co_await t.until_active();
  auto client = co_await t.placed();
  t.server_.drop_tunnels();
  auto const again = [&] { return t.count("forward.connected") == 2; };
  co_await t.until(again);
  co_await t.talk(client);
  EXPECT_EQ(t.count("connection.failed"), 0);
  EXPECT_EQ(t.count("forward.disconnected"), 1);
}

TEST_F(ManagerTest, AConnectionThatSaidNothingSurvivesTheLossOfItsTunnel) {
  play(cut_before_a_byte);
}

awaitable<void> fall_silent(ManagerTest& t) {
  config::Config config = t.forwarding("a", "7000");
  config.reliability.ping_interval = 100ms;
  config.reliability.ping_timeout = 100ms;
  t.manager_.apply(config);
  co_await t.until_active();
  auto const lists = t.server_.requests(lab::RequestKind::list);
  t.server_.freeze_tunnels();
  auto const asked_anew = [&] {
    return t.server_.requests(lab::RequestKind::list) > lists && t.server_.tunnels() > 1;
  };
  co_await t.until(asked_anew);
}

TEST_F(ManagerTest, ATunnelLostToSilenceMakesTheClusterAskAnew) {
  play(fall_silent);
}

awaitable<void> replace_under_a_connection(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  co_await t.until_active();
  auto client = co_await t.placed();
  t.statuses_.clear();
  t.manager_.apply(t.forwarding("b", "9999"));  // refuses
  auto const connected = [&] { return t.count("forward.connected") == 2; };
  co_await t.until(connected);
  co_await t.talk(client);
  auto const failed = [&] { return t.status_ == Status::error; };
  co_await t.until(failed);
  EXPECT_THAT(t.statuses_, testing::Not(testing::Contains(Status::active)));
}

// The bytes of a forward that was replaced prove nothing of its successor.
TEST_F(ManagerTest, ASuccessorIsNotActiveByItsPredecessorsConnections) {
  play(replace_under_a_connection);
}

awaitable<void> stop_while_one_drains(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  co_await t.until_active();
  auto client = co_await t.connected();
  co_await t.talk(client);
  t.manager_.apply(config::Config());  // its connections may go on for kDrain
  TimePoint const asked = Clock::now();
  co_await t.manager_.stop(asked);
  EXPECT_LT(Clock::now() - asked, Manager::kDrain / 2);
}

TEST_F(ManagerTest, StoppingDoesNotWaitForTheLaterDeadlineOfAnEarlierEnd) {
  play(stop_while_one_drains);
}

awaitable<void> remove_the_last(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  co_await t.until_active();
  t.manager_.apply(config::Config());
  auto const quiet = [&] { return t.server_.open_watches() == 0; };
  co_await t.until(quiet);
  EXPECT_EQ(t.types_.back(), "forward.stopped");
}

TEST_F(ManagerTest, AClusterThatNoForwardNeedsIsLeft) {
  play(remove_the_last);
}

awaitable<void> keep_the_port(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  co_await t.until_active();
  std::uint16_t const port = t.port_;
  EXPECT_NE(port, 0);
  t.server_.drop_tunnels();
  auto const again = [&] { return t.count("forward.connected") == 2; };
  co_await t.until(again);
  EXPECT_EQ(t.port_, port);
  t.manager_.apply(t.forwarding("b", "7000"));
  auto const replaced = [&] { return t.count("forward.connected") == 3; };
  co_await t.until(replaced);
  EXPECT_EQ(t.port_, port);
}

TEST_F(ManagerTest, AnAutomaticPortStaysThroughLossAndReplacement) {
  play(keep_the_port);
}

awaitable<void> stop_while_dialling(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  auto const listed = [&] { return t.server_.requests(lab::RequestKind::list) > 0; };
  t.server_.faults().delay(lab::RequestKind::upgrade_websocket, 10s);
  co_await t.until(listed);
  auto const dialling = [&] {
    return t.server_.requests(lab::RequestKind::upgrade_websocket) == 1;
  };
  co_await t.until(dialling);
  TimePoint const asked = Clock::now();
  co_await t.manager_.stop(asked);
  EXPECT_LT(Clock::now() - asked, 1s);
  EXPECT_EQ(t.count("forward.connected"), 0);
}

TEST_F(ManagerTest, StopsInTheMiddleOfADial) {
  play(stop_while_dialling);
}

// The socket of this process that listens on the port does so no more.
void break_port(std::uint16_t port) {
  for (int fd = 3; fd < 1000; ++fd) {
    if (test::listens_on(fd, port)) ::shutdown(fd, SHUT_RDWR);
  }
}

awaitable<void> lose_the_port_and_the_tunnel(ManagerTest& t) {
  config::Config config = t.forwarding("a", "7000");
  tcp::endpoint const any(asio::ip::address_v4::loopback(), 0);
  config.forwards[0].local_port = tcp::acceptor(t.executor(), any).local_endpoint().port();
  auto const id = config.forwards[0].id();
  t.manager_.apply(config);
  co_await t.until_active();
  break_port(t.port_);
  tcp::acceptor const taken(t.executor(), tcp::endpoint(any.address(), t.port_));
  auto const failed = [&] { return t.status_ == Status::error; };
  co_await t.until(failed);
  EXPECT_EQ(t.checker_.status(id)->reason, events::Reason::port_in_use);
  t.server_.drop_tunnels();
  auto const lost = [&] { return t.count("forward.disconnected") == 1; };
  co_await t.until(lost);
  EXPECT_EQ(t.checker_.status(id)->reason, events::Reason::port_in_use);
}

// What its tunnels do is of no account then.
TEST_F(ManagerTest, AForwardWithoutItsPortSaysThatAndNothingElse) {
  play(lose_the_port_and_the_tunnel);
}

awaitable<void> break_an_automatic_port(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "7000"));
  co_await t.until_active();
  tcp::endpoint const port(asio::ip::address_v4::loopback(), t.port_);
  break_port(t.port_);
  error_code error = asio::error::connection_refused;
  for (TimePoint const end = Clock::now() + 10s; error && Clock::now() < end;) {
    tcp::socket client(t.executor());
    auto const [refused] = co_await client.async_connect(port, asio::as_tuple(asio::use_awaitable));
    error = refused;
    if (!error) co_await t.talk(client);
    if (error) co_await asio::post(asio::use_awaitable);
  }
  EXPECT_FALSE(error) << error.message();
}

TEST_F(ManagerTest, AnAutomaticPortThatBreaksIsOpenedAnewWithItsNumber) {
  play(break_an_automatic_port);
}

// As a kubelet that starts again does: it cuts the tunnels, and its pods are unready until it has
// probed them.
awaitable<void> lose_the_tunnel_to_an_unready_pod(ManagerTest& t) {
  config::Config config = t.forwarding("", "7000");
  config.forwards[0].target.selector = "app=solo";
  lab::PodSpec pod;
  pod.name = "solo";
  pod.labels = {{"app", "solo"}};
  t.cluster_.add_pod(pod);
  t.manager_.apply(config);
  co_await t.until_active();
  t.server_.faults().fail(lab::RequestKind::upgrade_websocket, lab::Failure(503));
  t.server_.drop_tunnels();
  auto const lost = [&] { return t.count("forward.disconnected") == 1; };
  co_await t.until(lost);
  t.cluster_.set_ready(lab::PodName{"default", "solo"}, false);
  auto const tried = t.count("forward.reconnecting");
  auto const goes_on = [&] { return t.count("forward.reconnecting") >= tried + 3; };
  co_await t.until(goes_on);
  t.server_.faults().clear();
  auto const again = [&] { return t.count("forward.connected") == 2; };
  co_await t.until(again);
  auto client = co_await t.connected();
  co_await t.talk(client);
}

TEST_F(ManagerTest, APodInUseThatIsNotReadyStaysInUseThroughTheLossOfItsTunnel) {
  play(lose_the_tunnel_to_an_unready_pod);
}

// Time is said to have passed: each of these would be over by then if our own deadlines held.

awaitable<void> hang_in_a_dial(ManagerTest& t) {
  t.server_.faults().delay(lab::RequestKind::upgrade_websocket, 1h);
  t.manager_.apply(t.forwarding("a", "7000"));
  auto const dialling = [&] {
    return t.server_.requests(lab::RequestKind::upgrade_websocket) == 1;
  };
  co_await t.until(dialling);
  t.server_.faults().clear();
  t.manager_.look_for_overruns(Clock::now() + 119s);  // login, dial and watchdogPeriod are 120 s
  EXPECT_THAT(t.hung_, testing::IsEmpty());
  t.manager_.look_for_overruns(Clock::now() + 121s);
  co_await t.until_active();
  EXPECT_THAT(t.hung_, testing::Contains("f:auto dialling for 121 s"));
}

TEST_F(ManagerTest, ADialThatHangsIsReportedAndStartedAnew) {
  play(hang_in_a_dial);
}

awaitable<void> hang_in_a_list(ManagerTest& t) {
  t.server_.faults().delay(lab::RequestKind::list, 1h);
  t.manager_.apply(t.forwarding("a", "7000"));
  auto const asked = [&] { return t.server_.requests(lab::RequestKind::list) > 0; };
  co_await t.until(asked);
  t.server_.faults().clear();
  t.manager_.look_for_overruns(Clock::now() + 121s);
  co_await t.until_active();
  EXPECT_THAT(t.hung_, testing::Contains("f:auto resolving for 121 s"));
}

TEST_F(ManagerTest, ATargetThatIsNotKnownForTooLongIsReportedAndLookedForAnew) {
  play(hang_in_a_list);
}

// The pod has ended its side; the client is not done yet.
awaitable<void> hang_in_an_end(ManagerTest& t) {
  t.manager_.apply(t.forwarding("a", "9006"));
  co_await t.until_active();
  auto client = co_await t.connected();
  std::array<char, 100> bytes{};
  error_code end;
  while (!end) {  // all that the pod had to say, and its end
    auto const [error, n] =
        co_await client.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
    end = error;
  }
  EXPECT_EQ(end, asio::error::eof);
  auto const says_so = [&] {
    return std::ranges::any_of(t.hung_, [](std::string const& each) {
      return each.find("ending a connection for 4") != std::string::npos;
    });
  };
  t.manager_.look_for_overruns(Clock::now() + 30s);  // 2 s, 5 s and watchdogPeriod are 37 s
  t.manager_.look_for_overruns(Clock::now() + 40s);
  auto const told = [&] { return t.count("connection.failed") == 1; };
  co_await t.until(told);
  EXPECT_TRUE(says_so());
}

TEST_F(ManagerTest, AConnectionWhoseEndHangsIsReportedAndReset) {
  play(hang_in_an_end);
}

awaitable<void> oversleep(ManagerTest& t) {
  config::Config config = t.forwarding("a", "7000");
  tcp::acceptor taken(t.executor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  config.forwards[0].local_port = taken.local_endpoint().port();
  t.manager_.apply(config);
  auto const failed = [&] { return t.status_ == Status::error; };
  co_await t.until(failed);  // and sleeps until the port is tried again
  auto const id = config.forwards[0].id();
  t.manager_.look_for_overruns(Clock::now() + 39s);
  EXPECT_THAT(t.hung_, testing::IsEmpty());
  t.manager_.look_for_overruns(Clock::now() + 41s);
  taken.close();
  t.manager_.apply(config);  // ends the wait
  co_await t.until_active();
  EXPECT_THAT(t.hung_, testing::ElementsAre(id + " asleep for 41 s"));
}

TEST_F(ManagerTest, AWorkerThatOversleepsIsReportedAndStartedAnew) {
  play(oversleep);
}

}  // namespace
}  // namespace kportal::forward
