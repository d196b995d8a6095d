// SPDX-License-Identifier: MIT
#include "k8s/curl_multi.h"

#include <stdlib.h>

#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "net/proxy_handshake.h"
#include "tests/k8s/http_server.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;

class CurlMultiTest : public RestFixture {
 protected:
  Result<HttpResponse> get(HttpRequest wanted) {
    return run(curl_->perform(std::move(wanted), soon()));
  }
  Result<HttpResponse> get(std::string target) { return get(request(std::move(target))); }

  // The server, taken for a proxy of that scheme.
  net::Proxy proxy(std::string const& scheme) {
    auto const url = scheme + "://me:secret@proxy.test:" + std::to_string(server_.port());
    return net::parse_proxy(url).value();
  }

  // A port where nobody listens.
  std::uint16_t closed_port() {
    asio::ip::tcp::acceptor acceptor(context_,
                                     asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    return acceptor.local_endpoint().port();
  }
};

TEST_F(CurlMultiTest, GetsStatusHeadersAndBody) {
  server_.script(
      [](ServedRequest const&) { return reply(203, "hello", "X-Some-Thing:  v 1\r\n"); });
  auto const response = get("/a%20b?c=d");
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(response->head.status, 203);
  EXPECT_EQ(response->head.header("x-some-thing"), "v 1");
  EXPECT_EQ(response->head.header("absent"), "");
  EXPECT_EQ(response->body, "hello");
  auto const& seen = server_.requests().at(0);
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.target, "/a%20b?c=d");
  EXPECT_FALSE(seen.headers.contains("accept-encoding"));
  EXPECT_FALSE(seen.headers.contains("cookie"));
}

TEST_F(CurlMultiTest, SendsHeadersAndBody) {
  server_.script([](ServedRequest const&) { return reply(200, "{}"); });
  auto wanted = request("/x");
  wanted.method = "POST";
  wanted.headers = {{"Authorization", "Bearer t"}, {"Impersonate-Group", ""}};
  wanted.body = std::string(100'000, 'b');
  auto const response = get(wanted);
  ASSERT_TRUE(response.has_value()) << response.error().text;
  auto const& seen = server_.requests().at(0);
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.headers.at("authorization"), "Bearer t");
  EXPECT_TRUE(seen.headers.contains("impersonate-group"));
  EXPECT_EQ(seen.body, wanted.body);
}

TEST_F(CurlMultiTest, RefusesAHeaderOfTwoLines) {
  auto wanted = request("/x");
  wanted.headers = {{"Authorization", "Bearer t\r\nEvil: 1"}};
  auto const response = get(wanted);
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::local);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(CurlMultiTest, RefusesATargetTooLong) {
  auto const response = get("/" + std::string(10'000'000, 'x'));
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::limit);
}

TEST_F(CurlMultiTest, ReadsAnAnswerThatComesByteByByte) {
  server_.script([](ServedRequest const&) { return bytewise(reply(200, "slow", "A: b\r\n")); });
  auto const response = get("/");
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(response->body, "slow");
  EXPECT_EQ(response->head.header("a"), "b");
}

TEST_F(CurlMultiTest, SkipsInterimAnswers) {
  server_.script([](ServedRequest const&) {
    auto answer = reply(200, "body");
    answer.pieces.insert(answer.pieces.begin(), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    return answer;
  });
  auto const response = get("/");
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(response->head.status, 200);
  EXPECT_EQ(response->head.header("link"), "");
}

TEST_F(CurlMultiTest, UsesAConnectionAgain) {
  server_.script([](ServedRequest const&) { return reply(200, "x"); });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(get("/").has_value());
  EXPECT_EQ(server_.requests().back().connection, 1);
  auto wanted = request("/");
  wanted.fresh_connection = true;
  ASSERT_TRUE(get(wanted).has_value());
  EXPECT_EQ(server_.requests().back().connection, 2);
}

TEST_F(CurlMultiTest, AnswersOfOneLoopDoNotMix) {
  server_.script([](ServedRequest const& r) { return bytewise(reply(200, r.target)); });
  std::deque<std::optional<Result<HttpResponse>>> results(20);
  for (std::size_t i = 0; i < results.size(); ++i) {
    start(curl_->perform(request("/" + std::to_string(i)), soon()), results[i]);
  }
  run_until([&] {
    return std::all_of(results.begin(), results.end(), [](auto const& r) { return r.has_value(); });
  });
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i]->has_value()) << (*results[i]).error().text;
    EXPECT_EQ((**results[i]).body, "/" + std::to_string(i));
  }
}

