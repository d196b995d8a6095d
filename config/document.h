// SPDX-License-Identifier: MIT
// A YAML text as a tree that knows where everything stood. Stricter than YAML: one document, no
// duplicate keys, UTF-8 only, no control characters, no tags of its own; bounded in size, depth and
// alias expansion. Merge keys are merged and ${} expanded already. It knows nothing of what the
// keys mean.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/expand.h"
#include "config/file.h"
#include "config/problem.h"

namespace kportal::config {

inline constexpr std::size_t kMaxDepth = 64;
inline constexpr std::size_t kMaxNodes = 100'000;          // after aliases are followed
inline constexpr std::size_t kMaxExpandedBytes = 4 << 20;  // of all values with a ${}, together

struct Content;

// A value at one place. An alias (*name) is a Node with the place of the alias that shares the
// anchor's content.
struct Node {
  Place place;
  std::shared_ptr<Content const> content;  // never null
};

struct Entry {
  std::string key;
  Place key_place;
  Node value;
  Place use;  // value.place; what `<<` brought in: the place of the alias that brought it
};

enum class NodeKind { null, scalar, sequence, mapping };

struct Content {
  NodeKind kind = NodeKind::null;
  std::string text;  // of a scalar, expanded
  std::vector<Node> items;
  std::vector<Entry> entries;  // own ones in the order of the file, then merged ones; keys unique
  std::size_t nodes = 1;       // this one and all below, aliases followed
  std::size_t height = 0;      // levels below
};

// The root, or nothing if the text is no YAML document at all; an empty document is a null root.
// What else is wrong goes to `problems` under the index `file`; then a root that is there is still
// worth reading for further problems.
std::optional<Node> read_document(std::string_view text, std::size_t file,
                                  Environment const& environment, Report& problems);

}  // namespace kportal::config
