// SPDX-License-Identifier: MIT
// SPDY name/value blocks: u32 count, then per pair u32 length, name, u32 length, value, all
// compressed with zlib and the SPDY/3 dictionary. One stream per direction for the life of the
// connection, so the order of calls is the order on the wire and one failure is the end of the
// connection.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

struct z_stream_s;

namespace kportal::net {

// In wire order. Names are lower case. A name may stand more than once: on the wire that is one
// pair with the values joined by a zero byte.
using Headers = std::vector<std::pair<std::string, std::string>>;

// spdystream's limit on the number of pairs.
inline constexpr std::size_t kMaxHeaders = 1000;
// Of a block before compression. Port-forward uses about 60 bytes; spdystream allows 1 MiB per
// value.
inline constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

// The preset dictionary of SPDY/3: 1423 bytes, Adler-32 0xE3C6A7C2.
Bytes spdy_dictionary();

// Which frame a block belongs to: `host` is forbidden in SYN_STREAM only (spdystream's lists).
enum class HeaderKind { request, reply };

// What a sender may not send and a receiver takes for fatal: an upper-case letter in a name, or one
// of connection, host (requests), keep-alive, proxy-connection, transfer-encoding. Errc::protocol,
// or Errc::limit for too many pairs or bytes.
error_code check_headers(Headers const& headers, HeaderKind kind);

// Sends blocks stored, not compressed (RFC 1951 section 3.2.4): every decoder takes any level, a
// block of port-forward has 60 bytes, and a compressor would cost each tunnel 15 KiB for ever.
class HeaderEncoder {
 public:
  // Appends the block to `out`. The headers have passed check_headers.
  void encode(Headers const& headers, std::vector<std::byte>& out);

 private:
  bool started_ = false;
};

// Between two blocks it keeps the plain text that the next may refer to, not zlib's 40 KiB.
class HeaderDecoder {
 public:
  HeaderDecoder();
  ~HeaderDecoder();
  HeaderDecoder(HeaderDecoder const&) = delete;
  HeaderDecoder& operator=(HeaderDecoder const&) = delete;

  // Errc::protocol: zlib's error, another dictionary, a block that ends early or leaves bytes over,
  // the end of the zlib stream, a name refused by check_headers. Errc::limit: too many pairs or
  // bytes; inflating stops there. Values joined by a zero byte become several pairs.
  error_code decode(Bytes block, HeaderKind kind, Headers& headers);
  // Of the last decode() that failed: what is wrong with the block.
  char const* wrong() const { return wrong_; }

 private:
  struct EndInflate {
    void operator()(z_stream_s* zlib) const noexcept;
  };
  error_code refuse(Errc kind, char const* wrong);
  error_code read_zlib_header(Bytes& block);
  error_code parse_block(Bytes plain, HeaderKind kind, Headers& headers);
  void open_zlib();
  error_code inflate_block(Bytes block, std::string& plain);
  void remember(std::string_view plain);

  bool started_ = false;
  bool with_dictionary_ = false;
  char const* wrong_ = "";
  std::string history_;  // the last of what was decoded, without the dictionary
  // Only while a block is decoded, and after one that did not end at a flush, as all real ones do.
  std::unique_ptr<z_stream_s, EndInflate> zlib_;
};

}  // namespace kportal::net
