// SPDX-License-Identifier: MIT
#include "k8s/json_splitter.h"

#include <vector>

#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

using Texts = std::vector<std::string>;

// What is ready; an element with a star before it, an error at the end.
Texts ready(JsonSplitter& splitter) {
  Texts texts;
  for (;;) {
    auto next = splitter.next();
    if (!next) {
      texts.push_back("error: " + next.error().text);
      return texts;
    }
    if (!*next) return texts;
    texts.push_back(((*next)->element ? "*" : "") + (*next)->text);
  }
}

Texts all(JsonSplitter splitter, std::string text) {
  splitter.append(std::move(text));
  return ready(splitter);
}

constexpr JsonField kItemFields[] = {{"name", &kJsonScalar}, {"labels", &kJsonEverything}};
constexpr JsonRule kItem = JsonRule::object_of(kItemFields);
constexpr JsonRule kItems = JsonRule::array_of(kItem);
constexpr JsonField kListFields[] = {{"items", &kItems}, {"version", &kJsonScalar}};
constexpr JsonRule kList = JsonRule::object_of(kListFields);

Texts pieces(std::string text) {
  return all(JsonSplitter(kList, "items"), std::move(text));
}
Texts documents(std::string text) {
  return all(JsonSplitter(kJsonEverything), std::move(text));
}

TEST(JsonSplitterTest, CutsAtNewlinesAndWithoutThem) {
  JsonSplitter splitter(kJsonEverything);
  splitter.append("{\"a\":1}\n{\"b\":{\"c\":[2, -1.5e3 ,true]}}{}  \r\n{\"d\"");
  EXPECT_EQ(ready(splitter), (Texts{"{\"a\":1}", "{\"b\":{\"c\":[2,-1.5e3,true]}}", "{}"}));
  EXPECT_FALSE(splitter.at_boundary());
  splitter.append(":3}\n");
  EXPECT_EQ(ready(splitter), (Texts{"{\"d\":3}"}));
  EXPECT_TRUE(splitter.at_boundary());
}

TEST(JsonSplitterTest, KnowsStringsAndEscapes) {
  EXPECT_EQ(documents(R"({"a":"}{\"}\\"}{"b":"\\\"}"})"),
            (Texts{R"({"a":"}{\"}\\"})", R"({"b":"\\\"}"})"}));
}

TEST(JsonSplitterTest, KeepsWhatTheRuleNames) {
  EXPECT_EQ(pieces(R"({"x":[{"y":1}],"version":"7","z":"a\"b","w":{}})"),
            (Texts{R"({"version":"7"})"}));
  EXPECT_EQ(pieces(R"({"items":[{"spec":{"name":1},"name":"a","labels":{"k":["v",{}]}},{}, 7 ]})"),
            (Texts{R"(*{"name":"a","labels":{"k":["v",{}]}})", "*{}", "*7", R"({"items":[]})"}));
}

TEST(JsonSplitterTest, AValueOfAnotherKindLeavesItsMark) {
  EXPECT_EQ(pieces(R"({"version":{"a":1},"items":{"b":2}})"),
            (Texts{R"({"version":{},"items":{}})"}));
  EXPECT_EQ(pieces(R"({"version":[1],"items":null})"), (Texts{R"({"version":[],"items":null})"}));
  EXPECT_EQ(pieces(R"({"items":[{"name":[[1]]},["x"]]})"),
            (Texts{R"(*{"name":[]})", "*[]", R"({"items":[]})"}));
}

TEST(JsonSplitterTest, OnlyTheArrayAtTheTopIsCut) {
  EXPECT_EQ(pieces(R"({"x":{"items":[1,2]},"items":[]})"), (Texts{R"({"items":[]})"}));
  EXPECT_EQ(pieces(R"({"items":[{"labels":{"items":[1,2]}}]})"),
            (Texts{R"(*{"labels":{"items":[1,2]}})", R"({"items":[]})"}));
}

