// SPDX-License-Identifier: MIT
#include "lab/api_server.h"

#include <array>
#include <list>
#include <utility>

#include <fmt/format.h>

#include "lab/connection.h"
#include "net/listener.h"
#include "net/tcp.h"

namespace kportal::lab {

class ApiServer::Impl {
 public:
  Impl(asio::any_io_executor executor, Cluster& cluster, ApiServerOptions options)
      : executor_(executor), state_(cluster, std::move(options)), tasks_(std::move(executor)) {}

  Result<void> start();
  Result<void> make_certificates();
  awaitable<void> accept_loop();
  awaitable<void> serve(asio::ip::tcp::socket socket);
  awaitable<void> stop();
  KubeconfigSecrets secrets() const;
  bool matches(Connection const& connection, TunnelFilter const& filter) const;

  asio::any_io_executor executor_;
  ServerState state_;
  std::optional<CertificateAuthority> authority_;
  CertificateAndKey admin_;
  std::unique_ptr<net::Listener> listener_;
  std::uint16_t port_ = 0;
  std::list<Connection*> connections_;  // each leaves the list before it dies
  std::uint64_t accepted_ = 0;
  bool frozen_ = false;
  bool refusing_ = false;
  TaskGroup tasks_;
};

Result<void> ApiServer::Impl::make_certificates() {
  auto authority = CertificateAuthority::make("kportal lab CA");
  if (!authority) return authority.error();
  authority_ = std::move(*authority);
  std::vector<std::string> names{"localhost", "127.0.0.1", "::1"};
  auto const& more = state_.options.names;
  names.insert(names.end(), more.begin(), more.end());
  auto const life = state_.options.expired ? std::chrono::seconds(-60) : CertificateAuthority::kDay;
  auto server = authority_->issue_server(names, life);
  if (!server) return server.error();
  auto admin = authority_->issue_client("lab-admin", {"system:masters"});
  if (!admin) return admin.error();
  admin_ = std::move(*admin);
  net::TlsConfig config;
  config.ca_pem = authority_->pem();
  config.cert_pem = server->certificate_pem;
  config.key_pem = server->key_pem;
  config.alpn = {"http/1.1"};
  config.client_certificates = net::ClientCertificates::request;
  auto context = net::TlsContext::for_server(config);
  if (!context) return context.error();
  state_.tls.emplace(std::move(*context));
  return {};
}

Result<void> ApiServer::Impl::start() {
  if (!authority_) {
    if (auto made = make_certificates(); !made) return made.error().within("lab");
  }
  std::array<std::string, 1> const addresses{state_.options.address};
  auto listener =
      net::Listener::open(executor_, addresses, port_ != 0 ? port_ : state_.options.port);
  if (!listener) return listener.error().within("lab");
  listener_ = std::move(*listener);
  port_ = listener_->port();
  state_.stopping = false;
  tasks_.spawn(accept_loop());
  return {};
}

awaitable<void> ApiServer::Impl::accept_loop() {
  for (;;) {
    auto socket = co_await listener_->accept();
    if (!socket) co_return;
    ++accepted_;
    state_.changed();
    if (refusing_) {
      error_code ignored;
      socket->set_option(asio::socket_base::linger(true, 0), ignored);
      socket->close(ignored);
      continue;
    }
    tasks_.spawn(serve(std::move(*socket)));
  }
}

awaitable<void> ApiServer::Impl::serve(asio::ip::tcp::socket socket) {
  Connection connection(executor_, state_);
  connection.gate().freeze(frozen_);
  auto const at = connections_.insert(connections_.end(), &connection);
  if (state_.stopping) connection.abort();
  co_await connection.run(std::move(socket));
  connections_.erase(at);
  state_.changed();
}

// Nothing is cancelled: connections are cut, and each ends in its own order.
awaitable<void> ApiServer::Impl::stop() {
  state_.stopping = true;
  if (listener_) listener_->close();
  for (auto* const connection : connections_) connection->abort();
  co_await tasks_.join();
  listener_.reset();
}

KubeconfigSecrets ApiServer::Impl::secrets() const {
  KubeconfigSecrets secrets;
  secrets.server = "https://" + net::host_port(state_.options.address, port_);
  secrets.ca_pem = authority_ ? authority_->pem() : std::string();
  secrets.certificate_pem = admin_.certificate_pem;
  secrets.key_pem = admin_.key_pem;
  return secrets;
}

bool ApiServer::Impl::matches(Connection const& connection, TunnelFilter const& filter) const {
  auto const* const pod = connection.tunnel();
  return pod != nullptr && (!filter || *filter == *pod);
}

ApiServer::ApiServer(asio::any_io_executor executor, Cluster& cluster, ApiServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(executor), cluster, std::move(options))) {}

ApiServer::~ApiServer() = default;

Result<void> ApiServer::start() {
  return impl_->start();
}

awaitable<void> ApiServer::stop() {
  co_await impl_->stop();
}

std::uint16_t ApiServer::port() const {
  return impl_->port_;
}

std::string ApiServer::url() const {
  return impl_->secrets().server;
}

std::string const& ApiServer::ca_pem() const {
  return impl_->authority_->pem();
}

std::string const& ApiServer::admin_certificate_pem() const {
  return impl_->admin_.certificate_pem;
}

std::string const& ApiServer::admin_key_pem() const {
  return impl_->admin_.key_pem;
}

