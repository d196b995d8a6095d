// SPDX-License-Identifier: MIT
#include "net/tls_context.h"

#include <algorithm>

#include <climits>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/tls_engine.h"

namespace kportal::net {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const noexcept { ::BIO_free(bio); }
};
struct FreeX509 {
  void operator()(X509* certificate) const noexcept { ::X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const noexcept { ::EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
using Certificate = std::unique_ptr<X509, FreeX509>;
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

Error unusable(std::string_view what) {
  auto const code = ::ERR_peek_last_error();
  char const* const reason = ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  if (reason == nullptr) return {Errc::tls, std::string(what)};
  return {Errc::tls, fmt::format("{}: {}", what, reason)};
}

Bio bio_of(std::string const& text) {
  auto const size = std::min<std::size_t>(text.size(), INT_MAX);
  return Bio(::BIO_new_mem_buf(text.data(), static_cast<int>(size)));
}

// The default callback would ask on the terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

Result<std::vector<Certificate>> read_certificates(std::string const& pem, std::string_view what) {
  auto const bio = bio_of(pem);
  std::vector<Certificate> certificates;
  ::ERR_clear_error();
  while (X509* const one = ::PEM_read_bio_X509(bio.get(), nullptr, &no_password, nullptr)) {
    certificates.emplace_back(one);
  }
  bool const at_end = ERR_GET_REASON(::ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return unusable(fmt::format("{}: a certificate is unreadable", what));
  ::ERR_clear_error();
  if (certificates.empty()) return Error(Errc::tls, fmt::format("{}: no certificate in it", what));
  return certificates;
}

Result<void> trust(SSL_CTX* context, TlsConfig const& config) {
  std::string const what = config.ca_source.empty() ? "certificate authority" : config.ca_source;
  auto const certificates = read_certificates(config.ca_pem, what);
  if (!certificates) return certificates.error();
  X509_STORE* const store = ::SSL_CTX_get_cert_store(context);
  for (Certificate const& certificate : *certificates) {
    if (::X509_STORE_add_cert(store, certificate.get()) != 1) {
      return unusable(what);
    }
  }
  return {};
}

Result<void> use_certificate(SSL_CTX* context, TlsConfig const& config, std::string_view what) {
  auto const chain = read_certificates(config.cert_pem, fmt::format("{} certificate", what));
  if (!chain) return chain.error();
  auto const bio = bio_of(config.key_pem);
  Key const key(::PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_password, nullptr));
  if (!key) {
    bool const encrypted = config.key_pem.find("ENCRYPTED") != std::string::npos;
    if (encrypted) {
      ::ERR_clear_error();
      return Error(Errc::tls,
                   fmt::format("{} key: it is encrypted, which is not supported: decrypt it with "
                               "openssl pkey",
                               what));
    }
    return unusable(fmt::format("{} key: unreadable", what));
  }
  if (::SSL_CTX_use_certificate(context, chain->front().get()) != 1) {
    return unusable(fmt::format("{} certificate", what));
  }
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (::SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1) {
      return unusable(fmt::format("{} certificate chain", what));
    }
  }
  if (::SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return unusable(fmt::format("{} key does not belong to the certificate", what));
  }
  return {};
}

// The wire form of ALPN: each name behind its length.
Result<std::string> alpn_list(std::vector<std::string> const& names) {
  std::string list;
  for (std::string const& name : names) {
    if (name.empty() || name.size() > 255)
      return Error(Errc::tls, "ALPN: a name of 1 to 255 bytes");
    list += static_cast<char>(name.size());
    list += name;
  }
  return list;
}

Result<SSL_CTX*> new_context(SSL_METHOD const* method) {
  SSL_CTX* const context = ::SSL_CTX_new(method);
  if (context == nullptr) return unusable("TLS cannot be set up");
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Go takes an intermediate or a leaf as a root; kubeconfigs rely on it.
  ::X509_VERIFY_PARAM_set_flags(::SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  return context;
}

int verify_mode(ClientCertificates wanted) {
  switch (wanted) {
    case ClientCertificates::ignore:
      return SSL_VERIFY_NONE;
    case ClientCertificates::request:
      return SSL_VERIFY_PEER;
    case ClientCertificates::require:
      return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

int take_any_certificate(int, X509_STORE_CTX*) {
  return 1;
}

class TlsCategory final : public boost::system::error_category {
 public:
  char const* name() const noexcept override { return "tls"; }
  std::string message(int value) const override {
    if (char const* const text = known(value)) return fmt::format("TLS: {}", text);
    auto const code = ERR_PACK(ERR_LIB_SSL, 0, static_cast<unsigned long>(value));
    char const* const reason = ::ERR_reason_error_string(code);
    if (reason != nullptr) return fmt::format("TLS: {}", reason);
    return fmt::format("TLS: failure {}", value);
  }
  boost::system::error_condition default_error_condition(int) const noexcept override {
    return {static_cast<int>(Errc::tls), errc_category()};
  }

 private:
  static char const* known(int reason) {
    switch (reason) {
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_HTTP_REQUEST:
      case SSL_R_PACKET_LENGTH_TOO_LONG:
      case SSL_R_RECORD_LENGTH_MISMATCH:
        return "the peer does not speak TLS";
      case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "a client certificate is required";
      case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        return "the peer refuses the certificate";
      case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        return "the peer refuses this kind of certificate";
      case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        return "the peer says the certificate is revoked";
      case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return "the peer says the certificate has expired";
      case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        return "the peer cannot accept the certificate";
      case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "the peer does not know the certificate's authority";
      case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        return "the peer denies access to this certificate";
      case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "the peer finds nothing in common with us";
      case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      case SSL_R_UNSUPPORTED_PROTOCOL:
        return "no TLS version in common (1.2 is the least)";
      case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return "the peer does not serve this host name";
      case SSL_R_TLSV1_ALERT_INTERNAL_ERROR:
        return "the peer has an internal error";
      case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        return "no application protocol in common";
      default:
        return nullptr;
    }
  }
};

}  // namespace

boost::system::error_category const& tls_category() noexcept {
  static TlsCategory const category;
  return category;
}

std::optional<Error> tls_error(unsigned long openssl_code) {
  if (ERR_GET_LIB(openssl_code) != ERR_LIB_SSL) return std::nullopt;
  int const reason = ERR_GET_REASON(openssl_code);
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return Error(Errc::network, "the peer ended the connection");
  }
  return Error(Errc::tls, tls_category().message(reason));
}

std::string trusted_by(std::string const& ca_pem, std::string const& ca_source) {
  if (ca_pem.empty()) return "the system's roots";
  return ca_source.empty() ? "the certificate authority given" : ca_source;
}

void TlsContext::Free::operator()(ssl_ctx_st* context) const noexcept {
  ::SSL_CTX_free(context);
}

TlsContext::TlsContext(Handle context, TlsConfig const& config)
    : context_(std::move(context)),
      server_name_(config.server_name),
      trusted_(trusted_by(config.ca_pem, config.ca_source)) {}

Result<TlsContext> TlsContext::for_client(TlsConfig const& config) {
  auto const made = new_context(::TLS_client_method());
  if (!made) return made.error();
  Handle context(*made);
  if (config.insecure) {
    ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  } else {
    ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, &TlsEngine::note_verification);
    if (config.ca_pem.empty() || config.system_roots) {
      if (::SSL_CTX_set_default_verify_paths(context.get()) != 1) return unusable("system roots");
    }
    if (!config.ca_pem.empty()) {
      auto const trusted = trust(context.get(), config);
      if (!trusted) return trusted.error();
    }
  }
  if (!config.cert_pem.empty() || !config.key_pem.empty()) {
    std::string const source = config.cert_source.empty() ? "" : config.cert_source + ": ";
    auto const used = use_certificate(context.get(), config, source + "client");
    if (!used) return used.error();
  }
  auto const alpn = alpn_list(config.alpn);
  if (!alpn) return alpn.error();
  if (!alpn->empty()) {
    // Returns 0 when it succeeded, unlike all others.
    ::SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<unsigned char const*>(alpn->data()),
                              static_cast<unsigned>(alpn->size()));
  }
  TlsEngine::keep_sessions(context.get());
  return TlsContext(std::move(context), config);
}

bool TlsContext::lend_certificate(ssl_ctx_st* to) const {
  X509* const certificate = ::SSL_CTX_get0_certificate(native());
  if (certificate == nullptr) return true;
  STACK_OF(X509)* chain = nullptr;
  ::SSL_CTX_get0_chain_certs(native(), &chain);
  EVP_PKEY* const key = ::SSL_CTX_get0_privatekey(native());
  bool const lent = ::SSL_CTX_use_cert_and_key(to, certificate, key, chain, 1) == 1;
  ::ERR_clear_error();
  return lent;
}

Result<TlsContext> TlsContext::for_server(TlsConfig const& config) {
  auto const made = new_context(::TLS_server_method());
  if (!made) return made.error();
  Handle context(*made);
  if (auto const used = use_certificate(context.get(), config, "server"); !used)
    return used.error();
  if (!config.ca_pem.empty()) {
    auto const trusted = trust(context.get(), config);
    if (!trusted) return trusted.error();
  }
  auto const wanted = config.client_certificates;
  ::SSL_CTX_set_verify(context.get(), verify_mode(wanted),
                       wanted == ClientCertificates::request ? &take_any_certificate : nullptr);
  // Sessions are in the tickets that clients keep.
  ::SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  static constexpr unsigned char kSessionScope[] = {'k', 'p', 'o', 'r', 't', 'a', 'l'};
  ::SSL_CTX_set_session_id_context(context.get(), kSessionScope, sizeof(kSessionScope));
  auto alpn = alpn_list(config.alpn);
  if (!alpn) return alpn.error();
  if (!alpn->empty()) TlsEngine::choose_alpn(context.get(), std::move(*alpn));
  return TlsContext(std::move(context), config);
}

}  // namespace kportal::net
