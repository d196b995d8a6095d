// SPDX-License-Identifier: MIT
#include "base/version.h"

namespace kportal {

char const* const kVersion = KPORTAL_VERSION;
char const* const kUserAgent = "kportal-cpp/" KPORTAL_VERSION;

}  // namespace kportal
