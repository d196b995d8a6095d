// SPDX-License-Identifier: MIT
#include "lab/selector.h"

#include <gtest/gtest.h>

namespace kportal::lab {
namespace {

bool matches(std::string_view text, Labels const& labels) {
  auto const selector = Selector::parse(text);
  EXPECT_TRUE(selector) << text;
  return selector && selector->matches(labels);
}

TEST(LabSelectorTest, MatchesEveryForm) {
  Labels const web{{"app", "web"}, {"tier", "front"}};
  EXPECT_TRUE(matches("", web));
  EXPECT_TRUE(matches("app=web", web));
  EXPECT_TRUE(matches("app==web,tier=front", web));
  EXPECT_FALSE(matches("app=web,tier=back", web));
  EXPECT_FALSE(matches("app!=web", web));
  EXPECT_TRUE(matches("other!=x", web));
  EXPECT_TRUE(matches("app in (api, web),tier", web));
  EXPECT_FALSE(matches("app in (api)", web));
  EXPECT_TRUE(matches("app notin (api,db)", web));
  EXPECT_FALSE(matches("app notin (web)", web));
  EXPECT_TRUE(matches("!other", web));
  EXPECT_FALSE(matches("!app", web));
  EXPECT_FALSE(matches("other", web));
}

TEST(LabSelectorTest, RefusesWhatIsNoSelector) {
  for (auto const* const text : {"a b", "=x", "a in x)", "a within (x)", "a,", "a in (x"}) {
    EXPECT_FALSE(Selector::parse(text)) << text;
  }
}

}  // namespace
}  // namespace kportal::lab
