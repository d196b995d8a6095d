// SPDX-License-Identifier: MIT
// What certificates say, in words for people: why one was not accepted, and whose it is. Only
// tls_engine uses it. Judges nothing (OpenSSL does).
#pragma once

#include <string>
#include <string_view>

#include <openssl/x509.h>

#include "net/tls.h"

namespace kportal::net {

// Of a verification that just failed, from within its callback; `host` is the name that was
// verified.
std::string describe_failure(X509_STORE_CTX* verification, std::string_view host);

// The subject's CN and its O, which are a user and its groups to Kubernetes. `verified` is left
// false.
TlsPeer peer_of(X509* certificate);

CertificateFacts facts_of(X509* certificate);

}  // namespace kportal::net
