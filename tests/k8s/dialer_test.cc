// SPDX-License-Identifier: MIT
// The dialer against a server that says what the test wants.
#include "k8s/dialer.h"

#include <functional>
#include <optional>
#include <string>

#include <gmock/gmock.h>

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
  for (int const status : {401, 429, 500, 503, 504}) {
    EXPECT_FALSE(should_fall_back(head_of(status), "")) << status;
    EXPECT_FALSE(should_fall_back(head_of(status), kStatusBody)) << status;
  }
  EXPECT_TRUE(should_fall_back(head_of(404), "404 page not found"));
  EXPECT_FALSE(should_fall_back(head_of(404), kStatusBody));
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
}

class DialerTest : public test::LoopFixture {
 protected:
  // Answers each request by the script.
  Result<Tunnel> dial(HttpServer::Script script) {
    server_.script(std::move(script));
    ClusterAccess at;
    at.server.tls = tls_ != nullptr;
    at.server.host = "127.0.0.1";
    at.server.port = server_.port();
    auto const read_token = [this](std::string const&, std::size_t) { return next_token(); };
    Credentials credentials(auth_, read_token);
    Dialer dialer(resolver_, at, tls_, credentials);
    std::optional<Result<Tunnel>> tunnel;
    server_.start();
    run(dial_with(dialer, tunnel));
    return std::move(*tunnel);
  }
  awaitable<void> dial_with(Dialer& dialer, std::optional<Result<Tunnel>>& tunnel) {
    tunnel = co_await dialer.dial("shop", "web-0", DialOptions(), Clock::now() + 5s);
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

// TLS 1.3: the client's handshake is over before the server looks at its certificate.
TEST_F(DialerTest, ACertificateThatIsRefusedAfterTheHandshakeIsTlss) {
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
  auto server_tls = net::TlsContext::for_server(config).value();
  config.cert_pem = client.cert_pem;
  config.key_pem = client.key_pem;
  auto client_tls = net::TlsContext::for_client(config).value();
  server_.use_tls(&server_tls);
  tls_ = &client_tls;

  auto const tunnel = dial([](ServedRequest const&) { return reply(200, ""); });
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Errc::tls) << tunnel.error().text;
  EXPECT_THAT(tunnel.error().text, HasSubstr("127.0.0.1:"));
  EXPECT_THAT(tunnel.error().text, HasSubstr("certificate"));
}

}  // namespace
}  // namespace kportal::k8s
