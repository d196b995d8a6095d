// SPDX-License-Identifier: MIT
#include "config/problem.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/printable.h"

namespace kportal::config {
namespace {

constexpr std::size_t kMaxQuoted = 80;  // bytes of a value that a message shows

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

}  // namespace

std::string to_text(Problem const& problem) {
  if (problem.line == 0) return fmt::format("{}: {}", problem.file, problem.message);
  return fmt::format("{}:{}:{}: {}", problem.file, problem.line, problem.column, problem.message);
}

std::string in_quotes(std::string_view text) {
  std::size_t end = text.size();
  if (end > kMaxQuoted) {
    end = kMaxQuoted;
    while (end > 0 && is_continuation(text[end])) --end;
  }
  return fmt::format("\"{}{}\"", printable(text.substr(0, end)), end < text.size() ? "..." : "");
}

void Report::add(std::size_t file, Place place, std::string message) {
  if (found_.size() >= kMaxProblems) {
    ++left_out_;
    return;
  }
  found_.push_back({file, place, std::move(message)});
}

std::vector<Problem> Report::take(std::vector<std::string> const& files) {
  auto const key = [](Found const& f) { return std::tie(f.file, f.place); };
  std::stable_sort(found_.begin(), found_.end(),
                   [&](Found const& a, Found const& b) { return key(a) < key(b); });
  std::vector<Problem> out;
  for (Found& found : found_) {
    Problem problem{files[found.file], found.place.line, found.place.column,
                    std::move(found.message)};
    if (out.empty() || out.back() != problem) out.push_back(std::move(problem));
  }
  if (left_out_ > 0) {
    out.push_back({files[found_.back().file], 0, 0, fmt::format("and {} more", left_out_)});
  }
  found_.clear();
  left_out_ = 0;
  return out;
}

}  // namespace kportal::config
