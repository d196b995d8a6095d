// SPDX-License-Identifier: MIT
// The API server over real TLS: HTTP, authentication and rights, watches, upgrades, and its faults.
#include "lab/api_server.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gmock/gmock.h>

#include "net/websocket.h"
#include "tests/lab/lab_client.h"
#include "tests/lab/lab_fixture.h"
#include "tests/lab/raw_spdy.h"

namespace kportal::lab {
namespace {

using namespace std::chrono_literals;
using test::RawSpdy;
using testing::HasSubstr;

std::string const kPods = "/api/v1/namespaces/default/pods";
std::string const kTunnel = "SPDY/3.1+portforward.k8s.io";

class LabApiServerTest : public LabFixture {
 public:
  void SetUp() override {
    LabFixture::SetUp();
    PodSpec spec;
    spec.name = "web";
    spec.labels = {{"app", "web"}};
    cluster_.add_pod(spec);
    server_.runtime().half_close_wait = 5ms;
  }
  void play(awaitable<void> (*scene)(LabApiServerTest&)) { LabFixture::play(scene(*this)); }

  awaitable<std::unique_ptr<LabClient>> client(std::string token = std::string()) {
    return LabClient::connect(executor(), server_, std::move(token));
  }
  // A tunnel to the pod, by WebSocket or by plain SPDY.
  awaitable<std::unique_ptr<RawSpdy>> tunnel(bool websocket) {
    auto const c = co_await client();
    if (websocket) {
      auto const answer = co_await c->upgrade_websocket("web", kTunnel);
      EXPECT_EQ(answer.code, 101);
      co_return std::make_unique<RawSpdy>(c->take_websocket());
    }
    auto const answer = co_await c->upgrade_spdy("web");
    EXPECT_EQ(answer.code, 101);
    co_return std::make_unique<RawSpdy>(c->take_spdy());
  }
  awaitable<bool> wait_for(std::function<bool()> condition) {
    return server_.wait_for(std::move(condition), 10s);
  }
  awaitable<void> turns(int count) {
    for (int i = 0; i < count; ++i) {
      co_await asio::post(executor(), asio::use_awaitable);
    }
  }

  PodName pod_{"default", "web"};
};

using Lab = LabApiServerTest;

// HTTP, users, rights

TEST_F(LabApiServerTest, AnswersRequestsOnOneConnection) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const version = co_await c->get("/version");
    EXPECT_EQ(version.code, 200);
    EXPECT_THAT(version.body, HasSubstr(R"("minor":"35")"));
    auto const pods = co_await c->get(kPods);
    EXPECT_EQ(pods.code, 200);
    EXPECT_THAT(pods.body, HasSubstr(R"("kind":"PodList")"));
    auto const head = co_await c->request("HEAD", kPods + "/web");
    EXPECT_EQ(head.code, 200);
    auto const missing = co_await c->get(kPods + "/x");
    EXPECT_EQ(missing.code, 404);
    auto const wrong = co_await c->request("DELETE", kPods + "/web");
    EXPECT_EQ(wrong.code, 405);
    auto const last = co_await c->request("GET", "/readyz", "Connection: close\r\n");
    EXPECT_EQ(last.body, "ok");
    auto const ended = co_await c->ended();
    EXPECT_TRUE(ended);
    EXPECT_EQ(t.server_.connections(), 1U);
    EXPECT_EQ(t.server_.requests(RequestKind::any), 6U);
    EXPECT_EQ(t.server_.requests(RequestKind::list), 1U);
    EXPECT_THAT(t.server_.user_agents(), testing::ElementsAre("lab-test"));
  });
}

