// SPDX-License-Identifier: MIT
#include "lab/connection.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "net/close_timer.h"

namespace kportal::lab {
namespace {

constexpr std::size_t kReadSize = 8 * 1024;
constexpr std::string_view kPortForward = "portforward.k8s.io";
constexpr std::string_view kTunnelPrefix = "SPDY/3.1+";
constexpr std::string_view kReviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
constexpr std::string_view kSelfReviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

std::string_view reason_phrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Request Entity Too Large";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

bool is_port_forward(ResourcePath const& path) {
  return path.group.empty() && path.resource == "pods" && path.subresource == "portforward";
}

RequestKind kind_of(net::RequestHead const& head, std::optional<ResourcePath> const& path,
                    Query const& query) {
  if (!path) return RequestKind::other;
  if (is_port_forward(*path)) {
    return net::asks_upgrade(head, "websocket") ? RequestKind::upgrade_websocket
                                                : RequestKind::upgrade_spdy;
  }
  if (query.is_true("watch")) return RequestKind::watch;
  return path->name.empty() ? RequestKind::list : RequestKind::get;
}

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string head_text(int code, std::string_view content_type, std::size_t length, bool keep_alive,
                      std::string_view extra) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nAudit-Id: 5a7b0000-0000-4000-a000-000000000000\r\n"
      "Cache-Control: no-cache, private\r\nContent-Type: {}\r\n{}Content-Length: {}\r\n{}\r\n",
      code, reason_phrase(code), content_type, extra, length,
      keep_alive ? "" : "Connection: close\r\n");
}

}  // namespace

Connection::Connection(asio::any_io_executor executor, ServerState& state)
    : executor_(executor),
      state_(state),
      gate_(std::make_shared<GateControl>(executor)),
      wake_(executor),
      read_done_(executor),
      tasks_(executor) {}

awaitable<void> Connection::run(asio::ip::tcp::socket socket) {
  auto gate = std::make_unique<Gate>(std::move(socket), gate_);
  auto const deadline = Clock::now() + kHandshakeTimeout;
  auto accepted = co_await net::tls_accept(std::move(gate), *state_.tls, deadline);
  if (!accepted) co_return;
  if (auto const peer = (*accepted)->peer()) {
    bad_certificate_ = !peer->verified;
    certificate_user_ = User{peer->common_name, peer->organizations};
  }
  stream_ = std::move(*accepted);
  for (bool more = true; more && !aborted_;) {
    more = co_await one_request();
  }
  if (stream_) stream_->close();
  gate_->close();
  tasks_.cancel();
  co_await tasks_.join();
}

void Connection::abort() {
  aborted_ = true;
  gate_->cut();
  if (session_ != nullptr) session_->stop();
  wake_.set();
  state_.cluster.objects_changed().notify();
}

void Connection::cut_watch(bool abruptly) {
  cut_watch_ = true;
  if (abruptly) gate_->cut();
  state_.cluster.objects_changed().notify();
}

void Connection::end_tunnel(SessionEnd how) {
  if (session_ == nullptr) return;
  if (how == SessionEnd::goaway || how == SessionEnd::resets_and_goaway) {
    session_->end(how);
    return;
  }
  if (how == SessionEnd::cut) gate_->cut();
  gate_->close();
  session_->stop();
}

void Connection::close_websocket(std::uint16_t code) {
  if (websocket_ == nullptr) return;
  websocket_->close_with(code);
  session_->stop();
}

void Connection::send_text_message() {
  if (websocket_ != nullptr) websocket_->send_text("not a tunnel's message");
}

// Reading

awaitable<bool> Connection::fill() {
  if (reading_ahead_) {
    co_await read_done_.wait();
    co_return !peer_gone_;
  }
  auto const old = input_.size();
  input_.resize(old + kReadSize);
  auto const [error, n] = co_await stream_->read_some(MutableBytes(input_).subspan(old));
  input_.resize(old + n);
  if (error) peer_gone_ = true;
  co_return !error;
}

// Beside a watch: notices that the client has gone, and keeps what it sends for the next request.
awaitable<void> Connection::read_ahead() {
  std::vector<std::byte> buffer(kReadSize);
  auto const [error, n] = co_await stream_->read_some(buffer);
  input_.insert(input_.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(n));
  reading_ahead_ = false;
  if (error) peer_gone_ = true;
  read_done_.set();
  state_.cluster.objects_changed().notify();
}

