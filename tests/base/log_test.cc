// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <chrono>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kportal {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

constexpr char kStamp[] = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z ";

auto text_line(std::string const& rest) {
  return MatchesRegex(kStamp + rest);
}

class LogTest : public ::testing::Test {
 protected:
  LogTest() {
    log::set_output([this](std::string line) { lines_.push_back(std::move(line)); });
  }
  ~LogTest() override {
    log::reset_output();
    log::set_level(log::Level::info);
    log::set_format(log::Format::text);
  }

  std::vector<std::string> lines_;
};

TEST_F(LogTest, ALineIsTimeLevelAndMessage) {
  log::set_level(log::Level::debug);
  log::debug("port {}", 8080);
  log::info("bound");
  log::warn("{} of {}", 1, "two");
  log::error("gone");
  EXPECT_THAT(lines_, ElementsAre(text_line("debug port 8080"), text_line("info  bound"),
                                  text_line("warn  1 of two"), text_line("error gone")));
}

TEST_F(LogTest, LevelsBelowAreNotMade) {
  log::debug("no");
  log::info("yes");
  log::set_level(log::Level::error);
  log::warn("no");
  log::error("yes");
  EXPECT_EQ(lines_.size(), 2u);
  EXPECT_TRUE(log::enabled(log::Level::error));
  EXPECT_FALSE(log::enabled(log::Level::warn));
}

TEST_F(LogTest, AMessageStaysOneHarmlessLine) {
  log::info("{}", "a\nb\x1b[31m\xFF");
  EXPECT_THAT(lines_, ElementsAre(::testing::EndsWith(" info  a\\nb\\x1b[31m\uFFFD")));
}

TEST_F(LogTest, BracesInAMessageAreText) {
  log::write(log::Level::info, "{} %s {0}");
  EXPECT_THAT(lines_, ElementsAre(::testing::EndsWith(" info  {} %s {0}")));
}

TEST_F(LogTest, JsonForm) {
  log::set_format(log::Format::json);
  log::warn("say \"hi\"\n");
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(lines_[0].substr(0, 9), R"({"time":")");
  EXPECT_EQ(lines_[0].substr(33), R"(","level":"warn","message":"say \"hi\"\n"})");
}

TEST_F(LogTest, AnEndlessMessageIsCut) {
  log::info("{}", std::string(log::kMaxMessage + 5, 'x'));
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], ::testing::EndsWith("xxx... (5 more bytes)"));
}

TEST_F(LogTest, SeveralThreadsMayLog) {
  std::thread other([] {
    for (int i = 0; i < 500; ++i) log::info("other");
  });
  for (int i = 0; i < 500; ++i) log::info("this");
  other.join();
  EXPECT_EQ(lines_.size(), 1000u);
}

TEST_F(LogTest, GoesThroughAWriter) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  {
    Writer writer;
    log::set_output(writer, writer.add(ends[1]));
    log::info("through the writer");
    EXPECT_TRUE(writer.drain(Clock::now() + std::chrono::seconds(5)));
    log::reset_output();
  }
  char bytes[256];
  ssize_t const size = ::read(ends[0], bytes, sizeof bytes);
  ASSERT_GT(size, 0);
  EXPECT_THAT(std::string(bytes, static_cast<std::size_t>(size)),
              ::testing::EndsWith("Z info  through the writer\n"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(LogTest, WithoutAnOutputItIsStderr) {
  log::reset_output();
  ::testing::internal::CaptureStderr();
  log::error("early");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), text_line("error early\n"));
  EXPECT_TRUE(lines_.empty());
}

}  // namespace
}  // namespace kportal
