// SPDX-License-Identifier: MIT
#include "k8s/json_splitter.h"

#include <utility>

#include <fmt/format.h>

namespace kportal::k8s {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool begins_word(char c) {
  return c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n';
}

bool ends_word(char c) {
  return is_space(c) || c == ',' || c == ']' || c == '}';
}

Error too_large(char const* what, std::size_t bytes) {
  return {Errc::limit, fmt::format("{} of more than {} MiB", what, bytes >> 20)};
}

}  // namespace

void JsonSplitter::append(std::string bytes) {
  if (at_ == input_.size()) {
    input_ = std::move(bytes);
  } else {
    input_.erase(0, at_);
    input_.append(bytes);
  }
  at_ = 0;
}

Result<std::optional<JsonPiece>> JsonSplitter::next() {
  while (at_ < input_.size() && !problem_) {
    step();
    if (piece_ && !problem_) return std::exchange(piece_, std::nullopt);
  }
  if (problem_) return *problem_;
  return std::optional<JsonPiece>();
}

void JsonSplitter::step() {
  switch (token_) {
    case Token::key:
    case Token::string:
      return take_string();
    case Token::word:
      return take_word();
    case Token::none:
      break;
  }
  char const c = input_[at_];
  if (!is_space(c)) structure(c);
  advance(token_ == Token::word ? 0 : 1);
}

void JsonSplitter::structure(char c) {
  if (levels_.empty()) {
    if (c != '{') {
      problem_ = Error(Errc::protocol, "this is no JSON object");
      return;
    }
    return open(false, keep_);
  }
  switch (expect_) {
    case Expect::key:
    case Expect::key_or_end:
      if (c == '}' && expect_ == Expect::key_or_end) return close(false);
      if (c != '"') return broken();
      token_ = Token::key;
      keeping_ = levels_.back().rule != nullptr;
      key_.assign(1, c);
      return;
    case Expect::colon:
      if (c != ':') return broken();
      expect_ = Expect::value;
      return;
    case Expect::value_or_end:
      if (c == ']') return close(true);
      return begin_value(c);
    case Expect::value:
      return begin_value(c);
    case Expect::comma_or_end:
      if (c == '}' || c == ']') return close(c == ']');
      if (c != ',') return broken();
      expect_ = levels_.back().array ? Expect::value : Expect::key;
      return;
  }
}

void JsonSplitter::begin_value(char c) {
  Level& level = levels_.back();
  JsonRule const* rule = child_;
  if (level.array) rule = level.rule == nullptr ? nullptr : level.rule->element();
  if (level.elements) {
    in_element_ = true;
    element_size_ = 0;
  } else if (rule != nullptr) {
    if (std::exchange(level.any, true)) keep(",");
    if (!level.array) keep(key_ + ":");
  }
  if (c == '{' || c == '[') return open(c == '[', rule);
  keeping_ = rule != nullptr;
  if (c == '"') {
    token_ = Token::string;
    if (keeping_) keep("\"");
  } else if (begins_word(c)) {
    token_ = Token::word;
  } else {
    broken();
  }
}

void JsonSplitter::open(bool array, JsonRule const* rule) {
  if (levels_.size() >= kMaxJsonDepth) {
    problem_ = Error(Errc::server, fmt::format("the server sent JSON nested deeper than {} levels",
                                               kMaxJsonDepth));
    return;
  }
  bool const entered =
      rule != nullptr && rule->enters(array ? JsonRule::Kind::array : JsonRule::Kind::object);
  Level level{array, rule != nullptr, entered ? rule : nullptr};
  level.elements = array && entered && levels_.size() == 1 && !elements_.empty() &&
                   std::string_view(key_).substr(1, key_.size() - 2) == elements_;
  if (level.shown) keep(array ? "[" : "{");
  levels_.push_back(level);
  expect_ = array ? Expect::value_or_end : Expect::key_or_end;
}

void JsonSplitter::close(bool array) {
  if (levels_.back().array != array) return broken();
  if (levels_.back().shown) keep(array ? "]" : "}");
  levels_.pop_back();
  end_value();
}

void JsonSplitter::end_value() {
  expect_ = Expect::comma_or_end;
  if (levels_.empty()) {
    piece_.emplace(std::exchange(document_, std::string()), false);
    document_size_ = 0;
  } else if (levels_.back().elements) {
    piece_.emplace(std::exchange(element_, std::string()), true);
    in_element_ = false;
  }
}

// From behind the opening quote, or from where the input was cut.
void JsonSplitter::take_string() {
  std::size_t end = at_;
  bool whole = false;
  while (end < input_.size() && !whole) {
    char const c = input_[end++];
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else {
      whole = c == '"';
    }
  }
  std::string_view const text = std::string_view(input_).substr(at_, end - at_);
  if (keeping_) {
    token_ == Token::key ? keep_in(key_, text) : keep(text);
  }
  advance(text.size());
  if (!whole) return;
  if (std::exchange(token_, Token::none) != Token::key) return end_value();
  std::string_view const name = std::string_view(key_).substr(1, key_.size() - 2);
  child_ = keeping_ ? levels_.back().rule->member(name) : nullptr;
  expect_ = Expect::colon;
}

void JsonSplitter::take_word() {
  std::size_t end = at_;
  while (end < input_.size() && !ends_word(input_[end])) ++end;
  if (keeping_) keep(std::string_view(input_).substr(at_, end - at_));
  bool const whole = end < input_.size();
  advance(end - at_);
  if (!whole) return;
  token_ = Token::none;
  end_value();
}

void JsonSplitter::keep(std::string_view text) {
  keep_in(in_element_ ? element_ : document_, text);
}

void JsonSplitter::keep_in(std::string& into, std::string_view text) {
  if (text.size() > kMaxKept - into.size()) {
    problem_ = too_large("a JSON object with names, labels, ports and states", kMaxKept);
    return;
  }
  into.append(text);
}

void JsonSplitter::advance(std::size_t n) {
  at_ += n;
  position_ += n;
  std::size_t& size = in_element_ ? element_size_ : document_size_;
  size += n;
  if (size > kMaxObject) problem_ = too_large("a JSON object", kMaxObject);
}

void JsonSplitter::broken() {
  problem_ = Error(Errc::server, fmt::format("the server sent broken JSON at byte {}", position_));
}

}  // namespace kportal::k8s
