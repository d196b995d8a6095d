// SPDX-License-Identifier: MIT
#include "net/tls_verification.h"

#include <arpa/inet.h>
#include <ctime>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/printable.h"

namespace kportal::net {
namespace {

// Names listed in a message; a certificate may have hundreds.
constexpr std::size_t kMaxNamesTold = 8;

std::string text_of(ASN1_STRING const* value) {
  unsigned char* utf8 = nullptr;
  int const size = ::ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return {};
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  ::OPENSSL_free(utf8);
  return text;
}

std::vector<std::string> entries_of(X509_NAME const* name, int kind) {
  std::vector<std::string> values;
  for (int at = ::X509_NAME_get_index_by_NID(name, kind, -1); at >= 0;
       at = ::X509_NAME_get_index_by_NID(name, kind, at)) {
    values.push_back(text_of(::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(name, at))));
  }
  return values;
}

// Its CN, else its O; empty = neither.
std::string plain_name(X509_NAME const* name) {
  for (int const kind : {NID_commonName, NID_organizationName}) {
    auto const values = entries_of(name, kind);
    if (!values.empty()) return printable(values.front());
  }
  return {};
}

std::string short_name(X509_NAME const* name) {
  auto const plain = plain_name(name);
  return plain.empty() ? "(no name)" : fmt::format("'{}'", plain);
}

std::chrono::system_clock::time_point point_of(ASN1_TIME const* time) {
  std::tm parts{};
  if (::ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string time_text(ASN1_TIME const* time) {
  std::tm parts{};
  if (::ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable time";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string address_text(ASN1_OCTET_STRING const* address) {
  char text[INET6_ADDRSTRLEN] = "";
  int const size = ::ASN1_STRING_length(address);
  if (size != 4 && size != 16) return "a malformed address";
  ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ::ASN1_STRING_get0_data(address), text, sizeof(text));
  return text;
}

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const noexcept { ::GENERAL_NAMES_free(names); }
};

std::vector<std::string> alternative_names(X509* certificate) {
  std::vector<std::string> texts;
  std::unique_ptr<GENERAL_NAMES, FreeNames> const names(static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    GENERAL_NAME const* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) texts.push_back(printable(text_of(name->d.dNSName)));
    if (name->type == GEN_IPADD) texts.push_back(address_text(name->d.iPAddress));
  }
  return texts;
}

std::string other_name(X509* certificate, std::string_view host) {
  auto const names = alternative_names(certificate);
  if (names.empty()) {
    return fmt::format(
        "the certificate is for no name at all, not for {}: the server needs one with a subject "
        "alternative name",
        printable(host));
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxNamesTold); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxNamesTold) {
    text += fmt::format(" and {} more", names.size() - kMaxNamesTold);
  }
  return fmt::format(
      "the certificate is for {}, not for {}: use one of its names as the server, or as "
      "tls-server-name",
      text, printable(host));
}

using Note = std::shared_ptr<VerificationNote>;

void free_note(void*, void* note, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Note*>(note);
}

int note_index() {
  static int const index = ::SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_note);
  return index;
}

int note_failure(int verified, X509_STORE_CTX* verification) {
  auto* const ssl = static_cast<SSL*>(
      ::X509_STORE_CTX_get_ex_data(verification, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& note = **static_cast<Note*>(::SSL_CTX_get_ex_data(::SSL_get_SSL_CTX(ssl), note_index()));
  if (verified == 0 && note.failure.empty()) {
    note.failure = describe_failure(verification, note.host, note.trusted);
  }
  // A host that no certificate can have has failed before.
  return note.failure.empty() ? verified : 0;
}

}  // namespace

std::string describe_failure(X509_STORE_CTX* verification, std::string_view host,
                             std::string_view trusted) {
  int const error = ::X509_STORE_CTX_get_error(verification);
  X509* const certificate = ::X509_STORE_CTX_get_current_cert(verification);
  if (certificate == nullptr) return ::X509_verify_cert_error_string(error);
  auto const subject = short_name(::X509_get_subject_name(certificate));
  auto const issuer = short_name(::X509_get_issuer_name(certificate));
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("the certificate of {} expired on {}: it must be renewed there", subject,
                         time_text(::X509_get0_notAfter(certificate)));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("the certificate of {} is valid only from {} on; is the clock right?",
                         subject, time_text(::X509_get0_notBefore(certificate)));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return other_name(certificate, host);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return fmt::format(
          "the certificate of {} is signed by an unknown authority, {}: trusted is what {} holds",
          subject, issuer, printable(trusted));
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fmt::format(
          "the certificate of {} is signed by another authority that also is named {}: trusted is "
          "what {} holds",
          subject, issuer, printable(trusted));
    default:
      return fmt::format("the certificate of {}: {}", subject,
                         ::X509_verify_cert_error_string(error));
  }
}

TlsPeer peer_of(X509* certificate) {
  X509_NAME const* const subject = ::X509_get_subject_name(certificate);
  TlsPeer peer;
  auto names = entries_of(subject, NID_commonName);
  if (!names.empty()) peer.common_name = std::move(names.front());
  peer.organizations = entries_of(subject, NID_organizationName);
  return peer;
}

CertificateFacts facts_of(X509* certificate) {
  CertificateFacts facts;
  facts.subject = plain_name(::X509_get_subject_name(certificate));
  facts.issuer = plain_name(::X509_get_issuer_name(certificate));
  facts.names = alternative_names(certificate);
  facts.not_before = point_of(::X509_get0_notBefore(certificate));
  facts.not_after = point_of(::X509_get0_notAfter(certificate));
  return facts;
}

bool expect_name(X509_VERIFY_PARAM* expected, std::string& name, bool& is_address) {
  // The zone of a link-local address and the root's dot are not part of what certificates name.
  name.resize(std::min(name.find('%'), name.size()));
  if (name.ends_with('.')) name.pop_back();
  is_address = ::X509_VERIFY_PARAM_set1_ip_asc(expected, name.c_str()) == 1;
  if (is_address) return true;
  ::X509_VERIFY_PARAM_set_hostflags(
      expected, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return !name.empty() && name.find('\0') == std::string::npos &&
         ::X509_VERIFY_PARAM_set1_host(expected, name.data(), name.size()) == 1;
}

void verify_as_client(ssl_ctx_st* context, TlsContext const* roots,
                      std::shared_ptr<VerificationNote> note) {
  X509_VERIFY_PARAM* const expected = ::SSL_CTX_get0_param(context);
  bool is_address = false;
  bool const named = expect_name(expected, note->host, is_address);
  if (!named) note->failure = "not a name that a certificate can have";
  ::X509_VERIFY_PARAM_set_flags(expected, X509_V_FLAG_PARTIAL_CHAIN);
  if (roots != nullptr) {
    ::SSL_CTX_set1_cert_store(context, ::SSL_CTX_get_cert_store(roots->native()));
  }
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, &note_failure);
  ::SSL_CTX_set_ex_data(context, note_index(), new Note(std::move(note)));
  ::ERR_clear_error();
}

}  // namespace kportal::net
