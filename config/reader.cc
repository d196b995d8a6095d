// SPDX-License-Identifier: MIT
#include "config/reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/printable.h"
#include "config/duration.h"
#include "config/suggest.h"

namespace kportal::config {
namespace {

// A hundred years: near enough to never, and deadlines made of it do not overflow.
constexpr std::chrono::hours kMaxDuration{876'000};

std::string with_path(std::string_view path, std::string_view message) {
  return path.empty() ? std::string(message) : fmt::format("{}: {}", path, message);
}

std::string_view name_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::null:
      return "nothing";
    case NodeKind::scalar:
      return "a single value";
    case NodeKind::sequence:
      return "a list";
    case NodeKind::mapping:
      return "a mapping";
  }
  return "";
}

// The words of YAML 1.1, which Go's yaml.v3 takes for a bool; lower-cased.
std::optional<bool> bool_of(std::string_view word) {
  for (std::string_view const yes : {"true", "yes", "on", "y"}) {
    if (word == yes) return true;
  }
  for (std::string_view const no : {"false", "no", "off", "n"}) {
    if (word == no) return false;
  }
  return {};
}

}  // namespace

std::string Value::path_of(std::string_view key) const {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

Reader::Reader(std::size_t file, Report& problems, Report& warnings)
    : file_(file), problems_(problems), warnings_(warnings) {}

bool Reader::is_mapping(Value const& value, std::span<std::string_view const> keys) {
  if (value.kind() != NodeKind::mapping) {
    complain(value, fmt::format("must be a mapping with the keys {}, not {}", fmt::join(keys, ", "),
                                name_of(value.kind())));
    return false;
  }
  for (Entry const& entry : value.node.content->entries) {
    if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
    std::string_view const meant = closest(entry.key, keys);
    std::string const cure = meant.empty()
                                 ? fmt::format("the keys here are {}", fmt::join(keys, ", "))
                                 : fmt::format("did you mean {}?", meant);
    std::string const path = value.path_of(printable(entry.key.substr(0, 80)));
    problems_.add(file_, entry.key_place, fmt::format("{}: unknown key; {}", path, cure));
  }
  return true;
}

std::optional<Value> Reader::find(Value const& mapping, std::string_view key) const {
  auto const& entries = mapping.node.content->entries;
  auto const found = std::find_if(entries.begin(), entries.end(),
                                  [&](Entry const& entry) { return entry.key == key; });
  if (found == entries.end() || found->value.content->kind == NodeKind::null) return {};
  return Value{mapping.path_of(key), found->value, found->use};
}

std::optional<Value> Reader::require(Value const& mapping, std::string_view key,
                                     std::string_view cure) {
  std::optional<Value> found = find(mapping, key);
  if (found) return found;
  auto const& entries = mapping.node.content->entries;
  auto const empty = std::find_if(entries.begin(), entries.end(),
                                  [&](Entry const& entry) { return entry.key == key; });
  bool const absent = empty == entries.end();
  problems_.add(file_, absent ? mapping.node.place : empty->value.place,
                fmt::format("{}: {}; {}", mapping.path_of(key),
                            absent ? "is missing" : "has no value", cure));
  return {};
}

std::vector<Value> Reader::items(Value const& value, std::string_view what) {
  if (value.kind() != NodeKind::sequence) {
    complain(value, fmt::format("must be a list, not {}", name_of(value.kind())));
    return {};
  }
  std::vector<Value> out;
  for (Node const& item : value.node.content->items) {
    // What an alias shares stands where the alias is, for whoever compares it with others.
    out.push_back({fmt::format("{}[{}]", value.path, out.size()), item, item.place});
  }
  if (out.empty()) complain(value, fmt::format("must hold at least {}", what));
  return out;
}

std::optional<std::string> Reader::text(Value const& value) {
  if (value.kind() == NodeKind::scalar) return value.node.content->text;
  complain(value, fmt::format("must be a single value, not {}", name_of(value.kind())));
  return {};
}

std::optional<bool> Reader::boolean(Value const& value) {
  std::optional<std::string> word = text(value);
  if (!word) return {};
  std::string lower = word->substr(0, 8);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::optional<bool> const result = bool_of(lower);
  if (!result) complain(value, fmt::format("must be true or false, not {}", in_quotes(*word)));
  return result;
}

std::optional<int> Reader::number(Value const& value, int least, int most) {
  std::optional<std::string> const word = text(value);
  if (!word) return {};
  int result = 0;
  auto const [end, error] = std::from_chars(word->data(), word->data() + word->size(), result);
  bool const leading_zero = word->size() > 1 && word->starts_with('0');
  if (error == std::errc() && end == word->data() + word->size() && !leading_zero &&
      result >= least && result <= most) {
    return result;
  }
  complain(value,
           fmt::format("must be a decimal number {}..{}, not {}", least, most, in_quotes(*word)));
  return {};
}

std::optional<std::chrono::milliseconds> Reader::duration(Value const& value, AtLeast least) {
  std::optional<std::string> const word = text(value);
  if (!word) return {};
  auto const parsed = parse_duration(*word);
  std::string message;
  if (!parsed) {
    message = fmt::format("must be a duration with a unit, such as 3s, 250ms or 1m30s, not {}",
                          in_quotes(*word));
  } else if (parsed->count() <= 0 && least == AtLeast::more_than_zero) {
    message = "must be greater than 0";
  } else if (parsed->count() < 0) {
    message = "must not be negative";
  } else if (*parsed > kMaxDuration) {
    message = fmt::format("must be at most {}", format_duration(kMaxDuration));
  }
  if (message.empty()) return std::chrono::ceil<std::chrono::milliseconds>(*parsed);
  complain(value, message);
  return {};
}

void Reader::complain(Value const& value, std::string_view message) {
  problems_.add(file_, value.node.place, with_path(value.path, message));
}

void Reader::warn(Value const& value, std::string_view message) {
  warnings_.add(file_, value.node.place, with_path(value.path, message));
}

}  // namespace kportal::config
