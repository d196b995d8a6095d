// SPDX-License-Identifier: MIT
#include "net/websocket.h"

#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/hex.h"

namespace kportal::net {
namespace {

using test::from_hex;
using test::to_hex;

// What the decoder says about the input, given in pieces; pieces of one message are joined.
std::string told(WebSocketRole role, std::vector<std::byte> input, std::size_t piece = 1 << 20) {
  WebSocketDecoder decoder(role);
  std::string log;
  std::string message;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    MutableBytes rest = MutableBytes(input).subspan(at, std::min(piece, input.size() - at));
    for (;;) {
      auto const event = decoder.decode(rest);
      rest = rest.subspan(event.consumed);
      if (event.kind == WebSocketEvent::Kind::none) {
        EXPECT_TRUE(rest.empty());
        break;
      }
      std::string const payload(as_text(event.payload));
      switch (event.kind) {
        case WebSocketEvent::Kind::data:
          message += payload;
          if (!event.message_end) break;
          log += fmt::format("{}({}) ", event.message == Opcode::text ? "text" : "binary", message);
          message.clear();
          break;
        case WebSocketEvent::Kind::ping:
          log += fmt::format("ping({}) ", payload);
          break;
        case WebSocketEvent::Kind::pong:
          log += fmt::format("pong({}) ", payload);
          break;
        case WebSocketEvent::Kind::close:
          log += fmt::format("close({},{}) ", event.close_code, payload);
          break;
        default:
          return log + event.error.message();
      }
    }
  }
  return log;
}

std::string client_told(std::string_view hex) {
  return told(WebSocketRole::client, from_hex(hex));
}
std::string server_told(std::string_view hex) {
  return told(WebSocketRole::server, from_hex(hex));
}

std::string encoded(WebSocketRole role, Opcode opcode, std::string_view payload,
                    std::uint32_t mask = 0, bool fin = true) {
  Chunk const frame = encode_frame(role, opcode, Chunk::copy_of(as_bytes(payload)), mask, fin);
  return to_hex(frame.data());
}

// RFC 6455 section 5.7.
TEST(WebSocketDecoderTest, ReadsTheExamplesOfTheRfc) {
  EXPECT_EQ(client_told("8105 48656c6c6f"), "text(Hello) ");
  EXPECT_EQ(server_told("8185 37fa213d 7f9f4d5158"), "text(Hello) ");
  EXPECT_EQ(client_told("0103 48656c 8002 6c6f"), "text(Hello) ");
  EXPECT_EQ(client_told("8905 48656c6c6f"), "ping(Hello) ");
  EXPECT_EQ(server_told("8a85 37fa213d 7f9f4d5158"), "pong(Hello) ");
}

TEST(WebSocketEncoderTest, WritesTheExamplesOfTheRfc) {
  auto const server = WebSocketRole::server;
  EXPECT_EQ(encoded(server, Opcode::text, "Hello"), "810548656c6c6f");
  EXPECT_EQ(encoded(WebSocketRole::client, Opcode::text, "Hello", 0x37fa213d),
            "818537fa213d7f9f4d5158");
  EXPECT_EQ(encoded(server, Opcode::text, "Hel", 0, false), "010348656c");
  EXPECT_EQ(encoded(server, Opcode::continuation, "lo"), "80026c6f");
  EXPECT_EQ(encoded(server, Opcode::ping, "Hello"), "890548656c6c6f");
  EXPECT_EQ(encoded(server, Opcode::binary, std::string(256, 'x')).substr(0, 10), "827e010078");
  EXPECT_EQ(encoded(server, Opcode::binary, std::string(65536, 'x')).substr(0, 22),
            "827f000000000001000078");
}

TEST(WebSocketEncoderTest, UsesTheShortestLength) {
  auto const server = WebSocketRole::server;
  EXPECT_EQ(encoded(server, Opcode::binary, ""), "8200");
  EXPECT_EQ(encoded(server, Opcode::binary, std::string(125, 'x')).substr(0, 4), "827d");
  EXPECT_EQ(encoded(server, Opcode::binary, std::string(126, 'x')).substr(0, 8), "827e007e");
  EXPECT_EQ(encoded(server, Opcode::binary, std::string(65535, 'x')).substr(0, 8), "827effff");
}

TEST(WebSocketEncoderTest, WritesIntoTheHeadroom) {
  Chunk payload(100);
  payload.append(as_bytes("payload"));
  auto const* const before = payload.data().data();
  Chunk const frame = encode_frame(WebSocketRole::server, Opcode::binary, std::move(payload), 0);
  EXPECT_EQ(frame.data().data(), before - 2);
}

TEST(WebSocketEncoderTest, CopiesWhenTheHeadroomIsUsedUp) {
  Chunk payload = Chunk::copy_of(as_bytes("payload"));
  payload.prepend(Chunk::kHeadroom - 3);
  std::size_t const size = payload.size();
  Chunk const frame = encode_frame(WebSocketRole::client, Opcode::binary, std::move(payload), 1);
  EXPECT_EQ(frame.size(), size + 6);
}

TEST(WebSocketMaskTest, DependsOnTheOffsetOnly) {
  std::string whole(1000, '\0');
  for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<char>(i * 7);
  auto masked = from_hex(to_hex(as_bytes(whole)));
  apply_mask(masked, 0x01020304);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    ASSERT_EQ(masked[i], as_bytes(whole)[i] ^ static_cast<std::byte>(i % 4 + 1));
  }
  for (std::size_t cut = 0; cut < 40; ++cut) {
    auto pieces = from_hex(to_hex(as_bytes(whole)));
    apply_mask(MutableBytes(pieces).first(cut), 0x01020304);
    apply_mask(MutableBytes(pieces).subspan(cut), 0x01020304, cut);
    ASSERT_EQ(pieces, masked) << cut;
  }
}

