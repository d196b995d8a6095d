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

class HeaderEncoder {
 public:
  HeaderEncoder();
  ~HeaderEncoder();
  HeaderEncoder(HeaderEncoder const&) = delete;
  HeaderEncoder& operator=(HeaderEncoder const&) = delete;

  // Appends the compressed block to `out`. The headers have passed check_headers.
  void encode(Headers const& headers, std::vector<std::byte>& out);

 private:
  std::unique_ptr<z_stream_s> zlib_;
  bool started_ = false;
};

class HeaderDecoder {
 public:
  HeaderDecoder();
  ~HeaderDecoder();
  HeaderDecoder(HeaderDecoder const&) = delete;
  HeaderDecoder& operator=(HeaderDecoder const&) = delete;

  // Errc::protocol: zlib's error, another dictionary, a block that ends early or leaves bytes over,
  // a name refused by check_headers. Errc::limit: too many pairs or bytes; inflating stops there.
  // Values joined by a zero byte become several pairs.
  error_code decode(Bytes block, HeaderKind kind, Headers& headers);

 private:
  error_code inflate_block(Bytes block);

  std::unique_ptr<z_stream_s> zlib_;
  std::string plain_;  // the block being decoded
};

}  // namespace kportal::net
