// SPDX-License-Identifier: MIT
#include "k8s/selector.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

namespace kportal::k8s {
namespace {

constexpr std::size_t kMaxPrefix = 253;
constexpr std::size_t kMaxName = 63;

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && is_alnum(text.front()) &&
         is_alnum(text.back()) && std::ranges::all_of(text, [](char c) {
           return is_alnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool is_dns_label(std::string_view text) {
  auto const lower = [](char c) { return is_alnum(c) && !(c >= 'A' && c <= 'Z'); };
  return !text.empty() && lower(text.front()) && lower(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return lower(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view text) {
  if (text.size() > kMaxPrefix) return false;
  for (;;) {
    std::size_t const dot = text.find('.');
    if (!is_dns_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_key(std::string_view text) {
  std::size_t const slash = text.find('/');
  if (slash == std::string_view::npos) return is_name(text);
  return is_dns_subdomain(text.substr(0, slash)) && is_name(text.substr(slash + 1));
}

bool is_value(std::string_view text) {
  return text.empty() || is_name(text);
}

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  char const* const end = text.data() + text.size();
  auto const [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || stop != end) return std::nullopt;
  return value;
}

bool is_comparison(SelectorOperator op) {
  return op == SelectorOperator::greater || op == SelectorOperator::less;
}

bool has_value(Requirement const& requirement, std::string_view value) {
  return std::ranges::binary_search(requirement.values, value, std::less<>{});
}

bool compare(Requirement const& requirement, std::string_view value) {
  auto const have = to_integer(value);
  auto const bound = to_integer(requirement.values.front());
  if (!have || !bound) return false;
  return requirement.op == SelectorOperator::greater ? *have > *bound : *have < *bound;
}

bool matches_one(Requirement const& requirement, Labels const& labels) {
  auto const found = labels.find(requirement.key);
  bool const there = found != labels.end();
  switch (requirement.op) {
    case SelectorOperator::exists:
      return there;
    case SelectorOperator::does_not_exist:
      return !there;
    case SelectorOperator::equals:
    case SelectorOperator::in:
      return there && has_value(requirement, found->second);
    case SelectorOperator::not_equals:
    case SelectorOperator::not_in:
      return !there || !has_value(requirement, found->second);
    case SelectorOperator::greater:
    case SelectorOperator::less:
      return there && compare(requirement, found->second);
  }
  return false;
}

std::string to_text(Requirement const& requirement) {
  auto const& [key, op, values] = requirement;
  switch (op) {
    case SelectorOperator::exists:
      return key;
    case SelectorOperator::does_not_exist:
      return "!" + key;
    case SelectorOperator::equals:
      return key + "=" + values.front();
    case SelectorOperator::not_equals:
      return key + "!=" + values.front();
    case SelectorOperator::greater:
      return key + ">" + values.front();
    case SelectorOperator::less:
      return key + "<" + values.front();
    case SelectorOperator::in:
      return fmt::format("{} in ({})", key, fmt::join(values, ","));
    case SelectorOperator::not_in:
      return fmt::format("{} notin ({})", key, fmt::join(values, ","));
  }
  return {};
}

// Why a requirement is none; empty if it is fine.
std::string problem_of(Requirement const& requirement) {
  auto const& [key, op, values] = requirement;
  if (!is_key(key)) return fmt::format("\"{}\" is not a label key", key);
  bool const bare = op == SelectorOperator::exists || op == SelectorOperator::does_not_exist;
  bool const set = op == SelectorOperator::in || op == SelectorOperator::not_in;
  if (bare && !values.empty()) return fmt::format("\"{}\" takes no values here", key);
  if (set && values.empty()) return fmt::format("\"{}\" needs at least one value", key);
  if (!bare && !set && values.size() != 1)
    return fmt::format("\"{}\" needs exactly one value", key);
  for (std::string const& value : values) {
    if (!is_value(value)) return fmt::format("\"{}\" is not a label value", value);
    if (is_comparison(op) && !to_integer(value))
      return fmt::format("\"{}\" is not an integer", value);
  }
  return {};
}

struct Token {
  enum class Kind { end, word, symbol } kind = Kind::end;
  std::string_view text;
};

// The grammar of apimachinery's pkg/labels: `in` and `notin` are words like others until their
// place makes them operators, and white space may stand anywhere between tokens.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { advance(); }

  Result<Selector> parse() {
    Selector selector;
    if (token_.kind == Token::Kind::end) return selector;
    for (;;) {
      auto requirement = parse_requirement();
      if (!requirement) return requirement.error();
      auto const added = selector.require(std::move(*requirement));
      if (!added) return added.error().within(where());
      if (token_.kind == Token::Kind::end) return selector;
      if (!take(",")) return unexpected("a comma");
    }
  }

 private:
  Result<Requirement> parse_requirement() {
    Requirement requirement;
    bool const negated = take("!");
    if (token_.kind != Token::Kind::word) return unexpected("a label key");
    requirement.key = take_text();
    if (negated) {
      requirement.op = SelectorOperator::does_not_exist;
    } else if (!at_end_of_requirement()) {
      auto const read = parse_operator(requirement);
      if (!read) return read.error();
    }
    return requirement;
  }

  Result<void> parse_operator(Requirement& requirement) {
    static constexpr std::pair<std::string_view, SelectorOperator> kOperators[] = {
        {"=", SelectorOperator::equals},      {"==", SelectorOperator::equals},
        {"!=", SelectorOperator::not_equals}, {"in", SelectorOperator::in},
        {"notin", SelectorOperator::not_in},  {">", SelectorOperator::greater},
        {"<", SelectorOperator::less}};
    auto const* const found =
        std::ranges::find(kOperators, token_.text, [](auto const& entry) { return entry.first; });
    if (found == std::end(kOperators)) return unexpected("one of = == != in notin > <");
    requirement.op = found->second;
    advance();
    if (requirement.op == SelectorOperator::in || requirement.op == SelectorOperator::not_in) {
      return parse_set(requirement);
    }
    requirement.values.push_back(take_optional_word());
    return {};
  }

  Result<void> parse_set(Requirement& requirement) {
    if (!take("(")) return unexpected("\"(\"");
    for (;;) {
      requirement.values.push_back(take_optional_word());
      if (take(")")) return {};
      if (!take(",")) return unexpected("\",\" or \")\"");
    }
  }

  bool at_end_of_requirement() const { return token_.kind == Token::Kind::end || is_symbol(","); }
  bool is_symbol(std::string_view symbol) const {
    return token_.kind == Token::Kind::symbol && token_.text == symbol;
  }
  bool take(std::string_view symbol) {
    if (!is_symbol(symbol)) return false;
    advance();
    return true;
  }
  std::string take_text() {
    std::string text(token_.text);
    advance();
    return text;
  }
  std::string take_optional_word() {
    return token_.kind == Token::Kind::word ? take_text() : std::string();
  }

  static bool is_special(char c) {
    return std::string_view("=!(),><").find(c) != std::string::npos;
  }
  static bool is_space(char c) { return std::string_view(" \t\r\n").find(c) != std::string::npos; }

  void advance() {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
    begin_ = position_;
    if (position_ == text_.size()) {
      token_ = {};
      return;
    }
    std::string_view const rest = text_.substr(position_);
    if (is_special(rest.front())) {
      bool const two = rest.starts_with("==") || rest.starts_with("!=");
      token_ = {Token::Kind::symbol, rest.substr(0, two ? 2 : 1)};
    } else {
      auto const* const end =
          std::ranges::find_if(rest, [](char c) { return is_special(c) || is_space(c); });
      token_ = {Token::Kind::word, {rest.begin(), end}};
    }
    position_ += token_.text.size();
  }

  std::string where() const { return fmt::format("selector \"{}\"", text_); }
  Error unexpected(std::string_view wanted) const {
    std::string const found = token_.kind == Token::Kind::end
                                  ? std::string("it ends")
                                  : fmt::format("found \"{}\"", token_.text);
    return {Errc::local, fmt::format("{}: {} at column {} where {} should be", where(), found,
                                     begin_ + 1, wanted)};
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t begin_ = 0;
  Token token_;
};

}  // namespace

Selector Selector::nothing() {
  Selector selector;
  selector.nothing_ = true;
  return selector;
}

Result<Selector> Selector::parse(std::string_view text) {
  if (text.size() > kMaxSelectorSize) {
    return Error(Errc::local, fmt::format("selector: longer than {} bytes", kMaxSelectorSize));
  }
  return Parser(text).parse();
}

Selector Selector::of_labels(Labels const& labels) {
  Selector selector;
  for (auto const& [key, value] : labels) {
    selector.requirements_.push_back({key, SelectorOperator::equals, {value}});
  }
  return selector;
}

Result<void> Selector::require(Requirement requirement) {
  std::ranges::sort(requirement.values);
  auto const duplicates = std::ranges::unique(requirement.values);
  requirement.values.erase(duplicates.begin(), duplicates.end());
  std::string problem = problem_of(requirement);
  if (!problem.empty()) return Error(Errc::local, std::move(problem));
  auto const place =
      std::ranges::upper_bound(requirements_, requirement.key, {}, &Requirement::key);
  requirements_.insert(place, std::move(requirement));
  return {};
}

bool Selector::matches(Labels const& labels) const {
  return !nothing_ && std::ranges::all_of(requirements_, [&](Requirement const& requirement) {
    return matches_one(requirement, labels);
  });
}

std::string Selector::to_query() const {
  std::string text;
  for (Requirement const& requirement : requirements_) {
    if (!text.empty()) text += ',';
    text += to_text(requirement);
  }
  return text;
}

}  // namespace kportal::k8s