TEST(WebSocketDecoderTest, ReadsInputCutAtEveryByte) {
  // A binary message in three parts with control frames in between, an empty one, a longer one, the
  // end.
  auto const client = from_hex(
      "0202 6162  8902 7069  0001 63  8a00  8000"
      "8200  827e007e" +
      std::string(126 * 2, '6') + "8805 03e8 627965");
  std::string const expected =
      "ping(pi) pong() binary(abc) binary() binary(" + std::string(126, 'f') + ") close(1000,bye) ";
  for (std::size_t piece = 1; piece <= client.size(); ++piece) {
    EXPECT_EQ(told(WebSocketRole::client, client, piece), expected) << piece;
  }
}

TEST(WebSocketDecoderTest, UnmasksInputCutAtEveryByte) {
  std::vector<std::byte> input;
  std::string const payload = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (auto const opcode : {Opcode::binary, Opcode::ping, Opcode::binary}) {
    Chunk const frame =
        encode_frame(WebSocketRole::client, opcode, Chunk::copy_of(as_bytes(payload)), 0xdeadbeef);
    input.insert(input.end(), frame.data().begin(), frame.data().end());
  }
  auto const expected = fmt::format("binary({0}) ping({0}) binary({0}) ", payload);
  for (std::size_t piece = 1; piece <= input.size(); ++piece) {
    EXPECT_EQ(told(WebSocketRole::server, input, piece), expected) << piece;
  }
}

TEST(WebSocketDecoderTest, SaysWhenTheFinalFragmentIsEmpty) {
  WebSocketDecoder decoder(WebSocketRole::client);
  auto input = from_hex("0201 61 8000");
  auto event = decoder.decode(input);
  EXPECT_EQ(as_text(event.payload), "a");
  EXPECT_FALSE(event.message_end);
  event = decoder.decode(MutableBytes(input).subspan(event.consumed));
  EXPECT_EQ(event.kind, WebSocketEvent::Kind::data);
  EXPECT_TRUE(event.payload.empty());
  EXPECT_TRUE(event.message_end);
}

