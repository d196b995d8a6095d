// SPDX-License-Identifier: MIT
// Dialer: from a pod's name to an open tunnel: TCP, TLS, the HTTP upgrade (SPDY inside a WebSocket
// first, bare SPDY where the server cannot), and remembers which worked (client-go:
// FallbackDialer). It does not choose pods and does not retry. Owned by the cluster.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/address.hpp>

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
  std::function<void()> began;  // called when the dial's time begins: what it waited for has come
  DialOptions() = default;
};

struct Tunnel {
  std::shared_ptr<net::SpdyConnection> connection;
  TransportKind transport{};
  Duration took{};  // without what was waited for: a login, the gate
  Tunnel(std::shared_ptr<net::SpdyConnection> c, TransportKind t, Duration d)
      : connection(std::move(c)), transport(t), took(d) {}
};

class Dialer {
 public:
  // What a server asks one dial to wait (Retry-After) holds for all, but not for longer than this:
  // a kubelet that has enough speaks for one node only.
  static constexpr Duration kMaxSharedWait = std::chrono::seconds(5);

  // `tls` is null for a server without TLS. All must outlive it.
  Dialer(net::Resolver& resolver, ClusterAccess const& access, net::TlsContext* tls,
         Credentials& credentials);

  // Errors say which hop failed and how: network, tls, timeout, unauthorized, auth_plugin,
  // forbidden, not_found (no such pod), server, protocol, upgrade_refused. `heard` is called when
  // the server is reached, and when it answers. What a login takes puts off the deadline.
  awaitable<Result<Tunnel>> dial(std::string name_space, std::string pod, DialOptions options,
                                 TimePoint deadline, std::function<void()> heard = {});
  // Whether the server says anything at all: a question that needs no rights. Why it does not, or
  // nothing if it does. A certificate that is not trusted is an answer, and so is a refusal of
  // ours.
  awaitable<std::optional<Error>> knock(TimePoint deadline);

  // Where the last connection led to: the server or its proxy.
  std::optional<asio::ip::address> const& peer() const { return peer_; }

 private:
  using Upgraded = Route::Connection;
  // What all steps of one dial share.
  struct Course {
    net::TcpOptions tcp;
    TimePoint deadline;
    Duration waited{};  // for logins
    std::function<void()> heard;
    Course(net::TcpOptions t, TimePoint d, std::function<void()> h)
        : tcp(t), deadline(d), heard(std::move(h)) {}
    void put_off(Duration by) {
      deadline += by;
      waited += by;
    }
    void tell_heard() const {
      if (heard) heard();
    }
  };
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
                                              Course& course, TransportKind& kind);
  awaitable<UpgradeResult> upgrade(TransportKind kind, std::string target, Course& course);
  awaitable<UpgradeResult> try_upgrade(TransportKind kind, std::string target,
                                       SharedIdentity identity, Course const& course);
  awaitable<Route::Step> connect(net::TlsContext* tls, net::TcpOptions options, TimePoint deadline);
  std::string const& place() const { return route_.place(); }
  Result<std::string> request_head(TransportKind kind, std::string const& target,
                                   std::string const& key, Identity const& identity) const;

  Server server_;
  Route route_;
  net::TlsContext* tls_;
  Credentials& credentials_;
  TransportChoice choice_;
  std::optional<asio::ip::address> peer_;
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
