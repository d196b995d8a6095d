// SPDX-License-Identifier: MIT
// RestClient: requests to one API server, with its address, credentials and errors. It retries
// nothing but a 401 after fresh credentials, once. Borrows CurlMulti and Resolver; owned by the
// cluster.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "k8s/curl_multi.h"
#include "k8s/json_splitter.h"

namespace kportal::net {
class Resolver;
}

namespace kportal::k8s {

class Credentials;
struct Identity;

// Who asks. Asked before every request, so it should remember. `refused`: the generation that was
// answered 401, 0 = none; it fails if it has no other to give. How long it takes counts towards no
// deadline.
using Authorize =
    std::function<awaitable<Result<std::shared_ptr<Identity const>>>(std::uint64_t refused)>;
// From credentials that outlive it.
Authorize authorize_by(Credentials& credentials);

struct RestConfig {
  std::string scheme = "https";
  std::string host;  // without brackets
  std::uint16_t port = 443;
  std::string path_prefix;  // "" or "/prefix", in front of every path
  std::optional<net::Proxy> proxy;
  ServerTls tls;
  Authorize authorize;  // empty = anonymous
  // Told: the server answered, whatever it said; a request of that time got no answer, so far or
  // for good.
  std::function<void()> answered;
  std::function<void(TimePoint asked)> unanswered;
  std::string user_agent = "kportal-cpp";

  RestConfig() = default;
};

// An answer of JSON that is read while it comes: a watch, a list, a large object. Destroying it
// ends the request. One next() at a time.
class JsonStream {
 public:
  // Pieces that came together and are given one after another before others on the loop have a
  // turn.
  static constexpr int kMaxPiecesPerTurn = 64;

  // `max_bytes`: of the whole answer; Errc::limit beyond.
  JsonStream(std::unique_ptr<HttpStream> stream, JsonSplitter splitter, std::uint64_t max_bytes,
             std::string where);

  // The next piece, or nullopt at the end of the answer, which is normal for a watch.
  // Errc::timeout at the deadline leaves the request as it is; every other error ends it.
  awaitable<Result<std::optional<JsonPiece>>> next(TimePoint deadline);
  // A pending or later next() fails with Errc::closed.
  void close();

 private:
  std::unique_ptr<HttpStream> stream_;
  JsonSplitter splitter_;
  std::uint64_t left_;
  int pieces_ = 0;  // of this turn
  std::string where_;
};

class RestClient {
 public:
  // How long resolved addresses are used, unless a connection fails before.
  static constexpr std::chrono::seconds kAddressLife{60};
  // An answer that is taken whole.
  static constexpr std::size_t kMaxAnswer = 16 * 1024 * 1024;
  static constexpr std::uint64_t kNoBound = ~std::uint64_t{0};
  // A request without an answer for this long is told of, and goes on.
  static constexpr std::chrono::seconds kSilence{2};

  RestClient(CurlMulti& curl, net::Resolver& resolver, RestConfig config);

  // The body of a 2xx answer, up to kMaxAnswer. Other answers: see status_error. Connection
  // failures: Errc::network, tls or timeout, naming the server. `target` is path and query, escaped
  // (percent_encode).
  awaitable<Result<std::string>> post(std::string target, std::string json, TimePoint deadline);
  // Of the JSON object in the answer only what the rule keeps, however large the object is.
  awaitable<Result<std::string>> get_part(std::string target, JsonRule const& keep,
                                          TimePoint deadline);
  // Returns once the server has accepted, with nothing of the body read. For lists and watches;
  // `target` has watch=1 and all else in it.
  awaitable<Result<std::unique_ptr<JsonStream>>> stream(std::string target, JsonSplitter splitter,
                                                        std::uint64_t max_bytes,
                                                        TimePoint deadline);

  // The next request opens a connection of its own: the ones open now are no longer trusted.
  void distrust_connections() { fresh_ = true; }
  // "https://host:port" and " through proxy host:port", as errors name it.
  std::string const& server() const { return server_; }

 private:
  using OpenResult = Result<std::unique_ptr<HttpStream>>;

  // Both return with the head of a 2xx answer read.
  // Puts off the deadline by what the login took.
  awaitable<OpenResult> open(std::string method, std::string target, std::string body,
                             TimePoint& deadline);
  awaitable<Result<std::shared_ptr<Identity const>>> login(std::uint64_t refused,
                                                           TimePoint& deadline);
  awaitable<OpenResult> attempt(HttpRequest request, Identity const& identity, TimePoint deadline);
  awaitable<Result<std::vector<asio::ip::address>>> addresses(TimePoint deadline);
  HttpRequest make_request(std::string method, std::string const& target, std::string body) const;
  awaitable<Result<HttpHead>> await_head(HttpStream& stream, TimePoint deadline);
  Error const& doubted(Error const& error);
  Error failed(Error const& error);  // the same, naming the server

  CurlMulti& curl_;
  net::Resolver& resolver_;
  RestConfig config_;
  std::string server_;
  std::vector<asio::ip::address> addresses_;
  TimePoint resolved_{};
  bool fresh_ = false;
};

// Of the body of a refusal, of a request or of a tunnel: what is read of it for its message, and
// how long it is waited for. Without it the status still says what is to be done.
inline constexpr std::size_t kMaxRefusal = 64 * 1024;
inline constexpr std::chrono::seconds kRefusalTime{2};

// What an answer that is not 2xx means: 401 unauthorized, 403 forbidden, 404 not_found, 410 gone,
// all else server, with the Status's message, the title of a web page, or the first KiB of the
// text, without control characters. retry_after: of 429 and 5xx.
Error status_error(int status, std::string_view retry_after, std::string_view body);

// What a Retry-After header asks for, in seconds or as a date (RFC 9110 10.2.3): at most 60 s, and
// 0 where there is none that can be read.
std::chrono::seconds asked_wait(std::string_view retry_after, std::chrono::sys_seconds now);

// For one segment of a path or one value of a query.
std::string percent_encode(std::string_view text);

}  // namespace kportal::k8s
