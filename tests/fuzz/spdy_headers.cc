// SPDX-License-Identifier: MIT
// Fuzzer of HeaderDecoder and HeaderEncoder. Blocks as they are, and texts that zlib compresses in
// all its ways, against a zlib that is never put away between two blocks.
#include "net/spdy_headers.h"

#include <algorithm>
#include <optional>
#include <zlib.h>

#include "net/spdy_frame.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::net {
namespace {

using fuzz::require;

Bytef* bytes_for_zlib(std::string_view text) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

// One inflater for the whole connection.
class PlainInflater {
 public:
  PlainInflater() { inflateInit(&zlib_); }
  ~PlainInflater() { inflateEnd(&zlib_); }
  PlainInflater(PlainInflater const&) = delete;
  PlainInflater& operator=(PlainInflater const&) = delete;

  bool in_last_block() const { return (zlib_.data_type & 64) != 0; }

  // False if it is broken or too long.
  bool inflate_block(std::string_view block, std::string& plain) {
    zlib_.next_in = bytes_for_zlib(block);
    zlib_.avail_in = static_cast<uInt>(block.size());
    for (;;) {
      std::string piece(1024, '\0');
      zlib_.next_out = bytes_for_zlib(piece);
      zlib_.avail_out = static_cast<uInt>(piece.size());
      int status = inflate(&zlib_, Z_SYNC_FLUSH);
      plain.append(piece, 0, piece.size() - zlib_.avail_out);
      if (plain.size() > kMaxHeaderBytes) return false;
      if (status == Z_NEED_DICT) {
        auto const dictionary = as_text(spdy_dictionary());
        status = inflateSetDictionary(&zlib_, bytes_for_zlib(dictionary),
                                      static_cast<uInt>(dictionary.size()));
        if (status == Z_OK) continue;
      }
      if (status != Z_OK && status != Z_BUF_ERROR) return false;
      if (status == Z_BUF_ERROR || zlib_.avail_out != 0) return zlib_.avail_in == 0;
    }
  }

 private:
  z_stream zlib_{};
};

class Deflater {
 public:
  explicit Deflater(int level) {
    deflateInit(&zlib_, level);
    auto const dictionary = as_text(spdy_dictionary());
    deflateSetDictionary(&zlib_, bytes_for_zlib(dictionary), static_cast<uInt>(dictionary.size()));
  }
  ~Deflater() { deflateEnd(&zlib_); }
  Deflater(Deflater const&) = delete;
  Deflater& operator=(Deflater const&) = delete;

  std::string block(std::string_view plain, int flush) {
    std::string out(plain.size() * 2 + 256, '\0');
    zlib_.next_in = bytes_for_zlib(plain);
    zlib_.avail_in = static_cast<uInt>(plain.size());
    zlib_.next_out = bytes_for_zlib(out);
    zlib_.avail_out = static_cast<uInt>(out.size());
    deflate(&zlib_, flush);
    out.resize(out.size() - zlib_.avail_out);
    return out;
  }

 private:
  z_stream zlib_{};
};

// Bytes as they are; a pair with a long value, as a bomb has it; or some pairs.
std::string plain_block(fuzz::Input& input) {
  std::uint8_t const choice = input.byte();
  if (choice % 4 == 0) return std::string(input.text(input.number(2)));
  std::string block;
  auto const number = [&block](std::size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) block += static_cast<char>(value >> shift & 0xff);
  };
  auto const field = [&](std::string_view text) {
    number(text.size());
    block += text;
  };
  if (choice % 4 == 1) {
    number(1);
    field("name");
    field(std::string(input.number(3) % (3 * kMaxHeaderBytes), static_cast<char>(input.byte())));
    return block;
  }
  std::size_t const pairs = input.byte();
  number(pairs);
  for (std::size_t i = 0; i < 2 * pairs; ++i) field(input.text(input.byte()));
  return block;
}

