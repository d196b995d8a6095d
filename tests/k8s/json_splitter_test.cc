// SPDX-License-Identifier: MIT
#include "k8s/json_splitter.h"

#include <vector>

#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

std::vector<std::string> all(JsonSplitter& splitter) {
  std::vector<std::string> objects;
  for (;;) {
    auto next = splitter.next();
    if (!next) {
      objects.push_back("error: " + next.error().text);
      return objects;
    }
    if (!*next) return objects;
    objects.push_back(std::move(**next));
  }
}

using Texts = std::vector<std::string>;

TEST(JsonSplitterTest, CutsAtNewlinesAndWithoutThem) {
  JsonSplitter splitter(100);
  splitter.append("{\"a\":1}\n{\"b\":{\"c\":2}}{}  \r\n{\"d\"");
  EXPECT_EQ(all(splitter), (Texts{"{\"a\":1}", "{\"b\":{\"c\":2}}", "{}"}));
  EXPECT_FALSE(splitter.at_boundary());
  splitter.append(":3}\n");
  EXPECT_EQ(all(splitter), (Texts{"{\"d\":3}"}));
  EXPECT_TRUE(splitter.at_boundary());
}

TEST(JsonSplitterTest, KnowsStringsAndEscapes) {
  JsonSplitter splitter(100);
  splitter.append(R"({"a":"}{\"}\\"}{"b":"\\\"}"})");
  EXPECT_EQ(all(splitter), (Texts{R"({"a":"}{\"}\\"})", R"({"b":"\\\"}"})"}));
}

TEST(JsonSplitterTest, GivesTheSameWhereverTheInputIsCut) {
  std::string const text = "{\"a\":\"x\\\"}\"}\n{\"b\":{}}\n";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    JsonSplitter splitter(100);
    splitter.append(text.substr(0, cut));
    Texts found = all(splitter);
    splitter.append(text.substr(cut));
    for (auto& object : all(splitter)) found.push_back(object);
    EXPECT_EQ(found, (Texts{"{\"a\":\"x\\\"}\"}", "{\"b\":{}}"})) << cut;
  }
}

TEST(JsonSplitterTest, RefusesWhatIsNoObject) {
  JsonSplitter splitter(100);
  splitter.append("{}\n[1]");
  EXPECT_EQ(all(splitter).back(), "error: this is no JSON object");
  EXPECT_FALSE(splitter.at_boundary());
}

TEST(JsonSplitterTest, BoundsAnObjectNotTheStream) {
  JsonSplitter splitter(10);
  for (int i = 0; i < 100; ++i) {
    splitter.append("{\"abcd\":1}\n");
    EXPECT_EQ(all(splitter).size(), 1U);
  }
  splitter.append("{\"abcde\":1");
  auto const too_long = splitter.next();
  ASSERT_TRUE(too_long.has_error());
  EXPECT_EQ(too_long.error().code, Errc::limit);
}

}  // namespace
}  // namespace kportal::k8s
