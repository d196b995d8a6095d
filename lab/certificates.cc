// SPDX-License-Identifier: MIT
#include "lab/certificates.h"

#include <boost/asio/ip/address.hpp>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace kportal::lab {
namespace {

constexpr long kValidBefore = -3600;  // clocks may differ
constexpr long kValidAfter = 24 * 3600;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

Error openssl_error(std::string_view what) {
  char text[160] = "unknown";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  return Error(Errc::tls, std::string(what) + ": " + text);
}

std::string read_all(BIO* bio) {
  char* data = nullptr;
  auto const size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string to_pem(X509* certificate) {
  BioPtr const bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return read_all(bio.get());
}

std::string to_pem(EVP_PKEY* key) {
  BioPtr const bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return read_all(bio.get());
}

void add_name(X509_NAME* name, char const* field, std::string const& value) {
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                             reinterpret_cast<unsigned char const*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

bool add_extension(X509* certificate, X509* issuer, int nid, std::string const& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr const extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// A certificate for `key` with all that is alike for all of ours; unsigned, without a subject.
CertificatePtr blank_certificate(EVP_PKEY* key) {
  CertificatePtr certificate(X509_new());
  if (!certificate) return certificate;
  X509_set_version(certificate.get(), 2);
  BIGNUM* const serial = BN_new();
  BN_rand(serial, 120, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
  BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate.get()));
  BN_free(serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), kValidBefore);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kValidAfter);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

std::string alternative_names(std::vector<std::string> const& names) {
  std::string list;
  for (auto const& name : names) {
    error_code error;
    boost::asio::ip::make_address(name, error);
    if (!list.empty()) list += ",";
    list += (error ? "DNS:" : "IP:") + name;
  }
  return list;
}

}  // namespace

struct CertificateAuthority::Key {
  KeyPtr key;
  CertificatePtr certificate;
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Key> key, std::string pem)
    : key_(std::move(key)), pem_(std::move(pem)) {}
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;
CertificateAuthority::~CertificateAuthority() = default;

Result<CertificateAuthority> CertificateAuthority::make(std::string const& common_name) {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("lab CA: key");
  auto certificate = blank_certificate(key.get());
  if (!certificate) return openssl_error("lab CA: certificate");
  auto* const raw = certificate.get();
  add_name(X509_get_subject_name(raw), "CN", common_name);
  X509_set_issuer_name(raw, X509_get_subject_name(raw));
  if (!add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE") ||
      !add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature") ||
      !add_extension(raw, raw, NID_subject_key_identifier, "hash") ||
      X509_sign(raw, key.get(), EVP_sha256()) == 0) {
    return openssl_error("lab CA: sign");
  }
  auto pem = to_pem(raw);
  auto both = std::make_unique<Key>(Key{std::move(key), std::move(certificate)});
  return CertificateAuthority(std::move(both), std::move(pem));
}

Result<CertificateAndKey> CertificateAuthority::issue(Subject const& subject) {
  KeyPtr const key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("lab certificate: key");
  auto const certificate = blank_certificate(key.get());
  if (!certificate) return openssl_error("lab certificate");
  auto* const raw = certificate.get();
  auto* const issuer = key_->certificate.get();
  X509_gmtime_adj(X509_getm_notAfter(raw), subject.life.count());
  for (auto const& group : subject.groups) add_name(X509_get_subject_name(raw), "O", group);
  add_name(X509_get_subject_name(raw), "CN", subject.name);
  X509_set_issuer_name(raw, X509_get_subject_name(issuer));
  bool good = add_extension(raw, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(raw, issuer, NID_key_usage, "critical,digitalSignature") &&
              add_extension(raw, issuer, NID_ext_key_usage, subject.usage) &&
              add_extension(raw, issuer, NID_authority_key_identifier, "keyid");
  if (!subject.alternatives.empty()) {
    good = good && add_extension(raw, issuer, NID_subject_alt_name,
                                 alternative_names(subject.alternatives));
  }
  if (!good || X509_sign(raw, key_->key.get(), EVP_sha256()) == 0) {
    return openssl_error("lab certificate: sign");
  }
  return CertificateAndKey{to_pem(raw), to_pem(key.get())};
}

Result<CertificateAndKey> CertificateAuthority::issue_server(std::vector<std::string> const& names,
                                                             std::chrono::seconds life) {
  return issue(Subject{"kube-apiserver", {}, names, "serverAuth", life});
}

Result<CertificateAndKey> CertificateAuthority::issue_client(
    std::string const& user, std::vector<std::string> const& groups) {
  return issue(Subject{user, groups, {}, "clientAuth"});
}

}  // namespace kportal::lab