TEST_F(LabApiServerTest, KnowsUsersByTokenAndByCertificate) {
  server_.access().add_user("eve", "eve-token");
  AccessRule rule;
  rule.verbs = {"get"};
  rule.resources = {"pods"};
  server_.access().allow("eve", rule);
  play([](Lab& t) -> awaitable<void> {
    auto const unknown = co_await t.client("no-such-token");
    auto const refused = co_await unknown->get(kPods);
    EXPECT_EQ(refused.code, 401);
    EXPECT_THAT(refused.body, HasSubstr(R"("message":"Unauthorized","reason":"Unauthorized")"));

    auto const eve = co_await t.client("eve-token");
    auto const pod = co_await eve->get(kPods + "/web");
    EXPECT_EQ(pod.code, 200);
    auto const list = co_await eve->get(kPods);
    EXPECT_EQ(list.code, 403);
    EXPECT_THAT(list.body, HasSubstr(R"(User \"eve\" cannot list resource \"pods\")"));

    auto const issued = t.server_.client_certificate("eve", {"staff"});
    EXPECT_TRUE(issued);
    auto const by_certificate =
        co_await LabClient::connect_with(t.executor(), t.server_, issued.value());
    auto const again = co_await by_certificate->get(kPods + "/web");
    EXPECT_EQ(again.code, 200);
  });
}

TEST_F(LabApiServerTest, DoesNotKnowCertificatesOfOthers) {
  play([](Lab& t) -> awaitable<void> {
    auto other = CertificateAuthority::make("another CA");
    EXPECT_TRUE(other);
    auto const issued = other.value().issue_client("lab-admin", {"system:masters"});
    auto const c = co_await LabClient::connect_with(t.executor(), t.server_, issued.value());
    auto const answer = co_await c->get(kPods);
    EXPECT_EQ(answer.code, 401);
  });
}

TEST_F(LabApiServerTest, ReviewsAccess) {
  server_.access().add_user("eve", "eve-token");
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client("eve-token");
    auto const answer = co_await c->request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "",
        R"({"spec":{"resourceAttributes":{"verb":"get","resource":"pods","namespace":"default"}}})");
    EXPECT_EQ(answer.code, 201);
    EXPECT_THAT(answer.body, HasSubstr(R"("status":{"allowed":false})"));
    auto const bad = co_await c->request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", "[1");
    EXPECT_EQ(bad.code, 400);
  });
}

TEST_F(LabApiServerTest, RefusesWhatIsNotHttpOrTooLarge) {
  play([](Lab& t) -> awaitable<void> {
    auto const junk = co_await t.client();
    co_await junk->send("\x16\x03 junk\r\n\r\n");
    auto const answer = co_await junk->get("/version");
    EXPECT_EQ(answer.code, 400);
    auto const large = co_await t.client();
    auto const refused =
        co_await large->request("POST", kPods, "", std::string(1024 * 1024 + 1, 'x'));
    EXPECT_EQ(refused.code, 413);
  });
}

// Watches

TEST_F(LabApiServerTest, ShowsChangesToAWatch) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const version = std::to_string(t.cluster_.version());
    auto const answer = co_await c->get(kPods + "?watch=1&resourceVersion=" + version);
    EXPECT_EQ(answer.code, 200);
    EXPECT_EQ(t.server_.open_watches(), 1U);
    t.cluster_.set_ready(t.pod_, false);
    t.cluster_.delete_pod(t.pod_, Duration::zero());
    auto const first = co_await c->next_event();
    EXPECT_THAT(first, HasSubstr(R"({"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1")"));
    EXPECT_THAT(first, HasSubstr(R"("type":"Ready","status":"False")"));
    auto const second = co_await c->next_event();
    EXPECT_THAT(second, HasSubstr("deletionTimestamp"));
    auto const third = co_await c->next_event();
    EXPECT_THAT(third, HasSubstr(R"({"type":"DELETED")"));
    EXPECT_EQ(t.server_.cut_watches(), 1U);
    auto const end = co_await c->next_event();
    EXPECT_EQ(end, "END");
    // The connection lives on.
    auto const after = co_await c->get(kPods);
    EXPECT_EQ(after.code, 200);
    EXPECT_EQ(t.server_.connections(), 1U);
  });
}

