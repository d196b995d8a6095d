// SPDX-License-Identifier: MIT
#include "net/proxy_handshake.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>

#include "net/http_upgrade.h"
#include "net/proxy_connect.h"
#include "tests/support/hex.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::net {
namespace {

using namespace std::chrono_literals;
using test::MemoryTransport;
using testing::HasSubstr;
using testing::Not;

std::string hex(std::string_view text) {
  return test::to_hex(as_bytes(text));
}
std::string unhex(std::string_view text) {
  return std::string(as_text(test::from_hex(text)));
}

Proxy proxy_of(std::string const& url) {
  return parse_proxy(url).value();
}

std::unique_ptr<ProxyHandshake> begin(std::string const& url, std::string const& host = "api.test",
                                      std::uint16_t port = 6443) {
  return ProxyHandshake::begin(proxy_of(url), host, port).value();
}

std::string refusal(ProxyHandshake& handshake, std::string_view answer) {
  auto const fed = handshake.feed(as_bytes(answer));
  if (fed) return "";
  EXPECT_EQ(fed.error().code, Errc::network);
  return fed.error().text;
}

// ---- CONNECT

TEST(HttpConnectTest, AsksAndIsLetThrough) {
  auto const handshake = begin("http://p.test");
  EXPECT_EQ(handshake->take_output(),
            "CONNECT api.test:6443 HTTP/1.1\r\nHost: api.test:6443\r\nUser-Agent: "
            "kportal-cpp/0.1.0\r\n\r\n");
  EXPECT_EQ(handshake->take_output(), "");
  std::string_view const answer = "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n";
  EXPECT_EQ(handshake->feed(as_bytes(answer)).value(), answer.size());
  EXPECT_TRUE(handshake->complete());
}

TEST(HttpConnectTest, LogsInAndAsksForAddresses) {
  EXPECT_THAT(begin("http://user:p%40ss@p.test")->take_output(),
              HasSubstr("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n"));
  EXPECT_THAT(begin("http://me@p.test")->take_output(),
              HasSubstr("\r\nProxy-Authorization: Basic bWU6\r\n"));
  EXPECT_THAT(begin("https://p.test", "::1", 1)->take_output(),
              HasSubstr("CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n"));
}

TEST(HttpConnectTest, TakesTheAnswerInAnyPieces) {
  std::string const answer = "HTTP/1.1 204\r\nContent-Length: 7\r\nX: y\r\n\r\n";
  for (std::size_t cut = 0; cut <= answer.size(); ++cut) {
    auto const handshake = begin("http://p.test");
    std::string const text = answer + "early";
    std::size_t const first =
        handshake->feed(as_bytes(std::string_view(text).substr(0, cut))).value();
    EXPECT_EQ(first, cut);
    EXPECT_EQ(handshake->complete(), cut == answer.size());
    if (handshake->complete()) continue;
    auto const rest = handshake->feed(as_bytes(std::string_view(text).substr(cut)));
    EXPECT_EQ(rest.value(), answer.size() - cut);  // what comes behind is not its own
    EXPECT_TRUE(handshake->complete());
  }
}

TEST(HttpConnectTest, ARefusalNamesStatusAndCure) {
  auto const text = [](std::string const& url, int status) {
    auto const handshake = begin(url);
    return refusal(*handshake, "HTTP/1.1 " + std::to_string(status) + " No\r\n\r\n");
  };
  EXPECT_EQ(text("http://p.test", 407),
            "the proxy answers 407 to CONNECT api.test:6443: it wants a login: write its URL "
            "as http://USER:PASSWORD@HOST:PORT");
  EXPECT_EQ(text("https://u:s3cret@p.test", 407),
            "the proxy answers 407 to CONNECT api.test:6443: it does not accept the user and "
            "password in its URL");
  EXPECT_THAT(text("https://u:s3cret@p.test", 401),
              HasSubstr("401 to CONNECT api.test:6443: it does "
                        "not accept the user"));
  EXPECT_THAT(text("http://p.test", 403), HasSubstr("403 to CONNECT api.test:6443: its rules"));
  EXPECT_THAT(text("http://p.test", 405), HasSubstr("is it a proxy?"));
  EXPECT_THAT(text("http://p.test", 502), HasSubstr("it cannot reach the server"));
  EXPECT_THAT(text("http://p.test", 302), HasSubstr("302"));
  EXPECT_THAT(text("http://p.test", 100), HasSubstr("100"));
}

TEST(HttpConnectTest, NonsenseEndsIt) {
  for (auto const& answer :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("HTTP/2.0 200 OK\r\n\r\n"),
        std::string("\x05\xff", 2), std::string("HTTP/1.1 200 OK\n\n"),
        "HTTP/1.1 200 OK\r\nX: " + std::string(kMaxHead, 'x')}) {
    auto const handshake = begin("http://p.test");
    EXPECT_THAT(refusal(*handshake, answer), HasSubstr("is it an HTTP proxy?"));
  }
}

