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

// CMF (deflate, 32 KiB window), FLG (level 9, FDICT), the dictionary's Adler-32: as spdystream has
// it.
constexpr std::array<std::byte, 6> kZlibHeader = {std::byte{0x78}, std::byte{0xf9},
                                                  std::byte{0xe3}, std::byte{0xc6},
                                                  std::byte{0xa7}, std::byte{0xc2}};
constexpr std::uint32_t kDictionaryId = 0xe3c6a7c2;
// An empty stored block: what Z_SYNC_FLUSH ends with. Go hands out nothing of a block before it.
constexpr std::array<std::byte, 5> kFlushMark = {std::byte{0}, std::byte{0}, std::byte{0},
                                                 std::byte{0xff}, std::byte{0xff}};
constexpr std::size_t kMaxStored = 65'535;
// How far back a deflate block may refer.
constexpr std::size_t kWindow = 32 * 1024;
constexpr int kRawWindowBits = -15;

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

void HeaderEncoder::encode(Headers const& headers, std::vector<std::byte>& out) {
  auto const append = [&out](Bytes bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); };
  if (!started_) append(kZlibHeader);
  started_ = true;
  std::string const plain = plain_block(headers);
  for (Bytes rest = as_bytes(plain); !rest.empty();) {
    Bytes const piece = rest.first(std::min(rest.size(), kMaxStored));
    auto const low = static_cast<std::byte>(piece.size() & 0xff);
    auto const high = static_cast<std::byte>(piece.size() >> 8);
    append(std::array{std::byte{0}, low, high, ~low, ~high});
    append(piece);
    rest = rest.subspan(piece.size());
  }
  append(kFlushMark);
}

void HeaderDecoder::EndInflate::operator()(z_stream_s* zlib) const noexcept {
  inflateEnd(zlib);
  delete zlib;
}

HeaderDecoder::HeaderDecoder() = default;
HeaderDecoder::~HeaderDecoder() = default;

error_code HeaderDecoder::decode(Bytes block, HeaderKind kind, Headers& headers) {
  if (!started_) {
    if (error_code const error = read_zlib_header(block)) return error;
  }
  std::string plain;
  if (!zlib_) open_zlib();
  error_code const error = inflate_block(block, plain);
  if (error) return error;
  // The low bits of data_type count bits that wait in zlib; 128 says that no deflate block is open.
  bool const between_blocks = (zlib_->data_type & 63) == 0 && (zlib_->data_type & 128) != 0;
  if (between_blocks) zlib_.reset();
  remember(plain);
  return parse_block(as_bytes(plain), kind, headers);
}

error_code HeaderDecoder::refuse(Errc kind, char const* wrong) {
  wrong_ = wrong;
  return kind;
}

error_code HeaderDecoder::parse_block(Bytes plain, HeaderKind kind, Headers& headers) {
  static constexpr char const* kShort = "a header block that ends early";
  static constexpr char const* kTooMany = "more than 1000 headers";
  static_assert(kMaxHeaders == 1000);
  if (plain.size() < 4) return refuse(Errc::protocol, kShort);
  std::size_t const count = load_be32(plain);
  plain = plain.subspan(4);
  if (count > kMaxHeaders) return refuse(Errc::limit, kTooMany);
  for (std::size_t i = 0; i < count; ++i) {
    std::string_view name;
    std::string_view values;
    if (!cut_field(plain, name) || !cut_field(plain, values)) return refuse(Errc::protocol, kShort);
    if (!is_allowed_name(name, kind)) return refuse(Errc::protocol, "a header that may not be");
    if (!append_values(headers, name, values)) return refuse(Errc::limit, kTooMany);
  }
  if (plain.empty()) return {};
  return refuse(Errc::protocol, "a header block with bytes left over");
}

// RFC 1950: CMF, FLG, and with FDICT the dictionary's Adler-32.
error_code HeaderDecoder::read_zlib_header(Bytes& block) {
  constexpr std::uint32_t kFlagDictionary = 0x20;
  static constexpr char const* kNoZlib = "a header block that is no zlib stream";
  if (block.size() < 2) return refuse(Errc::protocol, kNoZlib);
  std::uint32_t const header = load_be16(block);
  bool const deflate = (header >> 8 & 0x0f) == Z_DEFLATED && header >> 12 <= 7;
  if (!deflate || header % 31 != 0) return refuse(Errc::protocol, kNoZlib);
  block = block.subspan(2);
  with_dictionary_ = (header & kFlagDictionary) != 0;
  started_ = true;
  if (!with_dictionary_) return {};
  if (block.size() < 4 || load_be32(block) != kDictionaryId) {
    return refuse(Errc::protocol, "a header block for another dictionary");
  }
  block = block.subspan(4);
  return {};
}

void HeaderDecoder::open_zlib() {
  zlib_.reset(new z_stream());
  [[maybe_unused]] int status = inflateInit2(zlib_.get(), kRawWindowBits);
  assert(status == Z_OK);
  if (with_dictionary_) inflateSetDictionary(zlib_.get(), zlib_bytes(kDictionary), kDictionarySize);
  if (history_.empty()) return;
  auto const size = static_cast<uInt>(history_.size());
  inflateSetDictionary(zlib_.get(), zlib_bytes(as_bytes(history_)), size);
}

error_code HeaderDecoder::inflate_block(Bytes block, std::string& plain) {
  static constexpr char const* kNoInflate = "a header block that cannot be inflated";
  zlib_->next_in = zlib_bytes(block);
  zlib_->avail_in = static_cast<uInt>(block.size());
  for (;;) {
    std::array<std::byte, 2048> piece;
    zlib_->next_out = zlib_bytes(piece);
    zlib_->avail_out = static_cast<uInt>(piece.size());
    int const status = inflate(zlib_.get(), Z_SYNC_FLUSH);
    plain.append(as_text(Bytes(piece).first(piece.size() - zlib_->avail_out)));
    static_assert(kMaxHeaderBytes == 64 * 1024);
    if (plain.size() > kMaxHeaderBytes) return refuse(Errc::limit, "more than 64 KiB of headers");
    // Z_BUF_ERROR: no input was left and no output pending, which is the regular end of a block.
    if (status != Z_OK && status != Z_BUF_ERROR) return refuse(Errc::protocol, kNoInflate);
    if (status == Z_OK && zlib_->avail_out == 0) continue;
    return zlib_->avail_in == 0 ? error_code() : refuse(Errc::protocol, kNoInflate);
  }
}

void HeaderDecoder::remember(std::string_view plain) {
  history_.append(plain);
  if (history_.size() > kWindow) history_.erase(0, history_.size() - kWindow);
}

}  // namespace kportal::net