awaitable<std::optional<net::RequestHead>> Connection::read_head() {
  net::CloseTimer const timer(executor_, *stream_, Clock::now() + kIdleTimeout);
  net::RequestParser parser;
  for (;;) {
    auto const used = parser.feed(input_);
    if (!used) {
      co_await send(
          "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
          "400 Bad Request");
      co_return std::nullopt;
    }
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(*used));
    if (parser.complete()) co_return std::move(parser.head());
    auto const more = co_await fill();
    if (!more) co_return std::nullopt;
  }
}

awaitable<bool> Connection::read_body(Exchange& exchange) {
  auto reader = net::BodyReader::of(exchange.head, kMaxBody);
  if (!reader) co_return false;
  for (;;) {
    auto const used = reader->feed(input_);
    if (!used || reader->truncated()) co_return false;
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(*used));
    if (reader->complete()) break;
    auto const more = co_await fill();
    if (!more) co_return false;
  }
  exchange.body = reader->take_body();
  co_return true;
}

// One request

awaitable<bool> Connection::one_request() {
  auto head = co_await read_head();
  if (!head) co_return false;
  Exchange exchange;
  exchange.head = std::move(*head);
  auto const& target = exchange.head.target;
  auto const question = std::min(target.find('?'), target.size());
  exchange.path = target.substr(0, question);
  exchange.query =
      Query::parse(std::string_view(target).substr(std::min(question + 1, target.size())));
  exchange.resource = parse_resource_path(exchange.path);
  exchange.kind = kind_of(exchange.head, exchange.resource, exchange.query);
  exchange.keep_alive =
      exchange.head.minor_version == 1 && !exchange.head.headers.lists("Connection", "close");
  auto const whole = co_await read_body(exchange);
  if (!whole) co_return co_await send_text_error(exchange, 413, "request entity too large");
  count(exchange);
  co_await delay(exchange.kind);
  if (aborted_) co_return false;
  if (auto failure = state_.faults.next_failure(exchange.kind)) {
    co_return co_await send_failure(exchange, std::move(*failure));
  }
  auto user = authenticate(exchange.head);
  if (!user) co_return co_await send_answer(exchange, status_answer(401, ""), std::string());
  exchange.user = std::move(*user);
  co_return co_await route(exchange);
}

void Connection::count(Exchange const& exchange) {
  ++state_.requests[static_cast<std::size_t>(exchange.kind)];
  auto const agent = exchange.head.headers.find("User-Agent");
  if (agent && state_.user_agents.size() < ServerState::kMaxUserAgents) {
    state_.user_agents.emplace(*agent);
  }
  state_.changed();
}

awaitable<void> Connection::delay(RequestKind kind) {
  auto const until = Clock::now() + state_.faults.delay_of(kind);
  while (!aborted_ && Clock::now() < until) {
    co_await wake_.wait_until(until);
  }
}

