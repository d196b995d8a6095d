// SPDX-License-Identifier: MIT
#include "net/tls.h"

#include <thread>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "net/tls_engine.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::net {
namespace {

using test::CertificateAndKey;
using test::CertificateAuthority;
using test::CertificateRequest;
using test::MemoryTransport;

using Established = std::optional<Result<std::unique_ptr<TlsTransport>>>;

// Ends the stream of the layer below after so many bytes read, and notes how much each read asked
// for.
class CutTransport final : public Transport {
 public:
  CutTransport(std::unique_ptr<Transport> below, std::size_t left)
      : below_(std::move(below)), left_(left) {}

  awaitable<IoResult> read_some(MutableBytes into) override {
    asked_ = into.size();
    if (left_ == 0) co_return IoResult(asio::error::eof, 0);
    IoResult const got = co_await below_->read_some(into.first(std::min(into.size(), left_)));
    left_ -= got.size;
    total_ += got.size;
    co_return got;
  }
  awaitable<error_code> write(Chunk chunk) override { return below_->write(std::move(chunk)); }
  std::size_t write_now(Bytes bytes) noexcept override { return below_->write_now(bytes); }
  void close() noexcept override { below_->close(); }

  std::size_t asked() const { return asked_; }
  std::size_t total() const { return total_; }

 private:
  std::unique_ptr<Transport> below_;
  std::size_t left_;
  std::size_t asked_ = 0;
  std::size_t total_ = 0;
};

CertificateRequest request_for(std::string name) {
  CertificateRequest request;
  request.common_name = "api";
  request.dns_names.push_back(std::move(name));
  return request;
}

TlsConfig server_config(CertificateAndKey const& pair) {
  TlsConfig config;
  config.cert_pem = pair.cert_pem;
  config.key_pem = pair.key_pem;
  return config;
}

TlsConfig client_config(std::string ca_pem) {
  TlsConfig config;
  config.ca_pem = std::move(ca_pem);
  return config;
}

// One authority for all tests: making keys takes time.
CertificateAuthority const& authority() {
  static CertificateAuthority const instance("test authority");
  return instance;
}

TlsConfig const& good_server() {
  static TlsConfig const config = [] {
    auto request = request_for("api.test");
    request.dns_names.emplace_back("*.wild.test");
    request.addresses = {"127.0.0.1", "::1"};
    return server_config(authority().issue(request));
  }();
  return config;
}

TlsConfig good_client() {
  return client_config(authority().cert_pem());
}

class TlsTest : public test::LoopFixture {
 protected:
  void make_pair() {
    auto [near, far] = MemoryTransport::make_pair(executor());
    near_below_ = near.get();
    far_below_ = far.get();
    near_ = std::move(near);
    far_ = std::move(far);
  }
  awaitable<void> connect(TlsContext& context, std::string host, TimePoint deadline) {
    client_ = co_await tls_connect(std::move(near_), context, host, deadline, &facts_);
  }
  awaitable<void> accept(TlsContext& context) {
    server_ = co_await tls_accept(std::move(far_), context, kNever);
  }
  void shake_hands(TlsContext& client, TlsContext& server, std::string const& host = "api.test") {
    if (!near_) make_pair();
    spawn(connect(client, host, kNever));
    spawn(accept(server));
    run();
  }
  // Why the client's handshake fails; "" if it does not.
  std::string failure(TlsConfig const& client, TlsConfig const& server,
                      std::string const& host = "api.test") {
    auto client_context = TlsContext::for_client(client).value();
    auto server_context = TlsContext::for_server(server).value();
    near_.reset();
    shake_hands(client_context, server_context, host);
    if (*client_) return "";
    EXPECT_EQ(client_->error().code, Errc::tls);
    return client_->error().text;
  }

  TlsTransport& client() { return *client_->value(); }
  TlsTransport& server() { return *server_->value(); }

