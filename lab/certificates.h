// SPDX-License-Identifier: MIT
// Certificates for the lab: a CA made at start, and what it signs. ECDSA P-256, valid for a day
// around now, never written to disk by this file. Not a CA for anything else.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace kportal::lab {

struct CertificateAndKey {
  std::string certificate_pem;
  std::string key_pem;
};

class CertificateAuthority {
 public:
  static constexpr std::chrono::seconds kDay = std::chrono::hours(24);

  static Result<CertificateAuthority> make(std::string const& common_name);
  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;
  ~CertificateAuthority();

  std::string const& pem() const { return pem_; }
  // Names that are IP addresses become IP SANs, the others DNS SANs. It ends that long from now.
  Result<CertificateAndKey> issue_server(std::vector<std::string> const& names,
                                         std::chrono::seconds life = kDay);
  // CN = user, O = groups, as Kubernetes reads them.
  Result<CertificateAndKey> issue_client(std::string const& user,
                                         std::vector<std::string> const& groups);

 private:
  struct Key;
  struct Subject {
    std::string name;
    std::vector<std::string> groups;
    std::vector<std::string> alternatives;
    char const* usage;
    std::chrono::seconds life = kDay;
  };
  Result<CertificateAndKey> issue(Subject const& subject);
  CertificateAuthority(std::unique_ptr<Key> key, std::string pem);
  std::unique_ptr<Key> key_;
  std::string pem_;
};

}  // namespace kportal::lab
