// SPDX-License-Identifier: MIT
#include "lab/protobuf.h"

#include <cstdint>

namespace kportal::lab {
namespace {

enum WireType : unsigned { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::optional<std::uint64_t> take_varint(std::string_view& text) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !text.empty(); shift += 7) {
    auto const byte = static_cast<unsigned char>(text.front());
    text.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> take_bytes(std::string_view& text, std::uint64_t size) {
  if (size > text.size()) return std::nullopt;
  auto const bytes = text.substr(0, size);
  text.remove_prefix(size);
  return bytes;
}

}  // namespace

std::optional<std::string_view> protobuf_field(std::string_view message, unsigned number) {
  std::optional<std::string_view> found;
  while (!message.empty()) {
    auto const key = take_varint(message);
    if (!key) return std::nullopt;
    auto const type = static_cast<unsigned>(*key & 7U);
    std::optional<std::uint64_t> size;
    if (type == kVarint || type == kBytes) size = take_varint(message);
    if (type == kFixed64) size = 8;
    if (type == kFixed32) size = 4;
    if (!size) return std::nullopt;
    if (type == kVarint) continue;
    auto const bytes = take_bytes(message, *size);
    if (!bytes) return std::nullopt;
    if (type == kBytes && *key >> 3U == number) found = bytes;
  }
  return found;
}

std::optional<std::string_view> protobuf_object(std::string_view body) {
  static constexpr std::string_view kMagic("k8s\0", 4);
  if (!body.starts_with(kMagic)) return std::nullopt;
  return protobuf_field(body.substr(kMagic.size()), 2);
}

}  // namespace kportal::lab
