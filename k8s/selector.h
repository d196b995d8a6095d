// SPDX-License-Identifier: MIT
// Label selectors: the text of `kubectl -l`, and matchLabels/matchExpressions as workloads carry
// them. A value: parse once, match many. Grammar and limits are those of apimachinery's pkg/labels.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace kportal::k8s {

using Labels = std::map<std::string, std::string, std::less<>>;

inline constexpr std::size_t kMaxSelectorSize = 16 * 1024;

enum class SelectorOperator {
  equals,
  not_equals,
  in,
  not_in,
  exists,
  does_not_exist,
  greater,
  less
};

struct Requirement {
  std::string key;
  SelectorOperator op = SelectorOperator::exists;
  std::vector<std::string>
      values;  // sorted, without duplicates; one for equals, not_equals, greater, less
  bool operator==(Requirement const&) const = default;
};

class Selector {
 public:
  Selector() = default;  // matches everything
  static Selector nothing();
  // `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`, `k>1`, `k<1`, joined by
  // commas; empty text matches everything. Errc::local: what is wrong and where.
  static Result<Selector> parse(std::string_view text);
  // All of these labels, as a service selects.
  static Selector of_labels(Labels const& labels);

  // One more condition. Errc::local if key or values break the rules of labels.
  Result<void> require(Requirement requirement);

  bool matches(Labels const& labels) const;
  bool matches_everything() const { return !nothing_ && requirements_.empty(); }
  bool matches_nothing() const { return nothing_; }
  // The canonical text, also for `labelSelector=` (not percent-encoded). Not for nothing().
  std::string to_query() const;

  bool operator==(Selector const&) const = default;

 private:
  bool nothing_ = false;
  std::vector<Requirement> requirements_;  // ordered by key
};

}  // namespace kportal::k8s
