// SPDX-License-Identifier: MIT
// HeaderCompressor: header blocks as moby/spdystream sends them: one zlib stream a connection,
// level 9, with the dictionary of SPDY/3. Our own sender stores its blocks (net/spdy_headers), so
// this is what the reader of compressed ones meets. Owned by a PortForwardSession.
#pragma once

#include <memory>
#include <vector>

#include "base/bytes.h"

struct z_stream_s;

namespace kportal::lab {

class HeaderCompressor {
 public:
  HeaderCompressor();
  ~HeaderCompressor();
  HeaderCompressor(HeaderCompressor const&) = delete;
  HeaderCompressor& operator=(HeaderCompressor const&) = delete;

  // The next block of the connection, of at most kMaxBlock plain bytes.
  std::vector<std::byte> compressed(Bytes plain);
  static constexpr std::size_t kMaxBlock = 4096;

 private:
  std::unique_ptr<z_stream_s> zlib_;
};

}  // namespace kportal::lab