TEST_F(CurlMultiTest, DoesNotFollowRedirects) {
  server_.script([](ServedRequest const&) { return reply(302, "", "Location: /other\r\n"); });
  auto const response = get("/");
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->head.status, 302);
  EXPECT_EQ(server_.requests().size(), 1U);
}

TEST_F(CurlMultiTest, IgnoresProxiesOfTheEnvironment) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  server_.script([](ServedRequest const&) { return reply(200, "direct"); });
  auto const response = get("/");
  unsetenv("http_proxy");
  unsetenv("ALL_PROXY");
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(response->body, "direct");
}

TEST_F(CurlMultiTest, AsksTheGivenProxyAlsoForWhatTheEnvironmentExempts) {
  setenv("no_proxy", "*", 1);
  server_.script(
      [](ServedRequest const& r) { return reply(200, r.method == "CONNECT" ? "" : "proxied"); });
  auto wanted = request("/x");
  wanted.host = "api.test";
  wanted.port = 80;
  wanted.proxy = proxy("http");
  wanted.headers.emplace_back("Authorization", "Bearer of-the-server");
  wanted.addresses = {asio::ip::address_v4::loopback()};
  auto const response = get(wanted);
  unsetenv("no_proxy");
  ASSERT_TRUE(response.has_value()) << response.error().text;
  auto const& asked = server_.requests().at(0);
  EXPECT_EQ(asked.method + " " + asked.target, "CONNECT api.test:80");
  EXPECT_EQ(asked.headers.at("proxy-authorization"), "Basic bWU6c2VjcmV0");
  EXPECT_FALSE(asked.headers.contains("authorization"));
  auto const& passed = server_.requests().at(1);
  EXPECT_EQ(passed.target, "/x");
  EXPECT_EQ(passed.headers.at("authorization"), "Bearer of-the-server");
  EXPECT_FALSE(passed.headers.contains("proxy-authorization"));
}

TEST_F(CurlMultiTest, ARefusalOfTheProxyIsTheNetworks) {
  for (int const status : {400, 403, 405, 407, 502, 503}) {
    server_.script([status](ServedRequest const&) { return reply(status, "<html>no"); });
    auto wanted = request("/x");
    wanted.host = "api.test";
    wanted.proxy = proxy("http");
    wanted.addresses = {asio::ip::address_v4::loopback()};
    auto const response = get(wanted);
    ASSERT_TRUE(response.has_error()) << status;
    auto const expected =
        net::connect_refused(*wanted.proxy, "api.test:" + std::to_string(wanted.port), status);
    EXPECT_EQ(response.error(), expected) << response.error().text;
  }
}

TEST_F(CurlMultiTest, ConnectsANameToTheGivenAddresses) {
  server_.script([](ServedRequest const&) { return reply(200, "pinned"); });
  auto wanted = request("/");
  wanted.host = "api.test";
  // The first refuses: nobody listens there.
  wanted.addresses = {asio::ip::make_address("127.0.0.2"), asio::ip::address_v4::loopback()};
  auto const response = get(wanted);
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(server_.requests().at(0).headers.at("host"),
            "api.test:" + std::to_string(server_.port()));
}

TEST_F(CurlMultiTest, RefusedConnectionIsANetworkError) {
  auto wanted = request("/");
  wanted.port = closed_port();
  auto const response = get(wanted);
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::network);
  EXPECT_NE(response.error().text.find(std::to_string(wanted.port)), std::string::npos)
      << response.error().text;
}

