// SPDX-License-Identifier: MIT
#include "tests/support/certificates.h"

#include <stdexcept>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

namespace kportal::test {
namespace {

void check(bool ok, char const* what) {
  if (!ok) throw std::runtime_error(what);
}

template <class Write>
std::string pem_of(Write write) {
  BIO* const bio = ::BIO_new(::BIO_s_mem());
  check(write(bio) == 1, "PEM");
  char* data = nullptr;
  auto const size = ::BIO_ctrl(bio, BIO_CTRL_INFO, 0, &data);
  std::string text(data, static_cast<std::size_t>(size));
  ::BIO_free(bio);
  return text;
}

void add_name(X509_NAME* name, int kind, std::string const& value) {
  auto const* const text = reinterpret_cast<unsigned char const*>(value.data());
  check(::X509_NAME_add_entry_by_NID(name, kind, MBSTRING_UTF8, text,
                                     static_cast<int>(value.size()), -1, 0) == 1,
        "name");
}

void add_extension(X509* certificate, X509* issuer, int kind, std::string const& value) {
  X509V3_CTX context{};
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  check(extension != nullptr && ::X509_add_ext(certificate, extension, -1) == 1, value.c_str());
  ::X509_EXTENSION_free(extension);
}

std::string alternative_names(CertificateRequest const& request) {
  std::string text;
  for (auto const& name : request.dns_names) text += (text.empty() ? "DNS:" : ",DNS:") + name;
  for (auto const& address : request.addresses) text += (text.empty() ? "IP:" : ",IP:") + address;
  return text;
}

void fill(X509* certificate, X509* issuer, CertificateRequest const& request) {
  ::X509_set_version(certificate, 2);
  unsigned char serial[8];
  ::RAND_bytes(serial, sizeof(serial));
  serial[0] &= 0x7f;
  BIGNUM* const number = ::BN_bin2bn(serial, sizeof(serial), nullptr);
  ::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(certificate));
  ::BN_free(number);
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate), request.valid_from.count());
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate), request.valid_until.count());
  X509_NAME* const subject = ::X509_get_subject_name(certificate);
  for (auto const& organization : request.organizations) {
    add_name(subject, NID_organizationName, organization);
  }
  add_name(subject, NID_commonName, request.common_name);
  ::X509_set_issuer_name(certificate, ::X509_get_subject_name(issuer));
  add_extension(certificate, issuer, NID_basic_constraints,
                request.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  auto const names = alternative_names(request);
  if (!names.empty()) add_extension(certificate, issuer, NID_subject_alt_name, names);
}

}  // namespace

CertificateAndKey CertificateAuthority::make(CertificateRequest const& request, X509* issuer,
                                             EVP_PKEY* issuer_key, Certificate* certificate,
                                             Key* key) {
  Key new_key(::EVP_EC_gen("P-256"));
  Certificate made(::X509_new());
  check(new_key && made, "key");
  ::X509_set_pubkey(made.get(), new_key.get());
  fill(made.get(), issuer == nullptr ? made.get() : issuer, request);
  EVP_PKEY* const signer = issuer_key == nullptr ? new_key.get() : issuer_key;
  check(::X509_sign(made.get(), signer, ::EVP_sha256()) != 0, "signature");
  CertificateAndKey pems;
  pems.cert_pem = pem_of([&](BIO* bio) { return ::PEM_write_bio_X509(bio, made.get()); });
  pems.key_pem = pem_of([&](BIO* bio) {
    return ::PEM_write_bio_PrivateKey(bio, new_key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  if (certificate != nullptr) *certificate = std::move(made);
  if (key != nullptr) *key = std::move(new_key);
  return pems;
}

CertificateAuthority::CertificateAuthority(std::string const& name) {
  CertificateRequest request;
  request.common_name = name;
  request.authority = true;
  own_ = make(request, nullptr, nullptr, &certificate_, &key_);
}

CertificateAuthority::CertificateAuthority(std::string const& name,
                                           CertificateAuthority const& issuer) {
  CertificateRequest request;
  request.common_name = name;
  request.authority = true;
  own_ = make(request, issuer.certificate_.get(), issuer.key_.get(), &certificate_, &key_);
}

CertificateAndKey CertificateAuthority::issue(CertificateRequest const& request) const {
  return make(request, certificate_.get(), key_.get(), nullptr, nullptr);
}

}  // namespace kportal::test
