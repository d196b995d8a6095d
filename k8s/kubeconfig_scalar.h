// SPDX-License-Identifier: MIT
// What a YAML scalar without quotes is, as kubectl's parser takes it (YAML 1.1: go-yaml v2). Pure.
#pragma once

#include <optional>
#include <string_view>

namespace kportal::k8s {

// yes, on, true, y and their opposites, in the three usual spellings.
std::optional<bool> yaml_truth(std::string_view plain);
// An integer of 64 bits in any of Go's notations, or a floating-point number.
bool is_yaml_number(std::string_view plain);
// Neither of the two; what is null is not asked here.
bool is_yaml_text(std::string_view plain);

}  // namespace kportal::k8s
