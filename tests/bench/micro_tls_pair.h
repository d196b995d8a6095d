// SPDX-License-Identifier: MIT
// TlsPair: two ends of TLS in memory, past their handshake: for microbenchmarks of what is between
// clear text and records, without a socket.
#pragma once

#include <cstdlib>
#include <memory>

#include "lab/certificates.h"
#include "net/tls_engine.h"

namespace kportal::bench {

class TlsPair {
 public:
  TlsPair() {
    auto authority = lab::CertificateAuthority::make("micro");
    auto const own = authority->issue_server({"localhost"});
    net::TlsConfig server_config;
    server_config.cert_pem = own->certificate_pem;
    server_config.key_pem = own->key_pem;
    net::TlsConfig client_config;
    client_config.ca_pem = authority->pem();
    auto const server_context = net::TlsContext::for_server(server_config);
    auto const client_context = net::TlsContext::for_client(client_config);
    server_ = *net::TlsEngine::server(*server_context);
    client_ = *net::TlsEngine::client(*client_context, "localhost");
    shake_hands();
  }

  net::TlsEngine& client() { return *client_; }
  net::TlsEngine& server() { return *server_; }

 private:
  static void carry(net::TlsEngine& from, net::TlsEngine& to) {
    while (from.has_output() && to.hungry()) to.feed(from.take_output());
  }
  void shake_hands() {
    for (int i = 0; i < 10; ++i) {
      auto const client = client_->handshake();
      carry(*client_, *server_);
      auto const server = server_->handshake();
      carry(*server_, *client_);
      if (client == net::TlsEngine::Step::done && server == net::TlsEngine::Step::done) break;
    }
    // The server's tickets come behind.
    std::byte nothing{};
    auto const got = client_->decrypt(MutableBytes(&nothing, 1));
    if (got.error || got.size > 0 || !client_->hungry()) std::abort();
  }

  std::unique_ptr<net::TlsEngine> client_;
  std::unique_ptr<net::TlsEngine> server_;
};

}  // namespace kportal::bench
