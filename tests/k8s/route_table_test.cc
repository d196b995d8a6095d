// SPDX-License-Identifier: MIT
// One table of servers, certificates and kubeconfigs, each through REST and through a tunnel, and
// all of it directly and through real proxies: both ways must come to the same verdict, and say
// why in the same words.
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include "base/base64.h"
#include "k8s/cluster_pool.h"
#include "net/tls.h"
#include "net/websocket.h"
#include "tests/k8s/http_server.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/proxy_process.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using test::CertificateAndKey;
using test::CertificateAuthority;
using test::CertificateRequest;
using test::ProxyProcess;
using testing::HasSubstr;

constexpr Duration kPatience = 20s;

// ---- what the rows are made of

CertificateAuthority const& root() {
  static CertificateAuthority const instance("root");
  return instance;
}
CertificateAuthority const& middle() {
  static CertificateAuthority const instance("middle", root());
  return instance;
}
CertificateAuthority const& stranger() {
  static CertificateAuthority const instance("stranger");
  return instance;
}

CertificateRequest names(std::vector<std::string> dns, std::vector<std::string> addresses) {
  CertificateRequest request;
  request.common_name = "api";
  request.dns_names = std::move(dns);
  request.addresses = std::move(addresses);
  return request;
}

CertificateRequest valid_between(std::chrono::seconds from, std::chrono::seconds until) {
  auto request = names({}, {"127.0.0.1"});
  request.valid_from = from;
  request.valid_until = until;
  return request;
}

net::TlsConfig shows(CertificateAndKey const& pair, std::string const& chain = "") {
  net::TlsConfig config;
  config.cert_pem = pair.cert_pem + chain;
  config.key_pem = pair.key_pem;
  return config;
}
net::TlsConfig good() {
  static net::TlsConfig const config =
      shows(root().issue(names({"api.test", "*.wild.test"}, {"127.0.0.1"})));
  return config;
}
net::TlsConfig wants_clients(std::string const& ca_pem) {
  auto config = good();
  config.ca_pem = ca_pem;
  config.client_certificates = net::ClientCertificates::require;
  return config;
}

std::string ca(std::string const& pem) {
  return "certificate-authority-data: " + base64(pem);
}
std::string client(std::string const& cert_pem, std::string const& key_pem) {
  return fmt::format("client-certificate-data: {}, client-key-data: {}", base64(cert_pem),
                     base64(key_pem));
}

std::string many_authorities() {
  std::string text = "# roots of the company\n\nSubject: CN = first\n";
  for (int i = 0; i < 40; ++i)
    text += "comment " + std::to_string(i) + "\n" + stranger().cert_pem();
  return text + root().cert_pem() + "the end, without a line break";
}

struct Row {
  std::string name;
  std::optional<net::TlsConfig> server;  // nothing = plain HTTP
  std::string cluster;                   // fields beside `server` and proxy-url
  std::string user;
  std::optional<Errc> failure;  // nothing = it works
  std::vector<std::string> words;
  std::string path;
  bool old_tls = false;      // the server knows TLS 1.1 at the most
  std::string system_roots;  // what SSL_CERT_FILE names while this row runs
  Row(std::string n, std::optional<net::TlsConfig> s, std::string c)
      : name(std::move(n)), server(std::move(s)), cluster(std::move(c)) {}
  Row& as(std::string fields) {
    user = std::move(fields);
    return *this;
  }
  Row& fails(Errc code, std::vector<std::string> texts) {
    failure = code;
    words = std::move(texts);
    return *this;
  }
};

