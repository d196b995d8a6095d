// SPDX-License-Identifier: MIT
#include "k8s/selector.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

std::string canonical(std::string_view text) {
  auto const selector = Selector::parse(text);
  return selector ? selector->to_query() : "error: " + selector.error().text;
}

TEST(SelectorTest, ParsesAndPrintsCanonically) {
  struct Row {
    char const* text;
    char const* expected;
  };
  // The good strings of apimachinery's selector_test, and more.
  Row const rows[] = {
      {"", ""},
      {"   ", ""},
      {"x=a,y=b,z=c", "x=a,y=b,z=c"},
      {"x!=a,y=b", "x!=a,y=b"},
      {"x==a", "x=a"},
      {"x=", "x="},
      {"x= ", "x="},
      {"x=,z= ", "x=,z="},
      {"x= ,z= ", "x=,z="},
      {"!x", "!x"},
      {"x>1", "x>1"},
      {"x>1,z<5", "x>1,z<5"},
      {"x > 3", "x>3"},
      {"z=1,a=2", "a=2,z=1"},
      {"x in (a)", "x in (a)"},
      {"x in (c,b,b,a)", "x in (a,b,c)"},
      {"x notin (a,b)", "x notin (a,b)"},
      {"x in(a,b)", "x in (a,b)"},
      {"x in (,a)", "x in (,a)"},
      {"x in ()", "x in ()"},
      {" x in\t( a , b ) , ! y ,z", "x in (a,b),!y,z"},
      {"in in (in)", "in in (in)"},
      {"notin", "notin"},
      {"in=notin", "in=notin"},
      {"a,b", "a,b"},
      {"a=1,a!=2", "a=1,a!=2"},
      {"app.kubernetes.io/name=web", "app.kubernetes.io/name=web"},
      {"app=web,tier!=db", "app=web,tier!=db"},
      {"tier notin (frontend, backend),!released", "!released,tier notin (backend,frontend)"},
  };
  for (Row const& row : rows) EXPECT_EQ(canonical(row.text), row.expected) << row.text;
}

TEST(SelectorTest, PrintedTextMeansTheSame) {
  for (char const* text : {"a=1,b!=2,c,!d,e in (x,y),f notin (z),g>3,h<4", "x in ()", "x="}) {
    auto const first = Selector::parse(text);
    ASSERT_TRUE(first);
    auto const second = Selector::parse(first->to_query());
    ASSERT_TRUE(second);
    EXPECT_EQ(*first, *second) << text;
  }
}

TEST(SelectorTest, RefusesWhatIsNoSelector) {
  std::string const long_name(64, 'a');
  std::vector<std::string> const bad = {"x=a||y=b",
                                        "x==a==b",
                                        "!x=a",
                                        "x<a",
                                        "x>1.5",
                                        "x>-3",
                                        "x>",
                                        "x in",
                                        "x in (a",
                                        "x in a",
                                        "x notin a)",
                                        "x in (a))",
                                        ",",
                                        "x,",
                                        ",x",
                                        "x,,y",
                                        "!",
                                        "!!x",
                                        "x y",
                                        "(a)",
                                        "=a",
                                        "x=(a)",
                                        "x=a b",
                                        "x in (a b)",
                                        "-x=a",
                                        "x-=a",
                                        "x=-a",
                                        "x/y/z=a",
                                        "/x=a",
                                        "x/=a",
                                        "UP/x=a",
                                        "a..b/x=a",
                                        "x=\xc3\xa9",
                                        "x = \"a\"",
                                        "x=a;y=b",
                                        long_name,
                                        "x=" + long_name,
                                        std::string(254, 'a') + "/x",
                                        std::string("x\0y", 3),
                                        "x in (a,(b))",
                                        "99999999999999999999>x",
                                        "x>99999999999999999999"};
  for (std::string const& text : bad) {
    auto const selector = Selector::parse(text);
    ASSERT_FALSE(selector) << text;
    EXPECT_EQ(selector.error().code, Errc::local) << text;
    EXPECT_TRUE(selector.error().text.starts_with("selector \"")) << selector.error().text;
  }
}

TEST(SelectorTest, SaysWhereItFailed) {
  EXPECT_EQ(canonical("app=web,tier in db"),
            "error: selector \"app=web,tier in db\": found \"db\" at column 17 where \"(\" should "
            "be");
  EXPECT_EQ(canonical("app="), "app=");
  EXPECT_EQ(canonical("app in (a"),
            "error: selector \"app in (a\": it ends at column 10 where \",\" or \")\" should be");
  EXPECT_EQ(canonical("-x"), "error: selector \"-x\": \"-x\" is not a label key");
}

