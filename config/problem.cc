// SPDX-License-Identifier: MIT
#include "config/problem.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

namespace kportal::config {
namespace {

constexpr std::size_t kMaxQuoted = 80;  // bytes of a value that a message shows

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// C0, DEL, and the C1 block, which some terminals obey too.
bool is_control(std::string_view text, std::size_t at) {
  auto const c = static_cast<unsigned char>(text[at]);
  if (c < 0x20 || c == 0x7F) return true;
  return c == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0;
}

}  // namespace

std::string to_text(Problem const& problem) {
  if (problem.line == 0) return fmt::format("{}: {}", problem.file, problem.message);
  return fmt::format("{}:{}:{}: {}", problem.file, problem.line, problem.column, problem.message);
}

std::string quoted(std::string_view text) {
  std::size_t end = text.size();
  if (end > kMaxQuoted) {
    end = kMaxQuoted;
    while (end > 0 && is_continuation(text[end])) --end;
  }
  std::string out = "\"";
  for (std::size_t at = 0; at < end; ++at) {
    if (!is_control(text, at)) {
      out += text[at];
      continue;
    }
    out += '?';
    if (static_cast<unsigned char>(text[at]) == 0xC2) ++at;
  }
  out += end < text.size() ? "...\"" : "\"";
  return out;
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
