// SPDX-License-Identifier: MIT
#include "net/spdy_headers.h"

#include <array>
#include <string>
#include <vector>
#include <zlib.h>

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "tests/support/hex.h"

namespace kportal::net {
namespace {

using namespace std::string_literals;
using test::from_hex;
using test::to_hex;

Headers const kErrorHeaders = {{"port", "8080"}, {"requestid", "0"}, {"streamtype", "error"}};
Headers const kDataHeaders = {{"port", "8080"}, {"requestid", "0"}, {"streamtype", "data"}};
// Of a peer (protocol.md 2.2): level 9, the SPDY dictionary, one stream.
constexpr char kErrorBlock[] =
    "78f9e3c6a7c202253a48f95b044eea16061606409ab308125f99a074cc68004e892545a989b9d0c286351514150000"
    "0000ffff";
constexpr char kDataBlock[] = "225333a8a44a04000000ffff";
constexpr char kEmptyBlock[] = "78f9e3c6a7c202a6230600000000ffff";

std::string encoded(HeaderEncoder& encoder, Headers const& headers) {
  std::vector<std::byte> out;
  encoder.encode(headers, out);
  return to_hex(out);
}

// A peer's compressor, of whatever settings.
class Deflater {
 public:
  explicit Deflater(int level = 9, bool with_dictionary = true) {
    deflateInit2(&zlib_, level, Z_DEFLATED, 15, 8, Z_DEFAULT_STRATEGY);
    if (with_dictionary) set_dictionary(spdy_dictionary());
  }
  ~Deflater() { deflateEnd(&zlib_); }
  Deflater(Deflater const&) = delete;
  Deflater& operator=(Deflater const&) = delete;

  void set_dictionary(Bytes bytes) {
    deflateSetDictionary(&zlib_, reinterpret_cast<Bytef const*>(bytes.data()),
                         static_cast<uInt>(bytes.size()));
  }
  std::vector<std::byte> deflated(Bytes plain, int flush = Z_SYNC_FLUSH) {
    std::vector<std::byte> out(deflateBound(&zlib_, plain.size()) + 64);
    zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
    zlib_.avail_in = static_cast<uInt>(plain.size());
    zlib_.next_out = reinterpret_cast<Bytef*>(out.data());
    zlib_.avail_out = static_cast<uInt>(out.size());
    deflate(&zlib_, flush);
    out.resize(out.size() - zlib_.avail_out);
    return out;
  }

