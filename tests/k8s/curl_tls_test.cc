// SPDX-License-Identifier: MIT
// CurlMulti and RestClient over TLS: whom they trust, and what they show.
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include "tests/k8s/http_server.h"
#include "tests/support/certificates.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using test::CertificateAuthority;
using test::CertificateRequest;

CertificateRequest server_names() {
  CertificateRequest request;
  request.common_name = "api";
  request.dns_names = {"api.test"};
  request.addresses = {"127.0.0.1"};
  return request;
}

class CurlTlsTest : public RestFixture {
 protected:
  CurlTlsTest() {
    serve(authority_, server_names());
    server_.script([](ServedRequest const& r) { return reply(200, "hello " + r.client_name); });
  }
  ~CurlTlsTest() override { cancel_tasks(); }

  void serve(CertificateAuthority const& by, CertificateRequest const& request,
             std::string const& chain = {}) {
    auto const issued = by.issue(request);
    net::TlsConfig config;
    config.cert_pem = issued.cert_pem + chain;
    config.key_pem = issued.key_pem;
    config.ca_pem = authority_.cert_pem();
    config.client_certificates = net::ClientCertificates::request;
    if (offer_http2_) config.alpn = {"h2"};
    auto made = net::TlsContext::for_server(config);
    ASSERT_TRUE(made.has_value()) << made.error().text;
    context_of_server_ = std::make_unique<net::TlsContext>(std::move(*made));
    server_.use_tls(context_of_server_.get());
  }
  HttpRequest secure(std::string const& ca_pem) const {
    auto wanted = request("/");
    wanted.scheme = "https";
    wanted.tls.ca_pem = ca_pem;
    return wanted;
  }
  Result<HttpResponse> get(HttpRequest wanted) {
    return run(curl_->perform(std::move(wanted), soon()));
  }
  void expect_tls_error(HttpRequest wanted) {
    auto const response = get(std::move(wanted));
    ASSERT_TRUE(response.has_error());
    EXPECT_EQ(response.error().code, Errc::tls) << response.error().text;
    EXPECT_FALSE(response.error().text.empty());
    EXPECT_TRUE(server_.requests().empty());
  }

  bool offer_http2_ = false;
  CertificateAuthority authority_{"root"};
  std::unique_ptr<net::TlsContext> context_of_server_;
};

TEST_F(CurlTlsTest, TrustsTheGivenAuthority) {
  auto const response = get(secure(authority_.cert_pem()));
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(response->body, "hello ");
}

TEST_F(CurlTlsTest, DoesNotTrustAnother) {
  expect_tls_error(secure(CertificateAuthority("other").cert_pem()));
}

TEST_F(CurlTlsTest, TheSystemsRootsDoNotKnowUs) {
  expect_tls_error(secure(""));
}

TEST_F(CurlTlsTest, AnAuthorityThatIsNoneIsATlsError) {
  expect_tls_error(secure("no PEM"));
}

TEST_F(CurlTlsTest, AnIntermediateIsARootIfGiven) {
  CertificateAuthority const middle("middle", authority_);
  serve(middle, server_names(), middle.cert_pem());
  auto const response = get(secure(middle.cert_pem()));
  ASSERT_TRUE(response.has_value()) << response.error().text;
}

TEST_F(CurlTlsTest, VerifiesTheName) {
  auto wanted = secure(authority_.cert_pem());
  wanted.host = "elsewhere.test";
  wanted.addresses = {asio::ip::address_v4::loopback()};
  expect_tls_error(wanted);
}

TEST_F(CurlTlsTest, VerifiesTheServerNameInstead) {
  CertificateRequest only_name;
  only_name.dns_names = {"api.test"};
  serve(authority_, only_name);
  expect_tls_error(secure(authority_.cert_pem()));
  auto wanted = secure(authority_.cert_pem());
  wanted.tls.server_name = "api.test";
  auto const response = get(wanted);
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(server_.requests().at(0).headers.at("host"),
            "127.0.0.1:" + std::to_string(server_.port()));
}

TEST_F(CurlTlsTest, TheServerNameIsNotLookedUp) {
  auto wanted = secure(authority_.cert_pem());
  wanted.host = "balancer.test";
  wanted.addresses = {asio::ip::address_v4::loopback()};
  wanted.tls.server_name = "api.test";
  ASSERT_TRUE(get(wanted).has_value());
  EXPECT_TRUE(server_.requests().at(0).headers.at("host").starts_with("balancer.test:"));
}

TEST_F(CurlTlsTest, AnExpiredCertificateIsATlsError) {
  auto old = server_names();
  old.valid_from = -48h;
  old.valid_until = -24h;
  serve(authority_, old);
  expect_tls_error(secure(authority_.cert_pem()));
}

TEST_F(CurlTlsTest, InsecureTakesAnyCertificate) {
  auto wanted = secure("");
  wanted.tls.insecure = true;
  EXPECT_TRUE(get(wanted).has_value());
}