  awaitable<void> write(Transport& to, std::string text) {
    Chunk chunk = Chunk::copy_of(as_bytes(text));
    error_code const error = co_await to.write(std::move(chunk));
    write_error_ = error;
  }
  awaitable<void> read(Transport& from, std::string& text, error_code& error) {
    std::vector<std::byte> buffer(100'000);
    IoResult const got = co_await from.read_some(buffer);
    text = as_text(Bytes(buffer).first(got.size));
    error = got.error;
  }
  // One write and one read of it.
  std::string pass(Transport& from, Transport& to, std::string const& text) {
    std::string received;
    error_code error;
    spawn(read(to, received, error));
    spawn(write(from, text));
    run();
    EXPECT_FALSE(error) << error.message();
    return received;
  }
  std::pair<std::string, error_code> read_once(Transport& from) {
    std::string text;
    error_code error;
    run(read(from, text, error));
    return {text, error};
  }

  MemoryTransport* near_below_ = nullptr;
  MemoryTransport* far_below_ = nullptr;
  std::unique_ptr<Transport> near_;
  std::unique_ptr<Transport> far_;
  TlsFacts facts_;
  Established client_;
  Established server_;
  error_code write_error_;
};

TEST_F(TlsTest, CarriesBytesBothWays) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  ASSERT_TRUE(*client_) << client_->error().text;
  ASSERT_TRUE(*server_) << server_->error().text;
  EXPECT_EQ(client().version(), "TLSv1.3");
  EXPECT_EQ(client().alpn(), "");
  EXPECT_FALSE(client().resumed());
  EXPECT_EQ(pass(client(), server(), "question"), "question");
  EXPECT_EQ(pass(server(), client(), "answer"), "answer");
  EXPECT_EQ(client().peer()->common_name, "api");
  EXPECT_TRUE(client().peer()->verified);
  EXPECT_FALSE(server().peer());
}

TEST_F(TlsTest, ShakesHandsByteByByte) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  make_pair();
  near_below_->set_max_read(1);
  far_below_->set_max_read(1);
  shake_hands(client_context, server_context);
  ASSERT_TRUE(*client_) << client_->error().text;
  EXPECT_EQ(pass(client(), server(), "question"), "question");
}

TEST_F(TlsTest, VerifiesNamesAndAddresses) {
  for (std::string const host :
       {"api.test", "API.test", "api.test.", "a.wild.test", "127.0.0.1", "::1"}) {
    EXPECT_EQ(failure(good_client(), good_server(), host), "") << host;
  }
  EXPECT_EQ(
      failure(good_client(), good_server(), "other.test"),
      "other.test: TLS: the certificate is for api.test, *.wild.test, 127.0.0.1, ::1, not for "
      "other.test: use one of its names as the server, or as tls-server-name");
  EXPECT_EQ(failure(good_client(), good_server(), "127.0.0.2"),
            "127.0.0.2: TLS: the certificate is for api.test, *.wild.test, 127.0.0.1, ::1, not for "
            "127.0.0.2: use one of its names as the server, or as tls-server-name");
  EXPECT_NE(failure(good_client(), good_server(), "a.b.wild.test"), "");
}

TEST_F(TlsTest, VerifiesTheServerNameInsteadOfTheHost) {
  auto config = good_client();
  config.server_name = "api.test";
  EXPECT_EQ(failure(config, good_server(), "10.1.2.3"), "");
  config.server_name = "other.test";
  EXPECT_NE(failure(config, good_server(), "api.test"), "");
}

TEST_F(TlsTest, IgnoresTheCommonName) {
  CertificateRequest request;
  request.common_name = "api.test";
  EXPECT_EQ(
      failure(good_client(), server_config(authority().issue(request))),
      "api.test: TLS: the certificate is for no name at all, not for api.test: the server needs "
      "one with a subject alternative name");
}

TEST_F(TlsTest, RefusesAnUnknownAuthority) {
  CertificateAuthority const other("other authority");
  auto config = client_config(other.cert_pem());
  config.ca_source = "/etc/ca.pem";
  EXPECT_EQ(failure(config, good_server()),
            "api.test: TLS: the certificate of 'api' is signed by an unknown authority, "
            "'test authority': trusted is what /etc/ca.pem holds");
  CertificateAuthority const recreated("test authority");
  EXPECT_EQ(failure(client_config(recreated.cert_pem()), good_server()),
            "api.test: TLS: the certificate of 'api' is signed by another authority that also is "
            "named 'test authority': trusted is what the certificate authority given holds");
  EXPECT_NE(failure(TlsConfig(), good_server()), "");
}

