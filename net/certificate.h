// SPDX-License-Identifier: MIT
// What a certificate in PEM text says, for people: whose it is and until when. Judges nothing.
#pragma once

#include <optional>
#include <string>

#include "net/tls.h"

namespace kportal::net {

// Of the first certificate in the text; nothing if there is none.
std::optional<CertificateFacts> certificate_facts(std::string const& pem);

}  // namespace kportal::net