TEST_F(LabApiServerTest, BeginsAWatchWithWhatThereIs) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    co_await c->get(kPods + "?watch=true");
    auto const event = co_await c->next_event();
    EXPECT_THAT(event, HasSubstr(R"({"type":"ADDED")"));
    auto const list = co_await t.client();
    co_await list->get(kPods + "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true");
    co_await list->next_event();
    auto const mark = co_await list->next_event();
    EXPECT_THAT(mark, HasSubstr(R"("k8s.io/initial-events-end":"true")"));
  });
}

TEST_F(LabApiServerTest, EndsAWatchInTimeWithABookmark) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const version = std::to_string(t.cluster_.version());
    co_await c->get(
        kPods + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=" + version);
    auto const mark = co_await c->next_event();
    EXPECT_THAT(mark, HasSubstr(R"({"type":"BOOKMARK","object":{"kind":"Pod")"));
    EXPECT_THAT(mark, HasSubstr("\"resourceVersion\":\"" + version + "\""));
    auto const end = co_await c->next_event();
    EXPECT_EQ(end, "END");
  });
}

TEST_F(LabApiServerTest, TellsThatAVersionIsTooOld) {
  play([](Lab& t) -> awaitable<void> {
    auto const version = std::to_string(t.cluster_.version());
    t.cluster_.set_ready(t.pod_, false);
    t.cluster_.compact();
    auto const c = co_await t.client();
    co_await c->get(kPods + "?watch=1&resourceVersion=" + version);
    auto const event = co_await c->next_event();
    EXPECT_THAT(event, HasSubstr(R"({"type":"ERROR","object":{"kind":"Status")"));
    EXPECT_THAT(event, HasSubstr(R"("reason":"Expired","code":410)"));
  });
}

TEST_F(LabApiServerTest, NoticesThatAWatcherHasGone) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    co_await c->get(kPods + "?watch=1");
    EXPECT_EQ(t.server_.open_watches(), 1U);
    c->transport().close();
    std::function<bool()> const gone = [&] { return t.server_.open_connections() == 0; };
    auto const noticed = co_await t.wait_for(gone);
    EXPECT_TRUE(noticed);
  });
}

TEST_F(LabApiServerTest, HoldsWatchesSilentAndCutsThem) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    t.server_.silence_watches(true);
    co_await c->get(kPods + "?watch=1&resourceVersion=" + std::to_string(t.cluster_.version()));
    t.cluster_.set_ready(t.pod_, false);
    co_await t.turns(50);
    t.server_.silence_watches(false);
    auto const late = co_await c->next_event();
    EXPECT_THAT(late, HasSubstr("MODIFIED"));
    EXPECT_EQ(t.server_.cut_watches(true), 1U);
    auto const event = co_await c->next_event();
    EXPECT_EQ(event, "CUT");
  });
}

// Upgrades

class LabTunnelTest : public LabApiServerTest, public testing::WithParamInterface<bool> {
 public:
  void play(awaitable<void> (*scene)(LabTunnelTest&)) { LabFixture::play(scene(*this)); }
  awaitable<std::unique_ptr<RawSpdy>> tunnel() { return LabApiServerTest::tunnel(GetParam()); }
};

std::string name_of(testing::TestParamInfo<bool> const& parameter) {
  return parameter.param ? "WebSocket" : "Spdy";
}

INSTANTIATE_TEST_SUITE_P(Transports, LabTunnelTest, testing::Bool(), name_of);