// Certificates first, then tokens, as the real one does; there are no anonymous users.
std::optional<User> Connection::authenticate(net::RequestHead const& head) const {
  if (bad_certificate_) return std::nullopt;
  if (certificate_user_) return certificate_user_;
  auto const header = head.headers.find("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (!header || !header->starts_with(kBearer)) return std::nullopt;
  return state_.access.user_of_token(header->substr(kBearer.size()));
}

std::optional<std::string> Connection::refusal(Exchange const& exchange,
                                               std::string const& verb) const {
  auto const& path = *exchange.resource;
  AccessRequest request;
  request.verb = verb;
  request.group = path.group;
  request.resource = path.resource_and_subresource();
  request.namespace_ = path.resource == "namespaces" ? path.name : path.namespace_;
  request.name = path.name;
  return state_.access.refusal(exchange.user, request);
}

// Answers

awaitable<bool> Connection::send(std::string text) {
  auto chunk = Chunk::copy_of(as_bytes(text));
  auto const failed = co_await stream_->write(std::move(chunk));
  co_return !failed;
}

awaitable<bool> Connection::send_answer(Exchange const& exchange, RestAnswer answer,
                                        std::string extra) {
  auto text =
      head_text(answer.code, answer.content_type, answer.body.size(), exchange.keep_alive, extra);
  if (exchange.head.method != "HEAD") text += answer.body;
  auto const sent = co_await send(std::move(text));
  co_return sent&& exchange.keep_alive;
}

// As Go's http.Error writes it.
awaitable<bool> Connection::send_text_error(Exchange const& exchange, int code, std::string text) {
  RestAnswer answer(code, std::move(text) + "\n");
  answer.content_type = "text/plain; charset=utf-8";
  co_return co_await send_answer(exchange, std::move(answer), std::string());
}

awaitable<bool> Connection::send_failure(Exchange const& exchange, Failure failure) {
  if (failure.body == Failure::Body::hang_up) {
    gate_->cut();
    co_return false;
  }
  std::string extra;
  if (failure.retry_after > 0) extra = fmt::format("Retry-After: {}\r\n", failure.retry_after);
  if (failure.body == Failure::Body::bare) {
    co_await send(
        fmt::format("HTTP/1.1 {} {}\r\n{}\r\n", failure.code, reason_phrase(failure.code), extra));
    co_return false;
  }
  RestAnswer answer(failure.code, status_json(failure.code, failure.message, failure.retry_after));
  if (failure.body == Failure::Body::plain_text) {
    answer.body = failure.message + "\n";
    answer.content_type = "text/plain; charset=utf-8";
  }
  co_return co_await send_answer(exchange, std::move(answer), std::move(extra));
}

awaitable<bool> Connection::route(Exchange& exchange) {
  auto const& method = exchange.head.method;
  if (exchange.path == kReviews && method == "POST") {
    co_return co_await send_answer(
        exchange, answer_access_review(state_.access, exchange.user, exchange.body), std::string());
  }
  if (exchange.path == kSelfReviews && method == "POST") {
    co_return co_await send_answer(exchange, answer_self_review(exchange.user), std::string());
  }
  if (exchange.resource && is_port_forward(*exchange.resource)) {
    co_return co_await upgrade(exchange);
  }
  if (method != "GET" && method != "HEAD") {
    co_return co_await send_answer(
        exchange,
        status_answer(405, "the server does not allow this method on the requested resource"),
        std::string());
  }
  if (!exchange.resource) {
    co_return co_await send_answer(exchange, answer_discovery(exchange.path), std::string());
  }
  co_return co_await serve_object(exchange);
}

awaitable<bool> Connection::serve_object(Exchange const& exchange) {
  auto const& path = *exchange.resource;
  auto const watching = exchange.kind == RequestKind::watch;
  std::string verb = path.name.empty() ? "list" : "get";
  if (watching) verb = "watch";
  if (auto const denied = refusal(exchange, verb)) {
    co_return co_await send_answer(exchange, status_answer(403, *denied), std::string());
  }
  if (watching) co_return co_await watch(exchange);
  auto answer = path.name.empty() ? answer_list(state_.cluster, path, exchange.query)
                                  : answer_get(state_.cluster, path);
  co_return co_await send_answer(exchange, std::move(answer), std::string());
}

// Watches

awaitable<bool> Connection::send_chunk(std::string text) {
  co_return co_await send(fmt::format("{:x}\r\n{}\r\n", text.size(), text));
}

// Marks the connection as a watch, and keeps an eye on its client.
class Connection::Watching {
 public:
  explicit Watching(Connection& connection) : connection_(connection) {
    connection_.watching_ = true;
    connection_.cut_watch_ = false;
    connection_.state_.changed();
    if (connection_.reading_ahead_ || !connection_.input_.empty()) return;
    connection_.reading_ahead_ = true;
    connection_.tasks_.spawn(connection_.read_ahead());
  }
  ~Watching() {
    connection_.watching_ = false;
    connection_.state_.changed();
  }
  Watching(Watching const&) = delete;
  Watching& operator=(Watching const&) = delete;

 private:
  Connection& connection_;
};

// All that has happened since; false when the client cannot be written to.
awaitable<bool> Connection::send_changes(OpenWatch& watch) {
  while (auto const* const change = state_.cluster.change_at(watch.cursor)) {
    ++watch.cursor;
    watch.version = change->version;
    auto line = watch.filter.event(*change);
    if (!line) continue;
    auto const sent = co_await send_chunk(std::move(*line));
    if (!sent) co_return false;
  }
  co_return true;
}

// Where the watch begins, and what it shows first; false when it is over already.
awaitable<bool> Connection::begin_watch(OpenWatch& watch, Query const& query) {
  auto const& cluster = state_.cluster;
  auto const wanted = to_number(query.get("resourceVersion"));
  auto const initial = query.is_true("sendInitialEvents");
  watch.version = cluster.version();
  watch.cursor = cluster.cursor_after(watch.version).value_or(0);
  if (wanted == 0 || initial) {
    auto lines = watch.filter.initial_events(cluster);
    if (initial) lines.push_back(watch.filter.bookmark(watch.version, true));
    for (auto const& line : lines) {
      auto const sent = co_await send_chunk(line);
      if (!sent) co_return false;
    }
    co_return true;
  }
  auto const from = cluster.cursor_after(wanted);
  if (!from) {
    co_await send_chunk(expired_event(wanted, cluster.version()));
    co_return false;
  }
  watch.cursor = *from;
  watch.version = wanted;
  co_return true;
}

// What is due now: changes, a bookmark, the end. False when the watch is over.
awaitable<bool> Connection::advance_watch(OpenWatch& watch) {
  auto const good = co_await send_changes(watch);
  if (!good) co_return false;
  if (state_.cluster.is_forgotten(watch.cursor)) {
    co_await send_chunk(expired_event(watch.version, state_.cluster.version()));
    co_return false;
  }
  auto const now = Clock::now();
  auto const over = now >= watch.end;
  if (watch.bookmarks && (over || now >= watch.next_bookmark)) {
    co_await send_chunk(watch.filter.bookmark(watch.version, false));
    watch.next_bookmark = now + state_.options.bookmark_interval;
  }
  co_return !over;
}

bool Connection::watch_is_cut() const {
  return aborted_ || cut_watch_ || peer_gone_ || state_.stopping;
}

awaitable<bool> Connection::watch(Exchange const& exchange) {
  auto filter = WatchFilter::make(*exchange.resource, exchange.query);
  if (!filter) {
    auto const code = filter.error().code == Errc::not_found ? 404 : 400;
    co_return co_await send_answer(exchange, status_answer(code, filter.error().text),
                                   std::string());
  }
  auto const sent = co_await send(
      "HTTP/1.1 200 OK\r\nCache-Control: no-cache, private\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  if (!sent) co_return false;
  Watching const watching(*this);
  OpenWatch watch(std::move(*filter));
  watch.bookmarks = exchange.query.is_true("allowWatchBookmarks");
  auto const timeout = std::chrono::seconds(to_number(exchange.query.get("timeoutSeconds")));
  watch.end = Clock::now() + (timeout.count() > 0 ? timeout : state_.options.watch_timeout);
  watch.next_bookmark = Clock::now() + state_.options.bookmark_interval;
  auto more = co_await begin_watch(watch, exchange.query);
  while (more && !watch_is_cut()) {
    auto const silent = state_.faults.watches_silent;
    if (!silent) more = co_await advance_watch(watch);
    if (!more || watch_is_cut()) break;
    if (!silent && state_.cluster.change_at(watch.cursor) != nullptr) continue;
    auto const due = watch.bookmarks ? std::min(watch.end, watch.next_bookmark) : watch.end;
    auto const until = silent ? kNever : due;
    co_await state_.cluster.objects_changed().wait(until);
  }
  auto const ended = co_await send("0\r\n\r\n");
  co_return ended&& exchange.keep_alive;
}

// Upgrades

// What the API server itself says before it asks the node; nothing when it would.
std::optional<RestAnswer> Connection::refuse_upgrade(Exchange const& exchange) const {
  auto const& path = *exchange.resource;
  auto const& method = exchange.head.method;
  if (method != "GET" && method != "POST") {
    return status_answer(405, "the server does not allow this method on the requested resource");
  }
  auto const* const verb = method == "GET" ? "get" : "create";
  if (auto const denied = refusal(exchange, verb)) return status_answer(403, *denied);
  if (state_.options.websocket_needs_create && refusal(exchange, "create")) {
    return status_answer(403, fmt::format("pods \"{}\" is forbidden: ", path.name));
  }
  auto const* const pod = state_.cluster.find_pod(PodName(path.namespace_, path.name));
  if (pod == nullptr)
    return not_found(ResourcePath{"", "v1", "pods", path.namespace_, path.name, ""});
  if (pod->spec.node.empty()) {
    return status_answer(400, fmt::format("pod {} does not have a host assigned", path.name));
  }
  if (!net::asks_upgrade(exchange.head, "websocket") &&
      !net::asks_upgrade(exchange.head, "spdy/3.1")) {
    return status_answer(400, "Upgrade request required");
  }
  return std::nullopt;
}

awaitable<bool> Connection::upgrade(Exchange const& exchange) {
  if (auto refused = refuse_upgrade(exchange)) {
    co_return co_await send_answer(exchange, std::move(*refused), std::string());
  }
  auto const& path = *exchange.resource;
  auto const* const pod = state_.cluster.find_pod(PodName(path.namespace_, path.name));
  if (state_.cluster.has_lost(pod->spec.node)) {
    co_return co_await send_answer(
        exchange,
        status_answer(
            500, "error dialing backend: dial tcp 192.0.2.10:10250: connect: no route to host"),
        std::string());
  }
  auto const sandbox = pod->sandbox;
  if (!sandbox) {
    auto text = fmt::format("failed to find sandboxID for pod {}_{}({})", path.name,
                            path.namespace_, pod->uid);
    co_return co_await send_text_error(exchange, 500, std::move(text));
  }
  if (sandbox->closed()) {
    auto text = fmt::format(
        "rpc error: code = Unknown desc = sandbox container \"{}\" is not running", sandbox->id());
    co_return co_await send_text_error(exchange, 500, std::move(text));
  }
  if (exchange.kind == RequestKind::upgrade_websocket) {
    co_return co_await upgrade_websocket(exchange, sandbox);
  }
  co_return co_await upgrade_spdy(exchange, sandbox);
}

awaitable<bool> Connection::upgrade_spdy(Exchange const& exchange,
                                         std::shared_ptr<Sandbox> sandbox) {
  auto const& headers = exchange.head.headers;
  auto const wanted = headers.elements("X-Stream-Protocol-Version");
  if (wanted.empty()) {
    co_return co_await send_text_error(
        exchange, 400,
        "unable to upgrade: unable to negotiate protocol: client provided no protocol");
  }
  if (std::find(wanted.begin(), wanted.end(), kPortForward) == wanted.end()) {
    RestAnswer answer(403, fmt::format("unable to upgrade: unable to negotiate protocol: client "
                                       "supports [{}], server accepts [{}]\n",
                                       fmt::join(wanted, " "), kPortForward));
    answer.content_type = "text/plain; charset=utf-8";
    co_return co_await send_answer(
        exchange, std::move(answer),
        fmt::format("X-Accepted-Stream-Protocol-Versions: {}\r\n", kPortForward));
  }
  auto const sent = co_await send(
      fmt::format("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                  "X-Stream-Protocol-Version: {}\r\n\r\n",
                  kPortForward));
  if (!sent) co_return false;
  // The proxy hijacks the connection and drops what it had read ahead (protocol.md 1.2).
  input_.clear();
  co_await run_tunnel(exchange, std::move(sandbox));
  co_return false;
}

awaitable<bool> Connection::upgrade_websocket(Exchange const& exchange,
                                              std::shared_ptr<Sandbox> sandbox) {
  auto const gate = state_.faults.websocket;
  if (gate == WebSocketGate::refused_403) {
    co_await send("HTTP/1.1 403 Forbidden\r\n\r\n");
    co_return false;
  }
  auto const wanted = exchange.head.headers.elements("Sec-WebSocket-Protocol");
  auto const tunnel = std::find_if(wanted.begin(), wanted.end(), [](std::string_view each) {
    return each.starts_with(kTunnelPrefix) && each.ends_with(".k8s.io");
  });
  if (gate == WebSocketGate::refused_400 || tunnel == wanted.end()) {
    co_return co_await send_text_error(exchange, 400, "query parameter \"port\" is required");
  }
  auto const backend = tunnel->substr(kTunnelPrefix.size());
  if (backend != kPortForward) {
    RestAnswer answer(403, fmt::format("unable to upgrade: unable to negotiate protocol: client "
                                       "supports [{}], server accepts [{}]\n",
                                       backend, kPortForward));
    answer.content_type = "text/plain; charset=utf-8";
    co_return co_await send_answer(exchange, std::move(answer), std::string());
  }
  auto const key = net::check_websocket_request(exchange.head);
  if (!key) co_return co_await send_text_error(exchange, 400, "Bad Request");
  std::string protocol(*tunnel);
  if (gate == WebSocketGate::no_protocol) protocol.clear();
  if (gate == WebSocketGate::other_protocol) protocol = "v4.channel.k8s.io";
  auto const response = net::encode(net::websocket_response(*key, protocol));
  if (!response) co_return false;
  auto const sent = co_await send(*response);
  if (!sent) co_return false;
  auto const early = std::exchange(input_, {});
  auto owned = std::make_unique<TunnelTransport>(std::move(stream_),
                                                 state_.options.split_writes_in_tunnel, early);
  websocket_ = owned.get();
  stream_ = std::move(owned);
  co_await run_tunnel(exchange, std::move(sandbox));
  websocket_ = nullptr;
  co_return false;
}

awaitable<void> Connection::run_tunnel(Exchange const& exchange, std::shared_ptr<Sandbox> sandbox) {
  PortForwardSession session(executor_, *stream_, websocket_ != nullptr, std::move(sandbox),
                             state_.faults, state_.options.runtime, state_.runtime,
                             state_.cluster.changed());
  pod_.emplace(exchange.resource->namespace_, exchange.resource->name);
  session_ = &session;
  ++state_.tunnels;
  state_.changed();
  if (!aborted_) co_await session.run();
  session_ = nullptr;
  state_.changed();
}

}  // namespace kportal::lab
