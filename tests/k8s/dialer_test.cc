// SPDX-License-Identifier: MIT
// The dialer against a server that says what the test wants.
#include "k8s/dialer.h"

#include <functional>
#include <optional>
#include <string>

#include <gmock/gmock.h>

#include "k8s/rest_client.h"
#include "net/websocket.h"
#include "tests/k8s/http_server.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_fixture.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string const kStatusBody = R"({"kind":"Status","apiVersion":"v1","status":"Failure",)"
                                R"("message":"no","reason":"Some","code":400})";

net::ResponseHead head_of(int status) {
  net::ResponseHead head;
  head.status = status;
  return head;
}

TEST(ShouldFallBackTest, OnlyWhereAnotherTransportMayBeTold) {
  for (int const status : {200, 204, 302, 400, 403, 405, 426, 501, 502}) {
    EXPECT_TRUE(should_fall_back(head_of(status), "")) << status;
    EXPECT_TRUE(should_fall_back(head_of(status), kStatusBody)) << status;
  }
  for (int const status : {401, 429, 500, 503}) {
    EXPECT_FALSE(should_fall_back(head_of(status), "")) << status;
    EXPECT_FALSE(should_fall_back(head_of(status), kStatusBody)) << status;
  }
  // A proxy's own answer, and the API server's.
  for (int const status : {404, 504}) {
    EXPECT_TRUE(should_fall_back(head_of(status), "<html>no</html>")) << status;
    EXPECT_FALSE(should_fall_back(head_of(status), kStatusBody)) << status;
  }
}

TEST(UpgradeErrorTest, KeepsWhatTheServerSays) {
  net::ResponseHead busy = head_of(429);
  busy.headers.add("Retry-After", "7");
  EXPECT_EQ(upgrade_error(busy, "").code, Errc::server);
  EXPECT_EQ(upgrade_error(busy, "").retry_after, 7s);
  EXPECT_EQ(upgrade_error(head_of(401), "").code, Errc::unauthorized);
  EXPECT_EQ(upgrade_error(head_of(403), "").code, Errc::forbidden);
  EXPECT_EQ(upgrade_error(head_of(404), kStatusBody).code, Errc::not_found);
  EXPECT_EQ(upgrade_error(head_of(200), "").code, Errc::upgrade_refused);
  net::ResponseHead moved = head_of(302);
  moved.headers.add("Location", "https://login/\x1b");
  EXPECT_EQ(upgrade_error(moved, "").text,
            "HTTP 302 (to https://login/\\x1b) instead of 101 Switching Protocols");
}

TEST(RefusedByBothTest, TellsBothAnswersAndTheCure) {
  Error const page(Errc::upgrade_refused, "HTTP 200 instead of 101 Switching Protocols");
  Error const bad(Errc::server, "bad request (HTTP 400)");
  std::string const refused = "pods \"web\" is forbidden: User \"u\" cannot ";
  Error const get(Errc::forbidden, refused + "get resource \"pods/portforward\" (HTTP 403)");
  Error const create(Errc::forbidden, refused + "create resource \"pods/portforward\" (HTTP 403)");
  Error const wordless(Errc::forbidden, "pods \"web\" is forbidden: (HTTP 403)");
  EXPECT_EQ(
      refused_by_both(page, page, "shop"),
      Error(Errc::upgrade_refused,
            "no tunnel by WebSocket nor by SPDY: HTTP 200 instead of 101 Switching Protocols; "
            "a proxy or load balancer before the API server may not let upgrades through"));
  EXPECT_EQ(refused_by_both(page, bad, "shop").code, Errc::server);
  std::string const rule =
      "; a role that allows it, to be bound to this user: kubectl create role port-forward -n shop "
      "--verb=get,create --resource=pods/portforward";
  EXPECT_EQ(refused_by_both(get, create, "shop"),
            Error(Errc::forbidden, create.text + ", nor get it, which is for a WebSocket" + rule));
  EXPECT_EQ(refused_by_both(wordless, create, "shop"), Error(Errc::forbidden, create.text + rule));
  // A right that is missing for one of them is not why the other fails.
  EXPECT_EQ(refused_by_both(get, bad, "shop"),
            Error(Errc::server, "no tunnel by WebSocket: " + get.text +
                                    "; nor by SPDY: bad request (HTTP 400)" + rule));
  // A proxy's 403 is mended by no role.
  Error const proxys(Errc::forbidden, "the web page \"No\" (HTTP 403)");
  EXPECT_THAT(refused_by_both(proxys, proxys, "shop").text, HasSubstr("load balancer"));
}

