// SPDX-License-Identifier: MIT
// TlsSocket: TLS as OpenSSL gives it to anybody, over a Socket: what a bare relay costs. Not the
// product's TLS (net/tls), on purpose. A client verifies nobody: that is no part of what is
// measured.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/socket.h"

struct ssl_ctx_st;
struct ssl_st;

namespace kportal::bench {

class TlsServer {
 public:
  TlsServer(std::string const& certificate_pem, std::string const& key_pem);
  ssl_ctx_st* native() const { return context_.get(); }

 private:
  std::shared_ptr<ssl_ctx_st> context_;
};

class TlsSocket {
 public:
  // With the handshake done. Throws CannotMeasure if it fails.
  static TlsSocket connect(Socket socket);
  static TlsSocket accept(Socket socket, TlsServer const& server);

  ssl_st* native() const { return ssl_.get(); }
  int descriptor() const { return socket_.descriptor(); }
  std::size_t read(MutableBytes into) const;  // as Socket::read
  bool write_all(Bytes bytes) const;

 private:
  TlsSocket(Socket socket, ssl_ctx_st* context);

  Socket socket_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
};

}  // namespace kportal::bench