TEST_F(TlsTest, RefusesOldAndEarlyCertificates) {
  auto request = request_for("api.test");
  request.valid_from = std::chrono::hours(-48);
  request.valid_until = std::chrono::hours(-24);
  auto text = failure(good_client(), server_config(authority().issue(request)));
  EXPECT_EQ(text.substr(0, 51), "api.test: TLS: the certificate of 'api' expired on ") << text;
  EXPECT_NE(text.find(" UTC: it must be renewed there"), std::string::npos) << text;
  request.valid_from = std::chrono::hours(24);
  request.valid_until = std::chrono::hours(48);
  text = failure(good_client(), server_config(authority().issue(request)));
  EXPECT_NE(text.find("is valid only from 20"), std::string::npos) << text;
}

TEST_F(TlsTest, InsecureTakesAnything) {
  TlsConfig config;
  config.insecure = true;
  EXPECT_EQ(failure(config, good_server(), "other.test"), "");
}

TEST_F(TlsTest, TakesIntermediatesAndLeavesAsRoots) {
  CertificateAuthority const intermediate("intermediate", authority());
  auto const leaf = intermediate.issue(request_for("api.test"));
  EXPECT_EQ(failure(client_config(intermediate.cert_pem()), server_config(leaf)), "");
  EXPECT_EQ(failure(client_config(leaf.cert_pem), server_config(leaf)), "");
  EXPECT_NE(failure(good_client(), server_config(leaf)), "");
  auto chained = leaf;
  chained.cert_pem += intermediate.cert_pem();
  EXPECT_EQ(failure(good_client(), server_config(chained)), "");
}

TEST_F(TlsTest, NegotiatesAlpn) {
  auto client = good_client();
  auto server = good_server();
  client.alpn = {"h2", "http/1.1"};
  server.alpn = {"http/1.1"};
  EXPECT_EQ(failure(client, server), "");
  EXPECT_EQ(this->client().alpn(), "http/1.1");
  EXPECT_EQ(this->server().alpn(), "http/1.1");
  client.alpn = {"h2"};
  EXPECT_EQ(failure(client, server), "api.test: TLS: no application protocol in common");
  client.alpn.clear();
  EXPECT_EQ(failure(client, server), "");
  EXPECT_EQ(this->client().alpn(), "");
}

TEST_F(TlsTest, RefusesOldVersions) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  ::SSL_CTX_set_min_proto_version(server_context.native(), TLS1_VERSION);
  ::SSL_CTX_set_max_proto_version(server_context.native(), TLS1_1_VERSION);
  shake_hands(client_context, server_context);
  ASSERT_FALSE(*client_);
  EXPECT_EQ(client_->error().code, Errc::tls);
}

TEST_F(TlsTest, ResumesSessions) {
  for (int const version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto client_context = TlsContext::for_client(good_client()).value();
    auto server_context = TlsContext::for_server(good_server()).value();
    ::SSL_CTX_set_max_proto_version(server_context.native(), version);
    for (int round = 0; round < 4; ++round) {
      near_.reset();
      shake_hands(client_context, server_context);
      ASSERT_TRUE(*client_);
      EXPECT_EQ(client().resumed(), round > 0);
      EXPECT_EQ(server().resumed(), round > 0);
      EXPECT_EQ(pass(server(), client(), "tickets come before this"), "tickets come before this");
      // The third one ends in the middle of a write.
      if (round == 2) {
        near_below_->block_writes(true);
        spawn(write(client(), "half"));
        poll();
        cancel_tasks();
        run();
      }
      client_.reset();
      server_.reset();
    }
    near_.reset();
    shake_hands(client_context, server_context, "127.0.0.1");
    EXPECT_FALSE(client().resumed());  // another host, another verification
    auto other_context = TlsContext::for_client(good_client()).value();
    near_.reset();
    shake_hands(other_context, server_context);
    EXPECT_FALSE(client().resumed());
  }
}

