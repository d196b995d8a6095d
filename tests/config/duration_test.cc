// SPDX-License-Identifier: MIT
#include "config/duration.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace kportal::config {
namespace {

constexpr std::int64_t kUs = 1'000;
constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;

// The table of Go's TestParseDuration (src/time/time_test.go).
TEST(DurationTest, ReadsWhatGoReads) {
  struct Case {
    char const* text;
    std::int64_t nanoseconds;
  };
  Case const cases[] = {
      {"0", 0},
      {"5s", 5 * kSecond},
      {"30s", 30 * kSecond},
      {"1478s", 1478 * kSecond},
      {"-5s", -5 * kSecond},
      {"+5s", 5 * kSecond},
      {"-0", 0},
      {"+0", 0},
      {"5.0s", 5 * kSecond},
      {"5.6s", 5 * kSecond + 600 * kMs},
      {"5.s", 5 * kSecond},
      {".5s", 500 * kMs},
      {"1.0s", kSecond},
      {"1.00s", kSecond},
      {"1.004s", kSecond + 4 * kMs},
      {"1.0040s", kSecond + 4 * kMs},
      {"100.00100s", 100 * kSecond + kMs},
      {"10ns", 10},
      {"11us", 11 * kUs},
      {"12\u00b5s", 12 * kUs},
      {"12\u03bcs", 12 * kUs},
      {"13ms", 13 * kMs},
      {"14s", 14 * kSecond},
      {"15m", 15 * kMinute},
      {"16h", 16 * kHour},
      {"3h30m", 3 * kHour + 30 * kMinute},
      {"10.5s4m", 4 * kMinute + 10 * kSecond + 500 * kMs},
      {"-2m3.4s", -(2 * kMinute + 3 * kSecond + 400 * kMs)},
      {"1h2m3s4ms5us6ns", kHour + 2 * kMinute + 3 * kSecond + 4 * kMs + 5 * kUs + 6},
      {"39h9m14.425s", 39 * kHour + 9 * kMinute + 14 * kSecond + 425 * kMs},
      {"52763797000ns", 52763797000},
      {"0.3333333333333333333h", 20 * kMinute},
      {"9007199254740993ns", (std::int64_t{1} << 53) + 1},
      {"9223372036854775807ns", INT64_MAX},
      {"9223372036854775.807us", INT64_MAX},
      {"9223372036s854ms775us807ns", INT64_MAX},
      {"-9223372036854775808ns", INT64_MIN},
      {"-9223372036854775.808us", INT64_MIN},
      {"-9223372036s854ms775us808ns", INT64_MIN},
      {"-2562047h47m16.854775808s", INT64_MIN},
      {"0.100000000000000000000h", 6 * kMinute},
      {"0.830103483285477580700h", 49 * kMinute + 48 * kSecond + 372539827},
  };
  for (Case const& c : cases) {
    auto const result = parse_duration(c.text);
    ASSERT_TRUE(result) << c.text;
    EXPECT_EQ(result->count(), c.nanoseconds) << c.text;
  }
}

TEST(DurationTest, RefusesWhatGoRefuses) {
  for (char const* text : {"",
                           "3",
                           "-",
                           "s",
                           ".",
                           "-.",
                           ".s",
                           "+.s",
                           "1d",
                           "\x85\x85",
                           "\xff\xff",
                           "hello",
                           "9223372036854775810ns",
                           "9223372036854775808ns",
                           "-9223372036854775809ns",
                           "9223372036854776us",
                           "3000000h",
                           "9223372036854775.808us",
                           "9223372036854ms775us808ns",
                           "-99999999999999999999s",
                           "5 s",
                           " 5s",
                           "5s ",
                           "1,5s",
                           "5S",
                           "--5s",
                           "1e3s",
                           "0x5s",
                           "00",
                           "9223372036854775808ns9223372036854775808ns"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(DurationTest, SurvivesANulByte) {
  EXPECT_FALSE(parse_duration(std::string_view("5s\0", 3)));
  EXPECT_FALSE(parse_duration(std::string_view("\0", 1)));
}

TEST(DurationTest, PrintsShortForms) {
  struct Case {
    std::int64_t nanoseconds;
    char const* text;
  };
  Case const cases[] = {
      {0, "0s"},
      {1, "1ns"},
      {1'100, "1.1us"},
      {2'200'000, "2.2ms"},
      {250 * kMs, "250ms"},
      {3'300 * kMs, "3.3s"},
      {90 * kSecond, "1m30s"},
      {25 * kMinute, "25m"},
      {2 * kHour, "2h"},
      {kHour + kSecond, "1h0m1s"},
      {4 * kMinute + 5 * kSecond + kMs, "4m5.001s"},
      {-5 * kSecond, "-5s"},
      {INT64_MAX, "2562047h47m16.854775807s"},
      {INT64_MIN, "-2562047h47m16.854775808s"},
  };
  for (Case const& c : cases) {
    std::chrono::nanoseconds const duration{c.nanoseconds};
    EXPECT_EQ(format_duration(duration), c.text);
    EXPECT_EQ(parse_duration(c.text), duration) << c.text;
  }
}

}  // namespace
}  // namespace kportal::config
