// SPDX-License-Identifier: MIT
// Base64 (RFC 4648 section 4) of bytes: the standard alphabet, padded, on one line. Only the way
// there; reading it leniently is the business of who reads.
#pragma once

#include <string>
#include <string_view>

namespace kportal {

std::string base64(std::string_view bytes);

}  // namespace kportal