// What a connection with other credentials or another verification agreed on is not used.
TEST_F(TlsTest, NeverResumesAcrossSettings) {
  auto server_context = TlsContext::for_server(good_server()).value();
  auto const resumes = [&](TlsContext& context) {
    near_.reset();
    shake_hands(context, server_context);
    EXPECT_TRUE(*client_);
    EXPECT_EQ(pass(server(), client(), "tickets"), "tickets");
    return client().resumed();
  };
  auto first = TlsContext::for_client(good_client()).value();
  EXPECT_FALSE(resumes(first));
  EXPECT_TRUE(resumes(first));
  auto insecure = good_client();
  insecure.insecure = true;
  auto jane = good_client();
  CertificateRequest request;
  auto const pair = authority().issue(request);
  jane.cert_pem = pair.cert_pem;
  jane.key_pem = pair.key_pem;
  for (auto const& config : {insecure, jane, good_client()}) {
    auto other = TlsContext::for_client(config).value();
    EXPECT_FALSE(resumes(other));
  }
}

// Tunnels that open together, before any of them has read a ticket.
TEST_F(TlsTest, OneSessionServesManyConnections) {
  for (int const version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto client_context = TlsContext::for_client(good_client()).value();
    auto server_context = TlsContext::for_server(good_server()).value();
    ::SSL_CTX_set_max_proto_version(server_context.native(), version);
    near_.reset();
    shake_hands(client_context, server_context);
    EXPECT_EQ(pass(server(), client(), "tickets"), "tickets");
    for (int i = 0; i < 5; ++i) {
      near_.reset();
      shake_hands(client_context, server_context);
      ASSERT_TRUE(*client_);
      EXPECT_TRUE(client().resumed()) << i;
    }
  }
}

// OpenSSL does not look at a certificate again when it resumes.
TEST_F(TlsTest, DoesNotResumeOnceTheCertificateHasExpired) {
  auto request = request_for("api.test");
  request.valid_until = std::chrono::seconds(2);
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(server_config(authority().issue(request))).value();
  shake_hands(client_context, server_context);
  if (client_->has_error()) GTEST_SKIP() << "too slow: " << client_->error().text;
  EXPECT_EQ(pass(server(), client(), "tickets"), "tickets");
  auto const not_after = client().facts().certificate.value().not_after;
  // The clock of certificates ticks a little late.
  std::this_thread::sleep_until(not_after + std::chrono::milliseconds(50));
  near_.reset();
  shake_hands(client_context, server_context);
  ASSERT_FALSE(*client_);
  EXPECT_NE(client_->error().text.find("expired on"), std::string::npos);
}

TEST_F(TlsTest, TellsThePeersCertificateAlsoWhenItIsRefused) {
  CertificateAuthority const other("other authority");
  for (bool const refused : {false, true}) {
    auto client_context =
        TlsContext::for_client(refused ? client_config(other.cert_pem()) : good_client()).value();
    auto server_context = TlsContext::for_server(good_server()).value();
    near_.reset();
    shake_hands(client_context, server_context);
    EXPECT_EQ(client_->has_error(), refused);
    EXPECT_EQ(facts_.version, "TLSv1.3");
    ASSERT_TRUE(facts_.certificate);
    EXPECT_EQ(facts_.certificate->subject, "api");
    EXPECT_EQ(facts_.certificate->issuer, "test authority");
    std::vector<std::string> const names{"api.test", "*.wild.test", "127.0.0.1", "::1"};
    EXPECT_EQ(facts_.certificate->names, names);
    auto const now = std::chrono::system_clock::now();
    EXPECT_LT(facts_.certificate->not_before, now);
    EXPECT_GT(facts_.certificate->not_after, now + std::chrono::hours(23));
    EXPECT_LT(facts_.certificate->not_after, now + std::chrono::hours(25));
  }
}

TEST_F(TlsTest, OutlivesItsContext) {
  {
    auto client_context = TlsContext::for_client(good_client()).value();
    auto server_context = TlsContext::for_server(good_server()).value();
    shake_hands(client_context, server_context);
  }
  EXPECT_EQ(pass(server(), client(), "hello"), "hello");
}

TlsConfig with_certificate(CertificateAuthority const& issuer) {
  CertificateRequest request;
  request.common_name = "jane";
  request.organizations = {"developers", "system:masters"};
  auto const pair = issuer.issue(request);
  auto config = good_client();
  config.cert_pem = pair.cert_pem;
  config.key_pem = pair.key_pem;
  return config;
}

