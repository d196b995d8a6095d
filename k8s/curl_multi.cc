// SPDX-License-Identifier: MIT
#include "k8s/curl_multi.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <fcntl.h>
#include <map>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <set>
#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <curl/curl.h>
#include <fmt/format.h>

#include "base/printable.h"
#include "base/turns.h"
#include "k8s/client_tls.h"
#include "k8s/route.h"
#include "net/proxy_handshake.h"
#include "net/tls_context.h"
#include "net/tls_verification.h"

namespace kportal::k8s {

namespace {

using std::chrono::milliseconds;
using WaitType = asio::posix::stream_descriptor::wait_type;

constexpr milliseconds kMaxConnect{30'000};
// Each request has both for as long as it lasts, and a watch lasts. The second is curl's least, the
// default four times as much.
constexpr long kReadBuffer = 4 * 1024;
constexpr long kWriteBuffer = 16 * 1024;
constexpr long kKeepaliveIdle = 30;
constexpr long kKeepaliveInterval = 10;
// Own certificates and roots that are kept parsed: those in use, and those before a renewal.
constexpr std::size_t kMaxTls = 2;
// What we sent is not acknowledged for so long: the connection is dead. Without it a request that
// times out on a dead HTTP/2 connection leaves that connection for the next one.
constexpr unsigned kUserTimeoutMillis = 20'000;
// Short enough to need none itself.
constexpr char const* kNoMemory = "out of memory";

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListCleanup {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;
using List = std::unique_ptr<curl_slist, ListCleanup>;

void append(List& list, std::string const& line) {
  curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(list.release());
  list.reset(longer);
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool is_address(std::string const& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

std::string bracketed(std::string const& host) {
  return host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
}

// Without the scope, which curl cannot read here.
std::string plain_text(asio::ip::address const& address) {
  if (address.is_v4()) return address.to_string();
  return fmt::format("[{}]", asio::ip::address_v6(address.to_v6().to_bytes()).to_string());
}

// What can be too long for curl has a bound before it comes here.
template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  [[maybe_unused]] CURLcode const code = curl_easy_setopt(easy, option, value);
  assert(code == CURLE_OK || code == CURLE_OUT_OF_MEMORY);
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
}

bool is_tls_code(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_CRL_BADFILE:
      return true;
    default:
      return false;
  }
}

// What OpenSSL said, which curl only has in its text ("error:0A00010B:SSL routines::..."): an alert
// in a read has no code of curl's, and CURLE_SSL_CONNECT_ERROR is also a connection that was lost.
std::optional<Error> openssl_error(std::string_view text) {
  static constexpr std::string_view kMark = "error:";
  auto const at = text.find(kMark);
  if (at == text.npos) return std::nullopt;
  unsigned long code = 0;
  char const* const digits = text.data() + at + kMark.size();
  auto const read = std::from_chars(digits, text.data() + text.size(), code, 16);
  if (read.ec != std::errc()) return std::nullopt;
  return net::tls_error(code);
}

Errc kind_of(CURLcode code) {
  if (is_tls_code(code)) return Errc::tls;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Errc::timeout;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return Errc::protocol;
    default:
      return Errc::network;
  }
}

// Curl's codes for SOCKS5 as net/proxy_handshake's words.
Error socks_error(net::Proxy const& proxy, std::string const& target, CURLproxycode code,
                  std::string const& text) {
  switch (code) {
    case CURLPX_NO_AUTH:
    case CURLPX_USER_REJECTED:
      return net::socks5_login_refused(proxy);
    case CURLPX_REPLY_GENERAL_SERVER_FAILURE:
      return net::socks5_refused(target, 1);
    case CURLPX_REPLY_NOT_ALLOWED:
      return net::socks5_refused(target, 2);
    case CURLPX_REPLY_NETWORK_UNREACHABLE:
      return net::socks5_refused(target, 3);
    case CURLPX_REPLY_HOST_UNREACHABLE:
      return net::socks5_refused(target, 4);
    case CURLPX_REPLY_CONNECTION_REFUSED:
      return net::socks5_refused(target, 5);
    case CURLPX_REPLY_TTL_EXPIRED:
      return net::socks5_refused(target, 6);
    case CURLPX_REPLY_COMMAND_NOT_SUPPORTED:
      return net::socks5_refused(target, 7);
    case CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED:
      return net::socks5_refused(target, 8);
    default:
      return {Errc::network, "the proxy: " + printable(text)};
  }
}

// curl's words are of frames and streams. What is behind them is mostly a server that stops, or a
// proxy that has enough of a connection (curl/curl#4267): it says so (GOAWAY), or resets the
// request, while the answer has not come.
Error http2_error(std::string const& text) {
  return {Errc::network,
          fmt::format("the server, or a proxy before it, broke the request off, as one that "
                      "stops or starts anew does; the next one opens another connection (HTTP/2: "
                      "{})",
                      printable(text))};
}

Error too_large() {
  return {Errc::limit, fmt::format("an answer of more than {} MiB", CurlMulti::kMaxBody >> 20)};
}

int set_socket_options(void*, curl_socket_t socket, curlsocktype) noexcept {
  ::fcntl(socket, F_SETFD, FD_CLOEXEC);
#ifdef TCP_USER_TIMEOUT
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMillis,
               sizeof(kUserTimeoutMillis));
#endif
  return CURL_SOCKOPT_OK;
}

}  // namespace

std::string_view HttpHead::header(std::string_view name) const {
  for (auto const& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

// A descriptor of curl's on the loop. Handlers hold it weakly: when curl has removed it, they find
// it gone.
struct SocketWatch {
  SocketWatch(asio::any_io_executor const& executor) : descriptor(executor) {}
  ~SocketWatch() { give_back(); }

  // The descriptor is curl's to close.
  void give_back() {
    removed = true;
    if (descriptor.is_open()) descriptor.release();
  }

  asio::posix::stream_descriptor descriptor;
  bool wanted[2] = {false, false};  // by WaitType: wait_read, wait_write
  bool waiting[2] = {false, false};
  bool resting = false;  // ready, but not looked at: CurlMulti::kMaxUnread
  bool removed = false;
};

// A ServerTls, parsed.
struct ParsedTls {
  ParsedTls(ServerTls o, net::TlsContext c, std::string l)
      : of(std::move(o)), context(std::move(c)), label(std::move(l)) {}
  ServerTls of;
  net::TlsContext context;
  std::string label;  // another one for each
};

struct CurlMulti::Impl {
  explicit Impl(asio::any_io_executor e);
  ~Impl();

  void start(HttpStream::Transfer& transfer);
  void forget(HttpStream::Transfer& transfer) noexcept;
  void drop_connections(Error const& reason);

  // Parsed when first needed: curl would do it for each connection, which takes milliseconds.
  Result<std::shared_ptr<ParsedTls const>> parsed(ServerTls const& tls);
  // Null = they are unusable.
  net::TlsContext const* proxy_roots(std::string const& ca_pem);

  void create_multi();
  // Ends all transfers and closes all connections.
  void destroy_multi(Error const& reason);
  void act(curl_socket_t socket, int events);
  void collect_finished();
  // A reader is behind: sockets and the timer rest until it is not.
  bool behind() const;
  void catch_up();
  void arm(std::shared_ptr<SocketWatch> const& watch, WaitType type);
  void on_ready(std::shared_ptr<SocketWatch> const& watch, WaitType type, error_code error);
  void use(std::shared_ptr<SocketWatch> const& watch, WaitType type, error_code error);
  void set_timer(long millis);
  void on_timer();

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept;
  static int on_timeout(CURLM*, long millis, void* self) noexcept;

  asio::any_io_executor executor;
  CURLM* multi = nullptr;
  std::set<HttpStream::Transfer*> transfers;  // added to multi
  std::map<curl_socket_t, std::shared_ptr<SocketWatch>> watches;
  std::vector<std::shared_ptr<ParsedTls const>> parsed_tls;
  std::uint64_t next_label = 1;
  std::map<std::string, net::TlsContext> proxy_roots_made;  // by the cluster's CA
  std::unique_ptr<asio::steady_timer> timer;
  bool timer_resting = false;
  std::shared_ptr<char> alive = std::make_shared<char>();  // what timer handlers look at
};

struct HttpStream::Transfer {
  Transfer(CurlMulti::Impl& impl, HttpRequest r);
  ~Transfer() { end(std::nullopt); }

  void set_up(CurlMulti::Impl& impl);
  void set_request();
  void add_header(std::string const& name, std::string const& value);
  void set_address(std::string const& url_host);
  void set_proxy(net::Proxy const& proxy);
  void set_tls(CurlMulti::Impl& impl);
  // It is over, with an error or in order. Idempotent: the first call counts.
  void end(std::optional<Error> error) noexcept;
  void end_with(CURLcode code);
  Error error_of(CURLcode code) const;
  std::optional<Error> proxy_error(CURLcode code, std::string const& text) const;
  // The connection is as far as to the proxy, at the most.
  bool before_server() const;
  // A server that answers has the request, and a watch would keep the buffer for ever.
  void drop_write_buffer();
  Error timeout() const;
  bool take_over(ssl_ctx_st* context);

  static CURLcode on_tls_context(CURL*, void* context, void* self) noexcept;
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) noexcept;
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) noexcept;
  bool take_header(std::string_view line);

  CurlMulti::Impl* multi = nullptr;  // while it is part of it
  HttpRequest request;
  Easy easy;
  List headers, resolve, connect_to;
  char error_text[CURL_ERROR_SIZE] = {};
  // Why a certificate was refused: the proxy's, the server's. Shared with connections.
  std::shared_ptr<net::VerificationNote> proxy_note, note;
  std::shared_ptr<ParsedTls const> tls;  // null without TLS
  std::size_t header_bytes = 0;
  HttpHead head;
  bool head_complete = false;
  std::string unread;
  bool over = false;
  std::optional<Error> failure;
  Wakeup wakeup;
};

// --- one transfer ---

HttpStream::Transfer::Transfer(CurlMulti::Impl& impl, HttpRequest r)
    : request(std::move(r)), easy(curl_easy_init()), wakeup(impl.executor) {
  if (!easy) throw std::bad_alloc();
  set_up(impl);
}

void HttpStream::Transfer::set_up(CurlMulti::Impl& impl) {
  CURL* const e = easy.get();
  set(e, CURLOPT_PRIVATE, static_cast<void*>(this));
  set(e, CURLOPT_ERRORBUFFER, error_text);
  set(e, CURLOPT_NOSIGNAL, 1L);
  set(e, CURLOPT_QUICK_EXIT, 1L);
  set(e, CURLOPT_PROTOCOLS_STR, "http,https");
  set(e, CURLOPT_PATH_AS_IS, 1L);
  set(e, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});
  set(e, CURLOPT_PIPEWAIT, 1L);
  set(e, CURLOPT_FRESH_CONNECT, request.fresh_connection ? 1L : 0L);
  set(e, CURLOPT_BUFFERSIZE, kReadBuffer);
  set(e, CURLOPT_UPLOAD_BUFFERSIZE, kWriteBuffer);
  set(e, CURLOPT_TCP_KEEPALIVE, 1L);
  set(e, CURLOPT_TCP_KEEPIDLE, kKeepaliveIdle);
  set(e, CURLOPT_TCP_KEEPINTVL, kKeepaliveInterval);
  set(e, CURLOPT_SOCKOPTFUNCTION, &set_socket_options);
  set(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(e, CURLOPT_HEADERFUNCTION, &on_header);
  set(e, CURLOPT_HEADERDATA, this);
  set(e, CURLOPT_WRITEFUNCTION, &on_body);
  set(e, CURLOPT_WRITEDATA, this);

  set_request();
  set_tls(impl);
}

void HttpStream::Transfer::set_request() {
  CURL* const e = easy.get();
  // Among several addresses curl shares this time out, so that it must not be its 300 s.
  auto const left = request.connect_deadline == kNever
                        ? kMaxConnect
                        : std::chrono::ceil<milliseconds>(request.connect_deadline - Clock::now());
  auto const connect = std::clamp(left, milliseconds(1), kMaxConnect);
  set(e, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect.count()));

