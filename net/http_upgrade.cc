// SPDX-License-Identifier: MIT
#include "net/http_upgrade.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/printable.h"

namespace kportal::net {
namespace {

Error malformed(std::string_view what) {
  return {Errc::protocol, fmt::format("HTTP: {}", what)};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool contains_without_case(std::string_view text, std::string_view part) {
  return !std::ranges::search(text, part, {}, lower, lower).empty() || part.empty();
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_token_char(char c) {
  bool const letter = (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c);
  return letter ||
         (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}

// Controls but for the tab. Bytes above 127 are allowed in values.
bool is_control(char c) {
  auto const byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

bool is_target(std::string_view text) {
  auto const visible = [](char c) { return c > ' ' && c < '\x7f'; };
  return !text.empty() && std::ranges::all_of(text, visible);
}

std::string_view trim(std::string_view text) {
  auto const first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

template <class Number>
bool parse_number(std::string_view text, int base, Number& number) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

// "HTTP/1.0" or "HTTP/1.1".
bool parse_version(std::string_view text, int& minor) {
  if (text != "HTTP/1.0" && text != "HTTP/1.1") return false;
  minor = text.back() - '0';
  return true;
}

// Cuts the text in front of the next CRLF off; the collector has seen that all lines end so.
std::string_view next_line(std::string_view& text) {
  auto const end = text.find("\r\n");
  auto const line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

Result<HttpHeaders> parse_headers(std::string_view text) {
  HttpHeaders headers;
  for (auto line = next_line(text); !line.empty(); line = next_line(text)) {
    if (line.front() == ' ' || line.front() == '\t') return malformed("a folded header line");
    if (headers.entries().size() == kMaxHttpHeaders) {
      return Error(Errc::limit, fmt::format("HTTP: more than {} headers", kMaxHttpHeaders));
    }
    auto const colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      return malformed(
          fmt::format("a header line without a name: {}", printable(line.substr(0, 80))));
    }
    headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  }
  return headers;
}

Result<void> append_headers(std::string& out, HttpHeaders const& headers) {
  for (auto const& [name, value] : headers.entries()) {
    if (!is_token(name)) {
      return malformed(fmt::format("{} cannot be a header's name", printable(name)));
    }
    if (std::ranges::any_of(value, is_control)) {
      return malformed(fmt::format("the value of {} has a control character", name));
    }
    fmt::format_to(std::back_inserter(out), "{}: {}\r\n", name, value);
  }
  out += "\r\n";
  return {};
}

Result<RequestHead> parse_request(std::string_view text) {
  auto const line = next_line(text);
  auto const first = line.find(' ');
  auto const last = line.rfind(' ');
  RequestHead head;
  if (first == std::string_view::npos || first == last || !is_token(line.substr(0, first)) ||
      !is_target(line.substr(first + 1, last - first - 1)) ||
      !parse_version(line.substr(last + 1), head.minor_version)) {
    return malformed(fmt::format("not a request line: {}", printable(line.substr(0, 80))));
  }
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  auto headers = parse_headers(text);
  if (!headers) return headers.error();
  head.headers = std::move(*headers);
  return head;
}

// The reason may be missing, and with it the space before it.
Result<ResponseHead> parse_response(std::string_view text) {
  auto const line = next_line(text);
  ResponseHead head;
  bool const shaped = line.size() >= 12 && line[8] == ' ' && (line.size() == 12 || line[12] == ' ');
  if (!shaped || !parse_version(line.substr(0, 8), head.minor_version) ||
      !parse_number(line.substr(9, 3), 10, head.status) || head.status < 100 || head.status > 599) {
    return malformed(fmt::format("not a status line: {}", printable(line.substr(0, 80))));
  }
  if (line.size() > 13) head.reason = line.substr(13);
  auto headers = parse_headers(text);
  if (!headers) return headers.error();
  head.headers = std::move(*headers);
  return head;
}

bool mentions_upgrade(HttpHeaders const& headers, std::string_view protocol) {
  auto const any = [&headers](std::string_view name, std::string_view part) {
    auto const values = headers.all(name);
    return std::ranges::any_of(values,
                               [part](auto value) { return contains_without_case(value, part); });
  };
  return any("Connection", "upgrade") && any("Upgrade", protocol);
}

}  // namespace

void HttpHeaders::add(std::string name, std::string value) {
  entries_.emplace_back(std::move(name), std::move(value));
}

std::optional<std::string_view> HttpHeaders::find(std::string_view name) const {
  for (auto const& header : entries_) {
    if (equal_without_case(header.name, name)) return header.value;
  }
  return std::nullopt;
}

std::vector<std::string_view> HttpHeaders::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (auto const& header : entries_) {
    if (equal_without_case(header.name, name)) values.push_back(header.value);
  }
  return values;
}

std::vector<std::string_view> HttpHeaders::elements(std::string_view name) const {
  std::vector<std::string_view> found;
  for (std::string_view value : all(name)) {
    while (!value.empty()) {
      auto const comma = std::min(value.find(','), value.size());
      auto const element = trim(value.substr(0, comma));
      if (!element.empty()) found.push_back(element);
      value.remove_prefix(std::min(comma + 1, value.size()));
    }
  }
  return found;
}

bool HttpHeaders::lists(std::string_view name, std::string_view element) const {
  auto const found = elements(name);
  return std::ranges::any_of(found, [element](auto e) { return equal_without_case(e, element); });
}

Result<std::string> encode(RequestHead const& head) {
  if (!is_token(head.method)) return malformed("the method has a character that no method has");
  if (!is_target(head.target)) return malformed("the target has a space or a control character");
  auto out = fmt::format("{} {} HTTP/1.{}\r\n", head.method, head.target, head.minor_version);
  if (auto const added = append_headers(out, head.headers); !added) return added.error();
  return out;
}

Result<std::string> encode(ResponseHead const& head) {
  if (std::ranges::any_of(head.reason, is_control)) {
    return malformed("the reason has a control character");
  }
  if (head.status < 100 || head.status > 599)
    return malformed("a status of three digits is wanted");
  auto out = fmt::format("HTTP/1.{} {} {}\r\n", head.minor_version, head.status, head.reason);
  if (auto const added = append_headers(out, head.headers); !added) return added.error();
  return out;
}

RequestHead upgrade_request(std::string method, std::string target, std::string host,
                            std::string protocol) {
  RequestHead head;
  head.method = std::move(method);
  head.target = std::move(target);
  head.headers.add("Host", std::move(host));
  head.headers.add("Connection", "Upgrade");
  head.headers.add("Upgrade", std::move(protocol));
  return head;
}

bool is_upgraded(ResponseHead const& head, std::string_view protocol) {
  return head.status == 101 && mentions_upgrade(head.headers, protocol);
}

bool asks_upgrade(RequestHead const& head, std::string_view protocol) {
  return mentions_upgrade(head.headers, protocol);
}

Result<std::size_t> HeadCollector::feed(Bytes bytes, std::string_view starts_with) {
  std::size_t taken = 0;
  for (char const c : as_text(bytes)) {
    if (complete_) break;
    if (text_.size() == kMaxHead) {
      return Error(Errc::limit, fmt::format("HTTP: a head of more than {} bytes", kMaxHead));
    }
    bool const after_cr = !text_.empty() && text_.back() == '\r';
    if (text_.size() < starts_with.size() && c != starts_with[text_.size()]) {
      return malformed(
          fmt::format("the peer does not speak it: {}",
                      printable(text_ + std::string(as_text(bytes).substr(taken, 40)))));
    }
    if (after_cr != (c == '\n')) return malformed("a line that does not end with CR LF");
    if (c != '\r' && c != '\n' && is_control(c))
      return malformed("a control character in the head");
    text_ += c;
    ++taken;
    complete_ = c == '\n' && (text_ == "\r\n" || text_.ends_with("\r\n\r\n"));
  }
  return taken;
}

Result<std::size_t> RequestParser::feed(Bytes bytes) {
  if (complete()) return 0;
  auto const taken = collector_.feed(bytes, "");
  if (taken && complete()) {
    auto parsed = parse_request(collector_.text());
    if (!parsed) return parsed.error();
    head_ = std::move(*parsed);
  }
  return taken;
}

Result<std::size_t> ResponseParser::feed(Bytes bytes) {
  if (complete()) return 0;
  auto const taken = collector_.feed(bytes, "HTTP/1.");
  if (taken && complete()) {
    auto parsed = parse_response(collector_.text());
    if (!parsed) return parsed.error();
    head_ = std::move(*parsed);
  }
  return taken;
}

Result<std::optional<std::uint64_t>> content_length(HttpHeaders const& headers) {
  std::optional<std::uint64_t> length;
  for (std::string_view const value : headers.all("Content-Length")) {
    std::uint64_t number = 0;
    if (value.empty() || !is_digit(value.front()) || !parse_number(value, 10, number)) {
      return malformed(fmt::format("not a Content-Length: {}", printable(value.substr(0, 40))));
    }
    if (length && *length != number) return malformed("two different values of Content-Length");
    length = number;
  }
  return length;
}

Result<bool> is_chunked(HttpHeaders const& headers) {
  if (!headers.find("Transfer-Encoding")) return false;
  auto const encodings = headers.elements("Transfer-Encoding");
  if (encodings.size() != 1 || !equal_without_case(encodings.front(), "chunked")) {
    return malformed("a Transfer-Encoding other than chunked");
  }
  if (headers.find("Content-Length")) {
    return malformed("both Transfer-Encoding and Content-Length");
  }
  return true;
}

BodyReader::BodyReader(State state, std::uint64_t remaining, std::size_t limit)
    : state_(state), remaining_(remaining), limit_(limit) {
  if (state_ == State::plain && remaining_ == 0) state_ = State::complete;
}

Result<BodyReader> BodyReader::of(RequestHead const& head, std::size_t limit) {
  auto const chunked = is_chunked(head.headers);
  if (!chunked) return chunked.error();
  if (*chunked) return BodyReader(State::chunk_size, 0, limit);
  auto const length = content_length(head.headers);
  if (!length) return length.error();
  return BodyReader(State::plain, length->value_or(0), limit);
}

Result<BodyReader> BodyReader::of(ResponseHead const& head, std::size_t limit) {
  bool const bodiless = head.status < 200 || head.status == 204 || head.status == 304;
  if (bodiless) return BodyReader(State::plain, 0, limit);
  auto const chunked = is_chunked(head.headers);
  if (!chunked) return chunked.error();
  if (*chunked) return BodyReader(State::chunk_size, 0, limit);
  auto const length = content_length(head.headers);
  if (!length) return length.error();
  if (!length->has_value()) return BodyReader(State::until_end, 0, limit);
  return BodyReader(State::plain, **length, limit);
}

Result<std::size_t> BodyReader::feed(Bytes bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !complete()) {
    Bytes const rest = bytes.subspan(taken);
    if (state_ == State::plain || state_ == State::until_end || state_ == State::chunk_data) {
      taken += take(rest);
    } else {
      auto const line = feed_line(rest);
      if (!line) return line.error();
      taken += *line;
    }
  }
  return taken;
}

Result<void> BodyReader::end_of_stream() {
  if (state_ == State::until_end) state_ = State::complete;
  if (!complete()) return malformed("the connection ended in the middle of a body");
  return {};
}

std::size_t BodyReader::take(Bytes bytes) {
  std::size_t const room = limit_ - body_.size();
  if (room == 0) {
    truncated_ = true;
    state_ = State::complete;
    return 0;
  }
  std::size_t size = std::min(bytes.size(), room);
  if (state_ != State::until_end) {
    size = static_cast<std::size_t>(std::min<std::uint64_t>(size, remaining_));
    remaining_ -= size;
  }
  body_ += as_text(bytes.first(size));
  if (state_ == State::plain && remaining_ == 0) state_ = State::complete;
  if (state_ == State::chunk_data && remaining_ == 0) state_ = State::chunk_end;
  return size;
}

Result<std::size_t> BodyReader::feed_line(Bytes bytes) {
  std::size_t taken = 0;
  for (char const c : as_text(bytes)) {
    ++taken;
    bool const after_cr = !line_.empty() && line_.back() == '\r';
    if (after_cr != (c == '\n')) return malformed("a chunk's line that does not end with CR LF");
    if (c == '\n') {
      line_.pop_back();
      auto const ended = end_line();
      line_.clear();
      if (!ended) return ended.error();
      return taken;
    }
    if (line_.size() == kMaxChunkLine)
      return Error(Errc::limit, "HTTP: a chunk's line is too long");
    line_ += c;
  }
  return taken;
}

Result<void> BodyReader::end_line() {
  if (state_ == State::chunk_end) {
    if (!line_.empty()) return malformed("a chunk that is longer than it said");
    state_ = State::chunk_size;
  } else if (state_ == State::chunk_size) {
    std::string_view const size = trim(std::string_view(line_).substr(0, line_.find(';')));
    if (size.empty() || !parse_number(size, 16, remaining_)) {
      return malformed(fmt::format("not a chunk's size: {}", printable(size.substr(0, 40))));
    }
    state_ = remaining_ == 0 ? State::trailer : State::chunk_data;
  } else if (line_.empty()) {
    state_ = State::complete;
  } else if ((trailer_size_ += line_.size()) > kMaxHead) {
    return Error(Errc::limit, "HTTP: a trailer that is too long");
  }
  return {};
}

}  // namespace kportal::net
