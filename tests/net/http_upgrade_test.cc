// SPDX-License-Identifier: MIT
#include "net/http_upgrade.h"

#include <random>

#include <gtest/gtest.h>

namespace kportal::net {
namespace {

constexpr std::string_view kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Connection: Upgrade\r\n"
    "upgrade:SPDY/3.1\r\n"
    "X-Stream-Protocol-Version: \t portforward.k8s.io \r\n"
    "\r\n";

// Feeds the text in pieces of this size; the parser must take all of it.
template <class Parser>
Result<void> feed_in_pieces(Parser& parser, std::string_view text, std::size_t piece) {
  while (!text.empty()) {
    auto const part = text.substr(0, piece);
    auto const taken = parser.feed(as_bytes(part));
    if (!taken) return taken.error();
    EXPECT_EQ(*taken, part.size());
    text.remove_prefix(part.size());
  }
  return {};
}

Result<ResponseHead> parse_response(std::string_view text) {
  ResponseParser parser;
  auto const fed = parser.feed(as_bytes(text));
  if (!fed) return fed.error();
  if (!parser.complete()) return Error(Errc::closed, "incomplete");
  return std::move(parser.head());
}

Result<RequestHead> parse_request(std::string_view text) {
  RequestParser parser;
  auto const fed = parser.feed(as_bytes(text));
  if (!fed) return fed.error();
  if (!parser.complete()) return Error(Errc::closed, "incomplete");
  return std::move(parser.head());
}

std::string response_error(std::string_view text) {
  auto const parsed = parse_response(text);
  return parsed ? "parsed" : parsed.error().text;
}

std::string request_error(std::string_view text) {
  auto const parsed = parse_request(text);
  return parsed ? "parsed" : parsed.error().text;
}

TEST(HttpHeadTest, ParsesAnAnswerCutAtEveryByte) {
  for (std::size_t piece = 1; piece <= kSwitching.size(); ++piece) {
    ResponseParser parser;
    ASSERT_TRUE(feed_in_pieces(parser, kSwitching, piece)) << piece;
    ASSERT_TRUE(parser.complete()) << piece;
    EXPECT_EQ(parser.head().status, 101);
    EXPECT_EQ(parser.head().reason, "Switching Protocols");
    EXPECT_EQ(parser.head().headers.find("x-stream-protocol-version"), "portforward.k8s.io");
    EXPECT_TRUE(is_upgraded(parser.head(), "spdy/3.1"));
  }
}

TEST(HttpHeadTest, IsIncompleteUntilTheLastByte) {
  for (std::size_t size = 0; size < kSwitching.size(); ++size) {
    ResponseParser parser;
    ASSERT_TRUE(parser.feed(as_bytes(kSwitching.substr(0, size))));
    EXPECT_FALSE(parser.complete()) << size;
    EXPECT_EQ(parser.started(), size != 0);
  }
}

TEST(HttpHeadTest, LeavesWhatFollowsTheHead) {
  ResponseParser parser;
  auto const text = std::string(kSwitching) + "\x80\x03rest";
  auto const taken = parser.feed(as_bytes(text));
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, kSwitching.size());
  EXPECT_EQ(parser.feed(as_bytes("more")).value(), 0U);
}

TEST(HttpHeadTest, ParsesABareStatusLine) {
  auto const head = parse_response("HTTP/1.1 403 Forbidden\r\n\r\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 403);
  EXPECT_EQ(parse_response("HTTP/1.0 200\r\n\r\n")->status, 200);
  EXPECT_EQ(parse_response("HTTP/1.0 200\r\n\r\n")->minor_version, 0);
  EXPECT_EQ(parse_response("HTTP/1.1 200 \r\n\r\n")->reason, "");
}

TEST(HttpHeadTest, RefusesMalformedStatusLines) {
  for (std::string_view const line :
       {"HTTP/1.2 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK",
        "HTTP/1.1 -20 OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK", "HTTP/1.1 abc OK", "HTTP/1.1"}) {
    auto const error = response_error(std::string(line) + "\r\n\r\n");
    EXPECT_EQ(error.substr(0, 23), "HTTP: not a status line") << line;
  }
}

TEST(HttpHeadTest, RefusesAnotherProtocolAtItsFirstByte) {
  ResponseParser parser;
  auto const fed = parser.feed(as_bytes("SSH-2.0-OpenSSH_9.2"));
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Errc::protocol);
  EXPECT_EQ(fed.error().text, "HTTP: the peer does not speak it: SSH-2.0-OpenSSH_9.2");
  EXPECT_FALSE(RequestParser().feed(as_bytes(std::string_view("\x16\x03\x01", 3))));
}

TEST(HttpHeadTest, RefusesMalformedHeaderLines) {
  auto const with = [](std::string_view line) {
    return response_error("HTTP/1.1 200 OK\r\n" + std::string(line) + "\r\n\r\n");
  };
  EXPECT_EQ(with("A: b\r\n c"), "HTTP: a folded header line");
  EXPECT_EQ(with("A: b\r\n\tc"), "HTTP: a folded header line");
  EXPECT_EQ(with("no colon"), "HTTP: a header line without a name: no colon");
  EXPECT_EQ(with(": value"), "HTTP: a header line without a name: : value");
  EXPECT_EQ(with("A : value"), "HTTP: a header line without a name: A : value");
  EXPECT_EQ(with("A\xc3: v"), "HTTP: a header line without a name: A\xef\xbf\xbd: v");
  EXPECT_EQ(with("A: b\nC: d"), "HTTP: a line that does not end with CR LF");
  EXPECT_EQ(with("A: b\rC: d"), "HTTP: a line that does not end with CR LF");
  EXPECT_EQ(with(std::string("A: \0", 4)), "HTTP: a control character in the head");
  EXPECT_EQ(with("A: \x7f"), "HTTP: a control character in the head");
  EXPECT_EQ(with("A: caf\xc3\xa9"), "parsed");
}

TEST(HttpHeadTest, BoundsTheHead) {
  ResponseParser parser;
  std::string const line = "A: " + std::string(995, 'x') + "\r\n";
  ASSERT_TRUE(parser.feed(as_bytes("HTTP/1.1 200 OK\r\n")));
  Result<std::size_t> fed = 0;
  std::size_t total = 0;
  while (fed && total < 2 * kMaxHead) {
    fed = parser.feed(as_bytes(line));
    total += line.size();
  }
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Errc::limit);
  EXPECT_LE(total, kMaxHead + line.size());
}

