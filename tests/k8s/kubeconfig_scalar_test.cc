// SPDX-License-Identifier: MIT
#include "k8s/kubeconfig_scalar.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

// Each of them was given to kubectl 1.35 as a token: it says that a number or a bool is no string.
TEST(KubeconfigScalarTest, NumbersAreWhatGoTakesForSuch) {
  for (char const* const text : {"0",
                                 "7",
                                 "0x1F",
                                 "0XfF",
                                 "0b11",
                                 "0o17",
                                 "017",
                                 "08",
                                 "1_000",
                                 "-5",
                                 "+5",
                                 "1.5",
                                 ".5",
                                 "5.",
                                 "1e5",
                                 "1E-5",
                                 "-1.5e+3",
                                 ".inf",
                                 "+.Inf",
                                 "-.INF",
                                 ".nan",
                                 ".NaN",
                                 "18446744073709551615",
                                 "99999999999999999999"}) {
    EXPECT_TRUE(is_yaml_number(text)) << text;
    EXPECT_FALSE(is_yaml_text(text)) << text;
  }
}

TEST(KubeconfigScalarTest, AllElseIsText) {
  for (char const* const text :
       {"a",          "0x",    "0b12", "1.2.3", "1e",    "1e999",
        "2024-01-02", "12:30", "0xG",  "-",     "+",     ".",
        "e5",         "1-2",   "inf",  "nan",   "-.nan", "18446744073709551616x",
        "yEs",        "oN",    "tRue", "--5"}) {
    EXPECT_TRUE(is_yaml_text(text)) << text;
  }
  EXPECT_TRUE(is_yaml_text(std::string(100'000, '7')));
}

TEST(KubeconfigScalarTest, TruthHasTheWordsOfYaml11) {
  for (char const* const text : {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on"}) {
    EXPECT_EQ(yaml_truth(text), true) << text;
  }
  for (char const* const text : {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "Off"}) {
    EXPECT_EQ(yaml_truth(text), false) << text;
  }
  for (char const* const text : {"", "yEs", "1", "0", "t", "enabled"}) {
    EXPECT_EQ(yaml_truth(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace kportal::k8s
