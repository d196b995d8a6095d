// SPDX-License-Identifier: MIT
#include "tests/bench/tls_socket.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "tests/bench/place.h"

namespace kportal::bench {
namespace {

std::shared_ptr<SSL_CTX> make_context(SSL_METHOD const* method) {
  std::shared_ptr<SSL_CTX> const context(SSL_CTX_new(method), &SSL_CTX_free);
  // For the relay, which writes what a full socket takes.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

SSL_CTX* client_context() {
  static std::shared_ptr<SSL_CTX> const context = make_context(TLS_client_method());
  return context.get();
}

std::unique_ptr<BIO, decltype(&BIO_free)> memory(std::string const& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

}  // namespace

TlsServer::TlsServer(std::string const& certificate_pem, std::string const& key_pem)
    : context_(make_context(TLS_server_method())) {
  std::unique_ptr<X509, decltype(&X509_free)> const certificate(
      PEM_read_bio_X509(memory(certificate_pem).get(), nullptr, nullptr, nullptr), &X509_free);
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> const key(
      PEM_read_bio_PrivateKey(memory(key_pem).get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  SSL_CTX_use_certificate(context_.get(), certificate.get());
  SSL_CTX_use_PrivateKey(context_.get(), key.get());
  if (SSL_CTX_check_private_key(context_.get()) != 1) throw CannotMeasure("no certificate");
}

TlsSocket::TlsSocket(Socket socket, ssl_ctx_st* context)
    : socket_(std::move(socket)), ssl_(SSL_new(context), &SSL_free) {
  SSL_set_fd(ssl_.get(), socket_.descriptor());
}

TlsSocket TlsSocket::connect(Socket socket) {
  TlsSocket tls(std::move(socket), client_context());
  if (SSL_connect(tls.native()) != 1) throw CannotMeasure("no TLS handshake");
  return tls;
}

TlsSocket TlsSocket::accept(Socket socket, TlsServer const& server) {
  TlsSocket tls(std::move(socket), server.native());
  if (SSL_accept(tls.native()) != 1) throw CannotMeasure("no TLS handshake");
  return tls;
}

std::size_t TlsSocket::read(MutableBytes into) const {
  std::size_t n = 0;
  return SSL_read_ex(native(), into.data(), into.size(), &n) == 1 ? n : 0;
}

bool TlsSocket::write_all(Bytes bytes) const {
  while (!bytes.empty()) {
    std::size_t n = 0;
    if (SSL_write_ex(native(), bytes.data(), bytes.size(), &n) != 1) return false;
    bytes = bytes.subspan(n);
  }
  return true;
}

}  // namespace kportal::bench
