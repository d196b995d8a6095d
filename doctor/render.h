// SPDX-License-Identifier: MIT
// A report as a table for people (80 columns where words allow it) and as JSON for scripts. Pure.
#pragma once

#include <string>

#include "doctor/report.h"

namespace kportal::doctor {

inline constexpr std::size_t kColumns = 80;

// What clusters share stands once; hops that were not tried are one line. Ends with a summary.
std::string to_table(Report const& report, bool color);

// An array of forwards: id, context, namespace, resource, localPort, verdict, failed (the first hop
// that did; "" = none), and hops of name, verdict, millis, detail, message, cure. Where the
// configuration is no good: one forward without an id, with the hop config alone.
std::string to_json(Report const& report);

}  // namespace kportal::doctor