  if (request.target.size() > CurlMulti::kMaxTarget) {
    // It may hold a server's continue token.
    return end(
        Error(Errc::limit, fmt::format("a path and query of {} bytes", request.target.size())));
  }
  bool const rename = !request.tls.server_name.empty() && request.scheme == "https";
  std::string const url_host = rename ? request.tls.server_name : request.host;
  std::string const url = fmt::format("{}://{}:{}{}", request.scheme, bracketed(url_host),
                                      request.port, request.target);
  set(e, CURLOPT_URL, url.c_str());
  set(e, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (!request.body.empty()) {
    set(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(e, CURLOPT_POSTFIELDS, request.body.data());
    append(headers, "Expect:");
  }
  for (auto const& [name, value] : request.headers) add_header(name, value);
  set_address(url_host);
  set(e, CURLOPT_HTTPHEADER, headers.get());
}

void HttpStream::Transfer::add_header(std::string const& name, std::string const& value) {
  if (std::any_of(value.begin(), value.end(), is_control)) {
    return end(Error(Errc::local, fmt::format("the value of header {} is not one line", name)));
  }
  // A semicolon is how curl is told of a header without a value.
  append(headers, value.empty() ? fmt::format("{};", name) : fmt::format("{}: {}", name, value));
}

// Where to connect to, without a lookup of curl's own.
void HttpStream::Transfer::set_address(std::string const& url_host) {
  CURL* const e = easy.get();
  if (url_host != request.host) {
    append(connect_to, fmt::format("{}:{}:{}:{}", bracketed(url_host), request.port,
                                   bracketed(request.host), request.port));
    set(e, CURLOPT_CONNECT_TO, connect_to.get());
    append(headers, fmt::format("Host: {}:{}", bracketed(request.host), request.port));
  }
  std::string name = request.host;
  std::uint16_t port = request.port;
  // An empty string also keeps curl from asking the environment.
  set(e, CURLOPT_NOPROXY, "");
  set(e, CURLOPT_PROXY, "");
  if (request.proxy) {
    set_proxy(*request.proxy);
    name = request.proxy->host;
    port = request.proxy->port;
  }
  if (is_address(name)) return;
  assert(!request.addresses.empty() && "a name must be resolved before");
  std::string line = fmt::format("{}:{}:", name, port);
  for (auto const& address : request.addresses) line += plain_text(address) + ",";
  line.pop_back();
  append(resolve, line);
  set(e, CURLOPT_RESOLVE, resolve.get());
}

void HttpStream::Transfer::set_proxy(net::Proxy const& proxy) {
  CURL* const e = easy.get();
  bool const is_socks = proxy.kind == net::Proxy::Kind::socks5;
  std::string_view const scheme = is_socks ? "socks5h" : net::scheme(proxy.kind);
  std::string const url = fmt::format("{}://{}", scheme, net::place(proxy));
  set(e, CURLOPT_PROXY, url.c_str());
  set(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
  set(e, CURLOPT_PROXYAUTH, CURLAUTH_BASIC);
  set(e, CURLOPT_SOCKS5_AUTH, CURLAUTH_BASIC);
  // The headers of requests are not for the proxy.
  set(e, CURLOPT_HEADEROPT, long{CURLHEADER_SEPARATE});
  if (proxy.has_login) {
    set(e, CURLOPT_PROXYUSERNAME, proxy.user.c_str());
    set(e, CURLOPT_PROXYPASSWORD, proxy.password.c_str());
  }
  if (proxy.kind != net::Proxy::Kind::https) return;
  set(e, CURLOPT_PROXY_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set(e, CURLOPT_PROXY_CAINFO, static_cast<char const*>(nullptr));
  set(e, CURLOPT_PROXY_CAPATH, static_cast<char const*>(nullptr));
  proxy_note = std::make_shared<net::VerificationNote>(proxy.host, kProxyRoots);
}

void HttpStream::Transfer::set_tls(CurlMulti::Impl& impl) {
  CURL* const e = easy.get();
  set(e, CURLOPT_SSL_CTX_FUNCTION, &on_tls_context);
  set(e, CURLOPT_SSL_CTX_DATA, this);
  set(e, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set(e, CURLOPT_SSL_VERIFYPEER, request.tls.insecure ? 0L : 1L);
  set(e, CURLOPT_SSL_VERIFYHOST, request.tls.insecure ? 0L : 2L);
  // Kept in the handle, that is, for one request.
  set(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  set(e, CURLOPT_CAINFO, static_cast<char const*>(nullptr));
  if (request.scheme != "https") return;
  auto parsed = impl.parsed(request.tls);
  if (!parsed) return end(parsed.error());
  tls = std::move(*parsed);
  if (!request.tls.insecure) {
    std::string const& name = request.tls.server_name;
    note = std::make_shared<net::VerificationNote>(name.empty() ? request.host : name,
                                                   tls->context.trusted());
  }
  // curl looks for roots there when it verifies one, finds none, and is given others by take_over()
  // before. It does not reuse a connection for another path, thus none of other certificates.
  set(e, CURLOPT_CAPATH, tls->label.c_str());
  std::string().swap(request.tls.cert_pem);
  std::string().swap(request.tls.key_pem);
}

void HttpStream::Transfer::end(std::optional<Error> error) noexcept {
  if (multi != nullptr) multi->forget(*this);
  if (over) return;
  over = true;
  if (!failure) failure = std::move(error);
  wakeup.set();
}

void HttpStream::Transfer::end_with(CURLcode code) {
  if (code == CURLE_OK) return end(std::nullopt);
  end(error_of(code));
}

Error HttpStream::Transfer::error_of(CURLcode code) const {
  std::string text = error_text[0] != '\0' ? error_text : curl_easy_strerror(code);
  text.erase(text.find_last_not_of(". \n") + 1);
  if (request.proxy) {
    if (auto const error = proxy_error(code, text)) return *error;
  }
  if (note && !note->failure.empty()) return {Errc::tls, "TLS: " + note->failure};
  if (auto const error = openssl_error(text)) return *error;
  bool const of_http2 = code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
  if (of_http2 || text.starts_with("HTTP/2 ")) return http2_error(text);
  return {kind_of(code), printable(text)};
}

bool HttpStream::Transfer::before_server() const {
  long answered = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_HTTP_CONNECTCODE, &answered);
  return answered / 100 != 2;
}

// What the way to the proxy failed for, or the proxy itself.
std::optional<Error> HttpStream::Transfer::proxy_error(CURLcode code,
                                                       std::string const& text) const {
  net::Proxy const& proxy = *request.proxy;
  std::string const target = fmt::format("{}:{}", bracketed(request.host), request.port);
  if (code == CURLE_COULDNT_CONNECT) {
    return Error(Errc::network, "cannot connect to the proxy: " + printable(text));
  }
  if (proxy.kind == net::Proxy::Kind::socks5) {
    if (code != CURLE_PROXY) return std::nullopt;
    long detail = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_PROXY_ERROR, &detail);
    return socks_error(proxy, target, static_cast<CURLproxycode>(detail), text);
  }
  if (!before_server()) return std::nullopt;
  long answered = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_HTTP_CONNECTCODE, &answered);
  if (answered != 0) return net::connect_refused(proxy, target, static_cast<int>(answered));
  if (proxy_note && !proxy_note->failure.empty()) {
    return Error(Errc::tls, "the proxy: TLS: " + proxy_note->failure);
  }
  if (auto const error = openssl_error(text)) return error->within("the proxy");
  Errc const kind = code == CURLE_OPERATION_TIMEDOUT ? Errc::timeout : Errc::network;
  return Error(kind, "the proxy: " + printable(text));
}

CURLcode HttpStream::Transfer::on_tls_context(CURL*, void* context, void* self) noexcept {
  bool const taken = static_cast<Transfer*>(self)->take_over(static_cast<ssl_ctx_st*>(context));
  return taken ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

// Curl's verification made that of tunnels, so that both come to the same verdict with the same
// words, and the certificate shown. Called for the TLS with an https proxy, and for that with the
// server.
bool HttpStream::Transfer::take_over(ssl_ctx_st* context) {
  if (proxy_note && before_server()) {
    net::verify_as_client(context, multi->proxy_roots(request.tls.ca_pem), proxy_note);
    return true;
  }
  if (tls == nullptr) return true;
  if (note) net::verify_as_client(context, &tls->context, note);
  return tls->context.lend_certificate(context);
}

// curl drops the buffer it has when it is told the size of the next.
void HttpStream::Transfer::drop_write_buffer() {
  if (request.body.empty()) set(easy.get(), CURLOPT_UPLOAD_BUFFERSIZE, kWriteBuffer);
}

Error HttpStream::Transfer::timeout() const {
  curl_off_t sent = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_PRETRANSFER_TIME_T, &sent);
  if (head_complete) return {Errc::timeout, "the answer stopped coming"};
  return {Errc::timeout, sent > 0 ? "no answer in time" : "no connection in time"};
}

std::size_t HttpStream::Transfer::on_header(char* data, std::size_t, std::size_t size,
                                            void* self) noexcept {
  auto& transfer = *static_cast<Transfer*>(self);
  try {
    return transfer.take_header({data, size}) ? size : size + 1;
  } catch (std::bad_alloc const&) {  // not through curl
    transfer.failure = Error(Errc::local, kNoMemory);
    return size + 1;
  }
}

bool HttpStream::Transfer::take_header(std::string_view line) {
  if (head_complete) return true;  // trailers
  header_bytes += line.size();
  if (header_bytes > CurlMulti::kMaxHeaderBytes) {
    failure = Error(Errc::limit,
                    fmt::format("headers of more than {} KiB", CurlMulti::kMaxHeaderBytes / 1024));
    return false;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {
    head = HttpHead();
    return true;
  }
  if (line.empty()) {
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) return true;
    head.status = static_cast<int>(status);
    head_complete = true;
    wakeup.set();
    return true;
  }
  auto const colon = line.find(':');
  if (colon == line.npos) return true;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  line.remove_prefix(std::min(line.find_first_not_of(" \t", colon + 1), line.size()));
  head.headers.emplace_back(std::move(name), std::string(line));
  return true;
}

std::size_t HttpStream::Transfer::on_body(char* data, std::size_t, std::size_t size,
                                          void* self) noexcept {
  auto& transfer = *static_cast<Transfer*>(self);
  if (size > CurlMulti::kMaxBody - transfer.unread.size()) {
    transfer.failure = too_large();
    return size + 1;
  }
  try {
    transfer.unread.append(data, size);
  } catch (std::bad_alloc const&) {  // not through curl
    transfer.failure = Error(Errc::local, kNoMemory);
    return size + 1;
  }
  transfer.wakeup.set();
  return size;
}

HttpStream::HttpStream(std::unique_ptr<Transfer> transfer) : transfer_(std::move(transfer)) {}
HttpStream::~HttpStream() = default;

awaitable<Result<HttpHead>> HttpStream::head(TimePoint deadline) {
  Transfer& t = *transfer_;
  while (!t.head_complete && !t.over) {
    bool const woken = co_await t.wakeup.wait_until(deadline);
    if (!woken && Clock::now() >= deadline) co_return t.timeout();
  }
  if (t.head_complete) {
    t.drop_write_buffer();
    co_return t.head;
  }
  co_return t.failure.value_or(Error(Errc::protocol, "an answer without a head"));
}

awaitable<Result<std::string>> HttpStream::read(TimePoint deadline) {
  Transfer& t = *transfer_;
  while (t.unread.empty() && !t.over) {
    bool const woken = co_await t.wakeup.wait_until(deadline);
    if (!woken && Clock::now() >= deadline) co_return t.timeout();
  }
  if (t.unread.empty() && t.failure) co_return *t.failure;
  std::string bytes = std::exchange(t.unread, std::string());
  if (t.multi != nullptr) t.multi->catch_up();
  co_return bytes;
}

awaitable<Result<std::string>> HttpStream::read_all(TimePoint deadline) {
  std::string body;
  for (;;) {
    auto part = co_await read(deadline);
    if (!part) co_return part.error();
    if (part->empty()) co_return body;
    if (part->size() > CurlMulti::kMaxBody - body.size()) co_return too_large();
    body.append(*part);
  }
}

void HttpStream::close() {
  transfer_->unread.clear();
  transfer_->end(Error(Errc::closed, "the request was ended"));
}

// --- all transfers ---

CurlMulti::Impl::Impl(asio::any_io_executor e) : executor(std::move(e)) {
  // Counted by curl; safe as long as threads come later or curl is thread-safe, which it is.
  curl_global_init(CURL_GLOBAL_DEFAULT);
  create_multi();
}

CurlMulti::Impl::~Impl() {
  destroy_multi(Error(Errc::closed, "the cluster is no longer used"));
  curl_global_cleanup();
}

Result<std::shared_ptr<ParsedTls const>> CurlMulti::Impl::parsed(ServerTls const& tls) {
  auto const known = std::ranges::find(parsed_tls, tls, &ParsedTls::of);
  if (known != parsed_tls.end()) return *known;
  auto made = net::TlsContext::for_client(client_tls(tls));
  if (!made) return made.error();
  if (parsed_tls.size() >= kMaxTls) parsed_tls.erase(parsed_tls.begin());
  std::string label = fmt::format("tls-{}", next_label++);
  parsed_tls.push_back(std::make_shared<ParsedTls const>(tls, std::move(*made), std::move(label)));
  return parsed_tls.back();
}

net::TlsContext const* CurlMulti::Impl::proxy_roots(std::string const& ca_pem) {
  auto found = proxy_roots_made.find(ca_pem);
  if (found == proxy_roots_made.end()) {
    auto made = net::TlsContext::for_client(proxy_tls_config(ca_pem));
    if (!made) return nullptr;
    found = proxy_roots_made.emplace(ca_pem, std::move(*made)).first;
  }
  return &found->second;
}

void CurlMulti::Impl::create_multi() {
  multi = curl_multi_init();
  if (multi == nullptr) throw std::bad_alloc();
  timer = std::make_unique<asio::steady_timer>(executor);
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_timeout);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, long{kMaxStreams});
}

void CurlMulti::Impl::destroy_multi(Error const& reason) {
  while (!transfers.empty()) (*transfers.begin())->end(reason);
  curl_multi_cleanup(multi);
  multi = nullptr;
  for (auto const& [socket, watch] : watches) watch->give_back();
  watches.clear();
  timer.reset();
  timer_resting = false;
}

void CurlMulti::Impl::drop_connections(Error const& reason) {
  destroy_multi(reason);
  create_multi();
}

void CurlMulti::Impl::start(HttpStream::Transfer& transfer) {
  if (transfer.over) return;
  CURLMcode const code = curl_multi_add_handle(multi, transfer.easy.get());
  if (code != CURLM_OK) {
    return transfer.end(Error(Errc::local, fmt::format("curl: {}", curl_multi_strerror(code))));
  }
  transfers.insert(&transfer);
  transfer.multi = this;
}

void CurlMulti::Impl::forget(HttpStream::Transfer& transfer) noexcept {
  transfers.erase(&transfer);
  transfer.multi = nullptr;
  curl_multi_remove_handle(multi, transfer.easy.get());
  catch_up();
}

bool CurlMulti::Impl::behind() const {
  return std::ranges::any_of(transfers, [](HttpStream::Transfer const* transfer) {
    return transfer->unread.size() > kMaxUnread;
  });
}

void CurlMulti::Impl::catch_up() {
  if (behind()) return;
  if (std::exchange(timer_resting, false)) set_timer(0);
  for (auto const& [socket, watch] : watches) {
    if (!std::exchange(watch->resting, false)) continue;
    arm(watch, WaitType::wait_read);
    arm(watch, WaitType::wait_write);
  }
}

void CurlMulti::Impl::act(curl_socket_t socket, int events) {
  int running = 0;
  CURLMcode const code = curl_multi_socket_action(multi, socket, events, &running);
  if (code != CURLM_OK && code != CURLM_BAD_SOCKET) {
    return drop_connections(Error(Errc::local, fmt::format("curl: {}", curl_multi_strerror(code))));
  }
  collect_finished();
}

void CurlMulti::Impl::collect_finished() {
  int left = 0;
  while (CURLMsg const* const message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    // The message is gone once the handle is removed.
    CURLcode const code = message->data.result;
    void* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    static_cast<HttpStream::Transfer*>(transfer)->end_with(code);
  }
}

void CurlMulti::Impl::arm(std::shared_ptr<SocketWatch> const& watch, WaitType type) {
  if (watch->removed || !watch->wanted[type] || watch->waiting[type] || watch->resting) return;
  watch->waiting[type] = true;
  watch->descriptor.async_wait(
      type, [this, weak = std::weak_ptr<SocketWatch>(watch), type](error_code error) {
        if (auto const found = weak.lock()) on_ready(found, type, error);
      });
}

void CurlMulti::Impl::on_ready(std::shared_ptr<SocketWatch> const& watch, WaitType type,
                               error_code error) {
  watch->waiting[type] = false;
  // It may be a handshake, which takes a millisecond, and hundreds may be due.
  in_turn(executor, [this, weak = std::weak_ptr<char>(alive), watch, type, error] {
    if (!weak.expired()) use(watch, type, error);
  });
}

void CurlMulti::Impl::use(std::shared_ptr<SocketWatch> const& watch, WaitType type,
                          error_code error) {
  if (watch->removed || !watch->wanted[type]) return;
  if (!error && behind()) {
    watch->resting = true;
    return;
  }
  int events = type == WaitType::wait_read ? CURL_CSELECT_IN : CURL_CSELECT_OUT;
  if (error) events |= CURL_CSELECT_ERR;
  act(watch->descriptor.native_handle(), events);
  arm(watch, type);
}

void CurlMulti::Impl::set_timer(long millis) {
  if (millis < 0) {
    timer->cancel();
    return;
  }
  timer->expires_after(milliseconds(millis));
  timer->async_wait([this, weak = std::weak_ptr<char>(alive)](error_code error) {
    // A wait that ended in time may be overtaken by the next one; curl does not mind being asked.
    if (error || weak.expired()) return;
    in_turn(executor, [this, weak] {
      if (!weak.expired()) on_timer();
    });
  });
}

// curl also reads by timer: what it left on a socket after some 100 buffers.
void CurlMulti::Impl::on_timer() {
  timer_resting = behind();
  if (timer_resting) return;
  act(CURL_SOCKET_TIMEOUT, 0);
}

int CurlMulti::Impl::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept {
  auto& impl = *static_cast<Impl*>(self);
  auto found = impl.watches.find(socket);
  if (what == CURL_POLL_REMOVE) {
    if (found == impl.watches.end()) return 0;
    // Now, not later: curl closes the descriptor next, and its number may come back at once.
    found->second->give_back();
    impl.watches.erase(found);
    return 0;
  }
  if (found == impl.watches.end()) {
    auto watch = std::make_shared<SocketWatch>(impl.executor);
    error_code error;
    watch->descriptor.assign(socket, error);
    if (error) return -1;
    found = impl.watches.emplace(socket, std::move(watch)).first;
  }
  auto const& watch = found->second;
  watch->wanted[WaitType::wait_read] = (what & CURL_POLL_IN) != 0;
  watch->wanted[WaitType::wait_write] = (what & CURL_POLL_OUT) != 0;
  impl.arm(watch, WaitType::wait_read);
  impl.arm(watch, WaitType::wait_write);
  return 0;
}

int CurlMulti::Impl::on_timeout(CURLM*, long millis, void* self) noexcept {
  static_cast<Impl*>(self)->set_timer(millis);
  return 0;
}

CurlMulti::CurlMulti(asio::any_io_executor executor)
    : impl_(std::make_unique<Impl>(std::move(executor))) {}
CurlMulti::~CurlMulti() = default;

std::unique_ptr<HttpStream> CurlMulti::open(HttpRequest request) {
  auto transfer = std::make_unique<HttpStream::Transfer>(*impl_, std::move(request));
  impl_->start(*transfer);
  return std::make_unique<HttpStream>(std::move(transfer));
}

awaitable<Result<HttpResponse>> CurlMulti::perform(HttpRequest request, TimePoint deadline) {
  request.connect_deadline = std::min(request.connect_deadline, deadline);
  auto const stream = open(std::move(request));
  auto head = co_await stream->head(deadline);
  if (!head) co_return head.error();
  auto body = co_await stream->read_all(deadline);
  if (!body) co_return body.error();
  HttpResponse response;
  response.head = std::move(*head);
  response.body = std::move(*body);
  co_return response;
}

void CurlMulti::drop_connections() {
  impl_->drop_connections(Error(Errc::network, "the connection was given up"));
}

}  // namespace kportal::k8s
