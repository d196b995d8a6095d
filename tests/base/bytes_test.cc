// SPDX-License-Identifier: MIT
#include "base/bytes.h"

#include <array>

#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::string_view_literals;

TEST(BytesTest, LoadsBigEndian) {
  Bytes const bytes = as_bytes("\x81\x02\xF3\x04\x05\x06\x07\xFF"sv);
  EXPECT_EQ(load_be16(bytes), 0x8102u);
  EXPECT_EQ(load_be24(bytes), 0x8102F3u);
  EXPECT_EQ(load_be32(bytes), 0x8102F304u);
  EXPECT_EQ(load_be64(bytes), 0x8102F304050607FFu);
}

TEST(BytesTest, StoresBigEndianAndNothingBeyond) {
  std::array<std::byte, 9> room{};
  store_be16(room, 0x8102);
  EXPECT_EQ(as_text(room), "\x81\x02\0\0\0\0\0\0\0"sv);
  store_be24(room, 0xA1B2C3);
  EXPECT_EQ(as_text(room), "\xA1\xB2\xC3\0\0\0\0\0\0"sv);
  store_be32(room, 0x01020304);
  EXPECT_EQ(as_text(room), "\x01\x02\x03\x04\0\0\0\0\0"sv);
  store_be64(room, 0xF1F2F3F4F5F6F7F8);
  EXPECT_EQ(as_text(room), "\xF1\xF2\xF3\xF4\xF5\xF6\xF7\xF8\0"sv);
}

TEST(BytesTest, StoresOnlyTheLowBytes) {
  std::array<std::byte, 3> room{};
  store_be16(room, 0xFFFF0001);
  EXPECT_EQ(as_text(room), "\0\x01\0"sv);
  store_be24(room, 0xFF010203);
  EXPECT_EQ(as_text(room), "\x01\x02\x03"sv);
}

TEST(BytesTest, TextIsTheSameMemory) {
  auto const text = "abc\0d"sv;
  EXPECT_EQ(as_text(as_bytes(text)).data(), text.data());
  EXPECT_EQ(as_text(as_bytes(text)), text);
  EXPECT_TRUE(as_bytes(""sv).empty());
}

TEST(BytesDeathTest, LoadingBeyondTheEndIsABrokenInvariant) {
  EXPECT_DEATH(load_be16(as_bytes("\x01"sv)), "size");
  EXPECT_DEATH(load_be32(as_bytes("\x01\x02\x03"sv)), "size");
}

}  // namespace
}  // namespace kportal