TEST(SelectorTest, IsBounded) {
  std::string text = "a0";
  for (int i = 1; text.size() < kMaxSelectorSize; ++i) text += ",a" + std::to_string(i);
  EXPECT_FALSE(Selector::parse(text));
  text.resize(kMaxSelectorSize / 2);
  text = text.substr(0, text.rfind(','));
  EXPECT_TRUE(Selector::parse(text));
}

TEST(SelectorTest, EveryPrefixIsReadOrRefused) {
  std::string const text = "a=1,b!=2, c in (x, y),!d,e notin (z),g>3";
  for (std::size_t n = 0; n <= text.size(); ++n) {
    auto const selector = Selector::parse(text.substr(0, n));
    if (!selector) {
      EXPECT_FALSE(selector.error().text.empty());
    }
  }
}

TEST(SelectorTest, Matches) {
  struct Row {
    char const* selector;
    Labels labels;
    bool expected;
  };
  Row const rows[] = {
      {"", {{"x", "y"}}, true},
      {"", {}, true},
      {"x=y", {{"x", "y"}}, true},
      {"x=y,z=w", {{"x", "y"}, {"z", "w"}}, true},
      {"x!=y,z!=w", {{"x", "z"}, {"z", "a"}}, true},
      {"x!=y", {}, true},
      {"x!=y", {{"x", "y"}}, false},
      {"x=y,z=w", {{"x", "w"}, {"z", "w"}}, false},
      {"x=", {{"x", ""}}, true},
      {"x=", {{"x", "y"}}, false},
      {"x=", {}, false},
      {"notin=in", {{"notin", "in"}}, true},
      {"x", {{"x", ""}}, true},
      {"x", {{"y", "z"}}, false},
      {"!x", {{"y", "z"}}, true},
      {"!x", {{"x", "z"}}, false},
      {"x in (a,b)", {{"x", "b"}}, true},
      {"x in (a,b)", {{"x", "c"}}, false},
      {"x in (a,b)", {}, false},
      {"x in (,a)", {{"x", ""}}, true},
      {"x notin (a,b)", {{"x", "c"}}, true},
      {"x notin (a,b)", {{"x", "a"}}, false},
      {"x notin (a,b)", {}, true},
      {"x>1", {{"x", "2"}}, true},
      {"x>1", {{"x", "1"}}, false},
      {"x>1", {{"x", "two"}}, false},
      {"x>1", {}, false},
      {"x<10", {{"x", "9"}}, true},
      {"x<10", {{"x", "10"}}, false},
      {"a=1,a!=2", {{"a", "1"}}, true},
      {"a=1,a=2", {{"a", "1"}}, false},
      {"app=web,tier!=db", {{"app", "web"}, {"tier", "db"}}, false},
      {"app=web,tier!=db", {{"app", "web"}, {"tier", "fe"}}, true},
  };
  for (Row const& row : rows) {
    auto const selector = Selector::parse(row.selector);
    ASSERT_TRUE(selector) << row.selector;
    EXPECT_EQ(selector->matches(row.labels), row.expected) << row.selector;
  }
}

TEST(SelectorTest, NothingIsNotEverything) {
  EXPECT_FALSE(Selector::nothing().matches({}));
  EXPECT_FALSE(Selector::nothing().matches_everything());
  EXPECT_TRUE(Selector::nothing().matches_nothing());
  EXPECT_TRUE(Selector().matches({{"a", "b"}}));
  EXPECT_TRUE(Selector().matches_everything());
}

TEST(SelectorTest, OfLabelsWantsAllOfThem) {
  Selector const selector = Selector::of_labels({{"app", "web"}, {"tier", ""}});
  EXPECT_TRUE(selector.matches({{"app", "web"}, {"tier", ""}, {"x", "y"}}));
  EXPECT_FALSE(selector.matches({{"app", "web"}}));
  EXPECT_EQ(selector.to_query(), "app=web,tier=");
}

TEST(SelectorTest, RequireChecksCountsAndCharacters) {
  using enum SelectorOperator;
  Selector selector;
  EXPECT_TRUE(selector.require({"a", in, {"y", "x", "x"}}));
  EXPECT_EQ(selector.to_query(), "a in (x,y)");
  std::vector<Requirement> const bad = {{"", exists, {}},
                                        {"a b", exists, {}},
                                        {"a", exists, {"x"}},
                                        {"a", does_not_exist, {""}},
                                        {"a", in, {}},
                                        {"a", not_in, {}},
                                        {"a", equals, {}},
                                        {"a", equals, {"x", "y"}},
                                        {"a", greater, {"x"}},
                                        {"a", in, {"x\n"}},
                                        {"a", in, {std::string(64, 'x')}}};
  for (Requirement const& requirement : bad) {
    EXPECT_FALSE(selector.require(requirement)) << requirement.key;
  }
  EXPECT_EQ(selector.to_query(), "a in (x,y)");
}

}  // namespace
}  // namespace kportal::k8s
