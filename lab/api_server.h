// SPDX-License-Identifier: MIT
// ApiServer: a Kubernetes API server in this process, as far as port forwarding needs one: TLS with
// its own CA, client certificates and tokens, REST and watches of a Cluster, and pods/portforward
// by WebSocket and by SPDY. kubectl works against it. It is as bad as the real thing unless Options
// say otherwise. One loop; owned by a test or the demo, outlived by its Cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "base/error.h"
#include "lab/access.h"
#include "lab/certificates.h"
#include "lab/cluster.h"
#include "lab/faults.h"
#include "lab/kubeconfig.h"
#include "lab/runtime.h"

namespace kportal::lab {

struct ApiServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one
  // DNS names or addresses of the server certificate, beside localhost, 127.0.0.1 and ::1.
  std::vector<std::string> names;
  bool expired = false;  // the server's certificate ended a minute ago
  RuntimeOptions runtime;
  // Kubernetes 1.35: a WebSocket (GET) needs the verb create as well.
  bool websocket_needs_create = true;
  Duration bookmark_interval = std::chrono::seconds(60);
  // A watch that names no timeoutSeconds ends after this.
  Duration watch_timeout = std::chrono::minutes(30);
  bool split_writes_in_tunnel = true;  // messages over 4 KiB come in fragments, some empty
};

// Which tunnels a fault is about: all, or those to one pod.
using TunnelFilter = std::optional<PodName>;

// Directions as the client sees them.
enum class Direction { both, to_client, to_server };

class ApiServer {
 public:
  ApiServer(asio::any_io_executor executor, Cluster& cluster, ApiServerOptions options = {});
  ~ApiServer();  // stop() must have been awaited, or the loop be gone

  // Makes the certificates and listens. Serves once the loop runs.
  Result<void> start();
  // Ends all connections, joins, and frees the port. start() again listens on the same port.
  awaitable<void> stop();

  std::uint16_t port() const;
  std::string url() const;  // https://127.0.0.1:PORT
  std::string const& ca_pem() const;
  // The admin's (group system:masters): may do everything.
  std::string const& admin_certificate_pem() const;
  std::string const& admin_key_pem() const;
  // A client certificate for any user; what it may do is in access().
  Result<CertificateAndKey> client_certificate(std::string const& user,
                                               std::vector<std::string> const& groups);
  std::string kubeconfig(KubeconfigOptions const& options = {}) const;
  // Several contexts in one file; the first is the current one.
  std::string kubeconfig(std::vector<KubeconfigOptions> const& contexts) const;

  Access& access();
  Faults& faults();
  RuntimeOptions& runtime();  // for tunnels opened from now on

  // Faults on what is open now. They return how many connections they met.
  std::size_t drop_tunnels(SessionEnd how = SessionEnd::cut, TunnelFilter filter = {});
  // By WebSocket only: a close frame with this code (1000, 1001, 1011), then the TCP end.
  std::size_t close_websockets(std::uint16_t code, TunnelFilter filter = {});
  // By WebSocket only: a text message, which a tunnel never has.
  std::size_t send_text_messages(TunnelFilter filter = {});
  // Ends all watches; resets the connection instead if `abruptly`.
  std::size_t cut_watches(bool abruptly = false);
  // While silent, watches hold back changes, bookmarks and their end.
  void silence_watches(bool silent);
  std::size_t cut_connections();  // every TCP connection, by reset
  // Silence, no reset: TCP accepts and acknowledges, nothing is read or written; new ones too.
  void freeze();
  void thaw();
  bool frozen() const;
  // The same for tunnels that are open, one direction or both.
  std::size_t freeze_tunnels(Direction direction = Direction::both, TunnelFilter filter = {});
  std::size_t thaw_tunnels(TunnelFilter filter = {});
  // New TCP connections are accepted and cut at once while this is set.
  void refuse_connections(bool refuse);

  // Statistics. changed() is told at each change, so that tests wait for a condition and never
  // sleep.
  std::uint64_t requests(RequestKind kind) const;  // any = all
  std::uint64_t connections() const;               // TCP, ever accepted
  std::size_t open_connections() const;
  std::size_t open_watches() const;
  std::size_t open_tunnels(TunnelFilter filter = {}) const;
  std::uint64_t tunnels() const;  // ever opened
  std::uint64_t streams() const;  // ever opened by clients: two a connection
  std::size_t open_pod_connections(PodName const& pod) const;
  std::uint64_t pings() const;                   // answered
  std::vector<std::string> user_agents() const;  // distinct, at most 100
  ChangeSignal& changed();
  // True as soon as `condition` holds, false at the deadline.
  awaitable<bool> wait_for(std::function<bool()> condition,
                           Duration within = std::chrono::seconds(30));

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kportal::lab