TEST(TransportChoiceTest, TriesTheWebSocketAgainAfterATime) {
  TransportChoice choice;
  TimePoint const t0 = Clock::now();
  EXPECT_EQ(choice.first(t0), TransportKind::websocket);
  choice.worked(TransportKind::spdy, t0);
  TimePoint const last = t0 + TransportChoice::kTryWebsocketAgain;
  EXPECT_EQ(choice.first(last - 1s), TransportKind::spdy);
  choice.worked(TransportKind::spdy, last - 1s);  // that it works still does not put it off
  EXPECT_EQ(choice.first(last), TransportKind::websocket);
  choice.worked(TransportKind::spdy, last);
  EXPECT_EQ(choice.first(last + 1s), TransportKind::spdy);
  choice.worked(TransportKind::websocket, last + 2s);
  EXPECT_EQ(choice.first(last + 3s), TransportKind::websocket);
}

class DialerTest : public test::LoopFixture {
 protected:
  // Answers each request by the script.
  Result<Tunnel> dial(HttpServer::Script script) {
    return std::move(dial_often(std::move(script), 1).front());
  }
  // With one dialer, one after another.
  std::vector<Result<Tunnel>> dial_often(HttpServer::Script script, int times) {
    server_.script(std::move(script));
    ClusterAccess at;
    at.server.tls = tls_ != nullptr;
    at.server.host = "127.0.0.1";
    at.server.port = server_.port();
    auto const read_token = [this](std::string const&, std::size_t) { return next_token(); };
    Credentials credentials(auth_, read_token);
    Dialer dialer(resolver_, at, tls_, credentials);
    std::vector<Result<Tunnel>> tunnels;
    server_.start();
    run(dial_with(dialer, times, tunnels));
    return tunnels;
  }
  // Why a knock is not answered; "" if it is.
  std::string knock(HttpServer::Script script) {
    server_.script(std::move(script));
    ClusterAccess at;
    at.server.tls = tls_ != nullptr;
    at.server.host = "127.0.0.1";
    at.server.port = server_.port();
    Credentials credentials(auth_,
                            [this](std::string const&, std::size_t) { return next_token(); });
    Dialer dialer(resolver_, at, tls_, credentials);
    std::string why;
    server_.start();
    run(knock_by(dialer, why));
    return why;
  }
  awaitable<void> knock_by(Dialer& dialer, std::string& why) {
    auto const error = co_await dialer.knock(Clock::now() + 20s);
    if (error) why = error->text;
    server_.cancel();
  }
  awaitable<void> dial_with(Dialer& dialer, int times, std::vector<Result<Tunnel>>& tunnels) {
    for (int i = 0; i < times; ++i) {
      auto tunnel = co_await dialer.dial("shop", "web-0", DialOptions(), Clock::now() + patience_);
      tunnels.push_back(std::move(tunnel));
    }
    server_.cancel();
  }
  boost::system::result<std::string> next_token() { return tokens_.at(token_ < 1 ? token_++ : 1); }

  static Answer raw(std::string text, Answer::Then then = Answer::Then::hang) {
    Answer answer;
    answer.pieces.push_back(std::move(text));
    answer.then = then;
    return answer;
  }
  static bool is_websocket(ServedRequest const& request) { return request.method == "GET"; }
  static std::string websocket_101(ServedRequest const& request, std::string const& protocol) {
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: " +
           net::websocket_accept(request.headers.at("sec-websocket-key")) +
           "\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n";
  }
  static std::string spdy_101(std::string const& protocol) {
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n"
           "X-Stream-Protocol-Version: " +
           protocol + "\r\n\r\n";
  }

  net::Resolver resolver_{executor()};
  HttpServer server_{executor()};
  net::TlsContext* tls_ = nullptr;
  Duration patience_ = 20s;
  Auth auth_;
  std::vector<std::string> tokens_;
  std::size_t token_ = 0;
};

TEST_F(DialerTest, TakesAWebSocketFirst) {
  auto const tunnel = dial([](ServedRequest const& request) {
    return raw(websocket_101(request, "SPDY/3.1+portforward.k8s.io"));
  });
  ASSERT_TRUE(tunnel) << tunnel.error().text;
  EXPECT_EQ(tunnel->transport, TransportKind::websocket);
  EXPECT_EQ(server_.requests().front().target, "/api/v1/namespaces/shop/pods/web-0/portforward");
}

TEST_F(DialerTest, FallsBackToSpdyWhereTheServerCannotDoWebSocket) {
  auto const tunnel = dial([](ServedRequest const& request) {
    if (is_websocket(request)) return reply(400, "query parameter \"port\" is required");
    return raw(spdy_101("portforward.k8s.io"));
  });
  ASSERT_TRUE(tunnel) << tunnel.error().text;
  EXPECT_EQ(tunnel->transport, TransportKind::spdy);
}

