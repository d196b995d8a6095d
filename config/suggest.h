// SPDX-License-Identifier: MIT
// "Did you mean": the candidate that a mistyped word was probably meant to be. Pure.
#pragma once

#include <span>
#include <string_view>

namespace kportal::config {

// Empty if none is near. Case, - and _ do not count ("local_port" is localPort), else up to two
// typing errors, fewer for short words.
std::string_view closest(std::string_view word, std::span<std::string_view const> candidates);

}  // namespace kportal::config
