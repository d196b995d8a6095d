// SPDX-License-Identifier: MIT
// TlsConfig, what one side of TLS is made of, and TlsContext, the same made ready once
// (certificates parsed, roots loaded, sessions to resume). Does no I/O; net/tls.h speaks TLS over a
// Transport.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

struct ssl_ctx_st;
struct ssl_st;

namespace kportal::net {

// Of a server: what it asks of clients.
enum class ClientCertificates {
  ignore,   // not asked for
  request,  // taken if there is one, also from an unknown authority: see TlsPeer::verified
  require,  // a verified one, or the handshake fails
};

struct TlsConfig {
  // Whom to trust. Client: empty = the system's roots. Server: the authorities of client
  // certificates. Intermediates and leaves count as roots, as they do in Go.
  std::string ca_pem;
  // Where ca_pem was written, for messages; empty = nobody knows.
  std::string ca_source;
  // Client: the system's roots as well, where there is a ca_pem.
  bool system_roots = false;
  // Own certificate, leaf first, with its chain, and its unencrypted key. A server must have both,
  // a client both or neither.
  std::string cert_pem;
  std::string key_pem;
  // Where those were written, for messages; empty = nobody knows.
  std::string cert_source;
  // Client: the name or IP literal to verify and to send as SNI, instead of the host dialled.
  std::string server_name;
  // Client: verify nothing.
  bool insecure = false;
  // In order of preference; empty = no ALPN. Kubernetes upgrades need none or "http/1.1".
  std::vector<std::string> alpn;
  ClientCertificates client_certificates = ClientCertificates::ignore;

  bool operator==(TlsConfig const&) const = default;
};

// Connections keep what they need of it, so it may go before them. TLS 1.2 at least. Sessions are
// resumed per context and verified name, thus never across credentials.
class TlsContext {
 public:
  // Errc::tls, and a text that says which part is unusable and why; never part of a key.
  static Result<TlsContext> for_client(TlsConfig const& config);
  static Result<TlsContext> for_server(TlsConfig const& config);

  // Makes another library's context show this one's certificate, if there is one. Shares what is
  // parsed. False if that one cannot.
  bool lend_certificate(ssl_ctx_st* to) const;

  ssl_ctx_st* native() const { return context_.get(); }
  std::string const& server_name() const { return server_name_; }
  // What it trusts, in words for messages.
  std::string const& trusted() const { return trusted_; }

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const noexcept;
  };
  using Handle = std::unique_ptr<ssl_ctx_st, Free>;
  TlsContext(Handle context, TlsConfig const& config);

  Handle context_;
  std::string server_name_;
  std::string trusted_;
};

// "the system's roots", "/etc/ca.pem": what TlsContext::trusted() is.
std::string trusted_by(std::string const& ca_pem, std::string const& ca_source);

// Codes of the data plane from TLS: OpenSSL's SSL reasons, among them the peer's alerts (1000 +
// number), with messages for people. Their condition is Errc::tls, so that io_error() makes an
// Error of that kind.
boost::system::error_category const& tls_category() noexcept;

// OpenSSL's packed error code, from whoever uses OpenSSL beside us, in the words that a handshake
// of ours has. Nothing for a code that TLS has no part in.
std::optional<Error> tls_error(unsigned long openssl_code);

}  // namespace kportal::net
