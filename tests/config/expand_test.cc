// SPDX-License-Identifier: MIT
#include "config/expand.h"

#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace kportal::config {
namespace {

constexpr std::size_t kEnough = 1'000;

std::string expanded(std::string_view text) {
  auto const env =
      environment({{"A", "1"}, {"LONG_NAME_2", "two"}, {"EMPTY", ""}, {"REF", "${A}"}});
  Expanded const result = expand(text, env, kEnough);
  if (result.failures.empty()) return result.text;
  return "at " + std::to_string(result.failures[0].offset) + ": " + result.failures[0].message;
}

TEST(ExpandTest, ReplacesVariables) {
  EXPECT_EQ(expanded(""), "");
  EXPECT_EQ(expanded("plain"), "plain");
  EXPECT_EQ(expanded("${A}"), "1");
  EXPECT_EQ(expanded("x${A}y${LONG_NAME_2}z"), "x1ytwoz");
  EXPECT_EQ(expanded("${EMPTY}"), "");
  EXPECT_EQ(expanded("${REF}"), "${A}") << "what a variable holds is not expanded again";
}

TEST(ExpandTest, TakesTheDefaultOfUnsetAndEmptyVariables) {
  EXPECT_EQ(expanded("${NO:-def}"), "def");
  EXPECT_EQ(expanded("${NO:-}"), "");
  EXPECT_EQ(expanded("${EMPTY:-def}"), "def");
  EXPECT_EQ(expanded("${A:-def}"), "1");
  EXPECT_EQ(expanded("${NO:-a:-b}"), "a:-b");
}

TEST(ExpandTest, LeavesOtherDollarsAlone) {
  EXPECT_EQ(expanded("$A"), "$A");
  EXPECT_EQ(expanded("$"), "$");
  EXPECT_EQ(expanded("$$"), "$$");
  EXPECT_EQ(expanded("a$$b"), "a$$b");
  EXPECT_EQ(expanded("$(A)"), "$(A)");
  EXPECT_EQ(expanded("$${A}"), "${A}");
  EXPECT_EQ(expanded("}{"), "}{");
}

TEST(ExpandTest, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(expanded("ab${NO}"),
            "at 2: the environment variable NO is not set; set it or write ${NO:-default}");
  EXPECT_EQ(expanded("${A"), "at 0: ${ without }; write $${ for a literal ${");
  EXPECT_EQ(expanded("${}"), "at 0: \"${}\" is neither ${VAR} nor ${VAR:-default}");
  EXPECT_EQ(expanded("${A-b}"), "at 0: \"${A-b}\" is neither ${VAR} nor ${VAR:-default}");
  EXPECT_EQ(expanded("${1A}"), "at 0: \"${1A}\" is neither ${VAR} nor ${VAR:-default}");
  EXPECT_EQ(expanded("${A:-${B}}"), "at 0: \"${A:-${B}\" is neither ${VAR} nor ${VAR:-default}");
  EXPECT_EQ(expanded("${:-x}"), "at 0: \"${:-x}\" is neither ${VAR} nor ${VAR:-default}");
}

TEST(ExpandTest, FindsAllFailures) {
  Expanded const result = expand("${X} ${Y} ${Z:-ok}", environment(), kEnough);
  ASSERT_EQ(result.failures.size(), 2U);
  EXPECT_EQ(result.failures[0].offset, 0U);
  EXPECT_EQ(result.failures[1].offset, 5U);
}

TEST(ExpandTest, IsBounded) {
  auto const env = environment({{"BIG", std::string(600, 'x')}});
  EXPECT_TRUE(expand("${BIG}", env, kEnough).failures.empty());
  Expanded const result = expand("${BIG}${BIG}${BIG}", env, kEnough);
  ASSERT_EQ(result.failures.size(), 1U);
  EXPECT_EQ(result.failures[0].offset, 6U);
  EXPECT_LT(result.text.size(), 1'300U);
}

// Else the next value would start with a bound that has been passed.
TEST(ExpandTest, IsBoundedBehindTheLastVariable) {
  auto const env = environment({{"BIG", std::string(600, 'x')}});
  for (std::string const text : {"a${BIG}", "a$${"}) {
    Expanded const result = expand(text + std::string(kEnough, 'y'), env, kEnough);
    ASSERT_EQ(result.failures.size(), 1U) << text;
    EXPECT_GT(result.failures[0].offset, 0U) << text;
  }
  EXPECT_TRUE(expand(std::string(2 * kEnough, 'y'), env, kEnough).failures.empty());
}

}  // namespace
}  // namespace kportal::config
