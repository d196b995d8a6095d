// SPDX-License-Identifier: MIT
// The version, as CMakeLists.txt has it.
#pragma once

namespace kportal {

extern char const* const kVersion;    // "0.1.0"
extern char const* const kUserAgent;  // "kportal-cpp/0.1.0"

}  // namespace kportal
