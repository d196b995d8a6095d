// SPDX-License-Identifier: MIT
#include "net/certificate.h"

#include <memory>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "net/tls_verification.h"

namespace kportal::net {
namespace {

// Else OpenSSL would ask at the terminal.
int no_password(char*, int, int, void*) {
  return 0;
}

struct Free {
  void operator()(BIO* bio) const noexcept { ::BIO_free(bio); }
  void operator()(X509* certificate) const noexcept { ::X509_free(certificate); }
};

}  // namespace

std::optional<CertificateFacts> certificate_facts(std::string const& pem) {
  std::unique_ptr<BIO, Free> const bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return std::nullopt;
  std::unique_ptr<X509, Free> const certificate(
      ::PEM_read_bio_X509(bio.get(), nullptr, &no_password, nullptr));
  ::ERR_clear_error();
  if (!certificate) return std::nullopt;
  return facts_of(certificate.get());
}

}  // namespace kportal::net
