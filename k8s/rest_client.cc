// SPDX-License-Identifier: MIT
#include "k8s/rest_client.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/printable.h"
#include "k8s/credentials.h"
#include "k8s/objects.h"
#include "k8s/route.h"
#include "net/resolver.h"

namespace kportal::k8s {

namespace {

constexpr std::size_t kMaxMessage = 1024;
constexpr std::size_t kMaxTitle = 100;
constexpr std::chrono::seconds kMaxRetryAfter{60};

Errc errc_of(int status) {
  switch (status) {
    case 401:
      return Errc::unauthorized;
    case 403:
      return Errc::forbidden;
    case 404:
      return Errc::not_found;
    case 410:
      return Errc::gone;
    default:
      return Errc::server;
  }
}

std::string readable(std::string_view text) {
  text = text.substr(0, kMaxMessage);
  text.remove_suffix(text.size() - (text.find_last_not_of(". \r\n") + 1));
  return printable(text);
}

// A page for people, from a proxy or a login: its title says enough.
std::string page_title(std::string_view html) {
  static constexpr std::string_view kOpen = "<title>";
  auto const begin = html.find(kOpen);
  if (begin == html.npos) return "a web page instead of an API server's answer";
  html.remove_prefix(begin + kOpen.size());
  html = html.substr(0, std::min(html.find('<'), kMaxTitle));
  return fmt::format("the web page \"{}\" instead of an API server's answer", readable(html));
}

std::string message_of(int status, std::string_view body) {
  std::string message;
  auto const first = body.find_first_not_of(" \t\r\n");
  bool const html = first != body.npos && body[first] == '<';
  if (html) {
    message = page_title(body);
  } else if (auto const parsed = parse_status(body)) {
    message = readable(parsed->message);
  }
  if (message.empty()) message = readable(body);
  if (message.empty()) message = "the server gave no reason";
  char const* const cure =
      status == 401 ? "; it does not accept this login, which may have expired: log in again" : "";
  return fmt::format("{} (HTTP {}){}", message, status, cure);
}

// Nothing for what is too large.
std::optional<unsigned> number_in(std::string_view digits) {
  unsigned value = 0;
  char const* const end = digits.data() + digits.size();
  auto const read = std::from_chars(digits.data(), end, value);
  return read.ec == std::errc() && read.ptr == end ? std::optional(value) : std::nullopt;
}

// IMF-fixdate of RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT". Its two older forms are not sent
// any more.
std::optional<std::chrono::sys_seconds> http_date(std::string_view text) {
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || text.substr(25) != " GMT") return std::nullopt;
  auto const day = number_in(text.substr(5, 2));
  auto const month = kMonths.find(text.substr(8, 3));
  auto const year = number_in(text.substr(12, 4));
  auto const hour = number_in(text.substr(17, 2));
  auto const minute = number_in(text.substr(20, 2));
  auto const second = number_in(text.substr(23, 2));
  if (!day || !year || !hour || !minute || !second) return std::nullopt;
  if (month == kMonths.npos || month % 3 != 0) return std::nullopt;
  std::chrono::year_month_day const date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(month / 3 + 1)),
                                         std::chrono::day(*day));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

bool is_connection_failure(Errc code) {
  return code == Errc::network || code == Errc::timeout || code == Errc::tls;
}

bool is_address(std::string const& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

}  // namespace

Authorize authorize_by(Credentials& credentials) {
  return [&credentials](std::uint64_t refused) {
    return refused == 0 ? credentials.identity() : credentials.renewed(refused);
  };
}

std::chrono::seconds asked_wait(std::string_view retry_after, std::chrono::sys_seconds now) {
  bool const digits =
      !retry_after.empty() && retry_after.find_first_not_of("0123456789") == std::string_view::npos;
  if (digits) {
    auto const seconds = number_in(retry_after);
    return seconds ? std::min(std::chrono::seconds(*seconds), kMaxRetryAfter) : kMaxRetryAfter;
  }
  auto const date = http_date(retry_after);
  if (!date) return std::chrono::seconds(0);
  return std::clamp(*date - now, std::chrono::seconds(0), kMaxRetryAfter);
}

