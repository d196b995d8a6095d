// SPDX-License-Identifier: MIT
// Route: the way to an API server, hop by hop: TCP (to the server or its proxy), the proxy, TLS.
// Each hop can be gone alone, so that somebody can time and explain it; connect() goes them all.
// Asks the server nothing and retries nothing. Owned by a Dialer.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "k8s/kubeconfig.h"
#include "net/proxy.h"
#include "net/resolver.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/tls_context.h"

namespace kportal::k8s {

// What trusts a proxy that speaks TLS: the system's roots, and those of the cluster's CA, which are
// the only ones that client-go takes. No client certificate, and never unverified.
net::TlsConfig proxy_tls_config(std::string const& ca_pem);
// The same in words for messages.
inline constexpr char const* kProxyRoots =
    "the system's roots or the cluster's certificate authority";

// "HOST:PORT", and " through proxy HOST:PORT", as errors begin.
std::string route_name(std::string const& host, std::uint16_t port,
                       std::optional<net::Proxy> const& proxy);

class Route {
 public:
  // A transport and the socket at its bottom.
  struct Connection {
    std::unique_ptr<net::Transport> transport;
    asio::ip::tcp::socket* socket;
    Connection(std::unique_ptr<net::Transport> t, asio::ip::tcp::socket& s)
        : transport(std::move(t)), socket(&s) {}
  };
  using Step = Result<Connection>;

  // `ca_pem`: of the cluster, for its proxy. The resolver must outlive it.
  Route(net::Resolver& resolver, Server server, std::optional<net::Proxy> proxy,
        std::string ca_pem);

  // All hops; `tls` is null for a server without TLS. Errors of all: network, tls, timeout, local,
  // kubeconfig; the text names the server and the proxy.
  awaitable<Step> connect(net::TlsContext* tls, net::TcpOptions options, TimePoint deadline);

  // Resolves and connects to the server, or to its proxy.
  awaitable<Step> reach(net::TcpOptions options, TimePoint deadline);
  // TLS to the proxy, if it is an https one; then makes it pass on. Without a proxy it does
  // nothing.
  awaitable<Step> pass_proxy(Connection connection, TimePoint deadline);
  // TLS with the server. `seen` is told about the server's certificate, also after a failure.
  awaitable<Step> secure(Connection connection, net::TlsContext& tls, TimePoint deadline,
                         net::TlsFacts* seen = nullptr);

  std::string const& place() const { return place_; }
  std::optional<net::Proxy> const& proxy() const { return proxy_; }

 private:
  awaitable<Step> secure_proxy(Connection connection, TimePoint deadline);

  net::Resolver& resolver_;
  Server server_;
  std::optional<net::Proxy> proxy_;
  std::string ca_pem_;
  std::string place_;
  std::optional<net::TlsContext> proxy_tls_;  // made when first needed
};

}  // namespace kportal::k8s