void add_trust(std::vector<Row>& rows) {
  auto const leaf = root().issue(names({}, {"127.0.0.1"}));
  auto const below = middle().issue(names({}, {"127.0.0.1"}));
  rows.emplace_back("own authority", good(), ca(root().cert_pem()));
  rows.emplace_back("intermediate as CA, shown", shows(below, middle().cert_pem()),
                    ca(middle().cert_pem()));
  rows.emplace_back("intermediate as CA, not shown", shows(below), ca(middle().cert_pem()));
  rows.emplace_back("chain to the root", shows(below, middle().cert_pem()), ca(root().cert_pem()));
  rows.emplace_back("chain without the intermediate", shows(below), ca(root().cert_pem()))
      .fails(Errc::tls, {"unknown authority, 'middle'", "cluster \"k\""});
  rows.emplace_back("leaf as CA", shows(leaf), ca(leaf.cert_pem));
  rows.emplace_back("many authorities with comments", good(), ca(many_authorities()));
  rows.emplace_back("wrong authority", good(), ca(stranger().cert_pem()))
      .fails(Errc::tls, {"'api' is signed by an unknown authority, 'root'",
                         "/config: cluster \"k\": certificate-authority-data"});
  rows.emplace_back("authority of the same name", good(),
                    ca(CertificateAuthority("root").cert_pem()))
      .fails(Errc::tls, {"another authority that also is named 'root'"});
  rows.emplace_back("system roots know it not", good(), "x: 1")
      .fails(Errc::tls, {"unknown authority, 'root'", "the system's roots"});
  rows.emplace_back("system roots", good(), "x: 1").system_roots = root().cert_pem();
  rows.emplace_back("a CA is the only one", good(), ca(stranger().cert_pem()))
      .fails(Errc::tls, {"unknown authority, 'root'"})
      .system_roots = root().cert_pem();
  rows.emplace_back("insecure", good(), "insecure-skip-tls-verify: true");
  rows.emplace_back("insecure with a CA", good(),
                    "insecure-skip-tls-verify: true, " + ca(root().cert_pem()))
      .fails(Errc::kubeconfig, {"exclude each other"});
}

void add_names_and_dates(std::vector<Row>& rows) {
  auto const of_name = shows(root().issue(names({"api.test"}, {})));
  auto const of_address = shows(root().issue(names({"api.test"}, {"127.0.0.2"})));
  auto const of_subject = shows(root().issue(names({}, {})));
  std::string const trusted = ca(root().cert_pem());
  rows.emplace_back("name instead of address", of_name, trusted)
      .fails(Errc::tls, {"the certificate is for api.test, not for 127.0.0.1", "tls-server-name"});
  rows.emplace_back("another address", of_address, trusted)
      .fails(Errc::tls, {"is for api.test, 127.0.0.2, not for 127.0.0.1"});
  rows.emplace_back("no names", of_subject, trusted).fails(Errc::tls, {"no name at all"});
  rows.emplace_back("tls-server-name", of_name, "tls-server-name: api.test, " + trusted);
  rows.emplace_back("tls-server-name by wildcard", good(),
                    "tls-server-name: a.wild.test, " + trusted);
  rows.emplace_back("wrong tls-server-name", good(), "tls-server-name: other.test, " + trusted)
      .fails(Errc::tls, {"not for other.test"});
  rows.emplace_back("wildcards are one label", good(), "tls-server-name: a.b.wild.test, " + trusted)
      .fails(Errc::tls, {"not for a.b.wild.test"});
  rows.emplace_back("tls-server-name that is an address", good(),
                    "tls-server-name: 127.0.0.1, " + trusted);
  rows.emplace_back("expired", shows(root().issue(valid_between(-48h, -24h))), trusted)
      .fails(Errc::tls, {"'api' expired on 20", "UTC"});
  rows.emplace_back("not yet valid", shows(root().issue(valid_between(24h, 48h))), trusted)
      .fails(Errc::tls, {"'api' is valid only from 20", "is the clock right?"});
  rows.emplace_back("TLS 1.1", good(), trusted).fails(Errc::tls, {"TLS"}).old_tls = true;
  rows.emplace_back("a path in front", good(), trusted).path = "/rancher/c-1/";
  rows.emplace_back("no TLS", std::nullopt, "x: 1");
}

