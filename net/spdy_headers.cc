// SPDX-License-Identifier: MIT
#include "net/spdy_headers.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <string_view>
#include <zlib.h>

namespace kportal::net {
namespace {

using namespace std::string_view_literals;

// The dictionary is these words, each behind its length as four bytes, and then the tail as it is.
constexpr std::string_view kDictionaryWords[] = {"options",
                                                 "head",
                                                 "post",
                                                 "put",
                                                 "delete",
                                                 "trace",
                                                 "accept",
                                                 "accept-charset",
                                                 "accept-encoding",
                                                 "accept-language",
                                                 "accept-ranges",
                                                 "age",
                                                 "allow",
                                                 "authorization",
                                                 "cache-control",
                                                 "connection",
                                                 "content-base",
                                                 "content-encoding",
                                                 "content-language",
                                                 "content-length",
                                                 "content-location",
                                                 "content-md5",
                                                 "content-range",
                                                 "content-type",
                                                 "date",
                                                 "etag",
                                                 "expect",
                                                 "expires",
                                                 "from",
                                                 "host",
                                                 "if-match",
                                                 "if-modified-since",
                                                 "if-none-match",
                                                 "if-range",
                                                 "if-unmodified-since",
                                                 "last-modified",
                                                 "location",
                                                 "max-forwards",
                                                 "pragma",
                                                 "proxy-authenticate",
                                                 "proxy-authorization",
                                                 "range",
                                                 "referer",
                                                 "retry-after",
                                                 "server",
                                                 "te",
                                                 "trailer",
                                                 "transfer-encoding",
                                                 "upgrade",
                                                 "user-agent",
                                                 "vary",
                                                 "via",
                                                 "warning",
                                                 "www-authenticate",
                                                 "method",
                                                 "get",
                                                 "status",
                                                 "200 OK",
                                                 "version",
                                                 "HTTP/1.1",
                                                 "url",
                                                 "public",
                                                 "set-cookie",
                                                 "keep-alive",
                                                 "origin"};
constexpr std::string_view kDictionaryTail =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,public"
    "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
constexpr std::size_t kDictionarySize = 1423;

constexpr std::array<std::byte, kDictionarySize> make_dictionary() {
  std::array<std::byte, kDictionarySize> dictionary{};
  std::size_t at = 0;
  for (std::string_view const word : kDictionaryWords) {
    at += 3;
    dictionary[at++] = static_cast<std::byte>(word.size());
    for (char const c : word) dictionary[at++] = static_cast<std::byte>(c);
  }
  for (char const c : kDictionaryTail) dictionary[at++] = static_cast<std::byte>(c);
  return dictionary;
}

constexpr std::array<std::byte, kDictionarySize> kDictionary = make_dictionary();

// What deflateInit2(level 9, 15 bits) writes first: CMF, FLG with FDICT, the dictionary's Adler-32.
constexpr std::array<std::byte, 6> kZlibHeader = {std::byte{0x78}, std::byte{0xf9},
                                                  std::byte{0xe3}, std::byte{0xc6},
                                                  std::byte{0xa7}, std::byte{0xc2}};
// A window of 2 KiB holds the dictionary and costs 15 KiB; one of 32 KiB grows to 135 KiB a tunnel.
// The header announces 32 KiB, so every decoder takes it, and port-forward's blocks come out the
// same.
constexpr int kWindowBits = -11;

Bytef* zlib_bytes(Bytes bytes) {
  return reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
}

constexpr std::string_view kForbiddenNames[] = {"connection", "keep-alive", "proxy-connection",
                                                "transfer-encoding"};

bool is_allowed_name(std::string_view name, HeaderKind kind) {
  if (std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) {
    return false;
  }
  if (kind == HeaderKind::request && name == "host") return false;
  return std::find(std::begin(kForbiddenNames), std::end(kForbiddenNames), name) ==
         std::end(kForbiddenNames);
}

void append_length(std::string& to, std::size_t length) {
  std::array<std::byte, 4> bytes{};
  store_be32(bytes, static_cast<std::uint32_t>(length));
  to.append(as_text(bytes));
}

void append_field(std::string& to, std::string_view field) {
  append_length(to, field.size());
  to.append(field);
}

// Pairs of one name are joined where the first of them stands.
std::string plain_block(Headers const& headers) {
  Headers joined;
  for (auto const& [name, value] : headers) {
    auto const same = [&name = name](auto const& pair) { return pair.first == name; };
    auto const at = std::find_if(joined.begin(), joined.end(), same);
    if (at == joined.end()) {
      joined.emplace_back(name, value);
    } else {
      at->second.append("\0"sv).append(value);
    }
  }
  std::string block;
  append_length(block, joined.size());
  for (auto const& [name, value] : joined) {
    append_field(block, name);
    append_field(block, value);
  }
  return block;
}

// Cuts the next field from the front of `from`; false if it ends early.
bool cut_field(Bytes& from, std::string_view& field) {
  if (from.size() < 4) return false;
  std::size_t const length = load_be32(from);
  from = from.subspan(4);
  if (from.size() < length) return false;
  field = as_text(from.first(length));
  from = from.subspan(length);
  return true;
}

// One pair for each of the values that zero bytes join. False beyond kMaxHeaders.
bool append_values(Headers& headers, std::string_view name, std::string_view values) {
  for (;;) {
    if (headers.size() == kMaxHeaders) return false;
    std::size_t const end = values.find('\0');
    headers.emplace_back(name, values.substr(0, end));
    if (end == std::string_view::npos) return true;
    values.remove_prefix(end + 1);
  }
}

error_code parse_block(Bytes plain, HeaderKind kind, Headers& headers) {
  if (plain.size() < 4) return Errc::protocol;
  std::size_t const count = load_be32(plain);
  plain = plain.subspan(4);
  if (count > kMaxHeaders) return Errc::limit;
  for (std::size_t i = 0; i < count; ++i) {
    std::string_view name;
    std::string_view values;
    if (!cut_field(plain, name) || !cut_field(plain, values)) return Errc::protocol;
    if (!is_allowed_name(name, kind)) return Errc::protocol;
    if (!append_values(headers, name, values)) return Errc::limit;
  }
  return plain.empty() ? error_code() : make_error_code(Errc::protocol);
}

}  // namespace

Bytes spdy_dictionary() {
  return kDictionary;
}

error_code check_headers(Headers const& headers, HeaderKind kind) {
  if (headers.size() > kMaxHeaders) return Errc::limit;
  std::size_t size = 4;
  for (auto const& [name, value] : headers) {
    if (!is_allowed_name(name, kind)) return Errc::protocol;
    size += 8 + name.size() + value.size();
    if (size > kMaxHeaderBytes) return Errc::limit;
  }
  return {};
}

HeaderEncoder::HeaderEncoder() : zlib_(std::make_unique<z_stream>()) {
  static constexpr int kLevel = 9;
  static constexpr int kMemLevel = 1;
  int status =
      deflateInit2(zlib_.get(), kLevel, Z_DEFLATED, kWindowBits, kMemLevel, Z_DEFAULT_STRATEGY);
  assert(status == Z_OK);
  status = deflateSetDictionary(zlib_.get(), zlib_bytes(kDictionary), kDictionarySize);
  assert(status == Z_OK);
}

HeaderEncoder::~HeaderEncoder() {
  deflateEnd(zlib_.get());
}

void HeaderEncoder::encode(Headers const& headers, std::vector<std::byte>& out) {
  if (!started_) out.insert(out.end(), kZlibHeader.begin(), kZlibHeader.end());
  started_ = true;
  std::string const plain = plain_block(headers);
  zlib_->next_in = zlib_bytes(as_bytes(plain));
  zlib_->avail_in = static_cast<uInt>(plain.size());
  do {
    std::array<std::byte, 512> piece;
    zlib_->next_out = zlib_bytes(piece);
    zlib_->avail_out = static_cast<uInt>(piece.size());
    int const status = deflate(zlib_.get(), Z_SYNC_FLUSH);
    assert(status == Z_OK || status == Z_BUF_ERROR);
    out.insert(out.end(), piece.begin(), piece.end() - zlib_->avail_out);
  } while (zlib_->avail_out == 0);
}

HeaderDecoder::HeaderDecoder() : zlib_(std::make_unique<z_stream>()) {
  int const status = inflateInit(zlib_.get());
  assert(status == Z_OK);
}

HeaderDecoder::~HeaderDecoder() {
  inflateEnd(zlib_.get());
}

error_code HeaderDecoder::decode(Bytes block, HeaderKind kind, Headers& headers) {
  plain_.clear();
  error_code error = inflate_block(block);
  if (!error) error = parse_block(as_bytes(plain_), kind, headers);
  plain_ = {};
  return error;
}

error_code HeaderDecoder::inflate_block(Bytes block) {
  zlib_->next_in = zlib_bytes(block);
  zlib_->avail_in = static_cast<uInt>(block.size());
  for (;;) {
    std::array<std::byte, 2048> piece;
    zlib_->next_out = zlib_bytes(piece);
    zlib_->avail_out = static_cast<uInt>(piece.size());
    int const status = inflate(zlib_.get(), Z_SYNC_FLUSH);
    plain_.append(as_text(Bytes(piece).first(piece.size() - zlib_->avail_out)));
    if (plain_.size() > kMaxHeaderBytes) return Errc::limit;
    if (status == Z_NEED_DICT) {
      // Fails when the peer names another dictionary.
      if (inflateSetDictionary(zlib_.get(), zlib_bytes(kDictionary), kDictionarySize) != Z_OK) {
        return Errc::protocol;
      }
      continue;
    }
    // Z_BUF_ERROR: no input was left and no output pending, which is the regular end of a block.
    if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END) return Errc::protocol;
    if (status == Z_OK && zlib_->avail_out == 0) continue;
    return zlib_->avail_in == 0 ? error_code() : make_error_code(Errc::protocol);
  }
}

}  // namespace kportal::net