TEST_F(CurlMultiTest, AConnectionClosedWithoutAnswerIsANetworkError) {
  server_.script([](ServedRequest const&) {
    Answer answer;
    answer.then = Answer::Then::close;
    return answer;
  });
  auto const response = get("/");
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::network);
}

TEST_F(CurlMultiTest, ABodyCutShortIsANetworkError) {
  server_.script([](ServedRequest const&) {
    Answer answer;
    answer.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"};
    answer.then = Answer::Then::close;
    return answer;
  });
  auto const response = get("/");
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::network);
}

TEST_F(CurlMultiTest, GarbageIsAProtocolError) {
  server_.script([](ServedRequest const&) {
    Answer answer;
    answer.pieces = {"SSH-2.0-OpenSSH_9.2\r\n"};
    answer.then = Answer::Then::close;
    return answer;
  });
  auto const response = get("/");
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::protocol) << response.error().text;
}

TEST_F(CurlMultiTest, TimesOutAtTheDeadline) {
  server_.script([](ServedRequest const&) { return hang(); });
  auto const response = run(curl_->perform(request("/"), Clock::now() + 30ms));
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::timeout);
  EXPECT_EQ(response.error().text, "no answer in time");
  run_until([this] { return server_.connections() == 0; });
}

TEST_F(CurlMultiTest, BoundsTheHeaders) {
  server_.script([](ServedRequest const&) {
    Answer answer;
    answer.pieces = {"HTTP/1.1 200 OK\r\n"};
    for (int i = 0; i < 300; ++i) answer.pieces.push_back("A: " + std::string(1000, 'a') + "\r\n");
    return answer;
  });
  auto const response = get("/");
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::limit) << response.error().text;
}

TEST_F(CurlMultiTest, BoundsTheBody) {
  server_.script([](ServedRequest const&) {
    Answer answer = reply(200, "");
    answer.pieces = {"HTTP/1.1 200 OK\r\n\r\n"};
    std::string const piece(1024 * 1024, 'x');
    for (std::size_t i = 0; i < CurlMulti::kMaxBody / piece.size() + 1; ++i) {
      answer.pieces.push_back(piece);
    }
    answer.then = Answer::Then::close;
    return answer;
  });
  auto const response = get("/");
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::limit) << response.error().text;
}

TEST_F(CurlMultiTest, WhatNobodyReadsStaysWithTheServer) {
  constexpr std::size_t kSize = 32 * 1024 * 1024;
  server_.script([](ServedRequest const&) { return reply(200, std::string(kSize, 'x')); });
  auto const stream = curl_->open(request("/"));
  ASSERT_TRUE(run(stream->head(soon())).has_value());
  for (int i = 0; i < 20'000; ++i) turn();
  std::size_t total = 0;
  for (;;) {
    auto const part = run(stream->read(soon()));
    ASSERT_TRUE(part.has_value()) << part.error().text;
    if (part->empty()) break;
    // What curl takes from a socket in one go is more than the bound.
    EXPECT_LT(part->size(), CurlMulti::kMaxUnread + 4 * 1024 * 1024);
    total += part->size();
  }
  EXPECT_EQ(total, kSize);
  auto const next = get("/again");
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->body.size(), kSize);
}

