// SPDX-License-Identifier: MIT
#include "config/file.h"

#include <fstream>

#include <gtest/gtest.h>

namespace kportal::config {
namespace {

// /proc says 0 of all its files.
TEST(FileTest, ReadsAFileThatDoesNotSayItsSize) {
  std::string const path = "/proc/self/smaps";
  if (!std::ifstream(path)) GTEST_SKIP() << "no " << path;
  auto const text = read_file(path);
  ASSERT_TRUE(text.has_value()) << text.error().text;
  EXPECT_GT(text->size(), 4096U);
  EXPECT_EQ(text->back(), '\n');
}

}  // namespace
}  // namespace kportal::config
