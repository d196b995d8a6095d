// SPDX-License-Identifier: MIT
// What the kubeconfig says of a server's TLS, as the TLS layer takes it: one translation for
// tunnels and REST, so that both trust and show the same.
#pragma once

#include "k8s/kubeconfig.h"
#include "net/tls_context.h"

namespace kportal::k8s {

net::TlsConfig client_tls(ServerTls const& tls);

}  // namespace kportal::k8s