Result<CertificateAndKey> ApiServer::client_certificate(std::string const& user,
                                                        std::vector<std::string> const& groups) {
  return impl_->authority_->issue_client(user, groups);
}

std::string ApiServer::kubeconfig(KubeconfigOptions const& options) const {
  return kubeconfig(std::vector<KubeconfigOptions>{options});
}

std::string ApiServer::kubeconfig(std::vector<KubeconfigOptions> const& contexts) const {
  return kubeconfig_text(contexts, impl_->secrets());
}

Access& ApiServer::access() {
  return impl_->state_.access;
}

Faults& ApiServer::faults() {
  return impl_->state_.faults;
}

RuntimeOptions& ApiServer::runtime() {
  return impl_->state_.options.runtime;
}

// Faults on what is open. A connection only leaves the list in a later turn of the loop.

std::size_t ApiServer::drop_tunnels(SessionEnd how, TunnelFilter filter) {
  std::size_t met = 0;
  for (auto* const connection : impl_->connections_) {
    if (!impl_->matches(*connection, filter)) continue;
    connection->end_tunnel(how);
    ++met;
  }
  return met;
}

std::size_t ApiServer::close_websockets(std::uint16_t code, TunnelFilter filter) {
  std::size_t met = 0;
  for (auto* const connection : impl_->connections_) {
    if (!impl_->matches(*connection, filter) || !connection->is_websocket()) continue;
    connection->close_websocket(code);
    ++met;
  }
  return met;
}

std::size_t ApiServer::send_text_messages(TunnelFilter filter) {
  std::size_t met = 0;
  for (auto* const connection : impl_->connections_) {
    if (!impl_->matches(*connection, filter) || !connection->is_websocket()) continue;
    connection->send_text_message();
    ++met;
  }
  return met;
}

std::size_t ApiServer::cut_watches(bool abruptly) {
  std::size_t met = 0;
  for (auto* const connection : impl_->connections_) {
    if (!connection->is_watch()) continue;
    connection->cut_watch(abruptly);
    ++met;
  }
  return met;
}

void ApiServer::silence_watches(bool silent) {
  impl_->state_.faults.watches_silent = silent;
  impl_->state_.cluster.objects_changed().notify();
}

std::size_t ApiServer::cut_connections() {
  for (auto* const connection : impl_->connections_) connection->abort();
  return impl_->connections_.size();
}

void ApiServer::freeze() {
  impl_->frozen_ = true;
  for (auto* const connection : impl_->connections_) connection->gate().freeze(true);
}

void ApiServer::thaw() {
  impl_->frozen_ = false;
  for (auto* const connection : impl_->connections_) connection->gate().freeze(false);
}

bool ApiServer::frozen() const {
  return impl_->frozen_;
}

std::size_t ApiServer::freeze_tunnels(Direction direction, TunnelFilter filter) {
  std::size_t met = 0;
  for (auto* const connection : impl_->connections_) {
    if (!impl_->matches(*connection, filter)) continue;
    connection->gate().hold(direction != Direction::to_client, direction != Direction::to_server);
    ++met;
  }
  return met;
}

std::size_t ApiServer::thaw_tunnels(TunnelFilter filter) {
  std::size_t met = 0;
  for (auto* const connection : impl_->connections_) {
    if (!impl_->matches(*connection, filter)) continue;
    connection->gate().hold(false, false);
    ++met;
  }
  return met;
}

void ApiServer::refuse_connections(bool refuse) {
  impl_->refusing_ = refuse;
}

// Statistics

std::uint64_t ApiServer::requests(RequestKind kind) const {
  auto const& counts = impl_->state_.requests;
  if (kind != RequestKind::any) return counts[static_cast<std::size_t>(kind)];
  std::uint64_t total = 0;
  for (auto const count : counts) total += count;
  return total;
}

std::uint64_t ApiServer::connections() const {
  return impl_->accepted_;
}

std::size_t ApiServer::open_connections() const {
  return impl_->connections_.size();
}

std::size_t ApiServer::open_watches() const {
  std::size_t open = 0;
  for (auto const* const connection : impl_->connections_) open += connection->is_watch() ? 1 : 0;
  return open;
}

std::size_t ApiServer::open_tunnels(TunnelFilter filter) const {
  std::size_t open = 0;
  for (auto const* const connection : impl_->connections_) {
    if (impl_->matches(*connection, filter)) ++open;
  }
  return open;
}

std::uint64_t ApiServer::tunnels() const {
  return impl_->state_.tunnels;
}

std::uint64_t ApiServer::streams() const {
  return impl_->state_.runtime.streams;
}

std::size_t ApiServer::open_pod_connections(PodName const& pod) const {
  auto const* const found = impl_->state_.cluster.find_pod(pod);
  return found != nullptr && found->sandbox ? found->sandbox->open_connections() : 0;
}

std::uint64_t ApiServer::pings() const {
  return impl_->state_.runtime.pings;
}

std::vector<std::string> ApiServer::user_agents() const {
  auto const& agents = impl_->state_.user_agents;
  return {agents.begin(), agents.end()};
}

ChangeSignal& ApiServer::changed() {
  return impl_->state_.cluster.changed();
}

awaitable<bool> ApiServer::wait_for(std::function<bool()> condition, Duration within) {
  auto const deadline = Clock::now() + within;
  co_return co_await changed().wait_for(std::move(condition), deadline);
}

}  // namespace kportal::lab
