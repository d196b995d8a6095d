// SPDX-License-Identifier: MIT
#include "k8s/route.h"

#include <utility>

#include <fmt/format.h>

#include "base/printable.h"
#include "net/proxy_connect.h"

namespace kportal::k8s {
namespace {

// What the layers below name first; here the whole route is named instead.
Error without_name(Error error, std::string const& host, std::uint16_t port) {
  std::string const name = printable(host);
  for (auto const& begin : {net::host_port(name, port) + ": ", name + ": "}) {
    if (!error.text.starts_with(begin)) continue;
    error.text.erase(0, begin.size());
    break;
  }
  return error;
}

}  // namespace

net::TlsConfig proxy_tls_config(std::string const& ca_pem) {
  net::TlsConfig config;
  config.ca_pem = ca_pem;
  config.ca_source = kProxyRoots;
  config.system_roots = true;
  return config;
}

std::string route_name(std::string const& host, std::uint16_t port,
                       std::optional<net::Proxy> const& proxy) {
  auto const server = net::host_port(printable(host), port);
  return proxy ? fmt::format("{} through proxy {}", server, net::place(*proxy)) : server;
}

Route::Route(net::Resolver& resolver, Server server, std::optional<net::Proxy> proxy,
             std::string ca_pem)
    : resolver_(resolver),
      server_(std::move(server)),
      proxy_(std::move(proxy)),
      ca_pem_(std::move(ca_pem)),
      place_(route_name(server_.host, server_.port, proxy_)) {}

awaitable<Route::Step> Route::connect(net::TlsContext* tls, net::TcpOptions options,
                                      TimePoint deadline) {
  auto reached = co_await reach(options, deadline);
  if (reached.has_error()) co_return reached.error();
  auto passed = co_await pass_proxy(std::move(*reached), deadline);
  if (passed.has_error() || tls == nullptr) co_return std::move(passed);
  auto secured = co_await secure(std::move(*passed), *tls, deadline);
  co_return std::move(secured);
}

awaitable<Route::Step> Route::reach(net::TcpOptions options, TimePoint deadline) {
  std::string const& host = proxy_ ? proxy_->host : server_.host;
  std::uint16_t const port = proxy_ ? proxy_->port : server_.port;
  auto socket = co_await net::connect(resolver_, host, port, options, deadline);
  if (socket.has_error()) {
    Error error = without_name(socket.error(), host, port);
    if (proxy_) error = error.within("cannot connect to the proxy");
    co_return error.within(place_);
  }
  auto tcp = std::make_unique<net::TcpTransport>(std::move(*socket));
  asio::ip::tcp::socket& bottom = tcp->socket();
  co_return Connection(std::move(tcp), bottom);
}

awaitable<Route::Step> Route::pass_proxy(Connection connection, TimePoint deadline) {
  if (!proxy_) co_return std::move(connection);
  if (proxy_->kind == net::Proxy::Kind::https) {
    auto secured = co_await secure_proxy(std::move(connection), deadline);
    if (secured.has_error()) co_return secured.error();
    connection = std::move(*secured);
  }
  auto const asked =
      co_await net::ask_proxy(*connection.transport, *proxy_, server_.host, server_.port, deadline);
  if (asked.has_error()) co_return asked.error().within(place_);
  co_return std::move(connection);
}

awaitable<Route::Step> Route::secure_proxy(Connection connection, TimePoint deadline) {
  if (!proxy_tls_) {
    auto made = net::TlsContext::for_client(proxy_tls_config(ca_pem_));
    if (made.has_error()) co_return made.error().within(place_);
    proxy_tls_.emplace(std::move(*made));
  }
  auto secured = co_await net::tls_connect(std::move(connection.transport), *proxy_tls_,
                                           proxy_->host, deadline);
  if (secured.has_error()) {
    Error const error = without_name(secured.error(), proxy_->host, proxy_->port);
    co_return error.within("the proxy").within(place_);
  }
  co_return Connection(std::move(*secured), *connection.socket);
}

awaitable<Route::Step> Route::secure(Connection connection, net::TlsContext& tls,
                                     TimePoint deadline, net::TlsFacts* seen) {
  auto secured =
      co_await net::tls_connect(std::move(connection.transport), tls, server_.host, deadline, seen);
  if (secured.has_error()) {
    co_return without_name(secured.error(), server_.host, server_.port).within(place_);
  }
  co_return Connection(std::move(*secured), *connection.socket);
}

}  // namespace kportal::k8s