void add_clients(std::vector<Row>& rows) {
  std::string const trusted = ca(root().cert_pem());
  CertificateRequest jane;
  jane.common_name = "jane";
  auto const pair = root().issue(jane);
  auto const other = root().issue(jane);
  auto const below = middle().issue(jane);
  auto const server = wants_clients(root().cert_pem());
  std::string const encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
  auto const broken = [](std::string pem) { return pem.erase(pem.size() / 2); };
  rows.emplace_back("client", server, trusted).as(client(pair.cert_pem, pair.key_pem));
  rows.emplace_back("client with its chain", server, trusted)
      .as(client(below.cert_pem + middle().cert_pem(), below.key_pem));
  rows.emplace_back("client without its chain", server, trusted)
      .as(client(below.cert_pem, below.key_pem))
      .fails(Errc::tls, {"the certificate's authority"});
  rows.emplace_back("no client certificate", server, trusted)
      .fails(Errc::tls, {"a client certificate is required"});
  rows.emplace_back("key of another", server, trusted)
      .as(client(pair.cert_pem, other.key_pem))
      .fails(Errc::tls, {"client key does not belong to the certificate"});
  rows.emplace_back("encrypted key", server, trusted)
      .as(client(pair.cert_pem, encrypted))
      .fails(Errc::tls, {"client key: it is encrypted", "decrypt it"});
  rows.emplace_back("garbage key", server, trusted)
      .as(client(pair.cert_pem, "garbage"))
      .fails(Errc::tls, {"client key: unreadable"});
  rows.emplace_back("truncated key", server, trusted)
      .as(client(pair.cert_pem, broken(pair.key_pem)))
      .fails(Errc::tls, {"client key: unreadable"});
  rows.emplace_back("garbage certificate", server, trusted)
      .as(client("garbage", pair.key_pem))
      .fails(Errc::tls, {"client certificate: no certificate in it"});
  rows.emplace_back("truncated certificate", server, trusted)
      .as(client(broken(pair.cert_pem), pair.key_pem))
      .fails(Errc::tls, {"client certificate"});
  rows.emplace_back("garbage CA", good(), ca("garbage"))
      .fails(Errc::tls, {"certificate-authority-data: no certificate in it"});
  rows.emplace_back("truncated CA", good(), ca(broken(root().cert_pem())))
      .fails(Errc::tls, {"certificate-authority-data"});
  rows.emplace_back("a bundle cut in its second", good(),
                    ca(root().cert_pem() + broken(stranger().cert_pem())))
      .fails(Errc::tls, {"certificate-authority-data"});
}

std::vector<Row> const& table() {
  static std::vector<Row> const rows = [] {
    std::vector<Row> all;
    add_trust(all);
    add_names_and_dates(all);
    add_clients(all);
    return all;
  }();
  return rows;
}

// ---- the machinery

// TLS in front of a plain HTTP proxy: an https proxy. Debian has none that is small.
class TlsFront {
 public:
  TlsFront(asio::any_io_executor executor, std::uint16_t behind, net::TlsContext& tls)
      : acceptor_(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        behind_(asio::ip::address_v4::loopback(), behind),
        tls_(tls),
        tasks_(executor) {}
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void start() { tasks_.spawn(accept()); }
  void cancel() { tasks_.cancel(); }
  // Connections of clients that had been here.
  int resumed() const { return resumed_; }

 private:
  struct Pair {
    std::unique_ptr<net::Transport> near, far;
  };
  awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      tasks_.spawn(serve(std::move(socket)));
    }
  }
  awaitable<void> serve(tcp::socket socket) {
    auto below = std::make_unique<net::TcpTransport>(std::move(socket));
    auto secured = co_await net::tls_accept(std::move(below), tls_, Clock::now() + kPatience);
    if (secured.has_error()) co_return;
    resumed_ += (*secured)->resumed() ? 1 : 0;
    tcp::socket out(acceptor_.get_executor());
    auto [error] = co_await out.async_connect(behind_, asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    auto const pair = std::make_shared<Pair>();
    pair->near = std::move(*secured);
    pair->far = std::make_unique<net::TcpTransport>(std::move(out));
    tasks_.spawn(copy(pair, pair->near.get(), pair->far.get()));
    tasks_.spawn(copy(pair, pair->far.get(), pair->near.get()));
  }
  static awaitable<void> copy(std::shared_ptr<Pair> pair, net::Transport* from,
                              net::Transport* to) {
    for (;;) {
      Chunk chunk(16 * 1024);
      net::IoResult const got = co_await from->read_some(chunk.room());
      if (got.error) break;
      chunk.commit(got.size);
      error_code const error = co_await to->write(std::move(chunk));
      if (error) break;
    }
    pair->near->close();
    pair->far->close();
  }

  tcp::acceptor acceptor_;
  tcp::endpoint behind_;
  net::TlsContext& tls_;
  int resumed_ = 0;
  TaskGroup tasks_;
};