TEST_P(LabTunnelTest, CarriesABulkBothWays) {
  play([](LabTunnelTest& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel();
    std::string const data(3'000'000, 'x');
    TaskGroup writer(t.executor());
    tunnel->pair(1, "7000");
    for (std::size_t at = 0; at < data.size(); at += 30'000) {
      tunnel->data(3, std::string_view(data).substr(at, 30'000));
    }
    auto const write = [](RawSpdy& to) -> awaitable<void> {
      auto const sent = co_await to.send();
      EXPECT_TRUE(sent);
    };
    writer.spawn(write(*tunnel));
    auto const back = co_await tunnel->read_data(3, data.size());
    EXPECT_TRUE(back == data) << back.size();
    co_await writer.join();
    EXPECT_EQ(t.server_.open_tunnels(t.pod_), 1U);
    EXPECT_EQ(t.server_.open_pod_connections(t.pod_), 1U);
    EXPECT_EQ(t.server_.streams(), 2U);
  });
}

TEST_P(LabTunnelTest, ClosesWhatIsInThePodWhenTheClientGoes) {
  play([](LabTunnelTest& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel();
    co_await tunnel->pair(1, "9004").send();
    auto const replies = co_await tunnel->read_text(2);
    EXPECT_EQ(t.server_.open_pod_connections(t.pod_), 1U);
    tunnel->transport().close();
    std::function<bool()> const gone = [&] {
      return t.server_.open_tunnels() == 0 && t.server_.open_pod_connections(t.pod_) == 0;
    };
    auto const closed = co_await t.wait_for(gone);
    EXPECT_TRUE(closed);
  });
}

TEST_P(LabTunnelTest, StaysOpenAndSilentWhenItsPodIsDeleted) {
  play([](LabTunnelTest& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel();
    co_await tunnel->pair(1, "9004").send();
    auto const replies = co_await tunnel->read_text(2);
    t.cluster_.delete_pod(t.pod_, 5ms);
    // The open stream ends with the pod's process.
    auto const text = co_await tunnel->read_text(2);
    EXPECT_EQ(text, "DATA 3 FIN, DATA 1 FIN");
    EXPECT_EQ(t.server_.open_tunnels(), 1U);
    co_await tunnel->pair(5, "9004").send();
    auto const failed = co_await tunnel->read_text(5);
    EXPECT_THAT(failed, HasSubstr("network namespace for sandbox"));
    co_await tunnel->ping(1).send();
    auto const ping = co_await tunnel->read_text(1);
    EXPECT_EQ(ping, "PING 1");
  });
}

TEST_P(LabTunnelTest, EndsByScript) {
  play([](LabTunnelTest& t) -> awaitable<void> {
    auto const cut = co_await t.tunnel();
    EXPECT_EQ(t.server_.drop_tunnels(SessionEnd::cut, PodName("default", "other")), 0U);
    EXPECT_EQ(t.server_.drop_tunnels(SessionEnd::cut, t.pod_), 1U);
    auto const end = co_await cut->read_text(1);
    EXPECT_EQ(end, "END");
    auto const going = co_await t.tunnel();
    EXPECT_EQ(t.server_.drop_tunnels(SessionEnd::goaway), 1U);
    auto const away = co_await going->read_text(2);
    EXPECT_EQ(away, "GOAWAY 0 0, END");
    auto const silent = co_await t.tunnel();
    EXPECT_EQ(t.server_.drop_tunnels(SessionEnd::eof), 1U);
    auto const eof = co_await silent->read_text(1);
    EXPECT_EQ(eof, "END");
    EXPECT_EQ(t.server_.tunnels(), 3U);
  });
}

TEST_P(LabTunnelTest, FreezesInOneDirection) {
  play([](LabTunnelTest& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel();
    EXPECT_EQ(t.server_.freeze_tunnels(Direction::to_client), 1U);
    co_await tunnel->ping(1).send();
    co_await t.turns(200);
    EXPECT_EQ(t.server_.thaw_tunnels(), 1U);
    auto const ping = co_await tunnel->read_text(1);
    EXPECT_EQ(ping, "PING 1");
    EXPECT_EQ(t.server_.freeze_tunnels(Direction::to_server), 1U);
    co_await tunnel->ping(3).send();
    co_await t.turns(200);
    EXPECT_EQ(t.server_.pings(), 1U);
    t.server_.thaw_tunnels();
    auto const late = co_await tunnel->read_text(1);
    EXPECT_EQ(late, "PING 3");
  });
}

TEST_P(LabTunnelTest, HundredsOfTunnelsAreCheap) {
  play([](LabTunnelTest& t) -> awaitable<void> {
    std::vector<std::unique_ptr<RawSpdy>> tunnels;
    for (int i = 0; i < 200; ++i) {
      auto tunnel = co_await t.tunnel();
      co_await tunnel->pair(1, "9003").send();
      tunnels.push_back(std::move(tunnel));
    }
    for (auto const& tunnel : tunnels) {
      auto const banner = co_await tunnel->read_data(3, 11);
      EXPECT_EQ(banner, "READY web\r\n");
    }
    EXPECT_EQ(t.server_.open_tunnels(t.pod_), 200U);
    EXPECT_EQ(t.server_.open_pod_connections(t.pod_), 200U);
  });
}

TEST_F(LabApiServerTest, LosesWhatPlainSpdySendsTooEarly) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const ping = net::ping_frame(1);
    auto const answer = co_await c->upgrade_spdy("web", std::string(as_text(ping)));
    EXPECT_EQ(answer.code, 101);
    EXPECT_EQ(answer.headers.find("X-Stream-Protocol-Version"), "portforward.k8s.io");
    RawSpdy spdy(c->take_spdy());
    co_await spdy.ping(3).send();
    auto const text = co_await spdy.read_text(1);
    EXPECT_EQ(text, "PING 3");
  });
}