// A block as protocol.md describes it.
std::optional<Headers> read_plainly(Bytes plain, HeaderKind kind) {
  auto const number = [&plain]() -> std::size_t {
    if (plain.size() < 4) return SIZE_MAX;
    std::size_t const value = load_be32(plain);
    plain = plain.subspan(4);
    return value;
  };
  Headers headers;
  std::size_t const count = number();
  if (count > kMaxHeaders) return std::nullopt;
  for (std::size_t i = 0; i < 2 * count; ++i) {
    std::size_t const length = number();
    if (length > plain.size()) return std::nullopt;
    std::string_view field = as_text(plain.first(length));
    plain = plain.subspan(length);
    if (i % 2 == 0) {
      headers.emplace_back(field, "");
      continue;
    }
    std::string const name = headers.back().first;
    for (std::size_t end = field.find('\0'); end != field.npos; end = field.find('\0')) {
      headers.back().second = field.substr(0, end);
      headers.emplace_back(name, "");
      field.remove_prefix(end + 1);
    }
    headers.back().second = field;
  }
  bool const forbidden = check_headers(headers, kind) == make_error_code(Errc::protocol);
  if (!plain.empty() || forbidden || headers.size() > kMaxHeaders) return std::nullopt;
  return headers;
}

void check_accepted(Headers const& headers, HeaderKind kind) {
  require(headers.size() <= kMaxHeaders);
  std::size_t size = 0;
  for (auto const& [name, value] : headers) {
    require(value.find('\0') == std::string::npos);
    size += value.size();
  }
  require(size <= kMaxHeaderBytes);
  // What was read can be sent, but for its size: a name counts once for all its values.
  require(check_headers(headers, kind) != make_error_code(Errc::protocol));
}

// Pairs of one name stand together on the wire, where the first of them was.
Headers gathered(Headers const& headers) {
  Headers result;
  for (auto const& pair : headers) {
    if (std::ranges::count(result, pair.first, &Headers::value_type::first) > 0) continue;
    std::ranges::copy_if(headers, std::back_inserter(result),
                         [&](auto const& other) { return other.first == pair.first; });
  }
  return result;
}

void check_encoder(HeaderEncoder& encoder, HeaderDecoder& decoder, Headers const& headers,
                   HeaderKind kind) {
  if (headers.size() > 50 || check_headers(headers, kind)) return;
  std::vector<std::byte> block;
  encoder.encode(headers, block);
  require(block.size() <= FrameParser::kMaxHeaderBlock + 256);
  Headers again;
  require(!decoder.decode(block, kind, again));
  require(again == gathered(headers));
}

// Blocks of one connection, as they are or compressed, until one is refused.
void run(fuzz::Input input) {
  std::uint8_t const choice = input.byte();
  HeaderKind const kind = (choice & 1) != 0 ? HeaderKind::request : HeaderKind::reply;
  bool const raw = (choice & 2) != 0;
  static constexpr int kFlushes[] = {Z_SYNC_FLUSH, Z_PARTIAL_FLUSH, Z_FULL_FLUSH, Z_BLOCK,
                                     Z_NO_FLUSH};
  HeaderDecoder decoder;
  PlainInflater inflater;
  Deflater deflater(choice >> 4 & 7);
  HeaderEncoder encoder;
  HeaderDecoder own;
  bool first = true;
  while (!input.empty()) {
    std::uint8_t const flush = raw ? 0 : input.byte();
    std::string const block = raw ? std::string(input.text(input.number(2)))
                                  : deflater.block(plain_block(input), kFlushes[flush % 5]);
    Headers headers;
    error_code const error = decoder.decode(as_bytes(block), kind, headers);
    std::string plain;
    bool const inflates = inflater.inflate_block(block, plain);
    // Windows of less than 32 KiB are not told to zlib, so it takes more than it had to.
    bool const comparable = !first || (block.size() >= 6 && block[0] == 0x78);
    // In the last block of deflate: at its end zlib waits for a checksum where nothing may come.
    if ((first && !comparable) || inflater.in_last_block()) return;
    first = false;
    auto const expected = inflates ? read_plainly(as_bytes(plain), kind) : std::nullopt;
    require(expected.has_value() == !error);
    if (error) return;
    require(*expected == headers);
    check_accepted(headers, kind);
    check_encoder(encoder, own, headers, kind);
    // The same text stored is read the same.
    HeaderDecoder stored;
    Deflater store(0);
    Headers again;
    require(!stored.decode(as_bytes(store.block(plain, Z_SYNC_FLUSH)), kind, again));
    require(again == headers);
  }
}

}  // namespace
}  // namespace kportal::net

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::net::run(kportal::fuzz::Input(data, size));
  return 0;
}
