// SPDX-License-Identifier: MIT
#include "config/duration.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace kportal::config {
namespace {

constexpr std::uint64_t kLimit = std::uint64_t{1} << 63U;  // the size of the smallest negative

struct Unit {
  std::string_view word;
  std::uint64_t nanoseconds;
};
// Both characters that look like a micro: U+00B5 and U+03BC.
constexpr std::array<Unit, 8> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"\u00B5s", 1'000},
                                      {"\u03BCs", 1'000},
                                      {"ms", 1'000'000},
                                      {"s", 1'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"h", 3'600'000'000'000}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes the digits at the front. False if they are more than kLimit.
bool take_integer(std::string_view& text, std::uint64_t& value) {
  value = 0;
  while (!text.empty() && is_digit(text.front())) {
    if (value > kLimit / 10) return false;
    value = value * 10 + static_cast<std::uint64_t>(text.front() - '0');
    if (value > kLimit) return false;
    text.remove_prefix(1);
  }
  return true;
}

struct Fraction {
  std::uint64_t digits = 0;
  double scale = 1;
};

// Digits beyond what fits are dropped, as Go does.
Fraction take_fraction(std::string_view& text) {
  Fraction fraction;
  bool full = false;
  while (!text.empty() && is_digit(text.front())) {
    auto const digit = static_cast<std::uint64_t>(text.front() - '0');
    text.remove_prefix(1);
    full = full || fraction.digits > (kLimit - 1) / 10;
    if (full) continue;
    fraction.digits = fraction.digits * 10 + digit;
    fraction.scale *= 10;
  }
  return fraction;
}

Unit const* take_unit(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && text[length] != '.' && !is_digit(text[length])) ++length;
  std::string_view const word = text.substr(0, length);
  text.remove_prefix(length);
  for (Unit const& unit : kUnits) {
    if (unit.word == word) return &unit;
  }
  return nullptr;
}

// One "1.5h". False if it is none or too much.
bool take_part(std::string_view& text, std::uint64_t& nanoseconds) {
  std::size_t const before = text.size();
  std::uint64_t whole = 0;
  if (!take_integer(text, whole)) return false;
  bool digits = text.size() != before;
  Fraction fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    std::size_t const at_fraction = text.size();
    fraction = take_fraction(text);
    digits = digits || text.size() != at_fraction;
  }
  if (!digits) return false;
  Unit const* const unit = take_unit(text);
  if (unit == nullptr || whole > kLimit / unit->nanoseconds) return false;
  nanoseconds = whole * unit->nanoseconds;
  if (fraction.digits > 0) {
    double const part = static_cast<double>(fraction.digits) *
                        (static_cast<double>(unit->nanoseconds) / fraction.scale);
    nanoseconds += static_cast<std::uint64_t>(part);
  }
  return nanoseconds <= kLimit;
}

// `value` thousandths and so on of a unit, without zeros at the end: "1.5".
std::string decimal(std::uint64_t value, std::uint64_t unit) {
  std::string out = fmt::format("{}", value / unit);
  std::uint64_t rest = value % unit;
  if (rest == 0) return out;
  out += '.';
  while (rest > 0) {
    unit /= 10;
    out += static_cast<char>('0' + static_cast<int>(rest / unit));
    rest %= unit;
  }
  return out;
}

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  bool const negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return std::chrono::nanoseconds{0};
  if (text.empty()) return {};
  std::uint64_t total = 0;
  while (!text.empty()) {
    std::uint64_t part = 0;
    if (!take_part(text, part)) return {};
    total += part;  // both at most 2^63: the sum may wrap only to 0
    if (total > kLimit || total < part) return {};
  }
  if (negative) return std::chrono::nanoseconds{static_cast<std::int64_t>(~total + 1)};
  if (total == kLimit) return {};
  return std::chrono::nanoseconds{static_cast<std::int64_t>(total)};
}

std::string format_duration(std::chrono::nanoseconds duration) {
  auto const count = duration.count();
  std::string const sign = count < 0 ? "-" : "";
  auto const value =
      count < 0 ? ~static_cast<std::uint64_t>(count) + 1 : static_cast<std::uint64_t>(count);
  if (value == 0) return "0s";
  if (value < 1'000) return fmt::format("{}{}ns", sign, value);
  if (value < 1'000'000) return sign + decimal(value, 1'000) + "us";
  if (value < 1'000'000'000) return sign + decimal(value, 1'000'000) + "ms";
  std::uint64_t const minutes = value / 60'000'000'000;
  std::uint64_t const rest = value % 60'000'000'000;
  std::string out = sign;
  if (minutes >= 60) out += fmt::format("{}h", minutes / 60);
  if (minutes % 60 > 0 || (minutes >= 60 && rest > 0)) out += fmt::format("{}m", minutes % 60);
  if (rest > 0) out += decimal(rest, 1'000'000'000) + "s";
  return out;
}

}  // namespace kportal::config
