// SPDX-License-Identifier: MIT
// Proxy: where a proxy is and how to log in there, and the URL that says so. A value; asking it is
// proxy_handshake's, doing that over a Transport proxy_connect's, choosing one k8s's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace kportal::net {

struct Proxy {
  enum class Kind {
    http,   // CONNECT
    https,  // CONNECT inside TLS to the proxy
    socks5
  };
  Kind kind = Kind::http;
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = 0;
  bool has_login = false;
  std::string user;
  std::string password;

  bool operator==(Proxy const&) const = default;
};

// "host:port", as messages name it.
std::string place(Proxy const& proxy);
// "http", "https", "socks5".
std::string_view scheme(Proxy::Kind kind);

// SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/...], SCHEME http (80), https (443), socks5 or socks5h
// (1080, the proxy resolves names in both, as in Go); user and password percent-encoded.
// Errc::kubeconfig: why not, to follow the name of what holds it. The URL is never in the text.
Result<Proxy> parse_proxy(std::string_view url);

}  // namespace kportal::net
