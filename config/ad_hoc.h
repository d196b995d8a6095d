// SPDX-License-Identifier: MIT
// Forwards without a file: TARGET PORT... and the options beside them, as kubectl port-forward
// takes them, to the Config that a file with the same forwards would give. Pure: it asks neither
// the kubeconfig nor the command line's parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/parse.h"

namespace kportal::config {

struct AdHoc {
  std::string target;                  // KIND/NAME with kubectl's kinds; a bare NAME is a pod's
  std::vector<std::string> ports;      // P, L:R or :R, where R may be a name; R alone: like :R
  std::vector<std::string> addresses;  // each an address or several, with commas; none = localhost
  std::string kubeconfig;              // empty = the default loading rules
  std::string context;                 // empty = the current context
  std::string namespace_;

  bool operator==(AdHoc const&) const = default;
};

// Problems and warnings name "argument N" (1 is the target) or the option as their file, without a
// line. Several free local ports get the aliases RESOURCE/PORT, for otherwise their ids would be
// the same.
ParseOutcome parse_ad_hoc(AdHoc const& words);

// Could the word be nothing but a port: "80", "8080:http", ":80"? Also what is a wrong one: "0",
// "80:", "70000". A named port alone looks like any name.
bool looks_like_port(std::string_view word);
// The name of a port, or anything else of that form.
bool looks_like_port_name(std::string_view word);
// KIND/NAME with a kind of kubectl's.
bool looks_like_target(std::string_view word);

}  // namespace kportal::config
