// SPDX-License-Identifier: MIT
// One kubeconfig file's text to its entries. Knows the format only: what the entries mean together,
// and whether one is fit for use, is resolve_context's question. Does no I/O.
#pragma once

#include <string>

#include "base/error.h"
#include "k8s/kubeconfig.h"

namespace kportal::k8s {

// `path` is absolute: the origin of the entries, and where relative file names start. Unknown keys
// are passed over, as client-go does. Errc::kubeconfig: "PATH: what is wrong", for broken YAML with
// line and column.
Result<Kubeconfig> parse_kubeconfig(std::string const& text, std::string const& path);

}  // namespace kportal::k8s