TEST(WebSocketDecoderTest, RefusesEveryViolation) {
  EXPECT_EQ(client_told("c200"), "WebSocket: a frame with reserved bits");
  EXPECT_EQ(client_told("a200"), "WebSocket: a frame with reserved bits");
  EXPECT_EQ(client_told("9200"), "WebSocket: a frame with reserved bits");
  for (std::string const opcode : {"3", "4", "5", "6", "7", "b", "c", "d", "e", "f"}) {
    EXPECT_EQ(client_told("8" + opcode + "00"), "WebSocket: a frame of an unknown kind");
  }
  EXPECT_EQ(client_told("8280 00000000"), "WebSocket: a frame of a server with a mask");
  EXPECT_EQ(server_told("8200"), "WebSocket: a frame of a client without a mask");
  EXPECT_EQ(client_told("0900"), "WebSocket: a control frame in fragments");
  EXPECT_EQ(client_told("0800"), "WebSocket: a control frame in fragments");
  EXPECT_EQ(client_told("897e 007e"), "WebSocket: a control frame of more than 125 bytes");
  EXPECT_EQ(client_told("827f 8000000000000000"), "WebSocket: a frame of an impossible length");
  EXPECT_EQ(client_told("827e 007d"), "WebSocket: a length in a longer form than needed");
  EXPECT_EQ(client_told("827f 000000000000ffff"),
            "WebSocket: a length in a longer form than needed");
  EXPECT_EQ(client_told("8000"), "WebSocket: a continuation of nothing");
  EXPECT_EQ(client_told("8200 0001 61"), "binary() WebSocket: a continuation of nothing");
  EXPECT_EQ(client_told("0200 8200"), "WebSocket: a message inside another");
  EXPECT_EQ(client_told("0100 0200"), "WebSocket: a message inside another");
}

TEST(WebSocketDecoderTest, TakesTheGreatestLength) {
  WebSocketDecoder decoder(WebSocketRole::client);
  auto input = from_hex("827f 7fffffffffffffff 6162");
  auto const event = decoder.decode(input);
  EXPECT_EQ(as_text(event.payload), "ab");
  EXPECT_EQ(decoder.wanted(), 0x7fffffffffffffffU - 2 + kMaxWebSocketHeader);
}

TEST(WebSocketDecoderTest, ReadsCloseFrames) {
  EXPECT_EQ(client_told("8800"), "close(1005,) ");
  EXPECT_EQ(client_told("8802 03e9"), "close(1001,) ");
  EXPECT_EQ(client_told("8802 0fa0"), "close(4000,) ");
  EXPECT_EQ(client_told("8802 0bb8"), "close(3000,) ");
  EXPECT_EQ(client_told("887d 03e8" + std::string(246, '6')),
            "close(1000," + std::string(123, 'f') + ") ");
  EXPECT_EQ(server_told("8882 00000000 03f3"), "close(1011,) ");
  for (std::string const payload : {"01 03", "02 0000", "02 03e7", "02 03ec", "02 03ed", "02 03ee",
                                    "02 03f7", "02 0bb7", "02 1388", "02 ffff"}) {
    EXPECT_EQ(client_told("88" + payload), "WebSocket: a malformed close frame") << payload;
  }
}

TEST(WebSocketDecoderTest, SwallowsWhatFollowsTheClose) {
  EXPECT_EQ(client_told("8802 03e8 ffff 8201 61"), "close(1000,) ");
}

TEST(WebSocketDecoderTest, StaysFailed) {
  WebSocketDecoder decoder(WebSocketRole::client);
  auto bad = from_hex("c200");
  auto good = from_hex("8201 61");
  EXPECT_EQ(decoder.decode(bad).kind, WebSocketEvent::Kind::error);
  EXPECT_EQ(decoder.decode(good).kind, WebSocketEvent::Kind::error);
}

// Whatever comes, the cuts between the pieces change nothing.
TEST(WebSocketDecoderTest, ReadsNoiseTheSameInAnyPieces) {
  std::minstd_rand random(1);
  for (int round = 0; round < 3000; ++round) {
    auto const role = round % 2 == 0 ? WebSocketRole::client : WebSocketRole::server;
    std::vector<std::byte> input(1 + random() % 60);
    for (std::byte& b : input) b = static_cast<std::byte>(random() % (round % 3 == 0 ? 256 : 12));
    // Mostly frames that pass the first checks.
    for (std::size_t i = 0; i < input.size(); i += 1 + random() % 5) input[i] |= std::byte{0x80};
    auto const whole = told(role, input);
    for (std::size_t const piece : {1U, 2U, 7U}) ASSERT_EQ(told(role, input, piece), whole);
  }
}