TEST_F(CurlTlsTest, ShowsItsCertificate) {
  CertificateRequest user;
  user.common_name = "jane";
  auto const issued = authority_.issue(user);
  auto wanted = secure(authority_.cert_pem());
  wanted.tls.cert_pem = issued.cert_pem;
  wanted.tls.key_pem = issued.key_pem;
  auto const response = get(wanted);
  ASSERT_TRUE(response.has_value()) << response.error().text;
  EXPECT_EQ(response->body, "hello jane");
  // A connection of one user is not another's.
  auto const anonymous = get(secure(authority_.cert_pem()));
  ASSERT_TRUE(anonymous.has_value());
  EXPECT_EQ(anonymous->body, "hello ");
}

TEST_F(CurlTlsTest, AKeyThatDoesNotFitIsATlsError) {
  CertificateRequest user;
  auto wanted = secure(authority_.cert_pem());
  wanted.tls.cert_pem = authority_.issue(user).cert_pem;
  wanted.tls.key_pem = authority_.issue(user).key_pem;
  expect_tls_error(wanted);
}

TEST_F(CurlTlsTest, AServerWithoutTlsIsATlsError) {
  server_.use_tls(nullptr);
  // The request that it reads is a ClientHello.
  asio::ip::tcp::acceptor plain(context_,
                                asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  auto wanted = secure(authority_.cert_pem());
  wanted.port = plain.local_endpoint().port();
  asio::ip::tcp::socket socket(context_);
  plain.async_accept(socket, [&](error_code) {
    asio::write(socket, asio::buffer(std::string_view("HTTP/1.1 400 Bad Request\r\n\r\n")));
  });
  expect_tls_error(wanted);
}

TEST_F(CurlTlsTest, AConnectionLostInTheHandshakeIsANetworkError) {
  for (bool const reset : {false, true}) {
    asio::ip::tcp::acceptor plain(context_,
                                  asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    auto wanted = secure(authority_.cert_pem());
    wanted.port = plain.local_endpoint().port();
    asio::ip::tcp::socket socket(context_);
    char some[16];
    plain.async_accept(socket, [&](error_code) {
      asio::async_read(socket, asio::buffer(some), [&](error_code, std::size_t) {
        if (reset) socket.set_option(asio::socket_base::linger(true, 0));
        socket.close();
      });
    });
    auto const response = get(wanted);
    ASSERT_TRUE(response.has_error());
    EXPECT_EQ(response.error().code, Errc::network) << response.error().text;
  }
}

TEST_F(CurlTlsTest, AHandshakeThatHangsTimesOut) {
  asio::ip::tcp::acceptor plain(context_,
                                asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  auto wanted = secure(authority_.cert_pem());
  wanted.port = plain.local_endpoint().port();
  auto const response = run(curl_->perform(wanted, Clock::now() + 30ms));
  ASSERT_TRUE(response.has_error());
  EXPECT_EQ(response.error().code, Errc::timeout) << response.error().text;
}

// A server of HTTP/2 that says this to each request and ends the connection.
class CurlHttp2Test : public CurlTlsTest {
 protected:
  CurlHttp2Test() {
    offer_http2_ = true;
    serve(authority_, server_names());
  }
  Error error_of(std::string const& frames) {
    server_.script([frames](ServedRequest const&) {
      Answer answer;
      answer.pieces.push_back(frames);
      answer.then = Answer::Then::close;
      return answer;
    });
    auto const response = get(secure(authority_.cert_pem()));
    return response.has_error() ? response.error() : Error();
  }
  // 0 settings of the server's.
  static std::string settings() { return std::string("\0\0\0\4\0\0\0\0\0", 9); }
};

TEST_F(CurlHttp2Test, AnEndInTheMiddleSaysWhatItMeans) {
  // Nothing, and GOAWAY that counts stream 1 as begun, without a reason and with one.
  std::string const no_reason("\0\0\x08\7\0\0\0\0\0\0\0\0\1\0\0\0\0", 17);
  std::string const error("\0\0\x08\7\0\0\0\0\0\0\0\0\1\0\0\0\2", 17);
  for (auto const& said : {std::string(), no_reason, error}) {
    auto const why = error_of(settings() + said);
    EXPECT_EQ(why.code, Errc::network);
    EXPECT_TRUE(why.text.starts_with("the server, or a proxy before it, broke the request off"))
        << why.text;
  }
}

TEST_F(CurlTlsTest, RestClientNamesTheServerOfATlsFailure) {
  auto c = config();
  c.scheme = "https";
  RestClient rest(*curl_, resolver_, c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::tls);
  EXPECT_TRUE(body.error().text.starts_with(rest.server() + ": ")) << body.error().text;
}

TEST_F(CurlTlsTest, StreamedAndCancelled) {
  server_.script([](ServedRequest const&) {
    Answer answer;
    answer.pieces = {"HTTP/1.1 200 OK\r\n\r\nfirst"};
    answer.then = Answer::Then::hang;
    return answer;
  });
  auto stream = curl_->open(secure(authority_.cert_pem()));
  EXPECT_EQ(*run(stream->read(soon())), "first");
  std::optional<Result<std::string>> more;
  start(stream->read(kNever), more);
  turn();
  cancel_tasks();
  EXPECT_FALSE(more.has_value());
  stream.reset();
  run_until([this] { return server_.connections() == 0; });
}

}  // namespace
}  // namespace kportal::k8s