 private:
  z_stream zlib_{};
};

error_code decode_plain(std::string_view hex, HeaderKind kind = HeaderKind::request) {
  Deflater peer;
  HeaderDecoder decoder;
  Headers headers;
  return decoder.decode(peer.deflated(from_hex(hex)), kind, headers);
}

TEST(SpdyHeadersTest, HasTheDictionary) {
  Bytes const dictionary = spdy_dictionary();
  ASSERT_EQ(dictionary.size(), 1423U);
  auto const* const data = reinterpret_cast<Bytef const*>(dictionary.data());
  EXPECT_EQ(adler32(adler32(0, nullptr, 0), data, 1423), 0xE3C6A7C2U);
  std::array<std::byte, SHA256_DIGEST_LENGTH> digest{};
  SHA256(data, dictionary.size(), reinterpret_cast<unsigned char*>(digest.data()));
  EXPECT_EQ(to_hex(digest), "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02");
}

TEST(SpdyHeadersTest, StoresItsBlocks) {
  HeaderEncoder encoder;
  EXPECT_EQ(encoded(encoder, kErrorHeaders),
            "78f9e3c6a7c2"
            "003d00c2ff"
            "0000000300000004706f7274000000043830383000000009"
            "72657175657374696400000001300000000a"
            "73747265616d74797065000000056572726f72"
            "000000ffff");
  EXPECT_EQ(encoded(encoder, {}),
            "000400fbff"
            "00000000"
            "000000ffff");
}

TEST(SpdyHeadersTest, DecodesTheVectors) {
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_FALSE(decoder.decode(from_hex(kErrorBlock), HeaderKind::request, headers));
  EXPECT_EQ(headers, kErrorHeaders);
  headers.clear();
  EXPECT_FALSE(decoder.decode(from_hex(kDataBlock), HeaderKind::request, headers));
  EXPECT_EQ(headers, kDataHeaders);
  HeaderDecoder other;
  headers.clear();
  EXPECT_FALSE(other.decode(from_hex(kEmptyBlock), HeaderKind::reply, headers));
  EXPECT_TRUE(headers.empty());
}

// Blocks that refer far back, to plain text and to the dictionary, much longer than the window.
void expect_many_blocks(int level, int flush) {
  Deflater peer(level);
  HeaderEncoder plain_blocks;
  HeaderDecoder decoder;
  for (int i = 0; i < 3000; ++i) {
    Headers const sent = {{"port", std::to_string(i * 7919 % 65536)},
                          {"if-modified-since", std::to_string(i % 500 * 104729)},
                          {"streamtype", i % 2 == 0 ? "error" : "data"}};
    std::vector<std::byte> stored;
    plain_blocks.encode(sent, stored);
    std::size_t const head = i == 0 ? 11 : 5;
    Bytes const plain = Bytes(stored).subspan(head, stored.size() - head - 5);
    Headers got;
    ASSERT_FALSE(decoder.decode(peer.deflated(plain, flush), HeaderKind::request, got)) << i;
    ASSERT_EQ(got, sent) << i;
  }
}

TEST(SpdyHeadersTest, KeepsWhatLaterBlocksReferTo) {
  for (int const level : {1, 6, 9}) expect_many_blocks(level, Z_SYNC_FLUSH);
}

// No peer does it, but zlib allows it: a block may then end inside a byte.
TEST(SpdyHeadersTest, TakesBlocksThatEndInsideAByte) {
  expect_many_blocks(9, Z_PARTIAL_FLUSH);
}

TEST(SpdyHeadersTest, DecodesItsOwnBlocks) {
  HeaderEncoder encoder;
  HeaderDecoder decoder;
  for (int i = 0; i < 1000; ++i) {
    Headers const sent = {{"port", std::to_string(i)}, {"streamtype", "data"}};
    std::vector<std::byte> block;
    encoder.encode(sent, block);
    Headers got;
    ASSERT_FALSE(decoder.decode(block, HeaderKind::request, got)) << i;
    ASSERT_EQ(got, sent) << i;
  }
}

TEST(SpdyHeadersTest, CarriesTheLargestBlock) {
  HeaderEncoder encoder;
  HeaderDecoder decoder;
  std::string value;
  unsigned random = 1;
  while (value.size() < kMaxHeaderBytes - 16) {
    random = random * 1664525 + 1013904223;
    value += static_cast<char>('!' + random % 90);
  }
  value.resize(kMaxHeaderBytes - 4 - 8 - 1, 'x');
  Headers const sent = {{"a", value}};
  ASSERT_FALSE(check_headers(sent, HeaderKind::request));
  std::vector<std::byte> block;
  encoder.encode(sent, block);
  Headers got;
  ASSERT_FALSE(decoder.decode(block, HeaderKind::request, got));
  EXPECT_TRUE(got == sent);  // too long to print
}

TEST(SpdyHeadersTest, TakesAnyLevelAndAPlainZlibHeader) {
  for (int const level : {1, 6, 9}) {
    for (bool const with_dictionary : {true, false}) {
      Deflater peer(level, with_dictionary);
      HeaderDecoder decoder;
      Headers headers;
      auto const plain = from_hex("00000001 00000001 61 00000002 6263");
      EXPECT_FALSE(decoder.decode(peer.deflated(plain), HeaderKind::reply, headers));
      EXPECT_EQ(headers, (Headers{{"a", "bc"}}));
    }
  }
}

TEST(SpdyHeadersTest, RefusesAnotherDictionary) {
  Deflater peer(9, false);
  peer.set_dictionary(as_bytes("some other dictionary"));
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_EQ(decoder.decode(peer.deflated(from_hex("00000000")), HeaderKind::reply, headers),
            Errc::protocol);
}

TEST(SpdyHeadersTest, RefusesANewZlibHeaderInTheSecondBlock) {
  HeaderDecoder decoder;
  Headers headers;
  ASSERT_FALSE(decoder.decode(from_hex(kErrorBlock), HeaderKind::request, headers));
  EXPECT_EQ(decoder.decode(from_hex(kErrorBlock), HeaderKind::request, headers), Errc::protocol);
}

TEST(SpdyHeadersTest, JoinsAndSplitsValuesOfOneName) {
  HeaderEncoder encoder;
  HeaderDecoder decoder;
  std::vector<std::byte> block;
  encoder.encode({{"a", "1"}, {"b", ""}, {"a", "2"}, {"a", ""}}, block);
  Headers headers;
  ASSERT_FALSE(decoder.decode(block, HeaderKind::request, headers));
  EXPECT_EQ(headers, (Headers{{"a", "1"}, {"a", "2"}, {"a", ""}, {"b", ""}}));
}

TEST(SpdyHeadersTest, TakesDuplicateNames) {
  EXPECT_FALSE(decode_plain("00000002 00000001 61 00000001 31 00000001 61 00000001 32"));
}

TEST(SpdyHeadersTest, RefusesUpperCaseNames) {
  EXPECT_EQ(decode_plain("00000001 00000004 506f7274 00000001 31"), Errc::protocol);
  EXPECT_EQ(check_headers({{"streamType", "data"}}, HeaderKind::request), Errc::protocol);
  EXPECT_FALSE(check_headers({{"port", "UPPER"}}, HeaderKind::request));
}

TEST(SpdyHeadersTest, RefusesForbiddenNames) {
  for (char const* const name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding"}) {
    EXPECT_EQ(check_headers({{name, ""}}, HeaderKind::request), Errc::protocol) << name;
    EXPECT_EQ(check_headers({{name, ""}}, HeaderKind::reply), Errc::protocol) << name;
  }
  EXPECT_EQ(decode_plain("00000001 00000004 686f7374 00000000"), Errc::protocol);
  EXPECT_FALSE(decode_plain("00000001 00000004 686f7374 00000000", HeaderKind::reply));
}

TEST(SpdyHeadersTest, RefusesBlocksThatEndEarly) {
  EXPECT_EQ(decode_plain(""), Errc::protocol);
  EXPECT_EQ(decode_plain("000000"), Errc::protocol);
  EXPECT_EQ(decode_plain("00000001"), Errc::protocol);
  EXPECT_EQ(decode_plain("00000001 00000002 61"), Errc::protocol);
  EXPECT_EQ(decode_plain("00000001 00000001 61"), Errc::protocol);
  EXPECT_EQ(decode_plain("00000001 00000001 61 ffffffff 62"), Errc::protocol);
  EXPECT_EQ(decode_plain("00000002 00000001 61 00000001 62"), Errc::protocol);
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_EQ(decoder.decode({}, HeaderKind::reply, headers), Errc::protocol);
}

TEST(SpdyHeadersTest, RefusesLeftovers) {
  EXPECT_EQ(decode_plain("00000000 00"), Errc::protocol);  // in the plain block
  Deflater peer;  // in the compressed block, behind the end of the zlib stream
  auto block = peer.deflated(from_hex("00000000"), Z_FINISH);
  block.push_back(std::byte{0});
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_EQ(decoder.decode(block, HeaderKind::reply, headers), Errc::protocol);
}

TEST(SpdyHeadersTest, RefusesBytesThatAreNoZlib) {
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_EQ(decoder.decode(from_hex("00112233"), HeaderKind::reply, headers), Errc::protocol);
}

TEST(SpdyHeadersTest, SurvivesEveryCutAndFlippedByteOfABlock) {
  std::vector<std::byte> const good = from_hex(kErrorBlock);
  for (std::size_t i = 0; i < good.size(); ++i) {
    HeaderDecoder decoder;
    Headers headers;
    // The last six bytes are the mark of a flush, of which zlib has no need.
    bool const fails = i < good.size() - 6;
    EXPECT_EQ(decoder.decode(Bytes(good).first(i), HeaderKind::request, headers).failed(), fails)
        << i;
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[i] ^= static_cast<std::byte>(1 << bit);
      HeaderDecoder other;
      headers.clear();
      static_cast<void>(other.decode(bad, HeaderKind::request, headers));
    }
  }
}

TEST(SpdyHeadersTest, LimitsCountAndBytes) {
  EXPECT_EQ(decode_plain("000003e9"), Errc::limit);  // 1001 pairs
  EXPECT_EQ(decode_plain("ffffffff"), Errc::limit);
  EXPECT_EQ(check_headers(Headers(kMaxHeaders + 1), HeaderKind::request), Errc::limit);
  EXPECT_FALSE(check_headers(Headers(kMaxHeaders), HeaderKind::request));
  std::string const value(kMaxHeaderBytes - 4 - 8 - 1, 'x');
  EXPECT_FALSE(check_headers({{"a", value}}, HeaderKind::request));
  EXPECT_EQ(check_headers({{"a", value + "x"}}, HeaderKind::request), Errc::limit);
  // One pair whose zero bytes make 1001 values.
  Deflater peer;
  std::string const plain = "\0\0\0\1\0\0\0\1a\0\0\3\xe8"s + std::string(1000, '\0');
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_EQ(decoder.decode(peer.deflated(as_bytes(plain)), HeaderKind::reply, headers),
            Errc::limit);
}

TEST(SpdyHeadersTest, StopsInflatingABomb) {
  Deflater peer;
  std::vector<std::byte> const zeros(32 * 1024 * 1024);
  auto const bomb = peer.deflated(zeros);
  ASSERT_LT(bomb.size(), 64U * 1024);
  HeaderDecoder decoder;
  Headers headers;
  EXPECT_EQ(decoder.decode(bomb, HeaderKind::reply, headers), Errc::limit);
}

}  // namespace
}  // namespace kportal::net