TlsConfig asking_server(ClientCertificates wanted) {
  auto config = good_server();
  config.ca_pem = authority().cert_pem();
  config.client_certificates = wanted;
  return config;
}

TEST_F(TlsTest, ShowsTheClientsCertificate) {
  for (auto const wanted : {ClientCertificates::request, ClientCertificates::require}) {
    EXPECT_EQ(failure(with_certificate(authority()), asking_server(wanted)), "");
    auto const peer = server().peer();
    ASSERT_TRUE(peer);
    EXPECT_EQ(peer->common_name, "jane");
    EXPECT_EQ(peer->organizations, (std::vector<std::string>{"developers", "system:masters"}));
    EXPECT_TRUE(peer->verified);
  }
  CertificateAuthority const other("other authority");
  EXPECT_EQ(failure(with_certificate(other), asking_server(ClientCertificates::request)), "");
  EXPECT_FALSE(server().peer()->verified);
  EXPECT_EQ(failure(good_client(), asking_server(ClientCertificates::request)), "");
  EXPECT_FALSE(server().peer());
}

// In TLS 1.3 the client has finished before the server judges its certificate.
TEST_F(TlsTest, TellsARefusedClientCertificateAtTheFirstRead) {
  CertificateAuthority const other("other authority");
  auto const refusal = [this](TlsConfig const& config) {
    EXPECT_EQ(failure(config, asking_server(ClientCertificates::require)), "");
    EXPECT_FALSE(*server_);
    auto const error = read_once(client()).second;
    EXPECT_EQ(io_error(error, "upgrade").code, Errc::tls);
    EXPECT_EQ(read_once(client()).second, error);
    return error.message();
  };
  EXPECT_EQ(refusal(good_client()), "TLS: a client certificate is required");
  EXPECT_EQ(refusal(with_certificate(other)),
            "TLS: the peer does not know the certificate's authority");
}

TEST_F(TlsTest, TellsARefusedClientCertificateInTheHandshakeOfOldVersions) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(asking_server(ClientCertificates::require)).value();
  ::SSL_CTX_set_max_proto_version(server_context.native(), TLS1_2_VERSION);
  shake_hands(client_context, server_context);
  ASSERT_FALSE(*client_);
  EXPECT_EQ(client_->error().text, "api.test: TLS: the peer finds nothing in common with us");
  EXPECT_EQ(server_->error().text, "TLS: a client certificate is required");
}

TEST_F(TlsTest, KnowsAPeerThatDoesNotSpeakTls) {
  make_pair();
  auto client_context = TlsContext::for_client(good_client()).value();
  far_->write_now(as_bytes("HTTP/1.1 400 Bad Request\r\n\r\n"));
  run(connect(client_context, "api.test", kNever));
  EXPECT_EQ(client_->error().text, "api.test: TLS: the peer does not speak TLS");
  make_pair();
  auto server_context = TlsContext::for_server(good_server()).value();
  near_->write_now(as_bytes("GET / HTTP/1.1\r\n\r\n"));
  run(accept(server_context));
  EXPECT_EQ(server_->error().text, "TLS: the peer does not speak TLS");
}

TEST_F(TlsTest, GivesUpAtTheDeadline) {
  make_pair();
  auto client_context = TlsContext::for_client(good_client()).value();
  run(connect(client_context, "api.test", Clock::now() + std::chrono::milliseconds(20)));
  ASSERT_FALSE(*client_);
  EXPECT_EQ(client_->error(),
            Error(Errc::timeout, "api.test: no answer to the TLS handshake in time"));
}

TEST_F(TlsTest, CanBeCancelledInTheHandshake) {
  make_pair();
  auto client_context = TlsContext::for_client(good_client()).value();
  spawn(connect(client_context, "api.test", kNever));
  poll();
  cancel_tasks();
  run();
  EXPECT_FALSE(client_);
}

TEST_F(TlsTest, RefusesNamesThatNoCertificateHas) {
  auto client_context = TlsContext::for_client(good_client()).value();
  for (std::string const& host : {std::string(), std::string("a\0b", 3), std::string(300, 'x')}) {
    make_pair();
    run(connect(client_context, host, kNever));
    ASSERT_FALSE(*client_);
    EXPECT_EQ(client_->error().code, Errc::tls);
  }
}

