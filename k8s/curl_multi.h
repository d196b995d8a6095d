// SPDX-License-Identifier: MIT
// CurlMulti: HTTP requests by libcurl on the loop (curl_multi_socket_action). It decides nothing:
// no proxy from the environment, no redirect, no netrc, no cookie, no retry, no name lookup. Over
// TLS it speaks HTTP/2 where the server does, so that many watches share one connection. Owned by
// the cluster; its streams may outlive it and then fail with Errc::closed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/wakeup.h"
#include "k8s/kubeconfig.h"
#include "net/proxy.h"

namespace kportal::k8s {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string scheme = "https";  // or http
  std::string host;              // a name or an address, without brackets
  std::uint16_t port = 443;
  std::string target = "/";  // path and query, already escaped
  HttpHeaders headers;
  std::string body;
  // Roots of its own are the only ones, and an intermediate or leaf there is trusted as it stands,
  // as in Go. TLS 1.2 at the least.
  ServerTls tls;
  // Gone through for plain HTTP, too, as tunnels are: by CONNECT, or SOCKS5 (the proxy resolves).
  // An https one is trusted as route.h's proxy_tls_config says.
  std::optional<net::Proxy> proxy;
  // What `host` (with a proxy: the proxy's host) resolves to. Unless that is an address it must be
  // given: curl would start a thread for the lookup and join it when the request is cancelled.
  std::vector<asio::ip::address> addresses;
  bool fresh_connection = false;  // not on one that is already open
  TimePoint connect_deadline = kNever;

  HttpRequest() = default;
};

struct HttpHead {
  int status = 0;
  HttpHeaders headers;  // names in lower case

  HttpHead() = default;
  // The first of that name, which is in lower case; empty if there is none.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  HttpHead head;
  std::string body;

  HttpResponse() = default;
};

// One request in progress. Destroying it ends the request at once. One wait at a time.
// Errors: Errc::network, tls, timeout, limit, protocol, closed (the CurlMulti went away).
class HttpStream {
 public:
  struct Transfer;

  explicit HttpStream(std::unique_ptr<Transfer> transfer);
  ~HttpStream();
  HttpStream(HttpStream const&) = delete;
  HttpStream& operator=(HttpStream const&) = delete;

  // Waits for status and headers. Errc::timeout at the deadline leaves the request as it is.
  awaitable<Result<HttpHead>> head(TimePoint deadline);
  // Waits for the next bytes of the body, at least one; the empty string is its orderly end.
  // Errc::timeout at the deadline leaves the request as it is.
  awaitable<Result<std::string>> read(TimePoint deadline);
  // All of the body that was not read yet, up to CurlMulti::kMaxBody.
  awaitable<Result<std::string>> read_all(TimePoint deadline);
  // Ends the request; a pending or later wait fails with Errc::closed.
  void close();

 private:
  std::unique_ptr<Transfer> transfer_;
};

class CurlMulti {
 public:
  // Status line and headers of one answer.
  static constexpr std::size_t kMaxHeaderBytes = 256 * 1024;
  // A body read by perform() or read_all(), and what may lie unread in an HttpStream before it
  // fails.
  static constexpr std::size_t kMaxBody = 64 * 1024 * 1024;
  // While more of any body lies unread, no socket is read: so whoever opened a stream reads it.
  static constexpr std::size_t kMaxUnread = 256 * 1024;
  // Path and query of a request.
  static constexpr std::size_t kMaxTarget = 64 * 1024;
  // Of one connection; curl's own default is 100, an API server allows 250 to 1,000.
  static constexpr int kMaxStreams = 1000;

  explicit CurlMulti(asio::any_io_executor executor);
  ~CurlMulti();
  CurlMulti(CurlMulti const&) = delete;
  CurlMulti& operator=(CurlMulti const&) = delete;

  // Starts a request and returns without waiting; what fails shows in head().
  std::unique_ptr<HttpStream> open(HttpRequest request);
  // The whole answer, whatever its status, by `deadline`.
  awaitable<Result<HttpResponse>> perform(HttpRequest request, TimePoint deadline);
  // Closes every connection; running requests fail with Errc::network, later ones connect anew.
  void drop_connections();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace kportal::k8s
