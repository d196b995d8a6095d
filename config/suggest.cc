// SPDX-License-Identifier: MIT
#include "config/suggest.h"

#include <algorithm>
#include <string>
#include <vector>

namespace kportal::config {
namespace {

constexpr std::size_t kMaxWord = 40;  // the distance takes the product of two lengths

std::string folded(std::string_view word) {
  std::string out;
  for (char const c : word) {
    if (c == '-' || c == '_') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

// Insertions, deletions, replacements, and exchanges of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        table[i][j] = i + j;
        continue;
      }
      std::size_t const replaced = table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      table[i][j] = std::min({replaced, table[i - 1][j] + 1, table[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        table[i][j] = std::min(table[i][j], table[i - 2][j - 2] + 1);
      }
    }
  }
  return table[a.size()][b.size()];
}

}  // namespace

std::string_view closest(std::string_view word, std::span<std::string_view const> candidates) {
  if (word.empty() || word.size() > kMaxWord) return {};
  std::string const folded_word = folded(word);
  std::string_view best;
  std::size_t best_distance = word.size() < 5 ? 2 : 3;  // one more than is still near
  for (std::string_view const candidate : candidates) {
    std::size_t const found = distance(folded_word, folded(candidate));
    if (found >= best_distance) continue;
    best = candidate;
    best_distance = found;
  }
  return best;
}

}  // namespace kportal::config