TEST_F(LabApiServerTest, FragmentsLargeMessagesAsTheRealOneDoes) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const answer = co_await c->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(answer.headers.find("Sec-WebSocket-Protocol"), kTunnel);
    EXPECT_EQ(answer.headers.find("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    // The client's frames go in one masked message with the mask 0.
    std::string frames;
    {
      RawSpdy encoder(nullptr);
      frames = encoder.pair(1, "9001").take_text();
    }
    auto message = net::encode_frame(net::WebSocketRole::client, net::Opcode::binary,
                                     Chunk::copy_of(as_bytes(frames)), 0);
    co_await c->transport().write(std::move(message));
    // A DATA frame of 32 KiB: 4 bytes, 4 bytes, then FIN=0 with all of it and an empty end.
    std::string raw;
    std::vector<std::byte> buffer(4096);
    auto const mark = std::string("\x82\x04\x00\x00\x00\x03\x82\x04\x00\x00\x80\x00", 12) +
                      std::string("\x02\x7e\x80\x00", 4) + "abcdef";
    while (raw.size() < 40'000) {
      auto const [error, n] = co_await c->transport().read_some(buffer);
      if (error) break;
      raw += as_text(Bytes(buffer).first(n));
    }
    auto const at = raw.find(mark);
    EXPECT_NE(at, std::string::npos);
    auto const end = at + 16 + 32'768;
    EXPECT_EQ(raw.substr(end, 6), std::string("\x80\x00\x82\x04\x00\x00", 6));
  });
}

TEST_F(LabApiServerTest, RefusesUpgradesAsTheRealOneDoes) {
  PodSpec pending;
  pending.name = "pending";
  pending.phase = "Pending";
  pending.node = "";
  cluster_.add_pod(pending);
  server_.access().add_user("getter", "getter-token");
  server_.access().add_user("creator", "creator-token");
  AccessRule rule;
  rule.resources = {"pods/portforward"};
  rule.verbs = {"get"};
  server_.access().allow("getter", rule);
  rule.verbs = {"create"};
  server_.access().allow("creator", rule);
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const plain = co_await c->get(kPods + "/web/portforward");
    EXPECT_EQ(plain.code, 400);
    EXPECT_THAT(plain.body, HasSubstr("Upgrade request required"));
    auto const missing = co_await c->upgrade_spdy("nobody");
    EXPECT_EQ(missing.code, 404);
    EXPECT_THAT(missing.body, HasSubstr(R"(pods \"nobody\" not found)"));
    auto const nowhere = co_await c->upgrade_websocket("pending", kTunnel);
    EXPECT_EQ(nowhere.code, 400);
    EXPECT_THAT(nowhere.body, HasSubstr("pod pending does not have a host assigned"));
    auto const channels = co_await c->upgrade_websocket("web", "v4.channel.k8s.io");
    EXPECT_EQ(channels.code, 400);
    EXPECT_EQ(channels.body, "query parameter \"port\" is required\n");
    auto const foreign = co_await c->upgrade_websocket("web", "SPDY/3.1+other.k8s.io");
    EXPECT_EQ(foreign.code, 403);

    auto const getter = co_await t.client("getter-token");
    auto const half = co_await getter->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(half.code, 403);
    EXPECT_THAT(half.body, HasSubstr(R"("message":"pods \"web\" is forbidden: ")"));
    auto const spdy = co_await getter->upgrade_spdy("web");
    EXPECT_EQ(spdy.code, 403);
    EXPECT_THAT(spdy.body, HasSubstr(R"(cannot create resource \"pods/portforward\")"));
    auto const creator = co_await t.client("creator-token");
    auto const websocket = co_await creator->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(websocket.code, 403);
    EXPECT_THAT(websocket.body, HasSubstr(R"(cannot get resource \"pods/portforward\")"));
    auto const good = co_await creator->upgrade_spdy("web");
    EXPECT_EQ(good.code, 101);
  });
}

