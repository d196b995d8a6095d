// SPDX-License-Identifier: MIT
// Cluster: what all forwards to one API server as one user share: credentials, REST client, the
// caches of pods and services, the TLS context and transport of tunnels, the gate that bounds
// dials, the scout that asks a cluster that is silent. It decides nothing about a forward. Owned by
// ClusterPool.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "base/task_group.h"
#include "k8s/credentials.h"
#include "k8s/curl_multi.h"
#include "k8s/dial_gate.h"
#include "k8s/dialer.h"
#include "k8s/kubeconfig.h"
#include "k8s/object_cache.h"
#include "k8s/rest_client.h"
#include "k8s/scout.h"
#include "k8s/subscription.h"
#include "net/resolver.h"

namespace kportal::k8s {

class Cluster final : private Scout::Owner {
 public:
  static constexpr std::size_t kMaxDials = 20;
  // Lookups of single objects at once. Over HTTP/1.1 each has a connection, which stays open after.
  static constexpr std::size_t kMaxLookups = 4;
  // How often a dial that hears nothing is begun anew where others are answered; then it keeps its
  // whole timeout, for the server may only be slow.
  static constexpr int kMaxRestarts = 2;
  static constexpr Duration kRequestTimeout = std::chrono::seconds(30);

  // Errc::tls or kubeconfig for certificates that cannot be used.
  static Result<std::unique_ptr<Cluster>> create(asio::any_io_executor executor,
                                                 net::Resolver& resolver, ExecPlugins& plugins,
                                                 ClusterAccess access);
  ~Cluster();
  Cluster(Cluster const&) = delete;
  Cluster& operator=(Cluster const&) = delete;

  asio::any_io_executor executor() const { return executor_; }
  ClusterAccess const& access() const { return access_; }
  RestClient& rest() { return rest_; }
  DialGate& lookups() { return lookups_; }
  // Null for a server without TLS.
  net::TlsContext* tls() { return tls_ ? &*tls_ : nullptr; }
  Credentials& credentials() { return credentials_; }

  // Started on first use. Good until release_unused_caches() has found it without a subscriber
  // twice, so subscribe at once.
  PodCache& pods(std::string const& name_space);
  ServiceCache& services(std::string const& name_space);
  // Ends the caches that had no subscriber at this call and the one before. Not to be cancelled.
  awaitable<void> release_unused_caches();

  // Reads the token file, if there is one. True if it holds another token than before.
  bool reread_token() { return credentials_.refresh(Clock::now()); }

  // A tunnel ended. Where it was lost to silence (nothing came since `silent_since`, when it was
  // asked) what else is open to this server may be as dead and not know it.
  void tunnel_ended(error_code why, TimePoint silent_since);
  // Closes the REST connections and lists anew, once for all who ask for it within the pause.
  void distrust_connections();
  static constexpr Duration kDistrustPause = std::chrono::seconds(1);
  // Routes or addresses of this machine changed, or it slept. What is open is asked whether it is
  // still alive, and no wait goes on, if that concerns this server.
  void routes_changed();
  void woke_up();
  // The callback comes when there is another network than the one that was dead, or may be: waits
  // for it have ended. It must only take note.
  [[nodiscard]] Subscription subscribe(std::function<void()> network_is_back);

  // Opens a tunnel to the pod. It waits for the login and for its turn at the gate; `timeout`
  // begins after that. While the cluster proves no life it is not dialled: the scout asks it, and
  // why it is not reached is the answer to all who wait.
  awaitable<Result<Tunnel>> dial(std::string name_space, std::string pod, DialOptions options,
                                 Duration timeout);

  // Ends and joins everything. Before destruction.
  awaitable<void> stop();

 private:
  Cluster(asio::any_io_executor executor, net::Resolver& resolver, ExecPlugins& plugins,
          ClusterAccess access, std::optional<net::TlsContext> tls);

  // Scout::Owner
  awaitable<std::optional<Error>> knock(TimePoint deadline) override;
  TimePoint last_heard() const override;
  void network_is_back() override;

  awaitable<Result<DialGate::Pass>> admission();
  awaitable<void> dial_once(Scout::Attempt& attempt, std::string name_space, std::string pod,
                            DialOptions options, TimePoint deadline,
                            std::optional<Result<Tunnel>>& outcome);
  void remember(Tunnel const& tunnel);
  void end_waits();
  void ping_all();
  void doubt_everything();
  std::optional<asio::ip::address> look_at_source() const;
  RestConfig rest_config();

  template <class Cache>
  struct Kept {
    Kept(asio::any_io_executor executor, RestClient& rest, std::string const& name_space)
        : cache(executor, rest, name_space, "", ReflectorOptions()), task(executor) {
      task.spawn(cache.run());
    }
    Cache cache;
    TaskGroup task;  // cache.run()
    bool unused = false;
  };
  template <class Cache>
  using Caches = std::map<std::string, std::unique_ptr<Kept<Cache>>>;

  template <class Cache>
  Cache& cache(Caches<Cache>& caches, std::string const& name_space);
  template <class Cache>
  static awaitable<void> release_unused(Caches<Cache>& caches);
  template <class Cache>
  static awaitable<void> end(Caches<Cache> const& caches);

  asio::any_io_executor executor_;
  ClusterAccess access_;
  std::optional<net::TlsContext> tls_;
  Credentials credentials_;
  CurlMulti curl_;
  RestClient rest_;
  Dialer dialer_;
  DialGate gate_;
  DialGate lookups_;
  Caches<PodCache> pods_;
  Caches<ServiceCache> services_;
  TimePoint rest_answered_{};
  TimePoint distrusted_{};
  Scout scout_;
  std::vector<std::weak_ptr<net::SpdyConnection>> tunnels_;
  std::optional<asio::ip::address> source_;  // by the last look
  Subscribers network_is_back_;
};

}  // namespace kportal::k8s
