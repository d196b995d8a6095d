// SPDX-License-Identifier: MIT
// Which kubectl the tests have as a witness: $KPORTAL_KUBECTL, else the test cluster's, else that
// of $PATH (Debian's is 1.20). They skip where there is none, or none that can do what is asked.
#pragma once

#include <string>

namespace kportal::test {

// Its path; empty = there is none.
std::string find_kubectl();
// The 35 of 1.35.4; 0 if it does not say.
int kubectl_minor_version(std::string const& kubectl);

}  // namespace kportal::test
