// SPDX-License-Identifier: MIT
// Reads a configuration file whole, without ever waiting for one that is no regular file.
#pragma once

#include <cstddef>
#include <string>

#include "base/error.h"

namespace kportal::config {

inline constexpr std::size_t kMaxFileBytes = 1 << 20;

// Errors: missing, a directory, a FIFO or device, not readable, more than kMaxFileBytes. The text
// does not name the file.
Result<std::string> read_file(std::string const& path);

}  // namespace kportal::config
