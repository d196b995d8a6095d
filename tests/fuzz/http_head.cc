// SPDX-License-Identifier: MIT
// Fuzzer of HTTP heads and the bodies behind them, of both sides, with the judgement of an upgrade.
#include <algorithm>

#include <fmt/format.h>

#include "net/http_upgrade.h"
#include "net/websocket.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::net {
namespace {

using fuzz::require;

template <class Parser>
struct Parsed {
  Parser parser;
  bool failed = false;
  std::size_t used = 0;  // of the bytes, if it did not fail
};

template <class Parser>
Parsed<Parser> parsed(std::vector<std::string> const& input) {
  Parsed<Parser> result;
  for (std::string const& piece : input) {
    auto const used = result.parser.feed(as_bytes(piece));
    if (!used) {
      require(fuzz::is_one_clean_line(used.error().text));
      result.failed = true;
      return result;
    }
    require(*used <= piece.size() && (*used == piece.size() || result.parser.complete()));
    result.used += *used;
    if (result.parser.complete()) return result;
  }
  return result;
}

bool same(RequestHead const& a, RequestHead const& b) {
  return a.method == b.method && a.target == b.target && a.minor_version == b.minor_version &&
         a.headers.entries() == b.headers.entries();
}
bool same(ResponseHead const& a, ResponseHead const& b) {
  return a.status == b.status && a.reason == b.reason && a.minor_version == b.minor_version &&
         a.headers.entries() == b.headers.entries();
}

void judge(RequestHead const& head) {
  auto const key = check_websocket_request(head);
  if (!key) return;
  require(asks_upgrade(head, "websocket") && key->size() == 24);
  auto const offered = head.headers.elements("Sec-WebSocket-Protocol");
  std::string const chosen(offered.empty() ? "" : offered.front());
  auto const answer = websocket_response(*key, chosen);
  require(check_websocket_response(answer, *key, chosen).has_value());
}
void judge(ResponseHead const& head) {
  auto const judged = check_websocket_response(head, "dGhlIHNhbXBsZSBub25jZQ==", "v4.example");
  if (judged)
    require(head.status == 101);
  else
    require(fuzz::is_one_clean_line(judged.error().text));
}

struct Body {
  std::string text;
  bool failed = false;
  bool complete = false;
  bool truncated = false;
  std::size_t used = 0;
  bool operator==(Body const&) const = default;
};

Body read_body(BodyReader reader, std::vector<std::string> const& input) {
  Body body;
  for (std::string const& piece : input) {
    auto const used = reader.feed(as_bytes(piece));
    if (!used) {
      require(fuzz::is_one_clean_line(used.error().text));
      body = Body();
      body.failed = true;
      return body;
    }
    require(*used <= piece.size() && (*used == piece.size() || reader.complete()));
    body.used += *used;
  }
  if (!reader.complete()) (void)reader.end_of_stream();
  body.complete = reader.complete();
  body.truncated = reader.truncated();
  body.text = reader.take_body();
  return body;
}

template <class Head>
void check_body(Head const& head, std::string_view rest, std::size_t limit) {
  auto const reader = BodyReader::of(head, limit);
  if (!reader) return;
  Body const whole = read_body(*reader, {std::string(rest)});
  require(whole.text.size() <= limit);
  for (std::size_t const most : {1U, 7U}) {
    Body const cut = read_body(*reader, fuzz::pieces(rest, most));
    require(cut == whole);
  }
}

// What is sent in chunks is read whole, however the chunks were cut.
void check_chunks(std::string_view text) {
  ResponseHead head;
  head.status = 200;
  head.headers.add("Transfer-Encoding", "chunked");
  std::string sent;
  for (std::string const& chunk : fuzz::pieces(text, 40)) {
    sent += fmt::format("{:x};a=b\r\n{}\r\n", chunk.size(), chunk);
  }
  sent += "0\r\nTrailer: x\r\n\r\nbehind";
  auto const reader = BodyReader::of(head, text.size() + 1);
  require(reader.has_value());
  Body const body = read_body(*reader, fuzz::pieces(sent, 50));
  require(body.complete && !body.truncated && body.text == text);
  require(body.used == sent.size() - 6);
}

template <class Parser>
void check(std::string_view text, std::size_t limit) {
  auto whole = parsed<Parser>({std::string(text)});
  for (std::size_t const most : {1U, 9U}) {
    auto cut = parsed<Parser>(fuzz::pieces(text, most));
    require(cut.failed == whole.failed && (cut.failed || cut.used == whole.used));
    if (!cut.failed) require(same(cut.parser.head(), whole.parser.head()));
  }
  if (whole.failed || !whole.parser.complete()) return;
  auto const& head = whole.parser.head();
  require(head.headers.entries().size() <= kMaxHttpHeaders);
  auto const encoded = encode(head);
  require(encoded.has_value());
  auto again = parsed<Parser>({*encoded});
  require(!again.failed && again.used == encoded->size() && same(again.parser.head(), head));
  judge(head);
  check_body(head, text.substr(whole.used), limit);
}

}  // namespace
}  // namespace kportal::net

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input input(data, size);
  std::uint8_t const choice = input.byte();
  std::size_t const limit = choice >> 1;
  net::check_chunks(input.rest());
  if ((choice & 1) != 0) {
    net::check<net::RequestParser>(input.rest(), limit);
  } else {
    net::check<net::ResponseParser>(input.rest(), limit);
  }
  return 0;
}
