// SPDX-License-Identifier: MIT
#include "k8s/cluster.h"

#include <utility>

#include "base/version.h"
#include "k8s/client_tls.h"

namespace kportal::k8s {
namespace {

RestConfig rest_config(ClusterAccess const& access, Authorize authorize) {
  RestConfig config;
  config.scheme = access.server.tls ? "https" : "http";
  config.host = access.server.host;
  config.port = access.server.port;
  config.path_prefix = access.server.path_prefix;
  config.tls = access.tls;
  config.proxy = access.proxy;
  config.authorize = std::move(authorize);
  config.user_agent = kUserAgent;
  return config;
}

}  // namespace

Result<std::unique_ptr<Cluster>> Cluster::create(asio::any_io_executor executor,
                                                 net::Resolver& resolver, ExecPlugins& plugins,
                                                 ClusterAccess access) {
  std::optional<net::TlsContext> tls;
  if (access.server.tls) {
    auto made = net::TlsContext::for_client(client_tls(access.tls));
    if (made.has_error()) return made.error();
    tls.emplace(std::move(*made));
  }
  return std::unique_ptr<Cluster>(
      new Cluster(std::move(executor), resolver, plugins, std::move(access), std::move(tls)));
}

Cluster::Cluster(asio::any_io_executor executor, net::Resolver& resolver, ExecPlugins& plugins,
                 ClusterAccess access, std::optional<net::TlsContext> tls)
    : executor_(std::move(executor)),
      access_(std::move(access)),
      tls_(std::move(tls)),
      credentials_(access_.auth, system_environment().read_file, client_tls(access_.tls), plugins),
      curl_(executor_),
      rest_(curl_, resolver, rest_config(access_, authorize_by(credentials_))),
      dialer_(resolver, access_, tls_ ? &*tls_ : nullptr, credentials_),
      gate_(executor_, kMaxDials),
      lookups_(executor_, kMaxLookups) {}

Cluster::~Cluster() = default;

template <class Cache>
Cache& Cluster::cache(Caches<Cache>& caches, std::string const& name_space) {
  auto& kept = caches[name_space];
  if (!kept) kept = std::make_unique<Kept<Cache>>(executor_, rest_, name_space);
  kept->unused = false;
  return kept->cache;
}

template <class Cache>
awaitable<void> Cluster::release_unused(Caches<Cache>& caches) {
  Caches<Cache> unused;
  for (auto at = caches.begin(); at != caches.end();) {
    auto const here = at++;
    bool const before = std::exchange(here->second->unused, !here->second->cache.used());
    if (before && here->second->unused) unused.insert(caches.extract(here));
  }
  co_await end(unused);
}

template <class Cache>
awaitable<void> Cluster::end(Caches<Cache> const& caches) {
  for (auto const& [name_space, kept] : caches) kept->task.cancel();
  for (auto const& [name_space, kept] : caches) co_await kept->task.join();
}

awaitable<void> Cluster::release_unused_caches() {
  co_await release_unused(pods_);
  co_await release_unused(services_);
}

PodCache& Cluster::pods(std::string const& name_space) {
  return cache(pods_, name_space);
}

ServiceCache& Cluster::services(std::string const& name_space) {
  return cache(services_, name_space);
}

void Cluster::distrust_connections() {
  TimePoint const now = Clock::now();
  if (now < distrusted_ + kDistrustPause) return;
  distrusted_ = now;
  curl_.drop_connections();
  for (auto const& [name_space, kept] : pods_) kept->cache.refresh();
  for (auto const& [name_space, kept] : services_) kept->cache.refresh();
}

awaitable<Result<Tunnel>> Cluster::dial(std::string name_space, std::string pod,
                                        DialOptions options, Duration timeout) {
  // Not inside the gate, which a login would fill with dials that cannot begin.
  auto const login = co_await credentials_.identity();
  if (login.has_error()) co_return login.error();
  DialGate::Pass const pass = co_await gate_.enter();
  auto tunnel =
      co_await dialer_.dial(std::move(name_space), std::move(pod), options, Clock::now() + timeout);
  co_return tunnel;
}

awaitable<void> Cluster::stop() {
  co_await end(pods_);
  co_await end(services_);
  credentials_.stop();
}

}  // namespace kportal::k8s