TEST(HttpConnectTest, NamesThatNoRequestLineHasAreRefused) {
  for (std::string const host : {"a b", "a\r\nX: y", ""}) {
    auto const handshake = ProxyHandshake::begin(proxy_of("http://p.test"), host, 1);
    if (host.empty()) continue;  // ":1" asks for nothing, and the proxy says so
    ASSERT_FALSE(handshake) << host;
    EXPECT_EQ(handshake.error().code, Errc::kubeconfig);
  }
}

// ---- SOCKS5

TEST(Socks5Test, WithoutLogin) {
  auto const handshake = begin("socks5://p.test");
  EXPECT_EQ(hex(handshake->take_output()), "050100");
  EXPECT_EQ(handshake->feed(test::from_hex("05 00")).value(), 2u);
  EXPECT_EQ(hex(handshake->take_output()),
            "05010003"
            "08"
            "6170692e74657374"
            "192b");
  EXPECT_EQ(handshake->feed(test::from_hex("05 00 00 01 7f000001 1234")).value(), 10u);
  EXPECT_TRUE(handshake->complete());
}

TEST(Socks5Test, WithLogin) {
  auto const handshake = begin("socks5://user:pw@p.test", "10.1.2.3", 443);
  EXPECT_EQ(hex(handshake->take_output()), "05020002");
  EXPECT_TRUE(handshake->feed(test::from_hex("05 02")));
  EXPECT_EQ(hex(handshake->take_output()),
            "01"
            "0475736572"
            "027077");
  EXPECT_TRUE(handshake->feed(test::from_hex("01 00")));
  EXPECT_EQ(hex(handshake->take_output()),
            "05010001"
            "0a010203"
            "01bb");
  EXPECT_TRUE(handshake->feed(test::from_hex("05 00 00 04 00000000000000000000000000000000 0000")));
  EXPECT_TRUE(handshake->complete());
}

TEST(Socks5Test, ALoginThatIsNotWantedIsNotSent) {
  auto const handshake = begin("socks5://user:pw@p.test", "::1", 1);
  handshake->take_output();
  EXPECT_TRUE(handshake->feed(test::from_hex("05 00")));
  EXPECT_EQ(hex(handshake->take_output()),
            "05010004"
            "00000000000000000000000000000001"
            "0001");
}

TEST(Socks5Test, TakesTheAnswerInAnyPieces) {
  // A name as the bound address, then what is not the proxy's.
  std::string const answer = unhex("0502 0100 05000003 03 616263 1234");
  std::string const text = answer + "early";
  for (std::size_t cut = 0; cut <= answer.size(); ++cut) {
    auto const handshake = begin("socks5://u:p@p.test");
    std::string_view const all = text;
    EXPECT_EQ(handshake->feed(as_bytes(all.substr(0, cut))).value(), cut);
    EXPECT_EQ(handshake->complete(), cut == answer.size());
    if (handshake->complete()) continue;
    EXPECT_EQ(handshake->feed(as_bytes(all.substr(cut))).value(), answer.size() - cut);
    EXPECT_TRUE(handshake->complete());
  }
}

TEST(Socks5Test, Refusals) {
  EXPECT_EQ(refusal(*begin("socks5://p.test"), unhex("05ff")),
            "the proxy refuses the connection: it wants a login: write its URL as "
            "socks5://USER:PASSWORD@HOST:PORT");
  EXPECT_EQ(refusal(*begin("socks5://u:s3cret@p.test"), unhex("05ff")),
            "the proxy refuses the connection: it does not accept the user and password in its "
            "URL");
  EXPECT_EQ(refusal(*begin("socks5://u:s3cret@p.test"), unhex("0502 0101")),
            "the proxy refuses the connection: it does not accept the user and password in its "
            "URL");
  EXPECT_EQ(refusal(*begin("socks5://p.test"), unhex("0500 0505")),
            "the proxy refuses api.test:6443 (SOCKS5 reply 5): the connection from there is "
            "refused");
  EXPECT_THAT(refusal(*begin("socks5://p.test"), unhex("0500 0502")), HasSubstr("do not allow it"));
  for (int reply = 1; reply < 256; ++reply) {
    EXPECT_THAT(socks5_refused("t", reply).text, HasSubstr(std::to_string(reply)));
  }
}

