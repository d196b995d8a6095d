// SPDX-License-Identifier: MIT
// Label selectors as a LIST carries them: "a=b,c!=d,e in (x,y),f notin (z),g,!h". Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace kportal::lab {

using Labels = std::map<std::string, std::string>;

struct Requirement {
  enum class Kind { in, not_in, exists, not_exists };
  Kind kind = Kind::exists;
  std::string key;
  std::vector<std::string> values;
};

class Selector {
 public:
  // The empty text selects everything.
  static Result<Selector> parse(std::string_view text);
  bool matches(Labels const& labels) const;

 private:
  std::vector<Requirement> requirements_;
};

}  // namespace kportal::lab