TEST_F(DialerTest, RemembersThatOnlySpdyWorks) {
  auto const tunnels = dial_often(
      [](ServedRequest const& request) {
        if (is_websocket(request)) return reply(400, "query parameter \"port\" is required");
        return raw(spdy_101("portforward.k8s.io"));
      },
      2);
  EXPECT_TRUE(tunnels.back().has_value());
  ASSERT_EQ(server_.requests().size(), 3u);
  EXPECT_EQ(server_.requests().back().method, "POST");
}

// The API server was upgraded, or a proxy in front of it changed.
TEST_F(DialerTest, TriesTheWebSocketAgainWhereSpdyWorksNoMore) {
  bool changed = false;
  auto const tunnels = dial_often(
      [&](ServedRequest const& request) {
        if (is_websocket(request) != changed) return reply(405, "not allowed");
        if (changed) return raw(websocket_101(request, "SPDY/3.1+portforward.k8s.io"));
        changed = true;
        return raw(spdy_101("portforward.k8s.io"));
      },
      3);
  ASSERT_TRUE(tunnels[1]) << tunnels[1].error().text;
  EXPECT_EQ(tunnels[1]->transport, TransportKind::websocket);
  ASSERT_TRUE(tunnels[2]);
  EXPECT_EQ(server_.requests().size(), 5u) << "the WebSocket is remembered again";
}

// Reverse proxies that know nothing of upgrades.
TEST_F(DialerTest, WhatBothTransportsAreAnsweredIsTold) {
  struct Row {
    int status;
    Errc code;
    char const* text;
  };
  std::vector<Row> const rows = {
      {200, Errc::upgrade_refused, "HTTP 200 (to https://sso/) instead of 101"},
      {301, Errc::upgrade_refused, "HTTP 301 (to https://sso/) instead of 101"},
      {302, Errc::upgrade_refused, "HTTP 302 (to https://sso/) instead of 101"},
      {400, Errc::server, "the web page \"Sorry\" instead of an API server's answer (HTTP 400)"},
      {403, Errc::forbidden, "(HTTP 403)"},
      {405, Errc::server, "(HTTP 405)"},
      {502, Errc::server, "(HTTP 502)"},
      {504, Errc::server, "(HTTP 504)"}};
  auto const tunnels = dial_often(
      [&](ServedRequest const&) {
        int const status = rows.at((server_.requests().size() - 1) / 2).status;
        return reply(status, "<html><title>Sorry</title>", "Location: https://sso/\r\n");
      },
      static_cast<int>(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_FALSE(tunnels[i]);
    Error const& error = tunnels[i].error();
    EXPECT_EQ(error.code, rows[i].code) << rows[i].status;
    EXPECT_THAT(error.text, HasSubstr("no tunnel by WebSocket nor by SPDY: "));
    EXPECT_THAT(error.text, HasSubstr(rows[i].text));
    EXPECT_TRUE(error.text.starts_with("127.0.0.1:")) << error.text;
  }
}

// A proxy's answer, of which the end does not come.
TEST_F(DialerTest, ARefusalIsOneAlsoWhereItsBodyDoesNotEnd) {
  TimePoint const began = Clock::now();
  auto const tunnel = dial([](ServedRequest const&) {
    return raw("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 1000\r\n\r\nslow down");
  });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::server);
  EXPECT_THAT(tunnel.error().text, HasSubstr("slow down (HTTP 429)"));
  EXPECT_GE(Clock::now() - began, kRefusalTime);
}

TEST_F(DialerTest, ARefusalIsOneAlsoWhereTheDialsTimeEndsInItsBody) {
  patience_ = 300ms;
  auto const tunnel = dial([](ServedRequest const&) {
    return raw("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 1000\r\n\r\nslow down");
  });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::server) << tunnel.error().text;
}

TEST_F(DialerTest, ABare403IsFollowedBySpdy) {
  auto const tunnel = dial([](ServedRequest const& request) {
    if (is_websocket(request)) return raw("HTTP/1.1 403 Forbidden\r\n\r\n", Answer::Then::close);
    return raw(spdy_101("portforward.k8s.io"));
  });
  ASSERT_TRUE(tunnel) << tunnel.error().text;
  EXPECT_EQ(tunnel->transport, TransportKind::spdy);
}

TEST_F(DialerTest, WhatOneDialIsAskedToWaitHoldsForAll) {
  auto const tunnels = dial_often(
      [](ServedRequest const&) { return reply(429, "too many", "Retry-After: 40\r\n"); }, 5);
  EXPECT_EQ(server_.requests().size(), 1u);
  EXPECT_EQ(tunnels[0].error().retry_after, 40s);
  ASSERT_TRUE(tunnels[4].has_error());
  EXPECT_EQ(tunnels[4].error().code, Errc::server);
  EXPECT_LE(tunnels[4].error().retry_after, Dialer::kMaxSharedWait);
  EXPECT_GT(tunnels[4].error().retry_after, 0s);
}