Answer upgraded(ServedRequest const& request) {
  Answer answer;
  answer.pieces.push_back(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
      net::websocket_accept(request.headers.at("sec-websocket-key")) +
      "\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n\r\n");
  answer.then = Answer::Then::hang;
  return answer;
}

Answer serve(ServedRequest const& request) {
  return request.headers.contains("sec-websocket-key") ? upgraded(request) : reply(200, "{}");
}

struct Verdicts {
  std::optional<Error> rest;
  std::optional<Error> tunnel;
};

// How the servers are reached.
enum class Way { direct, http, socks5, https };

class RouteTest : public test::LoopFixture {
 protected:
  // False: it cannot be had here.
  bool take(Way way) {
    std::string why_not;
    test::ProxyOptions login;
    login.user = "me";
    login.password = "secret";
    if (way == Way::http || way == Way::https) proxy_ = ProxyProcess::http(login, why_not);
    if (way == Way::socks5) proxy_ = ProxyProcess::socks5(login, why_not);
    if (!why_not.empty()) return false;
    if (proxy_) proxy_url_ = proxy_->url();
    if (way == Way::https) front_proxy();
    return true;
  }
  void front_proxy() {
    auto const config = shows(root().issue(names({"proxy.test"}, {"127.0.0.1"})));
    front_tls_.emplace(net::TlsContext::for_server(config).value());
    front_.emplace(executor(), proxy_->port(), *front_tls_);
    proxy_url_ = fmt::format("https://me:secret@127.0.0.1:{}", front_->port());
  }

  Verdicts verdicts(Row const& row) {
    std::optional<net::TlsContext> tls;
    if (row.server) tls.emplace(net::TlsContext::for_server(*row.server).value());
    if (row.old_tls) {
      ::SSL_CTX_set_min_proto_version(tls->native(), TLS1_VERSION);
      ::SSL_CTX_set_max_proto_version(tls->native(), TLS1_1_VERSION);
    }
    HttpServer server(executor());
    if (tls) server.use_tls(&*tls);
    server.script(&serve);
    server.start();
    if (front_) front_->start();
    bool const plain = row.name == "no TLS";
    std::uint16_t const port = other_port_ != 0 ? other_port_ : server.port();
    kubeconfig_ = text_of(row, plain ? "http" : "https", port);
    TempFile const roots(row.system_roots);
    Verdicts verdicts;
    run(ask_both(server, verdicts));
    requests_ = server.requests();
    return verdicts;
  }

