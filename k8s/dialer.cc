// SPDX-License-Identifier: MIT
#include "k8s/dialer.h"

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "base/printable.h"
#include "base/version.h"
#include "k8s/access_review.h"
#include "k8s/objects.h"
#include "k8s/rest_client.h"
#include "net/close_timer.h"
#include "net/tcp_state.h"
#include "net/websocket.h"
#include "net/websocket_transport.h"

namespace kportal::k8s {
namespace {

// protocol.md 1.2 and 1.3.
constexpr char const* kTunnelProtocol = "SPDY/3.1+portforward.k8s.io";
constexpr char const* kStreamProtocol = "portforward.k8s.io";
constexpr char const* kSpdy = "SPDY/3.1";
constexpr char const* kStreamProtocolHeader = "X-Stream-Protocol-Version";
constexpr std::size_t kMaxLocation = 200;  // shown of a redirect

// The head of the answer, and if it is no 101 its body.
struct Answer {
  net::ResponseHead head;
  std::string body;
  std::string early;  // what came behind a 101
};

awaitable<Result<Answer>> read_answer(net::Transport& transport) {
  net::ResponseParser parser;
  Chunk chunk(4 * 1024);
  std::size_t used = 0;
  std::size_t got = 0;
  while (!parser.complete()) {
    auto const [error, n] = co_await transport.read_some(chunk.room());
    if (error) co_return io_error(error, "reading the answer to the upgrade");
    auto const fed = parser.feed(chunk.room().first(n));
    if (fed.has_error()) co_return fed.error();
    used = *fed;
    got = n;
  }
  Answer answer;
  answer.head = std::move(parser.head());
  Bytes const rest = Bytes(chunk.room().first(got)).subspan(used);
  if (answer.head.status == 101) {
    answer.early = as_text(rest);
    co_return answer;
  }
  auto reader = net::BodyReader::of(answer.head, kMaxRefusal);
  if (reader.has_error()) co_return answer;  // the status says enough
  auto const executor = co_await asio::this_coro::executor;
  net::CloseTimer const timer(executor, transport, Clock::now() + kRefusalTime);
  bool broken = reader->feed(rest).has_error();
  while (!broken && !reader->complete() && !reader->truncated()) {
    auto const [error, n] = co_await transport.read_some(chunk.room());
    broken = error || reader->feed(Bytes(chunk.room().first(n))).has_error();
  }
  answer.body = reader->take_body();
  co_return answer;
}

// What is wrong with a 101 to a SPDY upgrade.
std::optional<Error> spdy_problem(Answer const& answer) {
  auto const chosen = answer.head.headers.find(kStreamProtocolHeader).value_or("");
  if (chosen != kStreamProtocol) {
    return Error(Errc::protocol,
                 fmt::format("the server chose the stream protocol \"{}\" instead of {}",
                             printable(chosen), kStreamProtocol));
  }
  if (!answer.early.empty()) {
    return Error(Errc::protocol, "the server sent bytes before the first of ours");
  }
  return std::nullopt;
}

// The API server's own refusal, not a proxy's.
bool is_missing_right(Error const& error) {
  return error.code == Errc::forbidden && error.text.find(" is forbidden: ") != std::string::npos;
}

}  // namespace

bool should_fall_back(net::ResponseHead const& head, std::string_view body) {
  switch (head.status) {
    case 401:
    case 429:
      return false;
    case 404:
    case 504:
      return parse_status(body).has_error();  // with a Status the server has understood
    default:
      return head.status < 500 || head.status == 501 || head.status == 502;
  }
}

Error upgrade_error(net::ResponseHead const& head, std::string_view body) {
  std::string_view const retry_after = head.headers.find("Retry-After").value_or("");
  if (head.status >= 400) return status_error(head.status, retry_after, body);
  if (head.status == 101) {
    return {Errc::upgrade_refused, "the server answered 101, but not for the protocol asked for"};
  }
  auto const location = head.headers.find("Location");
  std::string const to =
      location ? fmt::format(" (to {})", printable(location->substr(0, kMaxLocation))) : "";
  return {Errc::upgrade_refused,
          fmt::format("HTTP {}{} instead of 101 Switching Protocols", head.status, to)};
}

Error refused_by_both(Error const& websocket, Error const& spdy, std::string_view name_space) {
  Error error = spdy;
  error.retry_after = std::max(websocket.retry_after, spdy.retry_after);
  if (is_missing_right(websocket) && is_missing_right(spdy)) {
    // From 1.35 on a WebSocket that lacks only `create` is refused without a word why.
    bool const get_as_well = websocket.text.find(" cannot get ") != std::string::npos;
    if (get_as_well) error.text += ", nor get it, which is for a WebSocket";
  } else if (websocket.text == spdy.text) {
    error.text = fmt::format("no tunnel by WebSocket nor by SPDY: {}", spdy.text);
  } else {
    error.text =
        fmt::format("no tunnel by WebSocket: {}; nor by SPDY: {}", websocket.text, spdy.text);
  }
  if (is_missing_right(websocket) || is_missing_right(spdy)) {
    error.text += missing_rule("get,create", "pods/portforward", name_space);
  } else {
    error.text += "; a proxy or load balancer before the API server may not let upgrades through";
  }
  return error;
}

Dialer::Dialer(net::Resolver& resolver, ClusterAccess const& access, net::TlsContext* tls,
               Credentials& credentials)
    : server_(access.server),
      route_(resolver, access.server, access.proxy, access.tls.ca_pem),
      tls_(tls),
      credentials_(credentials) {}

awaitable<Result<Tunnel>> Dialer::dial(std::string name_space, std::string pod, DialOptions options,
                                       TimePoint deadline, std::function<void()> heard) {
  std::string const target =
      fmt::format("{}/api/v1/namespaces/{}/pods/{}/portforward", server_.path_prefix,
                  percent_encode(name_space), percent_encode(pod));
  TimePoint const began = Clock::now();
  if (began < not_before_) {
    Error error = asked_;
    error.retry_after = std::chrono::ceil<std::chrono::seconds>(not_before_ - began);
    co_return error;
  }
  TransportKind kind{};
  Course course(options.tcp, deadline, std::move(heard));
  auto upgraded = co_await upgrade_somehow(name_space, target, course, kind);
  if (upgraded.has_error()) {
    Error const& error = upgraded.error();
    if (error.retry_after.count() > 0) {
      asked_ = error;
      not_before_ = Clock::now() + std::min<Duration>(error.retry_after, kMaxSharedWait);
    }
    co_return error;
  }
  auto const executor = co_await asio::this_coro::executor;
  net::SpdyOptions spdy;
  spdy.ping_interval = options.ping_interval;
  spdy.ping_timeout = options.ping_timeout;
  // The socket lies at the bottom of the transport, which lives as long as the connection.
  spdy.acknowledged = [socket = upgraded->socket, within = options.ping_timeout] {
    return net::acknowledged_within(*socket, within);
  };
  Duration const took = Clock::now() - began - course.waited;
  co_return Tunnel(std::make_shared<net::SpdyConnection>(executor, std::move(upgraded->transport),
                                                         std::move(spdy)),
                   kind, took);
}

// Any path will do; this one says nothing of the user and is no burden.
awaitable<std::optional<Error>> Dialer::knock(TimePoint deadline) {
  auto connected = co_await connect(tls_, net::TcpOptions(), deadline);
  if (connected.has_error()) {
    if (connected.error().code == Errc::tls) co_return std::nullopt;
    co_return connected.error();
  }
  net::RequestHead head;
  head.method = "GET";
  head.target = server_.path_prefix + "/version";
  head.headers.add("Host", net::host_port(server_.host, server_.port));
  head.headers.add("User-Agent", kUserAgent);
  head.headers.add("Connection", "close");
  auto const request = net::encode(head);
  if (request.has_error()) co_return request.error();
  net::Transport& transport = *connected->transport;
  auto const executor = co_await asio::this_coro::executor;
  net::CloseTimer const timer(executor, transport, deadline);
  Chunk question = Chunk::copy_of(as_bytes(*request));
  error_code error = co_await transport.write(std::move(question));
  Chunk answer(1024);
  if (!error) {
    net::IoResult const read = co_await transport.read_some(answer.room());
    error = read.error;
  }
  if (timer.expired()) co_return Error(Errc::timeout, place() + ": no answer in time");
  // Who refuses us after the handshake of TLS has spoken by that.
  bool const spoken = tls_ != nullptr;
  if (error && !spoken) co_return io_error(error, place());
  co_return std::nullopt;
}

awaitable<Route::Step> Dialer::connect(net::TlsContext* tls, net::TcpOptions options,
                                       TimePoint deadline) {
  auto connected = co_await route_.connect(tls, options, deadline);
  if (connected.has_error()) co_return connected.error();
  error_code error;
  auto const peer = connected->socket->remote_endpoint(error);
  if (!error) peer_ = peer.address();
  co_return std::move(connected);
}

awaitable<Result<Dialer::Upgraded>> Dialer::upgrade_somehow(std::string name_space,
                                                            std::string target, Course& course,
                                                            TransportKind& kind) {
  kind = choice_.first(Clock::now());
  auto first = co_await upgrade(kind, target, course);
  if (first.has_error() && !first.other_may) co_return first.connection.error();
  if (first.has_error()) {
    kind = TransportChoice::other(kind);
    auto second = co_await upgrade(kind, target, course);
    if (second.has_error() && !second.other_may) co_return second.connection.error();
    if (second.has_error()) {
      bool const websocket_last = kind == TransportKind::websocket;
      Error const& websocket = (websocket_last ? second : first).connection.error();
      Error const& spdy = (websocket_last ? first : second).connection.error();
      co_return refused_by_both(websocket, spdy, name_space).within(place());
    }
    first = std::move(second);
  }
  choice_.worked(kind, Clock::now());
  co_return std::move(*first.connection);
}

// With fresh credentials once, if the first are refused.
awaitable<Dialer::UpgradeResult> Dialer::upgrade(TransportKind kind, std::string target,
                                                 Course& course) {
  TimePoint const began = Clock::now();
  auto const known = co_await credentials_.identity();
  if (known.has_error()) co_return known.error();
  course.put_off(Clock::now() - began);
  auto first = co_await try_upgrade(kind, target, *known, course);
  bool const refused = first.has_error() && first.connection.error().code == Errc::unauthorized;
  if (!refused) co_return first;
  TimePoint const asked = Clock::now();
  auto const newer = co_await credentials_.renewed((*known)->generation);
  // Why the login fails says more than that the old one is no longer good.
  bool const why = newer.has_error() && newer.error().code != Errc::unauthorized;
  if (why) co_return newer.error();
  if (newer.has_error()) co_return first;
  course.put_off(Clock::now() - asked);
  auto second = co_await try_upgrade(kind, target, *newer, course);
  co_return second;
}

awaitable<Dialer::UpgradeResult> Dialer::try_upgrade(TransportKind kind, std::string target,
                                                     SharedIdentity identity,
                                                     Course const& course) {
  std::string const key = net::websocket_key();
  auto const request = request_head(kind, target, key, *identity);
  if (request.has_error()) co_return request.error();
  net::TlsContext* const tls = identity->tls ? identity->tls.get() : tls_;
  auto connected = co_await connect(tls, course.tcp, course.deadline);
  if (connected.has_error()) co_return connected.error();
  course.tell_heard();
  Upgraded upgraded = std::move(*connected);
  net::Transport& transport = *upgraded.transport;

  auto const executor = co_await asio::this_coro::executor;
  net::CloseTimer const timer(executor, transport, course.deadline);
  Chunk head = Chunk::copy_of(as_bytes(*request));
  error_code const written = co_await transport.write(std::move(head));
  if (written) co_return io_error(written, "sending the upgrade request").within(place());
  auto answer = co_await read_answer(transport);
  // A refusal whose body did not come in time is one all the same.
  bool const answered = answer.has_value() && answer->head.status != 101;
  if (timer.expired() && !answered)
    co_return Error(Errc::timeout, place() + ": no answer to the upgrade in time");
  if (answer.has_error()) co_return answer.error().within(place());
  course.tell_heard();

  bool const other_may = should_fall_back(answer->head, answer->body);
  auto const refusal = [&] {
    Error error = upgrade_error(answer->head, answer->body);
    return UpgradeResult(other_may ? std::move(error) : error.within(place()), other_may);
  };
  if (kind == TransportKind::websocket) {
    auto const checked = net::check_websocket_response(answer->head, key, kTunnelProtocol);
    if (checked.has_error()) {
      if (answer->head.status == 101) co_return UpgradeResult(checked.error(), true);
      co_return refusal();
    }
    upgraded.transport = std::make_unique<net::WebSocketTransport>(
        std::move(upgraded.transport), net::WebSocketRole::client, as_bytes(answer->early));
    co_return std::move(upgraded);
  }
  if (!net::is_upgraded(answer->head, kSpdy)) co_return refusal();
  if (auto problem = spdy_problem(*answer)) co_return problem->within(place());
  co_return std::move(upgraded);
}

Result<std::string> Dialer::request_head(TransportKind kind, std::string const& target,
                                         std::string const& key, Identity const& identity) const {
  std::string const host = net::host_port(server_.host, server_.port);
  net::RequestHead head;
  if (kind == TransportKind::websocket) {
    head = net::websocket_request(target, host, key, kTunnelProtocol);
  } else {
    head = net::upgrade_request("POST", target, host, kSpdy);
    head.headers.add(kStreamProtocolHeader, kStreamProtocol);
    head.headers.add("Content-Length", "0");
  }
  head.headers.add("User-Agent", kUserAgent);
  for (auto const& [name, value] : identity.headers) head.headers.add(name, value);
  return net::encode(head);
}

}  // namespace kportal::k8s