TEST_F(DialerTest, FallsBackFromAnotherSubprotocol) {
  auto const tunnel = dial([](ServedRequest const& request) {
    if (is_websocket(request)) return raw(websocket_101(request, "v4.channel.k8s.io"));
    return raw(spdy_101("portforward.k8s.io"));
  });
  ASSERT_TRUE(tunnel) << tunnel.error().text;
  EXPECT_EQ(tunnel->transport, TransportKind::spdy);
}

TEST_F(DialerTest, RefusesAnotherStreamProtocol) {
  auto const tunnel = dial([](ServedRequest const& request) {
    if (is_websocket(request)) return reply(400, "no");
    return raw(spdy_101("v4.channel.k8s.io"));
  });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::protocol);
  EXPECT_THAT(tunnel.error().text, HasSubstr("v4.channel.k8s.io"));
}

TEST_F(DialerTest, RefusesBytesBehindASpdy101) {
  auto const tunnel = dial([](ServedRequest const& request) {
    if (is_websocket(request)) return reply(400, "no");
    return raw(spdy_101("portforward.k8s.io") + "early");
  });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::protocol);
}

TEST_F(DialerTest, GarbageIsAnErrorThatNamesTheServer) {
  auto const tunnel = dial([](ServedRequest const&) { return raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"); });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::protocol) << tunnel.error().text;
  EXPECT_THAT(tunnel.error().text, HasSubstr("127.0.0.1:"));
}

TEST_F(DialerTest, AConnectionThatEndsWithoutAnAnswerIsTheNetworks) {
  auto const tunnel =
      dial([](ServedRequest const&) { return raw("HTTP/1.1 1", Answer::Then::close); });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::network) << tunnel.error().text;
}

TEST_F(DialerTest, ReadsTheTokenFileAgainAfterA401) {
  auth_.token_file = "/token";
  tokens_ = {"old", "new"};
  auto const tunnel = dial([](ServedRequest const& request) {
    if (request.headers.at("authorization") == "Bearer old") return reply(401, "");
    return raw(websocket_101(request, "SPDY/3.1+portforward.k8s.io"));
  });
  EXPECT_TRUE(tunnel);
  EXPECT_EQ(server_.requests().size(), 2u);
}

TEST_F(DialerTest, DoesNotAskTwiceWithTheSameToken) {
  auth_.token_file = "/token";
  tokens_ = {"old", "old"};
  auto const tunnel = dial([](ServedRequest const&) { return reply(401, ""); });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::unauthorized);
  EXPECT_EQ(server_.requests().size(), 1u);
}

class MutualTlsTest : public DialerTest {
 protected:
  // The server knows nothing of who issued the client's.
  MutualTlsTest() {
    test::CertificateAuthority const authority("ours");
    test::CertificateAuthority const stranger("theirs");
    test::CertificateRequest request;
    request.addresses = {"127.0.0.1"};
    auto const server = authority.issue(request);
    auto const client = stranger.issue(test::CertificateRequest());
    net::TlsConfig config;
    config.ca_pem = authority.cert_pem();
    config.cert_pem = server.cert_pem;
    config.key_pem = server.key_pem;
    config.client_certificates = net::ClientCertificates::require;
    server_tls_.emplace(net::TlsContext::for_server(config).value());
    server_.use_tls(&*server_tls_);
    config.cert_pem = client.cert_pem;
    config.key_pem = client.key_pem;
    client_tls_.emplace(net::TlsContext::for_client(config).value());
    tls_ = &*client_tls_;
  }

  std::optional<net::TlsContext> server_tls_;
  std::optional<net::TlsContext> client_tls_;
};

// TLS 1.3: the client's handshake is over before the server looks at its certificate.
TEST_F(MutualTlsTest, ACertificateThatIsRefusedAfterTheHandshakeIsTlss) {
  auto const tunnel = dial([](ServedRequest const&) { return reply(200, ""); });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::tls) << tunnel.error().text;
  EXPECT_THAT(tunnel.error().text, HasSubstr("127.0.0.1:"));
  EXPECT_THAT(tunnel.error().text, HasSubstr("certificate"));
}

// The cluster is reached, whoever may use it.
TEST_F(MutualTlsTest, ACertificateThatIsRefusedIsAnAnswerToAKnock) {
  EXPECT_EQ(knock([](ServedRequest const&) { return reply(200, ""); }), "");
}

TEST_F(DialerTest, AnyAnswerWillDoForAKnock) {
  EXPECT_EQ(knock([](ServedRequest const&) { return reply(403, ""); }), "");
}

TEST_F(DialerTest, AConnectionThatOnlyEndsIsNoAnswerToAKnock) {
  EXPECT_NE(knock([](ServedRequest const&) { return raw("", Answer::Then::close); }), "");
}

}  // namespace
}  // namespace kportal::k8s
