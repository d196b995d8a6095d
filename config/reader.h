// SPDX-License-Identifier: MIT
// Reads typed values out of one file's tree. A value that does not fit is a problem at its place,
// with its key and what would be right; the caller gets nothing and goes on, so that all problems
// are found.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "config/problem.h"

namespace kportal::config {

// A node and how it was reached.
struct Value {
  std::string path;  // "contexts[0].name"; empty for the root
  Node node;
  Place use;  // where it came in: of what `<<` brought, the place of that alias

  NodeKind kind() const { return node.content->kind; }
  // Of the key below this one.
  std::string path_of(std::string_view key) const;
};

enum class AtLeast { zero, more_than_zero };

class Reader {
 public:
  Reader(std::size_t file, Report& problems, Report& warnings);

  std::size_t file() const { return file_; }

  // False, with a problem, if it is no mapping. Unknown keys are problems too.
  bool is_mapping(Value const& value, std::span<std::string_view const> keys);
  // Nothing if the key is absent or has no value.
  std::optional<Value> find(Value const& mapping, std::string_view key) const;
  // The same, but a missing key is a problem: "is missing; " and `cure`.
  std::optional<Value> require(Value const& mapping, std::string_view key, std::string_view cure);
  // A list with at least one item; `what` names the items ("a namespace").
  std::vector<Value> items(Value const& value, std::string_view what);

  std::optional<std::string> text(Value const& value);
  std::optional<bool> boolean(Value const& value);
  std::optional<int> number(Value const& value, int least, int most);
  // Fractions of a millisecond are rounded up.
  std::optional<std::chrono::milliseconds> duration(Value const& value, AtLeast least);

  void complain(Value const& value, std::string_view message);
  void warn(Value const& value, std::string_view message);

 private:
  std::size_t const file_;
  Report& problems_;
  Report& warnings_;
};

}  // namespace kportal::config
