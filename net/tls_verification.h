// SPDX-License-Identifier: MIT
// What certificates say, in words for people: why one was not accepted, and whose it is; and the
// same verification for a TLS client that is not ours. Judges nothing (OpenSSL does).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/x509.h>

#include "net/tls.h"

namespace kportal::net {

// Of a verification that just failed, from within its callback; `host` is the name that was
// verified, `trusted` what it was verified by.
std::string describe_failure(X509_STORE_CTX* verification, std::string_view host,
                             std::string_view trusted);

// The subject's CN and its O, which are a user and its groups to Kubernetes. `verified` is left
// false.
TlsPeer peer_of(X509* certificate);

CertificateFacts facts_of(X509* certificate);

// Puts the name or address to be verified into `expected`, names against the alternative names
// only; `name` loses what certificates do not name (a zone, the root's dot). False if no
// certificate can have it.
bool expect_name(X509_VERIFY_PARAM* expected, std::string& name, bool& is_address);

// Whom a client of another library wants to talk to, and why the certificate was refused.
struct VerificationNote {
  std::string host;
  std::string trusted;
  std::string failure;  // as describe_failure(); empty = it was not
  VerificationNote(std::string h, std::string t) : host(std::move(h)), trusted(std::move(t)) {}
};

// Makes `context`, which is another library's, verify as a TlsContext's connections do. With
// `roots` it trusts whom that one trusts, else whom it trusts already. The context keeps the note.
void verify_as_client(ssl_ctx_st* context, TlsContext const* roots,
                      std::shared_ptr<VerificationNote> note);

}  // namespace kportal::net