TEST_F(LabApiServerTest, HasServersThatCannotTunnel) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    t.server_.faults().websocket = WebSocketGate::refused_400;
    auto const text = co_await c->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(text.code, 400);
    t.server_.faults().websocket = WebSocketGate::refused_403;
    auto const bare = co_await c->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(bare.code, 403);
    EXPECT_TRUE(bare.headers.entries().empty());
    auto const other = co_await t.client();
    t.server_.faults().websocket = WebSocketGate::no_protocol;
    auto const none = co_await other->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(none.code, 101);
    EXPECT_FALSE(none.headers.find("Sec-WebSocket-Protocol"));
    auto const third = co_await t.client();
    t.server_.faults().websocket = WebSocketGate::other_protocol;
    auto const wrong = co_await third->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(wrong.headers.find("Sec-WebSocket-Protocol"), "v4.channel.k8s.io");
  });
}

TEST_F(LabApiServerTest, ClosesWebSocketsWithACode) {
  play([](Lab& t) -> awaitable<void> {
    auto const spdy = co_await t.tunnel(false);
    auto const tunnel = co_await t.tunnel(true);
    EXPECT_EQ(t.server_.close_websockets(1001), 1U);
    std::vector<std::byte> buffer(16);
    auto const [error, n] = co_await tunnel->transport().read_some(buffer);
    EXPECT_EQ(error, net::close_error(1001)) << error.message() << n;
  });
}

TEST_F(LabApiServerTest, SendsWhatNoTunnelSends) {
  play([](Lab& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel(true);
    EXPECT_EQ(t.server_.send_text_messages(), 1U);
    std::vector<std::byte> buffer(16);
    auto const [error, n] = co_await tunnel->transport().read_some(buffer);
    EXPECT_EQ(error, make_error_code(net::WebSocketErrc::text_message)) << error.message() << n;
  });
}

// Faults

TEST_F(LabApiServerTest, FailsByScript) {
  server_.faults().fail(RequestKind::list, Failure(429, "", Failure::Body::status, 1), 1);
  server_.faults().fail(RequestKind::get, Failure(503, "bad gateway", Failure::Body::plain_text),
                        1);
  server_.faults().fail(RequestKind::upgrade_websocket, Failure(500), 1);
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const list = co_await c->get(kPods);
    EXPECT_EQ(list.code, 429);
    EXPECT_EQ(list.headers.find("Retry-After"), "1");
    EXPECT_THAT(list.body, HasSubstr(R"("retryAfterSeconds":1)"));
    auto const again = co_await c->get(kPods);
    EXPECT_EQ(again.code, 200);
    auto const pod = co_await c->get(kPods + "/web");
    EXPECT_EQ(pod.code, 503);
    EXPECT_EQ(pod.body, "bad gateway\n");
    auto const upgrade = co_await c->upgrade_websocket("web", kTunnel);
    EXPECT_EQ(upgrade.code, 500);
    t.server_.faults().fail(RequestKind::any, Failure(0, "", Failure::Body::hang_up), 1);
    auto const cut = co_await c->get(kPods);
    EXPECT_EQ(cut.code, 0);
  });
}

