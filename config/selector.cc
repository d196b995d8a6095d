// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

#include "config/grammar.h"
#include "config/problem.h"

namespace kportal::config {
namespace {

constexpr std::size_t kMaxSelector = 4'096;  // it travels in a URL
constexpr std::size_t kMaxLabelText = 63;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The lexer and parser of apimachinery's labels.Parse (pkg/labels/selector.go), without the result.
class SelectorParser {
 public:
  explicit SelectorParser(std::string_view text) : rest_(text) {}

  Complaint check() {
    while (true) {
      if (Complaint complaint = requirement()) return complaint;
      std::string_view const after = token();
      if (after.empty()) return {};
      if (after != ",") {
        return fmt::format("{} is not expected here; join conditions with commas",
                           in_quotes(after));
      }
    }
  }

 private:
  static bool is_special(char c) { return is_one_of("=!(),><", c); }
  static bool is_blank(char c) { return is_one_of(" \t\r\n", c); }
  // Not strchr(), which finds a NUL in every string.
  static bool is_one_of(std::string_view all, char c) { return all.find(c) != all.npos; }

  // "" at the end. Operators are as long as they can be.
  std::string_view peek() const {
    std::string_view text = rest_;
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    if (text.empty()) return {};
    std::size_t length = 1;
    if (is_special(text.front())) {
      std::string_view const two = text.substr(0, 2);
      if (two == "==" || two == "!=") length = 2;
    } else {
      while (length < text.size() && !is_special(text[length]) && !is_blank(text[length])) {
        ++length;
      }
    }
    return text.substr(0, length);
  }
  std::string_view token() {
    std::string_view const next = peek();
    if (next.empty()) {
      rest_ = {};
    } else {
      rest_.remove_prefix(static_cast<std::size_t>(next.data() - rest_.data()) + next.size());
    }
    return next;
  }
  static bool is_word(std::string_view token) {
    return !token.empty() && !is_special(token.front());
  }

  Complaint requirement() {
    bool const absent = peek() == "!";
    if (absent) token();
    std::string_view const key = token();
    if (!is_word(key)) {
      return key.empty() ? "a label is missing at the end"
                         : fmt::format("a label is missing before {}", in_quotes(key));
    }
    if (Complaint complaint = check_key(key)) return complaint;
    std::string_view const next = peek();
    if (absent || next.empty() || next == ",") return {};
    std::string_view const operation = token();
    if (operation == "in" || operation == "notin") return list(operation);
    if (operation == "=" || operation == "==" || operation == "!=") return one_value();
    if (operation == ">" || operation == "<") return bound(operation);
    return fmt::format("{} is no operator; write =, ==, !=, in (...) or notin (...)",
                       in_quotes(operation));
  }

  Complaint one_value() {
    std::string_view const next = peek();
    if (next.empty() || next == ",") return {};  // k= : the empty value
    return check_value(token());
  }

  Complaint bound(std::string_view operation) {
    std::string_view const value = token();
    std::int64_t number = 0;  // as the API server reads it
    auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    // It is a label's value as well.
    bool const digits = is_label_text(value) && std::all_of(value.begin(), value.end(), is_digit);
    if (digits && error == std::errc() && end == value.data() + value.size()) return {};
    return fmt::format("{} needs a whole number after it", in_quotes(operation));
  }

  Complaint list(std::string_view operation) {
    std::string const cure =
        fmt::format("{0} needs values in parentheses, such as {0} (a,b)", operation);
    if (token() != "(" || peek() == ")") return cure;
    bool comma_wanted = false;
    while (true) {
      std::string_view const next = token();
      if (next == ")") return {};
      if (next.empty()) return cure;
      if (next == ",") {
        comma_wanted = false;  // an empty value
        continue;
      }
      if (comma_wanted) {
        return fmt::format("a comma is missing before {}", in_quotes(next));
      }
      if (Complaint complaint = check_value(next)) return complaint;
      comma_wanted = true;
    }
  }

  static bool is_label_text(std::string_view text) {
    if (text.empty() || text.size() > kMaxLabelText) return false;
    if (!is_alnum(text.front()) || !is_alnum(text.back())) return false;
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
  }

  static Complaint check_key(std::string_view key) {
    std::size_t const slash = key.find('/');
    std::string_view const name = slash == std::string_view::npos ? key : key.substr(slash + 1);
    bool const prefix_fits =
        slash == std::string_view::npos || !check_dns_subdomain(key.substr(0, slash));
    if (prefix_fits && is_label_text(name)) return {};
    return fmt::format("{} is no label; write NAME or example.com/NAME", in_quotes(key));
  }

  static Complaint check_value(std::string_view value) {
    if (is_label_text(value)) return {};
    return fmt::format("{} is no value of a label; it has at most 63 letters, digits, -, _ and .",
                       in_quotes(value));
  }

  std::string_view rest_;
};

}  // namespace

Complaint check_selector(std::string_view selector) {
  if (selector.size() > kMaxSelector) {
    return fmt::format("is longer than {} bytes", kMaxSelector);
  }
  Complaint complaint = SelectorParser(selector).check();
  if (complaint) return fmt::format("{}: {}", in_quotes(selector), *complaint);
  return {};
}

}  // namespace kportal::config
