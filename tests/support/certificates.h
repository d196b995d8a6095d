// SPDX-License-Identifier: MIT
// Certificates for tests, made with the OpenSSL API: authorities, and what they sign, with all that
// a test may want wrong. P-256 keys, for speed.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace kportal::test {

struct CertificateRequest {
  std::string common_name = "test";
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> addresses;
  // Relative to now.
  std::chrono::seconds valid_from = std::chrono::hours(-1);
  std::chrono::seconds valid_until = std::chrono::hours(24);
  bool authority = false;
};

struct CertificateAndKey {
  std::string cert_pem;
  std::string key_pem;
};

class CertificateAuthority {
 public:
  explicit CertificateAuthority(std::string const& name);
  // An intermediate, signed by `issuer`.
  CertificateAuthority(std::string const& name, CertificateAuthority const& issuer);

  std::string const& cert_pem() const { return own_.cert_pem; }
  CertificateAndKey issue(CertificateRequest const& request) const;

 private:
  struct Free {
    void operator()(X509* certificate) const noexcept { ::X509_free(certificate); }
    void operator()(EVP_PKEY* key) const noexcept { ::EVP_PKEY_free(key); }
  };
  using Certificate = std::unique_ptr<X509, Free>;
  using Key = std::unique_ptr<EVP_PKEY, Free>;

  static CertificateAndKey make(CertificateRequest const& request, X509* issuer,
                                EVP_PKEY* issuer_key, Certificate* certificate, Key* key);

  Certificate certificate_;
  Key key_;
  CertificateAndKey own_;
};

}  // namespace kportal::test
