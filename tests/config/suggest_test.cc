// SPDX-License-Identifier: MIT
#include "config/suggest.h"

#include <string>

#include <gtest/gtest.h>

namespace kportal::config {
namespace {

constexpr std::string_view kKeys[] = {"resource", "port", "localPort", "alias", "tags", "lazy"};

TEST(SuggestTest, FindsTheNearestKey) {
  EXPECT_EQ(closest("locaPort", kKeys), "localPort");
  EXPECT_EQ(closest("local_port", kKeys), "localPort");
  EXPECT_EQ(closest("LOCALPORT", kKeys), "localPort");
  EXPECT_EQ(closest("reosurce", kKeys), "resource");
  EXPECT_EQ(closest("tag", kKeys), "tags");
  EXPECT_EQ(closest("ports", kKeys), "port");
  EXPECT_EQ(closest("lzay", kKeys), "lazy");
}

TEST(SuggestTest, DoesNotGuessWildly) {
  EXPECT_EQ(closest("", kKeys), "");
  EXPECT_EQ(closest("name", kKeys), "");
  EXPECT_EQ(closest("target", kKeys), "");
  EXPECT_EQ(closest(std::string(100'000, 'x'), kKeys), "");
}

}  // namespace
}  // namespace kportal::config
