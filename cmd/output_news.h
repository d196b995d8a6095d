// SPDX-License-Identifier: MIT
// What is said when an output of the program fails: standard output, standard error or the log
// file. The Writer notices, App tells. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/writer.h"

namespace kportal::cmd {

// `output` names it: "standard output", "/var/log/kportal.log". `error` as in errno.
std::string output_news(std::string_view output, Writer::News news, int error);

}  // namespace kportal::cmd