// The first offset at which the handshake passes; before it, each must fail and none hang.
TEST_F(TlsTest, FailsWhenCutAtAnyByteOfTheHandshake) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  for (bool const cut_client : {true, false}) {
    bool passed = false;
    for (std::size_t cut = 0; !passed && cut < 10'000; ++cut) {
      make_pair();
      auto& side = cut_client ? near_ : far_;
      side = std::make_unique<CutTransport>(std::move(side), cut);
      shake_hands(client_context, server_context);
      auto const& ended = cut_client ? client_ : server_;
      passed = ended->has_value();
      if (passed) {
        EXPECT_GT(cut, 200U);
      } else {
        ASSERT_EQ(ended->error().code, Errc::network) << cut << ' ' << ended->error().text;
      }
      client_.reset();
      server_.reset();
    }
    EXPECT_TRUE(passed);
  }
}

TEST_F(TlsTest, AFarewellAndATruncatedStreamAreBothEof) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  server().write_now(as_bytes("last words"));
  server().close();
  EXPECT_EQ(read_once(client()).first, "last words");
  EXPECT_EQ(read_once(client()).second, asio::error::eof);
  EXPECT_EQ(read_once(client()).second, asio::error::eof);

  near_.reset();
  shake_hands(client_context, server_context);
  server().write_now(as_bytes("last words"));
  far_below_->shut_down_writing();
  EXPECT_EQ(read_once(client()).first, "last words");
  EXPECT_EQ(read_once(client()).second, asio::error::eof);
}