TEST_F(CurlMultiTest, AReaderThatGoesLetsTheOthersGoOn) {
  server_.script([](ServedRequest const& r) {
    return r.target == "/" ? reply(200, std::string(32 * 1024 * 1024, 'x')) : reply(200, "small");
  });
  auto stream = curl_->open(request("/"));
  ASSERT_TRUE(run(stream->head(soon())).has_value());
  for (int i = 0; i < 20'000; ++i) turn();
  std::optional<Result<HttpResponse>> other;
  start(curl_->perform(request("/other"), soon()), other);
  for (int i = 0; i < 1000; ++i) turn();
  stream.reset();
  run_until([&] { return other.has_value(); });
  ASSERT_TRUE(other->has_value()) << other->error().text;
  EXPECT_EQ((*other)->body, "small");
}

TEST_F(CurlMultiTest, StreamsWhatComes) {
  Feed& feed = make_feed();
  server_.script([&](ServedRequest const&) { return stream(feed); });
  auto const stream = curl_->open(request("/watch"));
  auto const head = run(stream->head(soon()));
  ASSERT_TRUE(head.has_value()) << head.error().text;
  EXPECT_EQ(head->status, 200);
  feed.event("one");
  EXPECT_EQ(*run(stream->read(soon())), "one");
  auto const early = run(stream->read(Clock::now() + 10ms));
  ASSERT_TRUE(early.has_error());
  EXPECT_EQ(early.error().code, Errc::timeout);
  feed.event("two");
  EXPECT_EQ(*run(stream->read(soon())), "two");
  feed.finish();
  EXPECT_EQ(*run(stream->read(soon())), "");
  EXPECT_EQ(*run(stream->read(soon())), "");
}

TEST_F(CurlMultiTest, CancellingAReaderEndsTheRequest) {
  server_.script([](ServedRequest const&) {
    Answer answer;
    answer.pieces = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"};
    answer.then = Answer::Then::hang;
    return answer;
  });
  std::optional<Result<HttpResponse>> response;
  start(curl_->perform(request("/watch"), kNever), response);
  run_until([this] { return server_.requests().size() == 1; });
  cancel_tasks();
  EXPECT_FALSE(response.has_value());
  run_until([this] { return server_.connections() == 0; });
  server_.script([](ServedRequest const&) { return reply(200, "alive"); });
  EXPECT_EQ(get("/")->body, "alive");
}

TEST_F(CurlMultiTest, CancelledAtEveryMoment) {
  server_.script([](ServedRequest const&) { return bytewise(reply(200, "abc")); });
  for (int turns = 0; turns < 40; ++turns) {
    std::optional<Result<HttpResponse>> response;
    start(curl_->perform(request("/"), soon()), response);
    for (int i = 0; i < turns; ++i) turn();
    cancel_tasks();
  }
  EXPECT_EQ(get("/")->body, "abc");
}

TEST_F(CurlMultiTest, CloseFailsAPendingRead) {
  server_.script([](ServedRequest const&) { return hang(); });
  auto const stream = curl_->open(request("/watch"));
  std::optional<Result<HttpHead>> head;
  start(stream->head(kNever), head);
  run_until([this] { return server_.requests().size() == 1; });
  stream->close();
  run_until([&] { return head.has_value(); });
  EXPECT_EQ(head->error().code, Errc::closed);
}

TEST_F(CurlMultiTest, DroppingConnectionsFailsWhatRunsAndConnectsAnew) {
  server_.script([](ServedRequest const& r) { return r.target == "/" ? reply(200, "x") : hang(); });
  ASSERT_TRUE(get("/").has_value());
  std::optional<Result<HttpResponse>> response;
  start(curl_->perform(request("/hang"), kNever), response);
  run_until([this] { return server_.requests().size() == 2; });
  curl_->drop_connections();
  run_until([&] { return response.has_value(); });
  EXPECT_EQ((*response).error().code, Errc::network);
  run_until([this] { return server_.connections() == 0; });
  ASSERT_TRUE(get("/").has_value());
  EXPECT_EQ(server_.requests().back().connection, 2);
}

TEST_F(CurlMultiTest, DestroyedWithRequestsUnderWay) {
  server_.script([](ServedRequest const&) { return hang(); });
  auto const stream = curl_->open(request("/watch"));
  std::optional<Result<HttpHead>> head;
  start(stream->head(kNever), head);
  run_until([this] { return server_.requests().size() == 1; });
  auto const never_started = curl_->open(request("/other"));
  curl_.reset();
  run_until([&] { return head.has_value(); });
  EXPECT_EQ(head->error().code, Errc::closed);
  EXPECT_EQ(run(never_started->head(kNever)).error().code, Errc::closed);
}

}  // namespace
}  // namespace kportal::k8s
