// SPDX-License-Identifier: MIT
#include "lab/header_compressor.h"

#include <cassert>
#include <zlib.h>

#include "net/spdy_headers.h"

namespace kportal::lab {
namespace {

Bytef* zlib_bytes(Bytes bytes) {
  return reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
}

}  // namespace

HeaderCompressor::HeaderCompressor() : zlib_(std::make_unique<z_stream>()) {
  // The smallest tables: there may be hundreds of tunnels, and blocks are small.
  constexpr int kLevel = 9;
  constexpr int kWindowBits = 15;
  constexpr int kMemLevel = 1;
  [[maybe_unused]] int status =
      deflateInit2(zlib_.get(), kLevel, Z_DEFLATED, kWindowBits, kMemLevel, Z_DEFAULT_STRATEGY);
  assert(status == Z_OK);
  Bytes const dictionary = net::spdy_dictionary();
  status = deflateSetDictionary(zlib_.get(), zlib_bytes(dictionary),
                                static_cast<uInt>(dictionary.size()));
  assert(status == Z_OK);
}

HeaderCompressor::~HeaderCompressor() {
  deflateEnd(zlib_.get());
}

std::vector<std::byte> HeaderCompressor::compressed(Bytes plain) {
  assert(plain.size() <= kMaxBlock);
  std::vector<std::byte> out(2 * kMaxBlock);
  zlib_->next_in = zlib_bytes(plain);
  zlib_->avail_in = static_cast<uInt>(plain.size());
  zlib_->next_out = zlib_bytes(out);
  zlib_->avail_out = static_cast<uInt>(out.size());
  [[maybe_unused]] int const status = deflate(zlib_.get(), Z_SYNC_FLUSH);
  assert(status == Z_OK && zlib_->avail_in == 0 && zlib_->avail_out != 0);
  out.resize(out.size() - zlib_->avail_out);
  return out;
}

}  // namespace kportal::lab
