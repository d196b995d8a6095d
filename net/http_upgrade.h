// SPDX-License-Identifier: MIT
// HTTP/1.1 heads (RFC 9112) as far as an upgrade needs them: build, parse incrementally, judge, and
// read the small body of a refusal. No I/O, no keep-alive policy, no general HTTP. Strict: lines
// end with CRLF, no folding, no control characters; what is malformed is Errc::protocol with words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace kportal::net {

inline constexpr std::size_t kMaxHead = 64 * 1024;
inline constexpr std::size_t kMaxHttpHeaders = 256;
// A chunk-size line with its extensions; all trailer lines together may be kMaxHead.
inline constexpr std::size_t kMaxChunkLine = 1024;

struct HttpHeader {
  std::string name;
  std::string value;
  HttpHeader(std::string n, std::string v) : name(std::move(n)), value(std::move(v)) {}
  bool operator==(HttpHeader const&) const = default;
};

// In the order of the wire; names compare without case.
class HttpHeaders {
 public:
  void add(std::string name, std::string value);
  // The first value of that name.
  std::optional<std::string_view> find(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  // Some value of that name, read as a comma-separated list, has this element (without case).
  // Elements are raw strings, not tokens: Kubernetes' WebSocket subprotocol contains a slash.
  bool lists(std::string_view name, std::string_view element) const;
  // All elements of all values of that name, trimmed, empty ones left out.
  std::vector<std::string_view> elements(std::string_view name) const;

  std::vector<HttpHeader> const& entries() const { return entries_; }

 private:
  std::vector<HttpHeader> entries_;
};

struct RequestHead {
  std::string method;
  std::string target;
  int minor_version = 1;
  HttpHeaders headers;
};

struct ResponseHead {
  int status = 0;
  std::string reason;
  int minor_version = 1;
  HttpHeaders headers;
};

// The bytes of a head, with its empty line. Fails (Errc::protocol) rather than emit a method,
// target or name that is no such thing, or a value with a control character: nothing can be
// injected.
Result<std::string> encode(RequestHead const& head);
Result<std::string> encode(ResponseHead const& head);

// Host, Connection: Upgrade and Upgrade are set; the caller adds the rest.
RequestHead upgrade_request(std::string method, std::string target, std::string host,
                            std::string protocol);
// True if the answer is 101, its Connection contains "upgrade" and its Upgrade contains `protocol`,
// both without case, as client-go checks.
bool is_upgraded(ResponseHead const& head, std::string_view protocol);
// The same question of a server to a request.
bool asks_upgrade(RequestHead const& head, std::string_view protocol);

// Collects one head from pieces of any size.
class HeadCollector {
 public:
  // Takes bytes up to and including the empty line; returns how many, fewer than all only when
  // complete. Errc::limit beyond kMaxHead. `starts_with`: bytes that every such head begins with.
  Result<std::size_t> feed(Bytes bytes, std::string_view starts_with);
  bool complete() const { return complete_; }
  std::string const& text() const { return text_; }

 private:
  std::string text_;
  bool complete_ = false;
};

// Once feed() failed the parser is of no use; once complete it takes nothing more.
class RequestParser {
 public:
  Result<std::size_t> feed(Bytes bytes);
  bool complete() const { return collector_.complete(); }
  // Bytes have come, but not all: an end of the stream now is a truncated head.
  bool started() const { return !collector_.text().empty(); }
  RequestHead& head() { return head_; }

 private:
  HeadCollector collector_;
  RequestHead head_;
};

class ResponseParser {
 public:
  Result<std::size_t> feed(Bytes bytes);
  bool complete() const { return collector_.complete(); }
  bool started() const { return !collector_.text().empty(); }
  ResponseHead& head() { return head_; }

 private:
  HeadCollector collector_;
  ResponseHead head_;
};

// Nothing if the header is absent; an error if it is no number, or given twice with different
// values.
Result<std::optional<std::uint64_t>> content_length(HttpHeaders const& headers);
// An error if there is an encoding other than chunked, or a Content-Length beside it.
Result<bool> is_chunked(HttpHeaders const& headers);

// Reads a body, plain or chunked, up to a bound; trailers are dropped.
class BodyReader {
 public:
  // Keeps at most `limit` bytes; see truncated(). An answer without a length runs until the stream
  // ends; 1xx, 204 and 304 have no body, as has a request without a length.
  static Result<BodyReader> of(RequestHead const& head, std::size_t limit);
  static Result<BodyReader> of(ResponseHead const& head, std::size_t limit);

  // Takes bytes of the body and returns how many; fewer than all only when complete.
  Result<std::size_t> feed(Bytes bytes);
  // The stream has ended: completes a body that runs until then, else Errc::protocol (truncated).
  Result<void> end_of_stream();

  bool complete() const { return state_ == State::complete; }
  // The body is longer than the limit; body() is its beginning, the rest was not taken and the
  // connection cannot be used again.
  bool truncated() const { return truncated_; }
  std::string const& body() const { return body_; }
  std::string take_body() { return std::move(body_); }

 private:
  enum class State { plain, until_end, chunk_size, chunk_data, chunk_end, trailer, complete };
  BodyReader(State state, std::uint64_t remaining, std::size_t limit);
  std::size_t take(Bytes bytes);
  Result<std::size_t> feed_line(Bytes bytes);
  Result<void> end_line();

  State state_;
  std::uint64_t remaining_;  // of the plain body or the chunk
  std::size_t limit_;
  bool truncated_ = false;
  std::size_t trailer_size_ = 0;
  std::string line_;
  std::string body_;
};

}  // namespace kportal::net
