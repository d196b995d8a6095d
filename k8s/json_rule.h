// SPDX-License-Identifier: MIT
// JsonRule: which part of a JSON document is kept, as a tree beside the document's own. What no
// rule names is skipped: of a pod about nine tenths, and all of managedFields. The rules themselves
// are constants in k8s/objects.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace kportal::k8s {

struct JsonRule;

struct JsonField {
  std::string_view key;
  JsonRule const* rule;
};

// Scalars are kept wherever a rule leads, and of an object or array where another kind is wanted
// the brackets, so that a wrong type is seen and not taken for absent.
struct JsonRule {
  enum class Kind { scalar, object, array, everything } kind = Kind::scalar;
  std::span<JsonField const> fields;  // of an object
  JsonRule const* items = nullptr;    // of an array

  static constexpr JsonRule object_of(std::span<JsonField const> fields) {
    return {Kind::object, fields, nullptr};
  }
  static constexpr JsonRule array_of(JsonRule const& items) { return {Kind::array, {}, &items}; }

  // Of the member of that name; null = it is not kept.
  JsonRule const* member(std::string_view name) const {
    if (kind == Kind::everything) return this;
    auto const found = std::ranges::find(fields, name, &JsonField::key);
    return found == fields.end() ? nullptr : found->rule;
  }
  JsonRule const* element() const { return kind == Kind::everything ? this : items; }
  // Whether the inside of an object or array is kept.
  bool enters(Kind container) const { return kind == container || kind == Kind::everything; }
};

inline constexpr JsonRule kJsonScalar{};
inline constexpr JsonRule kJsonEverything{JsonRule::Kind::everything, {}, nullptr};

}  // namespace kportal::k8s
