// SPDX-License-Identifier: MIT
// Big-endian integers in byte spans, and the casts between bytes and text. Not a buffer: owns
// nothing.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kportal {

using Bytes = std::span<std::byte const>;
using MutableBytes = std::span<std::byte>;

// The caller has checked that `from` holds the 2, 3 or 4 bytes.
inline std::uint32_t load_be16(Bytes from) {
  assert(from.size() >= 2);
  return std::to_integer<std::uint32_t>(from[0]) << 8 | std::to_integer<std::uint32_t>(from[1]);
}
inline std::uint32_t load_be24(Bytes from) {
  assert(from.size() >= 3);
  return load_be16(from) << 8 | std::to_integer<std::uint32_t>(from[2]);
}
inline std::uint32_t load_be32(Bytes from) {
  assert(from.size() >= 4);
  return load_be16(from) << 16 | load_be16(from.subspan(2));
}
inline std::uint64_t load_be64(Bytes from) {
  return std::uint64_t{load_be32(from)} << 32 | load_be32(from.subspan(4));
}

inline void store_be16(MutableBytes to, std::uint32_t value) {
  assert(to.size() >= 2);
  to[0] = static_cast<std::byte>(value >> 8);
  to[1] = static_cast<std::byte>(value);
}
inline void store_be24(MutableBytes to, std::uint32_t value) {
  assert(to.size() >= 3);
  to[0] = static_cast<std::byte>(value >> 16);
  store_be16(to.subspan(1), value);
}
inline void store_be32(MutableBytes to, std::uint32_t value) {
  store_be16(to, value >> 16);
  store_be16(to.subspan(2), value);
}
inline void store_be64(MutableBytes to, std::uint64_t value) {
  store_be32(to, static_cast<std::uint32_t>(value >> 32));
  store_be32(to.subspan(4), static_cast<std::uint32_t>(value));
}

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
inline Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span<char const>(text.data(), text.size()));
}

}  // namespace kportal