  std::string text_of(Row const& row, std::string const& scheme, std::uint16_t port) const {
    std::string const proxy = proxy_url_.empty() ? "" : ", proxy-url: '" + proxy_url_ + "'";
    return fmt::format(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{{name: k, cluster: {{server: '{}://127.0.0.1:{}{}'{}, {}}}}}]\n"
        "users: [{{name: u, user: {{{}}}}}]\n"
        "contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n",
        scheme, port, row.path, proxy, row.cluster, row.user);
  }

  awaitable<void> ask_both(HttpServer& server, Verdicts& verdicts) {
    net::Resolver resolver(executor());
    ClusterPool pool(executor(), resolver, environment());
    co_await ask(pool, verdicts);
    co_await pool.stop();
    server.cancel();
    if (front_) front_->cancel();
    end_helpers();
  }
  virtual void end_helpers() {}
  awaitable<void> ask(ClusterPool& pool, Verdicts& verdicts) {
    auto const found = pool.find("/config", "");
    if (found.has_error()) {
      verdicts.rest = verdicts.tunnel = found.error();
      co_return;
    }
    auto const got = co_await found->cluster->rest().get_part("/version", kJsonEverything,
                                                              Clock::now() + kPatience);
    if (got.has_error()) verdicts.rest = got.error();
    auto const dialled = co_await found->cluster->dial("shop", "web-0", DialOptions(), kPatience);
    if (dialled.has_error()) verdicts.tunnel = dialled.error();
  }
  Environment environment() {
    Environment environment;
    environment.variable = [](std::string const&) { return std::optional<std::string>(); };
    environment.read_file = [this](std::string const&, std::size_t) {
      return boost::system::result<std::string>(kubeconfig_);
    };
    environment.working_directory = "/";
    return environment;
  }

  // What SSL_CERT_FILE names; without text the variable is not set.
  class TempFile {
   public:
    explicit TempFile(std::string const& text) {
      if (text.empty()) return;
      file_ = std::tmpfile();
      std::fwrite(text.data(), 1, text.size(), file_);
      std::fflush(file_);
      ::setenv("SSL_CERT_FILE", fmt::format("/dev/fd/{}", fileno(file_)).c_str(), 1);
    }
    ~TempFile() {
      if (file_ == nullptr) return;
      ::unsetenv("SSL_CERT_FILE");
      std::fclose(file_);
    }
    TempFile(TempFile const&) = delete;
    TempFile& operator=(TempFile const&) = delete;

   private:
    std::FILE* file_ = nullptr;
  };

  std::unique_ptr<ProxyProcess> proxy_;
  std::optional<net::TlsContext> front_tls_;
  std::optional<TlsFront> front_;
  std::string proxy_url_;
  std::uint16_t other_port_ = 0;  // of a server that is not HttpServer
  std::string kubeconfig_;
  std::vector<ServedRequest> requests_;
};

void expect(std::optional<Error> const& got, Row const& row, char const* path) {
  if (!row.failure) {
    EXPECT_FALSE(got) << path << ": " << got->text;
    return;
  }
  ASSERT_TRUE(got) << path << " works";
  EXPECT_EQ(got->code, *row.failure) << path << ": " << got->text;
  for (auto const& words : row.words) EXPECT_THAT(got->text, HasSubstr(words)) << path;
}

class RouteTableTest : public RouteTest, public testing::WithParamInterface<Way> {};

TEST_P(RouteTableTest, RestAndTunnelsComeToTheSameVerdict) {
  if (!take(GetParam())) GTEST_SKIP() << "the proxy is not installed; ./dev test installs it";
  for (Row const& row : table()) {
    SCOPED_TRACE(row.name);
    // An https proxy of root's is trusted for the kubeconfig's CA, or not at all.
    bool const strange = row.cluster.find(base64(root().cert_pem())) == std::string::npos;
    if (GetParam() == Way::https && strange) continue;
    auto const got = verdicts(row);
    expect(got.rest, row, "REST");
    expect(got.tunnel, row, "tunnel");
    std::string const prefix = row.path.substr(0, row.path.size() - (row.path.empty() ? 0 : 1));
    for (auto const& request : requests_) EXPECT_TRUE(request.target.starts_with(prefix + "/"));
  }
}

