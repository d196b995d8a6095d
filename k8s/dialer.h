// SPDX-License-Identifier: MIT
// Dialer: from a pod's name to an open tunnel: TCP, TLS, the HTTP upgrade (SPDY inside a WebSocket
// first, bare SPDY where the server cannot), and remembers which worked (client-go:
// FallbackDialer). It does not choose pods and does not retry. Owned by the cluster.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "k8s/credentials.h"
#include "k8s/kubeconfig.h"
#include "k8s/route.h"
#include "k8s/transport_choice.h"
#include "net/http_upgrade.h"
#include "net/resolver.h"
#include "net/spdy_connection.h"
#include "net/tcp.h"
#include "net/tls_context.h"

namespace kportal::k8s {

struct DialOptions {
  net::TcpOptions tcp;
  Duration ping_interval{};
  Duration ping_timeout{};
  DialOptions() = default;
};

struct Tunnel {
  std::unique_ptr<net::SpdyConnection> connection;
  TransportKind transport{};
  Tunnel(std::unique_ptr<net::SpdyConnection> c, TransportKind t)
      : connection(std::move(c)), transport(t) {}
};

class Dialer {
 public:
  // The body of a refusal that is read for its message.
  static constexpr std::size_t kMaxRefusal = 64 * 1024;
  // What a server asks one dial to wait (Retry-After) holds for all, but not for longer than this:
  // a kubelet that has enough speaks for one node only.
  static constexpr Duration kMaxSharedWait = std::chrono::seconds(5);

  // `tls` is null for a server without TLS. All must outlive it.
  Dialer(net::Resolver& resolver, ClusterAccess const& access, net::TlsContext* tls,
         Credentials& credentials);

  // Errors say which hop failed and how: network, tls, timeout, unauthorized, auth_plugin,
  // forbidden, not_found (no such pod), server, protocol, upgrade_refused.
  awaitable<Result<Tunnel>> dial(std::string name_space, std::string pod, DialOptions options,
                                 TimePoint deadline);

 private:
  using Upgraded = Route::Connection;
  struct UpgradeResult {
    Result<Upgraded> connection;
    bool other_may = false;  // the other transport may succeed where this one was refused
    UpgradeResult(Result<Upgraded> c, bool other = false)
        : connection(std::move(c)), other_may(other) {}
    UpgradeResult(Error error, bool other = false)
        : connection(std::move(error)), other_may(other) {}
    bool has_error() const { return connection.has_error(); }
  };

  // Says in `kind` which it was.
  awaitable<Result<Upgraded>> upgrade_somehow(std::string name_space, std::string target,
                                              net::TcpOptions options, TimePoint deadline,
                                              TransportKind& kind);
  awaitable<UpgradeResult> upgrade(TransportKind kind, std::string target, net::TcpOptions options,
                                   TimePoint deadline);
  awaitable<UpgradeResult> try_upgrade(TransportKind kind, std::string target,
                                       SharedIdentity identity, net::TcpOptions options,
                                       TimePoint deadline);
  std::string const& place() const { return route_.place(); }
  Result<std::string> request_head(TransportKind kind, std::string const& target,
                                   std::string const& key, Identity const& identity) const;

  Server server_;
  Route route_;
  net::TlsContext* tls_;
  Credentials& credentials_;
  TransportChoice choice_;
  TimePoint not_before_{};  // the server wants no dial before,
  Error asked_;             // and said so
};

// Whether the other transport may succeed where an upgrade got this answer. Not for what both would
// be told (401, no such pod, 429, 5xx).
bool should_fall_back(net::ResponseHead const& head, std::string_view body);

// Why the answer to an upgrade is no tunnel, with what the server says.
Error upgrade_error(net::ResponseHead const& head, std::string_view body);

// What to say where neither transport worked: both answers, and what to do about them.
Error refused_by_both(Error const& websocket, Error const& spdy, std::string_view name_space);

}  // namespace kportal::k8s
