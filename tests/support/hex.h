// SPDX-License-Identifier: MIT
// Bytes as literals in tests: "8003 0006" is four bytes; blanks do not count.
#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace kportal::test {

inline int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  assert(c >= 'a' && c <= 'f');
  return c - 'a' + 10;
}

inline std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  int high = -1;
  for (char const c : text) {
    if (c == ' ') continue;
    if (high < 0) {
      high = hex_digit(c);
    } else {
      bytes.push_back(static_cast<std::byte>(high * 16 + hex_digit(c)));
      high = -1;
    }
  }
  assert(high < 0);
  return bytes;
}

inline std::string to_hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::byte const b : bytes) {
    text += kDigits[std::to_integer<unsigned>(b) >> 4];
    text += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

}  // namespace kportal::test