std::string word_of(testing::TestParamInfo<Way> const& info) {
  switch (info.param) {
    case Way::direct:
      return "Directly";
    case Way::http:
      return "ThroughHttp";
    case Way::socks5:
      return "ThroughSocks5";
    case Way::https:
      return "ThroughHttps";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(Ways, RouteTableTest,
                         testing::Values(Way::direct, Way::http, Way::socks5, Way::https), word_of);

// ---- sessions

class ResumptionTest : public RouteTest {
 protected:
  // Asks for something, so that the tickets behind the handshake are read. Whether it was resumed.
  awaitable<bool> ask_once(Route& route, net::TlsContext& tls) {
    auto connected = co_await route.connect(&tls, net::TcpOptions(), Clock::now() + kPatience);
    EXPECT_TRUE(connected) << connected.error().text;
    if (connected.has_error()) co_return false;
    Chunk question = Chunk::copy_of(as_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    error_code const written = co_await connected->transport->write(std::move(question));
    EXPECT_FALSE(written);
    Chunk answer(4 * 1024);
    net::IoResult const got = co_await connected->transport->read_some(answer.room());
    EXPECT_FALSE(got.error);
    co_return static_cast<net::TlsTransport&>(*connected->transport).resumed();
  }
  awaitable<void> ask_thrice(HttpServer& server, std::optional<net::Proxy> proxy,
                             std::vector<bool>& resumed) {
    net::Resolver resolver(executor());
    Server at;
    at.host = "127.0.0.1";
    at.port = server.port();
    Route route(resolver, at, proxy, root().cert_pem());
    net::TlsConfig config;
    config.ca_pem = root().cert_pem();
    auto tls = net::TlsContext::for_client(config).value();
    for (int i = 0; i < 3; ++i) {
      bool const again = co_await ask_once(route, tls);
      resumed.push_back(again);
    }
    server.cancel();
    if (front_) front_->cancel();
  }
};

TEST_F(ResumptionTest, ADialResumesTheSessionOfTheOneBefore) {
  for (Way const way : {Way::direct, Way::https}) {
    if (!take(way)) GTEST_SKIP() << "the proxy is not installed";
    auto server_tls = net::TlsContext::for_server(good()).value();
    HttpServer server(executor());
    server.use_tls(&server_tls);
    server.script(&serve);
    server.start();
    if (front_) front_->start();
    std::optional<net::Proxy> proxy;
    if (!proxy_url_.empty()) proxy = net::parse_proxy(proxy_url_).value();
    std::vector<bool> resumed;
    run(ask_thrice(server, proxy, resumed));
    EXPECT_EQ(resumed, (std::vector<bool>{false, true, true}));
    EXPECT_EQ(front_ ? front_->resumed() : 2, 2);
  }
}

// ---- proxies that fail

class ProxyFailureTest : public RouteTest {
 protected:
  void expect_both(Errc code, std::vector<std::string> words) {
    auto const got = verdicts(Row("", good(), ca(root().cert_pem())));
    for (auto const& [verdict, path] :
         {std::pair(got.rest, "REST"), std::pair(got.tunnel, "tunnel")}) {
      ASSERT_TRUE(verdict) << path << " works";
      EXPECT_EQ(verdict->code, code) << path << ": " << verdict->text;
      for (auto const& each : words) EXPECT_THAT(verdict->text, HasSubstr(each)) << path;
      EXPECT_THAT(verdict->text, testing::Not(HasSubstr("secret"))) << path;
    }
    EXPECT_TRUE(requests_.empty());
  }
};

TEST_F(ProxyFailureTest, AProxyThatIsNotThere) {
  std::string why_not;
  proxy_ = ProxyProcess::socks5({}, why_not);
  if (!proxy_) GTEST_SKIP() << why_not;
  auto const place = fmt::format("127.0.0.1:{}", proxy_->port());
  proxy_->stop();
  for (char const* const scheme : {"http", "https", "socks5"}) {
    proxy_url_ = fmt::format("{}://me:secret@{}", scheme, place);
    expect_both(Errc::network, {"through proxy " + place, "cannot connect to the proxy"});
  }
}

TEST_F(ProxyFailureTest, ALoginThatIsMissingOrWrong) {
  for (Way const way : {Way::http, Way::socks5}) {
    if (!take(way)) GTEST_SKIP() << "the proxy is not installed";
    std::string const url = proxy_url_;
    std::string const place = fmt::format("127.0.0.1:{}", proxy_->port());
    proxy_url_ = url.substr(0, url.find("//") + 2) + place;
    expect_both(Errc::network, {"through proxy " + place, "it wants a login"});
    proxy_url_ = url.substr(0, url.find("//") + 2) + "me:secret2@" + place;
    expect_both(Errc::network, {"through proxy " + place, "it does not accept the user"});
  }
}

TEST_F(ProxyFailureTest, AProxyThatForbidsThePort) {
  std::string why_not;
  test::ProxyOptions options;
  options.allowed_port = 1;
  proxy_ = ProxyProcess::http(options, why_not);
  if (!proxy_) GTEST_SKIP() << why_not;
  proxy_url_ = proxy_->url();
  expect_both(Errc::network, {"answers 403 to CONNECT 127.0.0.1:", "its rules do not allow"});
}

TEST_F(ProxyFailureTest, AServerThatTheProxyDoesNotReach) {
  for (Way const way : {Way::http, Way::socks5}) {
    if (!take(way)) GTEST_SKIP() << "the proxy is not installed";
    auto const to_nobody = [&] {
      tcp::acceptor closed(executor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
      return closed.local_endpoint().port();
    }();
    kubeconfig_ = text_of(Row("", good(), ca(root().cert_pem())), "https", to_nobody);
    Verdicts got;
    HttpServer unused(executor());
    unused.start();
    run(ask_both(unused, got));
    for (auto const& verdict : {got.rest, got.tunnel}) {
      ASSERT_TRUE(verdict);
      EXPECT_EQ(verdict->code, Errc::network) << verdict->text;
      EXPECT_THAT(verdict->text, HasSubstr("through proxy 127.0.0.1:"));
      EXPECT_THAT(verdict->text, HasSubstr("the proxy "));
    }
  }
}

TEST_F(ProxyFailureTest, AnHttpsProxyOfAnUnknownAuthority) {
  if (!take(Way::https)) GTEST_SKIP() << "the proxy is not installed";
  auto const row = Row("", good(), ca(stranger().cert_pem()));
  auto const got = verdicts(row);
  for (auto const& verdict : {got.rest, got.tunnel}) {
    ASSERT_TRUE(verdict);
    EXPECT_EQ(verdict->code, Errc::tls) << verdict->text;
    EXPECT_THAT(verdict->text, HasSubstr("the proxy: TLS: the certificate of 'api' is signed by"));
  }
}

// What says the same to everybody that sends a first byte, and then ends.
class ParrotTest : public ProxyFailureTest {
 protected:
  // As a proxy of that scheme; without one as the server.
  void expect_from(std::string const& scheme, std::string const& answer, Errc code,
                   std::vector<std::string> words) {
    tcp::acceptor acceptor(executor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    TaskGroup parrot(executor());
    parrot.spawn(answer_all(acceptor, answer));
    parrot_ = &parrot;
    std::uint16_t const port = acceptor.local_endpoint().port();
    if (scheme.empty()) {
      other_port_ = port;
    } else {
      proxy_url_ = fmt::format("{}://127.0.0.1:{}", scheme, port);
    }
    expect_both(code, std::move(words));
    parrot_ = nullptr;
  }
  void end_helpers() override {
    if (parrot_ != nullptr) parrot_->cancel();
  }

 private:
  static awaitable<void> answer_all(tcp::acceptor& acceptor, std::string answer) {
    for (;;) {
      auto [error, socket] = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      net::TcpTransport transport(std::move(socket));
      Chunk chunk(16 * 1024);
      net::IoResult const got = co_await transport.read_some(chunk.room());
      if (got.error) continue;
      Chunk said = Chunk::copy_of(as_bytes(answer));
      error_code const written = co_await transport.write(std::move(said));
      static_cast<void>(written);
    }
  }
  TaskGroup* parrot_ = nullptr;
};

TEST_F(ParrotTest, WhatIsNoTlsServer) {
  expect_from("", "HTTP/1.1 400 Bad Request\r\n\r\n", Errc::tls, {"the peer does not speak TLS"});
  expect_from("", "", Errc::network, {});
}

TEST_F(ParrotTest, WhatIsNoProxy) {
  std::string const refusal = "HTTP/1.1 400 Bad Request\r\n\r\n";
  expect_from("https", refusal, Errc::tls, {"the proxy: TLS: the peer does not speak TLS"});
  expect_from("socks5", refusal, Errc::network, {"through proxy 127.0.0.1:", "the proxy"});
  expect_from("http", refusal, Errc::network, {"answers 400 to CONNECT", "is it a proxy?"});
  expect_from("http", "SSH-2.0-x\r\n\r\n", Errc::network, {"the proxy"});
  expect_from("http", "HTTP/1.1 502 Bad Gateway\r\n\r\n", Errc::network,
              {"it cannot reach the server"});
  expect_from("http", "", Errc::network, {"the proxy"});
  expect_from("socks5", "", Errc::network, {"the proxy"});
}

}  // namespace
}  // namespace kportal::k8s
