// SPDX-License-Identifier: MIT
#include "base/chunk.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::string_view_literals;

TEST(ChunkTest, StartsEmptyWithRoomForItsPayload) {
  Chunk const none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.size(), 0u);
  Chunk chunk(10);
  EXPECT_TRUE(chunk.empty());
  EXPECT_EQ(chunk.room().size(), 10u);
  EXPECT_EQ(chunk.headroom(), Chunk::kHeadroom);
}

TEST(ChunkTest, FullChunkIs64KiBWithItsHeadroom) {
  EXPECT_EQ(Chunk::kHeadroom + Chunk::kPayload, 65536u);
  EXPECT_EQ(Chunk(Chunk::kPayload).room().size(), 65504u);
}

TEST(ChunkTest, WhatIsCommittedOrAppendedBecomesData) {
  Chunk chunk(8);
  chunk.room()[0] = std::byte{'a'};
  chunk.room()[1] = std::byte{'b'};
  chunk.commit(2);
  chunk.append(as_bytes("cde"sv));
  EXPECT_EQ(as_text(chunk.data()), "abcde");
  EXPECT_EQ(chunk.room().size(), 3u);
}

TEST(ChunkTest, LayersPutTheirHeadersInFront) {
  Chunk chunk = Chunk::copy_of(as_bytes("payload"sv));
  store_be32(chunk.prepend(4), 0x41424344);
  chunk.prepend(1)[0] = std::byte{'<'};
  EXPECT_EQ(as_text(chunk.data()), "<ABCDpayload");
  EXPECT_EQ(chunk.headroom(), Chunk::kHeadroom - 5);
}

TEST(ChunkTest, MovingLeavesNothingBehind) {
  Chunk first = Chunk::copy_of(as_bytes("first"sv));
  Chunk second(std::move(first));
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(first.room().empty());
  EXPECT_EQ(as_text(second.data()), "first");
  second = Chunk::copy_of(as_bytes("other"sv));
  EXPECT_EQ(as_text(second.data()), "other");
  Chunk& same = second;
  second = std::move(same);
  EXPECT_EQ(as_text(second.data()), "other");
}

TEST(ChunkTest, FullStorageComesFromThePoolAndIsEmptyAgain) {
  std::byte const* storage = nullptr;
  {
    Chunk chunk(Chunk::kPayload);
    storage = chunk.room().data();
    chunk.append(as_bytes("left over"sv));
    chunk.prepend(8);
  }
  Chunk const again(Chunk::kPayload);
  EXPECT_EQ(again.data().data(), storage);
  EXPECT_TRUE(again.empty());
  EXPECT_EQ(again.headroom(), Chunk::kHeadroom);
}

TEST(ChunkTest, MoreChunksThanThePoolKeepsAreFine) {
  std::vector<Chunk> many;
  for (int i = 0; i < 100; ++i) many.emplace_back(Chunk::kPayload);
  many.clear();
  for (int i = 0; i < 100; ++i) many.emplace_back(Chunk::kPayload);
  EXPECT_EQ(many.back().room().size(), Chunk::kPayload);
}

TEST(ChunkDeathTest, OverrunningItIsABrokenInvariant) {
  Chunk chunk(4);
  EXPECT_DEATH(chunk.append(as_bytes("12345"sv)), "capacity_");
  EXPECT_DEATH(chunk.commit(5), "capacity_");
  EXPECT_DEATH(chunk.prepend(Chunk::kHeadroom + 1), "begin_");
}

}  // namespace
}  // namespace kportal