TEST(HttpHeadTest, TakesAHeadOfTheGreatestSize) {
  std::string text = "HTTP/1.1 200 OK\r\nA: ";
  text += std::string(kMaxHead - text.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_TRUE(parse_response(text));
  text.insert(text.size() - 4, "x");
  EXPECT_EQ(parse_response(text).error().code, Errc::limit);
}

TEST(HttpHeadTest, BoundsTheNumberOfHeaders) {
  std::string text = "HTTP/1.1 200 OK\r\n";
  for (std::size_t i = 0; i < kMaxHttpHeaders; ++i) text += "A: b\r\n";
  EXPECT_TRUE(parse_response(text + "\r\n"));
  EXPECT_EQ(parse_response(text + "A: b\r\n\r\n").error().code, Errc::limit);
}

TEST(HttpHeadTest, ParsesARequestCutAtEveryByte) {
  constexpr std::string_view kText =
      "POST /api/v1/pods/x/portforward?a=b HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive, "
      "Upgrade\r\n"
      "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: a\r\nx-stream-protocol-version: b\r\n\r\n";
  for (std::size_t piece = 1; piece <= kText.size(); ++piece) {
    RequestParser parser;
    ASSERT_TRUE(feed_in_pieces(parser, kText, piece));
    ASSERT_TRUE(parser.complete());
    EXPECT_EQ(parser.head().method, "POST");
    EXPECT_EQ(parser.head().target, "/api/v1/pods/x/portforward?a=b");
    EXPECT_EQ(parser.head().headers.all("X-Stream-Protocol-Version"),
              (std::vector<std::string_view>{"a", "b"}));
    EXPECT_TRUE(asks_upgrade(parser.head(), "spdy/3.1"));
    EXPECT_FALSE(asks_upgrade(parser.head(), "websocket"));
  }
}

TEST(HttpHeadTest, RefusesMalformedRequestLines) {
  for (std::string_view const line :
       {"GET", "GET /", "GET / HTTP/2.0", "GET  / HTTP/1.1", "G\"T / HTTP/1.1", " GET / HTTP/1.1",
        "GET / a HTTP/1.1", ""}) {
    auto const error = request_error(std::string(line) + "\r\n\r\n");
    EXPECT_EQ(error.substr(0, 24), "HTTP: not a request line") << line;
  }
  EXPECT_EQ(request_error("GET / HTTP/1.1\n\n"), "HTTP: a line that does not end with CR LF");
}

TEST(HttpHeadTest, ListsElementsThatAreNoTokens) {
  HttpHeaders headers;
  headers.add("Sec-WebSocket-Protocol", "v4.channel.k8s.io , SPDY/3.1+portforward.k8s.io");
  headers.add("sec-websocket-protocol", ", ,last");
  EXPECT_EQ(
      headers.elements("SEC-WEBSOCKET-PROTOCOL"),
      (std::vector<std::string_view>{"v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "last"}));
  EXPECT_TRUE(headers.lists("Sec-WebSocket-Protocol", "spdy/3.1+PORTFORWARD.k8s.io"));
  EXPECT_FALSE(headers.lists("Sec-WebSocket-Protocol", "portforward.k8s.io"));
  EXPECT_FALSE(headers.find("Upgrade"));
}

TEST(HttpEncodeTest, WritesAnUpgradeRequest) {
  auto request = upgrade_request("POST", "/api/v1/x?y=z", "lab:6443", "SPDY/3.1");
  request.headers.add("X-Stream-Protocol-Version", "portforward.k8s.io");
  request.headers.add("Content-Length", "0");
  EXPECT_EQ(encode(request).value(),
            "POST /api/v1/x?y=z HTTP/1.1\r\nHost: lab:6443\r\nConnection: Upgrade\r\n"
            "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n"
            "Content-Length: 0\r\n\r\n");
}

TEST(HttpEncodeTest, RefusesToInject) {
  for (std::string const bad : {"a\r\nEvil: yes", "a\nb", "a\rb"}) {
    auto request = upgrade_request("GET", "/", "h", "websocket");
    request.headers.add("Authorization", bad);
    EXPECT_FALSE(encode(request)) << bad;
    EXPECT_FALSE(encode(upgrade_request("GET", bad, "h", "websocket")));
    EXPECT_FALSE(encode(upgrade_request(bad, "/", "h", "websocket")));
    EXPECT_FALSE(encode(upgrade_request("GET", "/", bad, "websocket")));
    ResponseHead response;
    response.status = 200;
    response.reason = bad;
    EXPECT_FALSE(encode(response));
  }
  auto request = upgrade_request("GET", "/", "h", "websocket");
  request.headers.add("A", std::string("x\0y", 3));
  EXPECT_EQ(encode(request).error().text, "HTTP: the value of A has a control character");
  request = upgrade_request("GET", "/a b", "h", "websocket");
  EXPECT_FALSE(encode(request));
  request = upgrade_request("GET", "", "h", "websocket");
  EXPECT_FALSE(encode(request));
  request = upgrade_request("GET", "/", "h", "websocket");
  request.headers.add("A:b", "c");
  EXPECT_EQ(encode(request).error().text, "HTTP: A:b cannot be a header's name");
}

TEST(HttpEncodeTest, WritesAnAnswer) {
  ResponseHead response;
  response.status = 404;
  response.reason = "Not Found";
  response.headers.add("Content-Length", "2");
  EXPECT_EQ(encode(response).value(), "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n");
  response.status = 1000;
  EXPECT_FALSE(encode(response));
}

TEST(HttpUpgradeTest, JudgesTheAnswer) {
  auto const judged = [](std::string_view text) {
    return is_upgraded(parse_response(text).value(), "SPDY/3.1");
  };
  EXPECT_TRUE(judged("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: spdy/3.1\r\n\r\n"));
  EXPECT_FALSE(judged("HTTP/1.1 200 x\r\nConnection: upgrade\r\nUpgrade: spdy/3.1\r\n\r\n"));
  EXPECT_FALSE(judged("HTTP/1.1 101 x\r\nConnection: close\r\nUpgrade: spdy/3.1\r\n\r\n"));
  EXPECT_FALSE(judged("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"));
  EXPECT_FALSE(judged("HTTP/1.1 101 x\r\n\r\n"));
}

TEST(HttpLengthTest, ReadsContentLength) {
  auto const length = [](std::vector<std::string> const& values) {
    HttpHeaders headers;
    for (auto const& value : values) headers.add("content-length", value);
    return content_length(headers);
  };
  EXPECT_EQ(length({}).value(), std::nullopt);
  EXPECT_EQ(length({"0"}).value(), 0U);
  EXPECT_EQ(length({"18446744073709551615"}).value(), 18446744073709551615U);
  EXPECT_EQ(length({"5", "5"}).value(), 5U);
  for (std::string const bad : {"", "-1", "+5", "5x", "0x5", "5, 5", "18446744073709551616"}) {
    EXPECT_FALSE(length({bad})) << bad;
  }
  EXPECT_FALSE(length({"5", "6"}));
}

TEST(HttpLengthTest, KnowsChunkedOnly) {
  auto const chunked = [](std::string value, bool with_length) {
    HttpHeaders headers;
    if (!value.empty()) headers.add("Transfer-Encoding", std::move(value));
    if (with_length) headers.add("Content-Length", "5");
    return is_chunked(headers);
  };
  EXPECT_FALSE(chunked("", true).value());
  EXPECT_TRUE(chunked("Chunked", false).value());
  EXPECT_FALSE(chunked("gzip", false));
  EXPECT_FALSE(chunked("gzip, chunked", false));
  EXPECT_FALSE(chunked("chunked", true));
}

struct Read {
  std::string body;
  bool complete = false;
  bool truncated = false;
  std::size_t left = 0;
  std::string error;
};

// `text` is a head and what follows it; the body comes in pieces.
template <class Parser>
Read read_body(std::string_view text, std::size_t limit, std::size_t piece, bool end) {
  Parser parser;
  Read read;
  auto const head = parser.feed(as_bytes(text));
  text.remove_prefix(head.value());
  auto reader = BodyReader::of(parser.head(), limit);
  if (!reader) {
    read.error = reader.error().text;
    return read;
  }
  while (!text.empty() && !reader->complete()) {
    auto const taken = reader->feed(as_bytes(text.substr(0, piece)));
    if (!taken) {
      read.error = taken.error().text;
      return read;
    }
    text.remove_prefix(*taken);
  }
  if (end) {
    auto const ended = reader->end_of_stream();
    if (!ended) read.error = ended.error().text;
  }
  read.complete = reader->complete();
  read.truncated = reader->truncated();
  read.body = reader->take_body();
  read.left = text.size();
  return read;
}

Read answer_body(std::string const& text, std::size_t limit = 100, std::size_t piece = 1000,
                 bool end = false) {
  return read_body<ResponseParser>("HTTP/1.1 400 x\r\n" + text, limit, piece, end);
}

TEST(HttpBodyTest, ReadsAPlainBodyCutAtEveryByte) {
  for (std::size_t piece = 1; piece < 10; ++piece) {
    auto const read = answer_body("Content-Length: 5\r\n\r\nhelloNEXT", 100, piece);
    EXPECT_EQ(read.body, "hello");
    EXPECT_TRUE(read.complete);
    EXPECT_EQ(read.left, 4U);
  }
}

TEST(HttpBodyTest, ReadsAChunkedBodyCutAtEveryByte) {
  for (std::size_t piece = 1; piece < 50; ++piece) {
    auto const read = answer_body(
        "Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\nA \r\n0123456789\r\n0\r\nTrailer: "
        "x\r\n\r\nNEXT",
        100, piece);
    EXPECT_EQ(read.error, "");
    EXPECT_EQ(read.body, "hello0123456789");
    EXPECT_TRUE(read.complete);
    EXPECT_EQ(read.left, 4U);
  }
}

TEST(HttpBodyTest, ReadsUntilTheEndWithoutALength) {
  auto const read = answer_body("\r\nunable to", 100, 3, true);
  EXPECT_EQ(read.body, "unable to");
  EXPECT_TRUE(read.complete);
  EXPECT_FALSE(answer_body("\r\nunable to", 100, 3, false).complete);
}

TEST(HttpBodyTest, KeepsTheBeginningOfALongBody) {
  for (std::string const head : {"Content-Length: 5\r\n\r\nhello", "\r\nhello",
                                 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
    auto const read = answer_body(head, 3);
    EXPECT_EQ(read.body, "hel") << head;
    EXPECT_TRUE(read.truncated);
    EXPECT_TRUE(read.complete);
  }
  EXPECT_FALSE(answer_body("Content-Length: 5\r\n\r\nhello", 5).truncated);
  EXPECT_FALSE(
      answer_body("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 5).truncated);
}

TEST(HttpBodyTest, NoticesATruncatedBody) {
  EXPECT_NE(answer_body("Content-Length: 9\r\n\r\nhello", 100, 9, true).error, "");
  EXPECT_NE(answer_body("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 100, 9, true).error,
            "");
  EXPECT_NE(
      answer_body("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 100, 9, true).error, "");
}

TEST(HttpBodyTest, RefusesMalformedChunks) {
  auto const error = [](std::string const& body) {
    return answer_body("Transfer-Encoding: chunked\r\n\r\n" + body).error;
  };
  EXPECT_EQ(error("\r\n"), "HTTP: not a chunk's size: ");
  EXPECT_EQ(error("x\r\n"), "HTTP: not a chunk's size: x");
  EXPECT_EQ(error("-5\r\n"), "HTTP: not a chunk's size: -5");
  EXPECT_EQ(error("10000000000000000\r\n"), "HTTP: not a chunk's size: 10000000000000000");
  EXPECT_EQ(error("5\nhello"), "HTTP: a chunk's line that does not end with CR LF");
  EXPECT_EQ(error("5\r\nhello!\r\n"), "HTTP: a chunk that is longer than it said");
  EXPECT_EQ(error("5;" + std::string(kMaxChunkLine, 'x')), "HTTP: a chunk's line is too long");
  std::string trailers = "0\r\n";
  for (int i = 0; i < 70; ++i) trailers += "A: " + std::string(1000, 'x') + "\r\n";
  EXPECT_EQ(error(trailers), "HTTP: a trailer that is too long");
}

// Whatever comes, the cuts between the pieces change nothing.
TEST(HttpBodyTest, ReadsNoiseTheSameInAnyPieces) {
  std::minstd_rand random(1);
  std::string_view const words[] = {"\r\n",  "0",  "5",  "a",         ";x",
                                    "hello", "\n", "\r", "0\r\n\r\n", " "};
  for (int round = 0; round < 3000; ++round) {
    std::string text =
        round % 2 == 0 ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: 9\r\n\r\n";
    for (std::size_t i = random() % 12; i > 0; --i) text += words[random() % std::size(words)];
    auto const whole = answer_body(text, 8);
    for (std::size_t const piece : {1U, 2U, 5U}) {
      auto const cut = answer_body(text, 8, piece);
      ASSERT_EQ(cut.error, whole.error) << text;
      ASSERT_EQ(cut.body, whole.body) << text;
      ASSERT_EQ(cut.left, whole.left) << text;
    }
  }
}

TEST(HttpBodyTest, KnowsMessagesWithoutABody) {
  auto const head_only = [](std::string_view text) {
    return read_body<ResponseParser>(text, 100, 1000, false);
  };
  EXPECT_TRUE(head_only("HTTP/1.1 204 x\r\n\r\n").complete);
  EXPECT_TRUE(head_only("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n").complete);
  EXPECT_TRUE(head_only("HTTP/1.1 101 x\r\n\r\nSPDY").complete);
  EXPECT_TRUE(head_only("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n").complete);
  auto const request = [](std::string_view text) {
    return read_body<RequestParser>(text, 100, 1000, false);
  };
  EXPECT_TRUE(request("GET / HTTP/1.1\r\n\r\n").complete);
  EXPECT_EQ(request("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").body, "hi");
  EXPECT_NE(
      request("POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n").error,
      "");
  EXPECT_NE(request("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n").error, "");
}

}  // namespace
}  // namespace kportal::net