TEST(Socks5Test, NonsenseEndsIt) {
  for (auto const* answer : {"04", "48", "0501", "0502", "0580", "0500 04", "0500 05000000 00",
                             "0500 05000002 00", "0500 050000ff 00"}) {
    EXPECT_THAT(refusal(*begin("socks5://p.test"), unhex(answer)),
                HasSubstr("is it a SOCKS5 proxy?"))
        << answer;
  }
  EXPECT_THAT(refusal(*begin("socks5://u:p@p.test"), unhex("0502 05")), HasSubstr("SOCKS5"));
}

TEST(Socks5Test, WhatHasNoRoomInOneByteIsRefusedBefore) {
  auto const begun = [](Proxy const& proxy, std::string const& host) {
    return ProxyHandshake::begin(proxy, host, 1);
  };
  Proxy proxy = proxy_of("socks5://u:p@p.test");
  EXPECT_TRUE(begun(proxy, std::string(255, 'a')));
  EXPECT_FALSE(begun(proxy, std::string(256, 'a')));
  EXPECT_FALSE(begun(proxy, ""));
  proxy.password = std::string(256, 'x');
  auto const refused = begun(proxy, "a");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, Not(HasSubstr("xxx")));
  EXPECT_FALSE(begun(proxy_of("socks5://:p@p.test"), "a"));
}

// ---- over a transport

class AskProxyTest : public test::LoopFixture {
 protected:
  // What the proxy says in one piece, then it ends if `end`.
  Result<void> ask(std::string const& url, std::string const& answer, bool end = false,
                   TimePoint deadline = kNever) {
    auto [near, far] = MemoryTransport::make_pair(executor());
    near_ = std::move(near);
    far_ = std::move(far);
    near_->keep_written();
    near_->set_max_read(max_read_);
    far_->write_now(as_bytes(answer));
    if (end) far_->shut_down_writing();
    std::optional<Result<void>> result;
    run(ask_and_keep(proxy_of(url), deadline, result));
    return std::move(*result);
  }
  awaitable<void> ask_and_keep(Proxy proxy, TimePoint deadline, std::optional<Result<void>>& into) {
    into = co_await ask_proxy(*near_, proxy, "api.test", 6443, deadline);
  }

  std::unique_ptr<MemoryTransport> near_, far_;
  std::size_t max_read_ = MemoryTransport::kUnlimited;
};

TEST_F(AskProxyTest, IsLetThrough) {
  for (std::size_t const piece : {std::size_t{1}, std::size_t{3}, MemoryTransport::kUnlimited}) {
    max_read_ = piece;
    EXPECT_TRUE(ask("http://p.test", "HTTP/1.1 200 OK\r\n\r\n"));
    EXPECT_TRUE(ask("socks5://u:p@p.test", unhex("0502 0100 05000001 00000000 0000")));
    EXPECT_EQ(hex(near_->written()),
              "05020002"
              "0101750170"
              "050100030861"
              "70692e74657374192b")
        << "all that was to be said, also to a proxy that answered before";
  }
}

TEST_F(AskProxyTest, BytesBehindTheAnswerAreAnError) {
  auto const http = ask("http://p.test", "HTTP/1.1 200 OK\r\n\r\nx");
  ASSERT_FALSE(http);
  EXPECT_EQ(http.error().code, Errc::network);
  EXPECT_THAT(http.error().text, HasSubstr("sent 1 bytes behind its answer"));
  EXPECT_FALSE(ask("socks5://p.test", unhex("0500 05000001 00000000 0000 00")));
}

TEST_F(AskProxyTest, AnEndAtAnyByteIsTheNetworks) {
  for (auto const& [url, answer] :
       {std::pair("http://p.test", std::string("HTTP/1.1 200 OK\r\n\r\n")),
        std::pair("socks5://u:p@p.test", unhex("0502 0100 05000001 00000000 0000"))}) {
    for (std::size_t cut = 0; cut < answer.size(); ++cut) {
      auto const asked = ask(url, answer.substr(0, cut), true);
      ASSERT_FALSE(asked) << cut;
      EXPECT_EQ(asked.error().code, Errc::network);
      EXPECT_EQ(asked.error().text, "the proxy ended the connection instead of answering");
    }
  }
}

TEST_F(AskProxyTest, GivesUpAtTheDeadline) {
  auto const asked = ask("socks5://p.test", unhex("05"), false, Clock::now() + 10ms);
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::timeout);
}

}  // namespace
}  // namespace kportal::net
