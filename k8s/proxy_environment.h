// SPDX-License-Identifier: MIT
// Which proxy leads to a server, as client-go has it (protocol.md 5.4): the kubeconfig's proxy-url,
// else HTTPS_PROXY or HTTP_PROXY by the server's scheme, but for what NO_PROXY exempts (Go's
// golang.org/x/net/http/httpproxy). ALL_PROXY is not Go's and not read. Pure; kubeconfig uses it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "k8s/kubeconfig.h"
#include "net/proxy.h"

namespace kportal::k8s {

// The value of proxy-url. Errc::kubeconfig: why not, to follow "proxy-url "; never the URL.
Result<net::Proxy> parse_proxy_url(std::string_view url);

// What the environment says for this server; nothing = none. A value without a scheme is an HTTP
// proxy. Errc::kubeconfig for one that is none, which Go would ignore; names the variable, not its
// value.
Result<std::optional<net::Proxy>> environment_proxy(Server const& server,
                                                    Environment const& environment);

// Whether NO_PROXY's list exempts this server: "*"; names, which stand for what is below them too
// (".name" and "*.name" only for that); addresses; CIDR ranges of addresses; each but the last with
// ":port" if wanted. localhost and loopback addresses are always exempt.
bool is_exempt(Server const& server, std::string_view no_proxy);

}  // namespace kportal::k8s
