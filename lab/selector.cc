// SPDX-License-Identifier: MIT
#include "lab/selector.h"

#include <algorithm>

#include <fmt/format.h>

namespace kportal::lab {
namespace {

constexpr std::size_t kMaxRequirements = 100;

std::string_view trim(std::string_view text) {
  auto const begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// Cuts `text` at commas that are not inside parentheses.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '(') ++depth;
    if (i < text.size() && text[i] == ')') --depth;
    if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
    parts.push_back(trim(text.substr(begin, i - begin)));
    begin = i + 1;
  }
  return parts;
}

bool is_key(std::string_view text) {
  if (text.empty()) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/';
  });
}

std::optional<Requirement> make(Requirement::Kind kind, std::string_view key,
                                std::vector<std::string> values) {
  if (!is_key(key)) return std::nullopt;
  return Requirement{kind, std::string(key), std::move(values)};
}

// "key in (a,b)" or "key notin (a,b)"; `at` is where " in" or " notin" begins.
std::optional<Requirement> parse_set(std::string_view text, std::size_t open) {
  if (!text.ends_with(')')) return std::nullopt;
  auto const head = trim(text.substr(0, open));
  auto const space = head.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  auto const word = trim(head.substr(space));
  std::vector<std::string> values;
  for (auto const value : split(text.substr(open + 1, text.size() - open - 2))) {
    values.emplace_back(value);
  }
  if (word == "in") return make(Requirement::Kind::in, head.substr(0, space), std::move(values));
  if (word != "notin") return std::nullopt;
  return make(Requirement::Kind::not_in, head.substr(0, space), std::move(values));
}

std::optional<Requirement> parse_one(std::string_view text) {
  if (auto const open = text.find('('); open != std::string_view::npos)
    return parse_set(text, open);
  auto const equal = text.find('=');
  if (equal == std::string_view::npos) {
    if (text.starts_with('!')) return make(Requirement::Kind::not_exists, trim(text.substr(1)), {});
    return make(Requirement::Kind::exists, text, {});
  }
  auto const negated = equal > 0 && text[equal - 1] == '!';
  auto const doubled = equal + 1 < text.size() && text[equal + 1] == '=';
  auto const key = trim(text.substr(0, negated ? equal - 1 : equal));
  auto const value = trim(text.substr(doubled ? equal + 2 : equal + 1));
  return make(negated ? Requirement::Kind::not_in : Requirement::Kind::in, key,
              {std::string(value)});
}

bool holds(Requirement const& requirement, Labels const& labels) {
  auto const at = labels.find(requirement.key);
  auto const& values = requirement.values;
  auto const listed =
      at != labels.end() && std::find(values.begin(), values.end(), at->second) != values.end();
  switch (requirement.kind) {
    case Requirement::Kind::in:
      return listed;
    case Requirement::Kind::not_in:
      return !listed;
    case Requirement::Kind::exists:
      return at != labels.end();
    case Requirement::Kind::not_exists:
      return at == labels.end();
  }
  return false;
}

}  // namespace

Result<Selector> Selector::parse(std::string_view text) {
  Selector selector;
  if (trim(text).empty()) return selector;
  for (auto const part : split(text)) {
    auto requirement = parse_one(part);
    if (!requirement || selector.requirements_.size() == kMaxRequirements) {
      return Error(Errc::server, fmt::format("unable to parse requirement: '{}'", part));
    }
    selector.requirements_.push_back(std::move(*requirement));
  }
  return selector;
}

bool Selector::matches(Labels const& labels) const {
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](Requirement const& each) { return holds(each, labels); });
}

}  // namespace kportal::lab
