// SPDX-License-Identifier: MIT
#include "k8s/client_tls.h"

namespace kportal::k8s {

net::TlsConfig client_tls(ServerTls const& tls) {
  net::TlsConfig config;
  config.ca_pem = tls.ca_pem;
  config.ca_source = tls.ca_source;
  config.cert_pem = tls.cert_pem;
  config.key_pem = tls.key_pem;
  config.cert_source = tls.cert_source;
  config.server_name = tls.server_name;
  config.insecure = tls.insecure;
  return config;
}

}  // namespace kportal::k8s
