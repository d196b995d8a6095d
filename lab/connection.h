// SPDX-License-Identifier: MIT
// Connection: one TCP connection to the lab's API server: TLS, HTTP/1.1 requests one after another,
// then perhaps a tunnel. Authentication, rights and scripted failures are looked at here; what is
// answered is lab/rest's. Owned by the API server, which ends it by abort().
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "lab/access.h"
#include "lab/api_server.h"
#include "lab/cluster.h"
#include "lab/faults.h"
#include "lab/gate.h"
#include "lab/rest.h"
#include "lab/runtime.h"
#include "lab/tunnel_transport.h"
#include "net/http_upgrade.h"
#include "net/tls.h"

namespace kportal::lab {

// What all connections of one server look at and count in.
struct ServerState {
  ServerState(Cluster& c, ApiServerOptions o) : cluster(c), options(std::move(o)) {}

  Cluster& cluster;
  ApiServerOptions options;
  Access access;
  Faults faults;
  std::optional<net::TlsContext> tls;
  bool stopping = false;
  std::array<std::uint64_t, kRequestKinds> requests{};
  std::uint64_t tunnels = 0;
  RuntimeCounters runtime;
  std::set<std::string> user_agents;  // at most kMaxUserAgents

  static constexpr std::size_t kMaxUserAgents = 100;
  void changed() { cluster.changed().notify(); }
};

class Connection {
 public:
  // Bodies of requests beyond this are refused.
  static constexpr std::size_t kMaxBody = 1024 * 1024;
  static constexpr Duration kIdleTimeout = std::chrono::seconds(90);
  // Long, because a frozen server does not give up.
  static constexpr Duration kHandshakeTimeout = std::chrono::minutes(10);

  Connection(asio::any_io_executor executor, ServerState& state);

  // To the end of the connection; must not be cancelled.
  awaitable<void> run(asio::ip::tcp::socket socket);
  // Cuts it: run() returns soon.
  void abort();

  GateControl& gate() { return *gate_; }
  bool is_watch() const { return watching_; }
  // Ends a watch, orderly or by a reset of the connection.
  void cut_watch(bool abruptly);
  // The pod of the tunnel; null while it is none.
  PodName const* tunnel() const { return session_ ? &*pod_ : nullptr; }
  bool is_websocket() const { return websocket_ != nullptr; }
  void end_tunnel(SessionEnd how);
  void close_websocket(std::uint16_t code);
  void send_text_message();

 private:
  // One request as the handlers see it.
  struct Exchange {
    net::RequestHead head;
    std::string path;
    Query query;
    std::string body;
    std::optional<ResourcePath> resource;
    RequestKind kind = RequestKind::other;
    bool keep_alive = true;
    User user;
  };

  class Watching;
  // How far a watch has come.
  struct OpenWatch {
    explicit OpenWatch(WatchFilter f) : filter(std::move(f)) {}
    WatchFilter filter;
    std::uint64_t cursor = 0;   // of the cluster's history
    std::uint64_t version = 0;  // of the last change that was looked at
    bool bookmarks = false;
    TimePoint end;
    TimePoint next_bookmark;
  };

  awaitable<bool> fill();
  awaitable<void> read_ahead();
  awaitable<std::optional<net::RequestHead>> read_head();
  awaitable<bool> read_body(Exchange& exchange);
  awaitable<bool> one_request();
  void count(Exchange const& exchange);
  awaitable<void> delay(RequestKind kind);
  std::optional<User> authenticate(net::RequestHead const& head) const;
  std::optional<std::string> refusal(Exchange const& exchange, std::string const& verb) const;

  awaitable<bool> send(std::string text);
  awaitable<bool> send_answer(Exchange const& exchange, RestAnswer answer, std::string extra);
  awaitable<bool> send_failure(Exchange const& exchange, Failure failure);
  awaitable<bool> send_text_error(Exchange const& exchange, int code, std::string text);
  awaitable<bool> route(Exchange& exchange);
  awaitable<bool> serve_object(Exchange const& exchange);

  awaitable<bool> watch(Exchange const& exchange);
  awaitable<bool> begin_watch(OpenWatch& watch, Query const& query);
  awaitable<bool> advance_watch(OpenWatch& watch);
  awaitable<bool> send_changes(OpenWatch& watch);
  awaitable<bool> send_chunk(std::string text);
  bool watch_is_cut() const;

  std::optional<RestAnswer> refuse_upgrade(Exchange const& exchange) const;
  awaitable<bool> upgrade(Exchange const& exchange);
  awaitable<bool> upgrade_websocket(Exchange const& exchange, std::shared_ptr<Sandbox> sandbox);
  awaitable<bool> upgrade_spdy(Exchange const& exchange, std::shared_ptr<Sandbox> sandbox);
  awaitable<void> run_tunnel(Exchange const& exchange, std::shared_ptr<Sandbox> sandbox);

  asio::any_io_executor executor_;
  ServerState& state_;
  std::shared_ptr<GateControl> gate_;
  std::unique_ptr<net::Transport> stream_;
  std::optional<User> certificate_user_;
  bool bad_certificate_ = false;
  std::vector<std::byte> input_;  // read and not used yet
  bool reading_ahead_ = false;
  bool peer_gone_ = false;
  bool aborted_ = false;
  bool watching_ = false;
  bool cut_watch_ = false;
  std::optional<PodName> pod_;
  PortForwardSession* session_ = nullptr;  // while a tunnel runs
  TunnelTransport* websocket_ = nullptr;   // the same
  Wakeup wake_;                            // for delays
  Wakeup read_done_;                       // read_ahead() ended
  TaskGroup tasks_;
};

}  // namespace kportal::lab
