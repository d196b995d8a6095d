// SPDX-License-Identifier: MIT
#include "k8s/kubeconfig_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>

namespace kportal::k8s {
namespace {

// Longer ones are no number that Go could hold.
constexpr std::size_t kMaxNumber = 400;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int base_of(std::string_view& digits) {
  if (digits.size() < 2 || digits[0] != '0') return 10;
  char const mark = digits[1];
  int base = 8;
  if (mark == 'x' || mark == 'X') base = 16;
  if (mark == 'b' || mark == 'B') base = 2;
  digits.remove_prefix(base != 8 || mark == 'o' || mark == 'O' ? 2 : 1);
  return base;
}

bool is_integer(std::string_view digits, bool negative) {
  int const base = base_of(digits);
  std::uint64_t value = 0;
  char const* const end = digits.data() + digits.size();
  auto const [stop, problem] = std::from_chars(digits.data(), end, value, base);
  constexpr std::uint64_t kSmallest = std::uint64_t{1} << 63;
  return problem == std::errc{} && stop == end && (!negative || value <= kSmallest);
}

// [0-9]+(.[0-9]*)? or .[0-9]+, then perhaps an exponent.
bool is_float(std::string_view text) {
  auto const skip_digits = [&] {
    std::size_t const n = std::min(text.size(), text.find_first_not_of("0123456789"));
    text.remove_prefix(n);
    return n;
  };
  std::string const whole(text);
  std::size_t digits = skip_digits();
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    digits += skip_digits();
  }
  if (digits == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (skip_digits() == 0) return false;
  }
  if (!text.empty()) return false;
  double value = 0;
  auto const [stop, problem] = std::from_chars(whole.data(), whole.data() + whole.size(), value);
  return problem == std::errc{};
}

}  // namespace

std::optional<bool> yaml_truth(std::string_view plain) {
  constexpr std::array kYes{"y",    "Y",    "yes", "Yes", "YES", "true",
                            "True", "TRUE", "on",  "On",  "ON"};
  constexpr std::array kNo{"n",     "N",     "no",  "No",  "NO", "false",
                           "False", "FALSE", "off", "Off", "OFF"};
  if (std::find(kYes.begin(), kYes.end(), plain) != kYes.end()) return true;
  if (std::find(kNo.begin(), kNo.end(), plain) != kNo.end()) return false;
  return std::nullopt;
}

bool is_yaml_number(std::string_view plain) {
  if (plain.empty() || plain.size() > kMaxNumber) return false;
  for (std::string_view const word : {".nan", ".NaN", ".NAN"}) {
    if (plain == word) return true;
  }
  bool const sign = plain.front() == '+' || plain.front() == '-';
  bool const negative = plain.front() == '-';
  if (sign) plain.remove_prefix(1);
  for (std::string_view const word : {".inf", ".Inf", ".INF"}) {
    if (plain == word) return true;
  }
  if (plain.empty() || (!is_digit(plain.front()) && plain.front() != '.')) return false;
  std::string digits(plain);
  std::erase(digits, '_');
  return is_integer(digits, negative) || is_float(digits);
}

bool is_yaml_text(std::string_view plain) {
  return !yaml_truth(plain) && !is_yaml_number(plain);
}

}  // namespace kportal::k8s
