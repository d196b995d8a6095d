// SPDX-License-Identifier: MIT
// ask_proxy: makes a proxy pass on to a server, over any Transport that leads to the proxy. The
// transport is the server's from then on. Opens no connection itself, and does no TLS.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "net/proxy.h"
#include "net/transport.h"

namespace kportal::net {

// `to_proxy` is connected to it (and secured, if it is an https one). Errors: Errc::network for a
// refusal, an end or nonsense; Errc::timeout at the deadline, which closes the transport;
// Errc::kubeconfig. Bytes behind the answer are an error: with TLS and with HTTP the server speaks
// second. The text does not say where the proxy is.
awaitable<Result<void>> ask_proxy(Transport& to_proxy, Proxy proxy, std::string host,
                                  std::uint16_t port, TimePoint deadline);

}  // namespace kportal::net
