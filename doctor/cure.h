// SPDX-License-Identifier: MIT
// What to do about a hop that failed. Pure; the cause is the error's own text.
#pragma once

#include <string>

#include "base/error.h"
#include "doctor/report.h"

namespace kportal::doctor {

// Empty where the error's text says it already.
std::string cure_of(HopName hop, Errc code);

}  // namespace kportal::doctor
