// SPDX-License-Identifier: MIT
#include "k8s/cluster.h"

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>

#include "base/version.h"
#include "k8s/client_tls.h"
#include "k8s/run_until.h"
#include "net/source_address.h"

namespace kportal::k8s {
namespace {

// Of a connection whose network went away, as the system tells it. A reset or an orderly end are
// none: somebody sent them.
bool is_silence(error_code why) {
  return why == Errc::ping_timeout || why == asio::error::timed_out ||
         why == asio::error::host_unreachable || why == asio::error::network_unreachable ||
         why == asio::error::network_down;
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
      rest_(curl_, resolver, rest_config()),
      dialer_(resolver, access_, tls_ ? &*tls_ : nullptr, credentials_),
      gate_(executor_, kMaxDials),
      lookups_(executor_, kMaxLookups),
      scout_(executor_, *this),
      source_(look_at_source()) {}

Cluster::~Cluster() = default;

RestConfig Cluster::rest_config() {
  RestConfig config;
  config.scheme = access_.server.tls ? "https" : "http";
  config.host = access_.server.host;
  config.port = access_.server.port;
  config.path_prefix = access_.server.path_prefix;
  config.tls = access_.tls;
  config.proxy = access_.proxy;
  config.authorize = authorize_by(credentials_);
  config.answered = [this] {
    rest_answered_ = Clock::now();
    scout_.heard(rest_answered_);
  };
  config.unanswered = [this](TimePoint asked) { scout_.doubt(asked); };
  config.user_agent = kUserAgent;
  return config;
}

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

// ---- whether it lives

awaitable<std::optional<Error>> Cluster::knock(TimePoint deadline) {
  return dialer_.knock(deadline);
}

TimePoint Cluster::last_heard() const {
  TimePoint last{};
  for (auto const& known : tunnels_) {
    if (auto const tunnel = known.lock()) last = std::max(last, tunnel->last_received());
  }
  return last;
}

void Cluster::tunnel_ended(error_code why, TimePoint silent_since) {
  if (!is_silence(why)) return;
  distrust_connections();
  scout_.doubt(silent_since);
}

// What asked in the dark, and was answered, is alive.
void Cluster::network_is_back() {
  if (Clock::now() >= rest_answered_ + kDistrustPause) distrust_connections();
  end_waits();
}

void Cluster::end_waits() {
  for (auto const& [name_space, kept] : pods_) kept->cache.hurry();
  for (auto const& [name_space, kept] : services_) kept->cache.hurry();
  credentials_.retry();
  network_is_back_.notify({});
}

// A tunnel that does not answer is given up by itself.
void Cluster::ping_all() {
  for (auto const& known : tunnels_) {
    if (auto const tunnel = known.lock()) tunnel->ping();
  }
}

void Cluster::doubt_everything() {
  ping_all();
  distrusted_ = {};  // that was on another network, or before a sleep, which no clock here counts
  distrust_connections();
  scout_.network_changed();
  end_waits();
}

void Cluster::routes_changed() {
  auto const source = look_at_source();
  if (std::exchange(source_, source) != source) doubt_everything();
}

// Toward the server or its proxy; as long as it was never reached, to where the default route
// leads.
std::optional<asio::ip::address> Cluster::look_at_source() const {
  static auto const kElsewhere = asio::ip::make_address("192.0.2.1");  // RFC 5737
  return net::source_toward(dialer_.peer().value_or(kElsewhere));
}

void Cluster::woke_up() {
  doubt_everything();
}

Subscription Cluster::subscribe(std::function<void()> network_is_back) {
  return network_is_back_.add([tell = std::move(network_is_back)](std::string_view) { tell(); });
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
  for (int restarts = 0;; ++restarts) {
    auto const pass = co_await admission();
    if (pass.has_error()) co_return pass.error();
    std::optional<Result<Tunnel>> outcome;
    Scout::Attempt attempt(scout_, restarts >= kMaxRestarts);
    TimePoint const deadline = Clock::now() + timeout;
    bool const ended = co_await run_until(
        dial_once(attempt, name_space, pod, options, deadline, outcome), attempt.given_up());
    if (!outcome || (!ended && outcome->has_error())) continue;
    if (outcome->has_error()) {
      attempt.failed(outcome->error());
    } else {
      remember(**outcome);
    }
    co_return std::move(*outcome);
  }
}

// While it is dark nobody is inside but who was before.
awaitable<Result<DialGate::Pass>> Cluster::admission() {
  for (;;) {
    auto const unreached = co_await scout_.alive();
    if (unreached) co_return *unreached;
    DialGate::Pass pass = co_await gate_.enter();
    if (!scout_.dark()) co_return std::move(pass);
  }
}

awaitable<void> Cluster::dial_once(Scout::Attempt& attempt, std::string name_space, std::string pod,
                                   DialOptions options, TimePoint deadline,
                                   std::optional<Result<Tunnel>>& outcome) {
  if (options.began) options.began();
  std::function<void()> heard = [&attempt] { attempt.heard(); };
  auto tunnel = co_await dialer_.dial(std::move(name_space), std::move(pod), options, deadline,
                                      std::move(heard));
  outcome.emplace(std::move(tunnel));
}

void Cluster::remember(Tunnel const& tunnel) {
  std::erase_if(tunnels_, [](auto const& known) { return known.expired(); });
  // The news of another route may come after the first tunnel by it.
  auto const source = look_at_source();
  if (std::exchange(source_, source) != source) ping_all();
  tunnels_.push_back(tunnel.connection);
}

awaitable<void> Cluster::stop() {
  co_await end(pods_);
  co_await end(services_);
  co_await scout_.stop();
  credentials_.stop();
}

}  // namespace kportal::k8s