TEST(WebSocketErrorTest, HasAKind) {
  EXPECT_EQ(io_error(make_error_code(WebSocketErrc::bad_close), "read").code, Errc::protocol);
  EXPECT_EQ(io_error(close_error(1011), "read").code, Errc::network);
  EXPECT_EQ(io_error(close_error(1001), "read").code, Errc::going_away);
  EXPECT_EQ(io_error(close_error(4321), "read").text,
            "read: the peer closed the WebSocket with code 4321");
}

TEST(WebSocketHandshakeTest, AnswersTheKeyOfTheRfc) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(WebSocketHandshakeTest, MakesKeysAndMasksThatDiffer) {
  std::set<std::string> keys;
  std::set<std::uint32_t> masks;
  MaskSource source;
  for (int i = 0; i < 200; ++i) {
    keys.insert(websocket_key());
    masks.insert(source.next());
  }
  EXPECT_EQ(keys.size(), 200U);
  EXPECT_GT(masks.size(), 190U);
  EXPECT_EQ(keys.begin()->size(), 24U);
}

constexpr char kTunnel[] = "SPDY/3.1+portforward.k8s.io";

TEST(WebSocketHandshakeTest, ClientAndServerAgree) {
  auto const key = websocket_key();
  auto const request = websocket_request("/x", "lab", key, kTunnel);
  EXPECT_EQ(encode(request).value(),
            "GET /x HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
                key + "\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n\r\n");
  EXPECT_EQ(check_websocket_request(request).value(), key);
  auto const response = websocket_response(key, kTunnel);
  EXPECT_TRUE(check_websocket_response(response, key, kTunnel));
}

std::string refusal(ResponseHead const& head, std::string const& key) {
  auto const checked = check_websocket_response(head, key, kTunnel);
  if (checked) return "accepted";
  EXPECT_EQ(checked.error().code, Errc::upgrade_refused);
  return checked.error().text;
}

TEST(WebSocketHandshakeTest, ClientRefusesOtherAnswers) {
  auto const key = websocket_key();
  auto head = websocket_response(key, kTunnel);
  head.status = 403;
  head.reason = "Forbidden";
  EXPECT_EQ(refusal(head, key), "WebSocket: the server answered 403 Forbidden");
  EXPECT_EQ(refusal(websocket_response(websocket_key(), kTunnel), key),
            "WebSocket: the server's answer belongs to another request (Sec-WebSocket-Accept)");
  EXPECT_EQ(refusal(websocket_response(key, "v4.channel.k8s.io"), key),
            "WebSocket: the server chose the subprotocol 'v4.channel.k8s.io', not "
            "'SPDY/3.1+portforward.k8s.io'");
  EXPECT_EQ(refusal(websocket_response(key, ""), key),
            "WebSocket: the server chose the subprotocol '', not 'SPDY/3.1+portforward.k8s.io'");
  head = websocket_response(key, kTunnel);
  head.headers.add("Sec-WebSocket-Extensions", "permessage-deflate");
  EXPECT_EQ(refusal(head, key), "WebSocket: the server uses an extension that was not offered");
  ResponseHead spdy;
  spdy.status = 101;
  spdy.headers.add("Connection", "Upgrade");
  spdy.headers.add("Upgrade", "SPDY/3.1");
  EXPECT_EQ(refusal(spdy, key), "WebSocket: the server switched, but not to a WebSocket");
}

TEST(WebSocketHandshakeTest, ServerRefusesOtherRequests) {
  auto const text = [](RequestHead const& head) {
    return check_websocket_request(head).error().text;
  };
  auto const good = websocket_request("/x", "lab", websocket_key(), kTunnel);
  auto head = good;
  head.method = "POST";
  EXPECT_EQ(text(head), "WebSocket: the request is not a GET");
  EXPECT_EQ(text(upgrade_request("GET", "/", "lab", "SPDY/3.1")),
            "WebSocket: the request asks for no upgrade to websocket");
  head = upgrade_request("GET", "/", "lab", "websocket");
  EXPECT_EQ(text(head), "WebSocket: the version is not 13");
  head.headers.add("Sec-WebSocket-Version", "13");
  EXPECT_EQ(text(head), "WebSocket: Sec-WebSocket-Key is missing or no key");
  for (std::string const key : {"short", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub2 jZQ=="}) {
    EXPECT_FALSE(check_websocket_request(websocket_request("/x", "lab", key, kTunnel))) << key;
  }
}

}  // namespace
}  // namespace kportal::net
