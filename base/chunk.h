// SPDX-License-Identifier: MIT
// Chunk: an owned, move-only run of bytes with headroom, so that each layer below (SPDY, WebSocket)
// puts its header in front of the payload without moving it. Full-size storage comes from a pool of
// the thread that asks; a Chunk must be destroyed on the thread that made it.
#pragma once

#include <cstddef>
#include <memory>

#include "base/bytes.h"

namespace kportal {

class Chunk {
 public:
  // SPDY DATA header 8, WebSocket client header up to 14; rounded up.
  static constexpr std::size_t kHeadroom = 32;
  // A full chunk is 64 KiB with its headroom, so that a framed one fills four TLS records.
  static constexpr std::size_t kPayload = 64 * 1024 - kHeadroom;

  Chunk() = default;  // empty, without storage
  // Room for `payload` bytes behind the headroom. kPayload is pooled, other sizes are not.
  explicit Chunk(std::size_t payload);
  static Chunk copy_of(Bytes bytes);

  Chunk(Chunk&& other) noexcept;
  Chunk& operator=(Chunk&& other) noexcept;
  ~Chunk();

  Bytes data() const { return {storage_ + begin_, end_ - begin_}; }
  MutableBytes data() { return {storage_ + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }

  // The unused room behind the data; commit(n) makes its first n bytes data.
  MutableBytes room() { return {storage_ + end_, capacity_ - end_}; }
  void commit(std::size_t n);
  // Appends a copy; the bytes must fit room().
  void append(Bytes bytes);
  // Makes the n bytes in front of the data part of it and returns them. n must fit the headroom
  // left.
  MutableBytes prepend(std::size_t n);
  std::size_t headroom() const { return begin_; }

 private:
  void release() noexcept;

  std::byte* storage_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace kportal