Error status_error(int status, std::string_view retry_after, std::string_view body) {
  Error error(errc_of(status), message_of(status, body));
  if (status != 429 && status < 500) return error;
  auto const now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  error.retry_after = asked_wait(retry_after, now);
  return error;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (char const c : text) {
    bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// --- JsonStream ---

JsonStream::JsonStream(std::unique_ptr<HttpStream> stream, JsonSplitter splitter,
                       std::uint64_t max_bytes, std::string where)
    : stream_(std::move(stream)),
      splitter_(std::move(splitter)),
      left_(max_bytes),
      where_(std::move(where)) {}

awaitable<Result<std::optional<JsonPiece>>> JsonStream::next(TimePoint deadline) {
  if (++pieces_ > kMaxPiecesPerTurn) {
    pieces_ = 1;
    auto const executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
  }
  for (;;) {
    auto piece = splitter_.next();
    if (!piece) co_return piece.error().within(where_);
    if (*piece) co_return std::move(piece);
    auto bytes = co_await stream_->read(deadline);
    pieces_ = 1;
    if (!bytes) co_return bytes.error().within(where_);
    if (bytes->empty()) {
      if (splitter_.at_boundary()) co_return std::optional<JsonPiece>();
      co_return Error(Errc::network,
                      fmt::format("{}: the answer was cut inside an object", where_));
    }
    if (bytes->size() > left_) {
      co_return Error(Errc::limit, fmt::format("{}: the answer is too large", where_));
    }
    left_ -= bytes->size();
    splitter_.append(std::move(*bytes));
  }
}

void JsonStream::close() {
  stream_->close();
}

// --- RestClient ---

RestClient::RestClient(CurlMulti& curl, net::Resolver& resolver, RestConfig config)
    : curl_(curl), resolver_(resolver), config_(std::move(config)) {
  server_ = config_.scheme + "://" + route_name(config_.host, config_.port, config_.proxy);
}

awaitable<Result<std::unique_ptr<JsonStream>>> RestClient::stream(std::string target,
                                                                  JsonSplitter splitter,
                                                                  std::uint64_t max_bytes,
                                                                  TimePoint deadline) {
  auto stream = co_await open("GET", std::move(target), std::string(), deadline);
  if (!stream) co_return stream.error();
  co_return std::make_unique<JsonStream>(std::move(*stream), std::move(splitter), max_bytes,
                                         server_);
}

awaitable<Result<std::string>> RestClient::get_part(std::string target, JsonRule const& keep,
                                                    TimePoint deadline) {
  auto opened = co_await open("GET", std::move(target), std::string(), deadline);
  if (!opened) co_return opened.error();
  JsonStream stream(std::move(*opened), JsonSplitter(keep), kNoBound, server_);
  auto object = co_await stream.next(deadline);
  if (!object) co_return doubted(object.error());
  if (!*object) co_return Error(Errc::server, server_ + ": an answer without content");
  // The end must be read, too, or the connection could not be used again.
  auto const end = co_await stream.next(deadline);
  if (!end) co_return doubted(end.error());
  if (*end) co_return Error(Errc::server, server_ + ": an answer of more than one object");
  co_return std::move((*object)->text);
}

awaitable<Result<std::string>> RestClient::post(std::string target, std::string json,
                                                TimePoint deadline) {
  auto const stream = co_await open("POST", std::move(target), std::move(json), deadline);
  if (!stream) co_return stream.error();
  std::string answer;
  for (;;) {
    auto const part = co_await (*stream)->read(deadline);
    if (!part) co_return failed(part.error());
    if (part->empty()) co_return answer;
    if (part->size() > kMaxAnswer - answer.size()) {
      co_return Error(Errc::limit,
                      fmt::format("{}: an answer of more than {} MiB", server_, kMaxAnswer >> 20));
    }
    answer.append(*part);
  }
}

awaitable<RestClient::OpenResult> RestClient::open(std::string method, std::string target,
                                                   std::string body, TimePoint& deadline) {
  HttpRequest const request = make_request(std::move(method), std::move(target), std::move(body));
  auto const known = co_await login(0, deadline);
  if (!known) co_return known.error();
  auto first = co_await attempt(request, **known, deadline);
  bool const refused = first.has_error() && first.error().code == Errc::unauthorized;
  if (!refused || !config_.authorize) co_return std::move(first);
  auto const fresh = co_await login((*known)->generation, deadline);
  // Why the login fails says more than that the old one is no longer good.
  if (!fresh && fresh.error().code != Errc::unauthorized) co_return fresh.error();
  if (!fresh) co_return std::move(first);
  co_return co_await attempt(request, **fresh, deadline);
}

awaitable<Result<SharedIdentity>> RestClient::login(std::uint64_t refused, TimePoint& deadline) {
  if (!config_.authorize) co_return std::make_shared<Identity const>();
  TimePoint const began = Clock::now();
  auto identity = co_await config_.authorize(refused);
  if (deadline != kNever) deadline += Clock::now() - began;
  co_return identity;
}

awaitable<RestClient::OpenResult> RestClient::attempt(HttpRequest request, Identity const& identity,
                                                      TimePoint deadline) {
  request.headers.insert(request.headers.end(), identity.headers.begin(), identity.headers.end());
  if (!identity.cert_pem.empty()) {
    request.tls.cert_pem = identity.cert_pem;
    request.tls.key_pem = identity.key_pem;
  }
  TimePoint const asked = Clock::now();
  auto addresses = co_await this->addresses(deadline);
  if (!addresses) {
    if (config_.unanswered) config_.unanswered(asked);
    co_return failed(addresses.error());
  }
  request.addresses = std::move(*addresses);
  request.fresh_connection = std::exchange(fresh_, false);
  request.connect_deadline = deadline;

  auto stream = curl_.open(std::move(request));
  auto const head = co_await await_head(*stream, deadline);
  if (!head) co_return failed(head.error());
  if (head->status >= 200 && head->status < 300) co_return std::move(stream);
  std::string body;
  TimePoint const patience = std::min<TimePoint>(deadline, Clock::now() + kRefusalTime);
  while (body.size() < kMaxRefusal) {
    auto const part = co_await stream->read(patience);
    if (!part || part->empty()) break;
    body.append(*part, 0, kMaxRefusal - body.size());
  }
  co_return status_error(head->status, head->header("retry-after"), body).within(server_);
}

awaitable<Result<HttpHead>> RestClient::await_head(HttpStream& stream, TimePoint deadline) {
  TimePoint const asked = Clock::now();
  auto head = co_await stream.head(std::min<TimePoint>(deadline, asked + kSilence));
  bool const patient = !head && head.error().code == Errc::timeout && Clock::now() < deadline;
  if (patient) {
    if (config_.unanswered) config_.unanswered(asked);
    head = co_await stream.head(deadline);
  }
  bool const silent =
      !head && (head.error().code == Errc::network || head.error().code == Errc::timeout);
  if (head && config_.answered) config_.answered();
  if (silent && config_.unanswered) config_.unanswered(asked);
  co_return std::move(head);
}

awaitable<Result<std::vector<asio::ip::address>>> RestClient::addresses(TimePoint deadline) {
  std::string const host = config_.proxy ? config_.proxy->host : config_.host;
  if (is_address(host)) co_return std::vector<asio::ip::address>();
  if (!addresses_.empty() && Clock::now() < resolved_ + kAddressLife) co_return addresses_;
  auto found = co_await resolver_.resolve(host, deadline);
  if (found.has_error() && config_.proxy) {
    co_return found.error().within("cannot connect to the proxy");
  }
  if (found.has_error()) co_return found.error();
  addresses_ = std::move(*found);
  resolved_ = Clock::now();
  co_return addresses_;
}

HttpRequest RestClient::make_request(std::string method, std::string const& target,
                                     std::string body) const {
  HttpRequest request;
  request.method = std::move(method);
  request.scheme = config_.scheme;
  request.host = config_.host;
  request.port = config_.port;
  request.target = config_.path_prefix + target;
  request.tls = config_.tls;
  request.proxy = config_.proxy;
  request.headers.emplace_back("User-Agent", config_.user_agent);
  request.headers.emplace_back("Accept", "application/json");
  if (!body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  request.body = std::move(body);
  return request;
}

// A connection that failed may fail for an old address, or be one that is dead without a sign.
Error const& RestClient::doubted(Error const& error) {
  if (is_connection_failure(error.code)) addresses_.clear();
  if (error.code == Errc::timeout) fresh_ = true;
  return error;
}

Error RestClient::failed(Error const& error) {
  return doubted(error).within(server_);
}

}  // namespace kportal::k8s
