// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

namespace kportal::fuzz {
namespace {

constexpr double kMaxSeconds = 2;

double processor_seconds() {
  std::timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

void require(bool holds, std::source_location where) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: does not hold\n", where.file_name(), where.line());
  std::abort();
}

Budget::Budget() : started_(processor_seconds()) {}

Budget::~Budget() {
  require(processor_seconds() - started_ < kMaxSeconds);
}

Input::Input(std::uint8_t const* data, std::size_t size)
    : rest_(reinterpret_cast<char const*>(data), size) {}

std::uint8_t Input::byte() {
  return static_cast<std::uint8_t>(number(1));
}

std::uint32_t Input::number(std::size_t bytes) {
  std::uint32_t value = 0;
  for (char const c : text(bytes)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::string_view Input::text(std::size_t size) {
  auto const text = rest_.substr(0, size);
  rest_.remove_prefix(text.size());
  return text;
}

std::string_view Input::line() {
  auto const line = text(rest_.find('\0'));
  text(1);
  return line;
}

std::vector<std::string> pieces(std::string_view text, std::size_t most) {
  std::minstd_rand random(static_cast<unsigned>(std::hash<std::string_view>()(text)));
  std::vector<std::string> result;
  while (!text.empty()) {
    std::size_t const size = std::min<std::size_t>(text.size(), 1 + random() % most);
    result.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return result;
}

bool is_one_clean_line(std::string_view text) {
  return std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace kportal::fuzz
