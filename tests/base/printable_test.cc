// SPDX-License-Identifier: MIT
#include "base/printable.h"

#include <cstdlib>
#include <ctime>

#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::string_view_literals;
using namespace std::chrono_literals;

std::string json_string(std::string_view text) {
  std::string to;
  append_json_string(to, text);
  return to;
}

WallTime utc(std::chrono::year_month_day date, std::chrono::milliseconds of_day) {
  return std::chrono::sys_days(date) + of_day;
}

TEST(PrintableTest, LeavesTextAlone) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("pod \"a\" \\ ok ~"), "pod \"a\" \\ ok ~");
  EXPECT_EQ(printable("Zoë, 東京, \xF0\x9F\x9A\x80"), "Zoë, 東京, \xF0\x9F\x9A\x80");
}

TEST(PrintableTest, ControlCharactersLoseTheirPower) {
  EXPECT_EQ(printable("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(printable("\x1b[2J\x07\x7f\0"sv), "\\x1b[2J\\x07\\x7f\\x00");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\u009b31m");  // CSI in one character
  EXPECT_EQ(printable("a\xE2\x80\xA8"
                      "b\xE2\x80\xAE"
                      "c\xE2\x81\xA6"),
            "a\\u2028b\\u202ec\\u2066");
}

TEST(PrintableTest, BadBytesAreReplacedOneByOne) {
  EXPECT_EQ(printable("a\xFF"
                      "b"),
            "a\uFFFDb");
  EXPECT_EQ(printable("\xC3"), "\uFFFD");                                // cut off
  EXPECT_EQ(printable("\xE2\x82"), "\uFFFD\uFFFD");                      // cut off
  EXPECT_EQ(printable("\xC0\x80"), "\uFFFD\uFFFD");                      // overlong NUL
  EXPECT_EQ(printable("\xC1\xBF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(printable("\xE0\x9F\xBF"), "\uFFFD\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(printable("\xF0\x8F\xBF\xBF"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // over U+10FFFF
  EXPECT_EQ(printable("\x80"
                      "a"),
            "\uFFFDa");  // nothing to continue
}

TEST(PrintableTest, TheEdgesOfUtf8Pass) {
  for (std::string_view const edge : {"\xC2\xA0", "\xDF\xBF", "\xE0\xA0\x80", "\xEF\xBF\xBF",
                                      "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"}) {
    EXPECT_EQ(printable(edge), edge);
  }
}

TEST(PrintableTest, JsonStringsEscapeWhatJsonMust) {
  EXPECT_EQ(json_string(""), R"("")");
  EXPECT_EQ(json_string(R"(say "hi" \ o/)"), R"("say \"hi\" \\ o/")");
  EXPECT_EQ(json_string("a\nb\t\r\x1b\x7f\0"sv), R"("a\nb\t\r\u001b\u007f\u0000")");
  EXPECT_EQ(json_string("Zoë \xFF \xE2\x80\xA8"), "\"Zoë \uFFFD \\u2028\"");
}

TEST(PrintableTest, UtcTimestampHasThreeDecimals) {
  using namespace std::chrono;
  auto const base = utc(2026y / November / 23, 14h + 5min + 1s + 123ms);
  EXPECT_EQ(utc_timestamp(base), "2026-11-23T14:05:01.123Z");
  EXPECT_EQ(utc_timestamp(base + 999us), "2026-11-23T14:05:01.123Z");
  EXPECT_EQ(utc_timestamp(utc(2028y / February / 29, 0ms)), "2028-02-29T00:00:00.000Z");
  EXPECT_EQ(utc_timestamp(utc(1969y / December / 31, 23h + 59min + 59s + 999ms)),
            "1969-12-31T23:59:59.999Z");
}

TEST(PrintableTest, LocalTimeIsOfTheZone) {
  using namespace std::chrono;
  ::setenv("TZ", "XYZ-5:30", 1);
  ::tzset();
  EXPECT_EQ(local_time_of_day(utc(2026y / November / 23, 20h + 5min + 1s + 7ms)), "01:35:01.007");
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(local_time_of_day(utc(2026y / November / 23, 20h + 5min + 1s + 7ms)), "20:05:01.007");
}

}  // namespace
}  // namespace kportal
