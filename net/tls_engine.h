// SPDX-License-Identifier: MIT
// TlsEngine: one TLS connection as bytes in, bytes out, on an own OpenSSL BIO over our Chunks. It
// never waits and knows no socket; TlsTransport moves its bytes. Owned by that.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "base/bytes.h"
#include "base/chunk.h"
#include "base/error.h"
#include "net/tls.h"
#include "net/tls_context.h"
#include "net/transport.h"

namespace kportal::net {

class TlsEngine {
 public:
  enum class Step { done, wants_input, failed };

  // For a client's connection to `host`; see tls_connect.
  static Result<std::unique_ptr<TlsEngine>> client(TlsContext const& context,
                                                   std::string const& host);
  static Result<std::unique_ptr<TlsEngine>> server(TlsContext const& context);
  ~TlsEngine();
  TlsEngine(TlsEngine const&) = delete;
  TlsEngine& operator=(TlsEngine const&) = delete;

  // One step, as far as the input goes; there may be output after each, also after a failure (an
  // alert).
  Step handshake();
  // Why it failed, with the certificate's facts.
  Error handshake_error() const;

  // Bytes from the peer. Only while hungry(), that is, once all bytes given before were used.
  void feed(Chunk input);
  bool hungry() const { return input_at_ == input_.size(); }

  // Clear text, as much as fits and is there; size 0 without an error: feed() first. eof after
  // close_notify; a code of tls_category() is for good.
  IoResult decrypt(MutableBytes into);
  // Makes records of all of `bytes`. `try_again` of boost::system::errc: the peer's message that is
  // half in must be read to its end first; then the same bytes again.
  error_code encrypt(Bytes bytes);
  // Makes a close_notify.
  void say_goodbye();

  // What is to be sent, the first part of it, in order.
  bool has_output() const { return !output_.empty(); }
  Bytes output() const { return output_.front().data().subspan(output_at_); }
  void sent(std::size_t size);
  Chunk take_output();
  std::size_t unsent() const;

  bool resumed() const;
  std::string alpn() const;
  std::string version() const;
  std::optional<TlsPeer> peer() const;
  TlsFacts facts() const;
  SSL* native() const { return ssl_.get(); }

  // For TlsContext: sessions to resume, kept in the SSL_CTX itself; the server's choice of ALPN
  // (`names` in the wire form, in order of preference); the callback that notes why a certificate
  // failed.
  static void keep_sessions(SSL_CTX* context);
  static void choose_alpn(SSL_CTX* context, std::string names);
  static int note_verification(int verified, X509_STORE_CTX* verification);

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const noexcept { ::SSL_free(ssl); }
  };
  struct BioCalls;  // OpenSSL's way to append_output() and take_input()

  explicit TlsEngine(SSL* ssl);
  bool attach();
  void resume();
  void append_output(Bytes bytes);
  std::size_t take_input(MutableBytes into);
  error_code error_of(int returned) const;

  static int keep_session(SSL* ssl, SSL_SESSION* session);

  std::unique_ptr<SSL, FreeSsl> ssl_;
  std::string name_;          // what the certificate is verified against
  std::string trusted_;       // what the certificate is to be signed by, in words
  std::string verification_;  // why it failed
  std::optional<CertificateFacts> refused_;
  error_code error_;  // for good
  Chunk input_;
  std::size_t input_at_ = 0;
  std::vector<Chunk> output_;
  std::size_t output_at_ = 0;  // sent of the first
};

}  // namespace kportal::net