TEST_F(TlsTest, RefusesBytesThatAreNoRecords) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  far_below_->write_now(as_bytes(std::string(100, '\x17') + std::string(20'000, 'x')));
  auto const error = read_once(client()).second;
  EXPECT_EQ(error.category(), tls_category());
  run(write(client(), "more"));
  EXPECT_TRUE(write_error_);
  EXPECT_EQ(client().write_now(as_bytes("more")), 0U);
}

TEST_F(TlsTest, AChunkIsOneWriteBelow) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  auto const before = near_below_->writes().size();
  run(write(client(), std::string(Chunk::kPayload + Chunk::kHeadroom, 'x')));
  EXPECT_EQ(near_below_->writes().size(), before + 1);
  EXPECT_EQ(read_once(server()).first.substr(0, 3), "xxx");
}

TEST_F(TlsTest, ReadsAheadWhileBytesFlowAndHoldsLittleWhileIdle) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  make_pair();
  auto spy = std::make_unique<CutTransport>(std::move(far_), 1 << 30);
  CutTransport const& below = *spy;
  far_ = std::move(spy);
  shake_hands(client_context, server_context);
  pass(client(), server(), "small");
  pass(client(), server(), "small");
  EXPECT_EQ(below.asked(), TlsTransport::kIdleRead);
  run(write(client(), std::string(200'000, 'x')));
  std::size_t total = 0;
  while (total < 200'000) total += read_once(server()).first.size();
  EXPECT_EQ(below.asked(), Chunk::kPayload);
  pass(client(), server(), "small");
  pass(client(), server(), "small");
  EXPECT_EQ(below.asked(), TlsTransport::kIdleRead);
}

// Bytes that tell their place.
std::string pattern(std::size_t at, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((at + i) * 31 >> 3);
  return text;
}

constexpr std::size_t kFlood = 6 * 1024 * 1024;

awaitable<void> flood(TlsTransport& to) {
  int count = 0;
  for (std::size_t at = 0; at < kFlood;) {
    std::size_t const size = std::min<std::size_t>(kFlood - at, 1 + (at * 7919) % Chunk::kPayload);
    if (++count % 10 == 0) {
      EXPECT_EQ(::SSL_key_update(to.engine().native(), SSL_KEY_UPDATE_REQUESTED), 1);
    }
    Chunk chunk = Chunk::copy_of(as_bytes(pattern(at, size)));
    error_code const error = co_await to.write(std::move(chunk));
    EXPECT_FALSE(error) << error.message();
    if (error) co_return;
    at += size;
  }
}

awaitable<void> swallow(TlsTransport& from, bool& all) {
  std::vector<std::byte> buffer(100'000);
  for (std::size_t at = 0; at < kFlood;) {
    IoResult const got = co_await from.read_some(buffer);
    EXPECT_FALSE(got.error) << got.error.message();
    bool const same = as_text(Bytes(buffer).first(got.size)) == pattern(at, got.size);
    EXPECT_TRUE(same) << at;
    if (got.error || !same) co_return;
    at += got.size;
  }
  all = true;
}

TEST_F(TlsTest, CarriesMuchBothWaysWhileKeysChange) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  make_pair();
  near_below_->set_capacity(50'000);
  far_below_->set_capacity(50'000);
  near_below_->set_max_read(7'001);
  shake_hands(client_context, server_context);
  bool up = false;
  bool down = false;
  spawn(flood(client()));
  spawn(flood(server()));
  spawn(swallow(client(), down));
  spawn(swallow(server(), up));
  run();
  EXPECT_TRUE(up);
  EXPECT_TRUE(down);
}

TEST_F(TlsTest, CloseEndsPendingOperationsAndSaysSo) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  std::string text;
  error_code error;
  spawn(read(client(), text, error));
  poll();
  client().close();
  run();
  EXPECT_TRUE(error);
  EXPECT_EQ(read_once(server()).second, asio::error::eof);
  EXPECT_EQ(read_once(client()).second, asio::error::operation_aborted);
}

TEST_F(TlsTest, ACancelledWriteBreaksTheStream) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  near_below_->block_writes(true);
  spawn(write(client(), "half"));
  poll();
  EXPECT_EQ(client().write_now(as_bytes("now")), 0U);
  cancel_tasks();
  run();
  near_below_->block_writes(false);
  run(write(client(), "more"));
  EXPECT_EQ(write_error_, asio::error::operation_aborted);
}

TEST_F(TlsTest, ACancelledReadLosesNothing) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  shake_hands(client_context, server_context);
  std::string text;
  error_code error;
  spawn(read(client(), text, error));
  poll();
  cancel_tasks();
  run();
  EXPECT_EQ(pass(server(), client(), "still here"), "still here");
}

TEST_F(TlsTest, ReportsWhatFailsBelow) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  for (std::size_t nth = 1; nth < 6; ++nth) {
    make_pair();
    test::FailCount fail(nth, asio::error::connection_reset);
    near_below_->fail_by(&fail);
    shake_hands(client_context, server_context);
    if (!fail.failed()) break;
    if (*client_) continue;
    EXPECT_EQ(client_->error().code, Errc::network);
    EXPECT_EQ(client_->error().text, "api.test: TLS handshake: Connection reset by peer");
  }
}

// Takes a few bytes of each write_now, and none for every second.
class GrudgingTransport final : public Transport {
 public:
  explicit GrudgingTransport(std::unique_ptr<Transport> below) : below_(std::move(below)) {}
  awaitable<IoResult> read_some(MutableBytes into) override { return below_->read_some(into); }
  awaitable<error_code> write(Chunk chunk) override { return below_->write(std::move(chunk)); }
  std::size_t write_now(Bytes bytes) noexcept override {
    willing_ = !willing_;
    if (!willing_) return 0;
    return below_->write_now(bytes.first(std::min<std::size_t>(bytes.size(), 7)));
  }
  void close() noexcept override { below_->close(); }

 private:
  std::unique_ptr<Transport> below_;
  bool willing_ = false;
};

TEST_F(TlsTest, WhatWasTakenInPartGoesBeforeTheNextWrite) {
  auto client_context = TlsContext::for_client(good_client()).value();
  auto server_context = TlsContext::for_server(good_server()).value();
  make_pair();
  near_ = std::make_unique<GrudgingTransport>(std::move(near_));
  shake_hands(client_context, server_context);
  EXPECT_EQ(client().write_now(as_bytes("first ")), 6U);
  EXPECT_EQ(client().write_now(as_bytes("not taken")), 0U);
  run(write(client(), "second"));
  EXPECT_EQ(read_once(server()).first, "first second");
}

// Moves what one engine has to the other, up to `limit` bytes; returns what was left over.
std::string move_output(TlsEngine& from, TlsEngine& to, std::size_t limit = SIZE_MAX) {
  std::string bytes;
  while (from.has_output()) {
    Chunk const chunk = from.take_output();
    bytes += as_text(chunk.data());
  }
  auto const taken = std::min(limit, bytes.size());
  if (taken != 0) to.feed(Chunk::copy_of(as_bytes(bytes.substr(0, taken))));
  return bytes.substr(taken);
}

// A session ticket that is longer than a record, of which a part has come: OpenSSL then writes only
// after it has read the rest.
TEST_F(TlsTest, AWriteWaitsForTheRestOfAMessageThatIsBeingRead) {
  auto client_context = TlsContext::for_client(with_certificate(authority())).value();
  auto server_context = TlsContext::for_server(asking_server(ClientCertificates::require)).value();
  auto client_engine = TlsEngine::client(client_context, "api.test").value();
  auto server_engine = TlsEngine::server(server_context).value();
  ::SSL_set_max_send_fragment(server_engine->native(), 512);
  EXPECT_EQ(client_engine->handshake(), TlsEngine::Step::wants_input);
  move_output(*client_engine, *server_engine);
  EXPECT_EQ(server_engine->handshake(), TlsEngine::Step::wants_input);
  move_output(*server_engine, *client_engine);
  EXPECT_EQ(client_engine->handshake(), TlsEngine::Step::done);
  move_output(*client_engine, *server_engine);
  EXPECT_EQ(server_engine->handshake(), TlsEngine::Step::done);
  auto const tickets = move_output(*server_engine, *client_engine, 0);
  ASSERT_GT(tickets.size(), 1100U);

  make_pair();
  TlsTransport transport(executor(), std::move(near_), std::move(client_engine));
  std::string text;
  error_code error;
  write_error_ = asio::error::would_block;
  far_->write_now(as_bytes(tickets.substr(0, 600)));
  spawn(read(transport, text, error));
  poll();
  spawn(write(transport, "question"));
  poll();
  EXPECT_EQ(write_error_, asio::error::would_block);
  far_->write_now(as_bytes(tickets.substr(600)));
  poll();
  EXPECT_FALSE(write_error_);
  transport.close();
  run();
}

TEST(TlsContextTest, SaysWhatIsUnusable) {
  auto const pair = authority().issue(request_for("api.test"));
  auto const other = authority().issue(request_for("api.test"));
  auto const text = [](TlsConfig const& config) {
    auto const made = TlsContext::for_client(config);
    return made ? "" : made.error().text;
  };
  EXPECT_EQ(text(client_config("not a PEM")), "certificate authority: no certificate in it");
  auto broken = authority().cert_pem();
  broken.replace(100, 10, "##########");
  EXPECT_EQ(text(client_config(broken)).substr(0, 52),
            "certificate authority: a certificate is unreadable: ");
  TlsConfig config = good_client();
  config.cert_pem = pair.cert_pem;
  EXPECT_EQ(text(config).substr(0, 22), "client key: unreadable");
  config.key_pem = other.key_pem;
  EXPECT_EQ(text(config), "client key does not belong to the certificate: key values mismatch");
  config.key_pem =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
  EXPECT_EQ(text(config),
            "client key: it is encrypted, which is not supported: decrypt it with openssl pkey");
  config.cert_pem.clear();
  config.key_pem = pair.key_pem;
  EXPECT_EQ(text(config), "client certificate: no certificate in it");
  config.cert_source = "/k: user \"dev\"";
  EXPECT_EQ(text(config), "/k: user \"dev\": client certificate: no certificate in it");
  EXPECT_EQ(TlsContext::for_server(TlsConfig()).error().text,
            "server certificate: no certificate in it");
  config = good_client();
  config.alpn = {""};
  EXPECT_EQ(text(config), "ALPN: a name of 1 to 255 bytes");
}

TEST(TlsContextTest, TakesABundleOfAuthorities) {
  CertificateAuthority const other("other authority");
  EXPECT_TRUE(TlsContext::for_client(
      client_config(other.cert_pem() + "\n" + authority().cert_pem() + authority().cert_pem())));
}

}  // namespace
}  // namespace kportal::net
