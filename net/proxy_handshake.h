// SPDX-License-Identifier: MIT
// What is said to a proxy before it passes bytes on: HTTP CONNECT (RFC 9110 9.3.6) and SOCKS5 (RFC
// 1928, 1929), as bytes in, bytes out, and the words for its refusals. No I/O; proxy_connect moves
// the bytes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "net/proxy.h"

namespace kportal::net {

// Hostile answers end it: heads of more than kMaxHead bytes, anything that is not the protocol.
// Refusals and nonsense are Errc::network with the cause and the cure: the way to the server fails.
class ProxyHandshake {
 public:
  // What to say to `proxy` to get to `host`, a name or an address (the proxy resolves names).
  // Errc::kubeconfig for what the protocol cannot say.
  static Result<std::unique_ptr<ProxyHandshake>> begin(Proxy const& proxy, std::string_view host,
                                                       std::uint16_t port);
  virtual ~ProxyHandshake() = default;

  // What is to be sent now; empty = nothing. Also when complete: a proxy may have answered before
  // it was asked.
  std::string take_output() { return std::exchange(output_, std::string()); }
  // Takes bytes of the answer; fewer than all only when complete(). Once it failed, it is of no
  // use.
  virtual Result<std::size_t> feed(Bytes bytes) = 0;
  // The proxy passes on from here.
  bool complete() const { return complete_; }

 protected:
  std::string output_;
  bool complete_ = false;
};

// Why an answer to CONNECT that is not 2xx came, for whoever spoke to the proxy.
Error connect_refused(Proxy const& proxy, std::string_view target, int status);
// The same of a SOCKS5 reply, 1 to 8 by RFC 1928 section 6.
Error socks5_refused(std::string_view target, int reply);
// SOCKS5 knows no reason: the proxy accepts none of our methods, or not this user.
Error socks5_login_refused(Proxy const& proxy);

}  // namespace kportal::net