TEST_F(LabApiServerTest, DelaysByScript) {
  server_.faults().delay(RequestKind::list, 20ms);
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    auto const begin = Clock::now();
    co_await c->get(kPods);
    EXPECT_GE(Clock::now() - begin, 20ms);
    t.server_.faults().delay(RequestKind::list, 1h);
    // The lab stops in spite of a request that it holds back.
    co_await c->send("GET " + kPods + " HTTP/1.1\r\nHost: x\r\n\r\n");
    std::function<bool()> const counted = [&] {
      return t.server_.requests(RequestKind::list) == 2;
    };
    co_await t.wait_for(counted);
  });
}

TEST_F(LabApiServerTest, FreezesAndThaws) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    co_await c->get("/version");
    t.server_.freeze();
    co_await c->send("GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
    co_await t.turns(200);
    EXPECT_EQ(t.server_.requests(RequestKind::other), 1U);
    t.server_.thaw();
    auto const late = co_await c->get("/version");
    EXPECT_EQ(late.code, 200);
    EXPECT_EQ(t.server_.requests(RequestKind::other), 3U);
  });
}

TEST_F(LabApiServerTest, StopsWhileFrozen) {
  play([](Lab& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel(true);
    auto const c = co_await t.client();
    t.server_.freeze();
    co_await tunnel->pair(1, "9001").send();
    co_await c->send("GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
    co_await t.turns(50);
  });
}

TEST_F(LabApiServerTest, StopsWhileAStreamBlocksTheReader) {
  play([](Lab& t) -> awaitable<void> {
    auto const tunnel = co_await t.tunnel(false);
    tunnel->pair(1, "9002").data(3, std::string(Sandbox::kSocketBuffer + 100'000, 'x'));
    for (int i = 0; i < 60; ++i) tunnel->data(3, "y");
    co_await tunnel->send();
    co_await t.turns(200);
  });
}

TEST_F(LabApiServerTest, CutsAndRefusesConnections) {
  play([](Lab& t) -> awaitable<void> {
    auto const c = co_await t.client();
    co_await c->get("/version");
    EXPECT_EQ(t.server_.cut_connections(), 1U);
    auto const ended = co_await c->ended();
    EXPECT_TRUE(ended);
    t.server_.refuse_connections(true);
    auto const refused = co_await t.client();
    EXPECT_EQ(refused, nullptr);
    t.server_.refuse_connections(false);
    auto const again = co_await t.client();
    EXPECT_NE(again, nullptr);
  });
}

TEST_F(LabApiServerTest, RestartsOnItsPort) {
  play([](Lab& t) -> awaitable<void> {
    auto const port = t.server_.port();
    auto const c = co_await t.client();
    co_await c->get("/version");
    co_await t.server_.stop();
    auto const ended = co_await c->ended();
    EXPECT_TRUE(ended);
    auto const started = t.server_.start();
    EXPECT_TRUE(started) << started.error().text;
    EXPECT_EQ(t.server_.port(), port);
    auto const again = co_await t.client();
    auto const answer = co_await again->get("/version");
    EXPECT_EQ(answer.code, 200);
  });
}

TEST_F(LabApiServerTest, WritesKubeconfigs) {
  KubeconfigOptions admin;
  KubeconfigOptions eve;
  eve.context = "eve";
  eve.namespace_ = "shop";
  eve.token = "eve-token";
  auto const text = server_.kubeconfig(std::vector<KubeconfigOptions>{admin, eve});
  EXPECT_THAT(text, HasSubstr("current-context: \"lab\""));
  EXPECT_THAT(text, HasSubstr("server: " + server_.url()));
  EXPECT_THAT(text, HasSubstr("client-certificate-data: LS0t"));
  EXPECT_THAT(text, HasSubstr("user: {token: \"eve-token\"}"));
  EXPECT_THAT(text, HasSubstr("context: {cluster: eve, user: eve, namespace: shop}"));
}

}  // namespace
}  // namespace kportal::lab