TEST(JsonSplitterTest, GivesTheSameWhereverTheInputIsCut) {
  std::string const text =
      R"({"x":[1,{"a":"\"]"}],"items":[{"name":"x\\\"}","n":[]},{"name":12} ,{}],"version":1e5})"
      "\n{\"version\":\"\"}\n";
  Texts const whole = pieces(text);
  ASSERT_EQ(whole.size(), 5U);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    JsonSplitter splitter(kList, "items");
    splitter.append(text.substr(0, cut));
    Texts found = ready(splitter);
    splitter.append(text.substr(cut));
    for (auto& piece : ready(splitter)) found.push_back(piece);
    EXPECT_EQ(found, whole) << cut;
    EXPECT_TRUE(splitter.at_boundary());
  }
}

TEST(JsonSplitterTest, RefusesWhatIsNoObject) {
  JsonSplitter splitter(kJsonEverything);
  splitter.append("{}\n[1]");
  EXPECT_EQ(ready(splitter), (Texts{"{}", "error: this is no JSON object"}));
  EXPECT_FALSE(splitter.at_boundary());
  splitter.append("{}");
  EXPECT_EQ(splitter.next().error().code, Errc::protocol);
}

TEST(JsonSplitterTest, RefusesBrokenJsonAlsoWhereItIsNotKept) {
  for (char const* text : {"{]", "{\"a\":}", "{\"a\"}", "{\"a\" 1}", "{\"a\":1,}", "{,}", "{1:2}",
                           "{\"a\":[1,]}", "{\"a\":[,1]}", "{\"a\":[1}", "{\"a\":{\"b\":1]",
                           "{\"a\":1 2}", "{\"a\":x}", "{\"a\":\"b\" \"c\"}", "{\"a\":[1 2]}"}) {
    for (JsonRule const* rule : {&kJsonEverything, &kList}) {
      JsonSplitter splitter(*rule);
      splitter.append(text);
      auto const piece = splitter.next();
      ASSERT_TRUE(piece.has_error()) << text;
      EXPECT_EQ(piece.error().code, Errc::server) << text;
    }
  }
}

TEST(JsonSplitterTest, DepthIsBounded) {
  auto const nested = [](std::size_t depth) {
    return "{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(pieces(nested(kMaxJsonDepth - 1)), (Texts{"{}"}));
  EXPECT_EQ(pieces(nested(kMaxJsonDepth)),
            (Texts{"error: the server sent JSON nested deeper than 128 levels"}));
}

TEST(JsonSplitterTest, BoundsAnObjectNotTheStream) {
  JsonSplitter splitter(kList, "items");
  std::string const filler(JsonSplitter::kMaxObject / 4, 'x');
  splitter.append("{\"items\":[");
  for (int i = 0; i < 10; ++i) {
    splitter.append("{\"name\":\"a\",\"spec\":\"" + filler + filler + "\"},");
    EXPECT_EQ(ready(splitter), (Texts{"*{\"name\":\"a\"}"}));
  }
  splitter.append("{\"spec\":[");
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(splitter.next().has_value());
    splitter.append("\"" + filler + "\",");
  }
  ASSERT_TRUE(splitter.next().has_error());
  EXPECT_EQ(splitter.next().error().code, Errc::limit);
}

TEST(JsonSplitterTest, BoundsWhatIsKept) {
  std::string const most(JsonSplitter::kMaxKept - 20, 'x');
  EXPECT_EQ(pieces("{\"version\":\"" + most + "\"}").size(), 1U);
  std::string const more(JsonSplitter::kMaxKept, 'x');
  for (std::string const& text : {"{\"version\":\"" + more + "\"}", "{\"" + more + "\":1}",
                                  "{\"items\":[{\"labels\":{\"a\":\"" + more + "\"}}]}"}) {
    JsonSplitter splitter(kList, "items");
    splitter.append(text);
    auto const piece = splitter.next();
    ASSERT_TRUE(piece.has_error());
    EXPECT_EQ(piece.error().code, Errc::limit);
  }
}

}  // namespace
}  // namespace kportal::k8s
