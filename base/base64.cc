// SPDX-License-Identifier: MIT
#include "base/base64.h"

#include <cstdint>

namespace kportal {

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::string_view const part = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < part.size() ? static_cast<unsigned char>(part[j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      result += j <= part.size() ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return result;
}

}  // namespace kportal
