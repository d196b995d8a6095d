// SPDX-License-Identifier: MIT
// Errors as values: Errc says what went wrong in one word that code may branch on, Error adds what
// a person needs, built outward ("dial pod/web: tls: certificate has expired"). I/O uses the plain
// error_code; Errc has a category, so both meet in one type.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <type_traits>

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace kportal {

using boost::system::error_code;

enum class Errc {
  closed = 1,       // ended by this side on purpose
  timeout,          // a deadline of ours passed
  protocol,         // the peer broke the protocol
  limit,            // a bound with a name was exceeded
  tls,              // handshake, certificate or host name
  network,          // connect, read or write failed, the connection ended, a name did not resolve
  ping_timeout,     // no byte at all after a ping
  going_away,       // the peer announced the end (SPDY GOAWAY)
  unauthorized,     // 401
  auth_plugin,      // a login plugin failed
  forbidden,        // 403
  not_found,        // 404, or nothing bears the name
  gone,             // 410: a resource version or continue token too old
  server,           // 429, 5xx, or an answer that makes no sense
  upgrade_refused,  // the server cannot do this upgrade; another transport may work
  kubeconfig,       // unreadable, malformed or contradictory
  no_such_context,  // the kubeconfig has no such context
  no_ready_pod,     // pods exist but none is eligible
  no_such_port,     // the service or pod has no port of that name or number
  unsupported,      // the target is of a kind that cannot be forwarded
  port_in_use,      // the local port is taken
  local,            // another failure on this machine: a file, a descriptor, an address
  pod_gone,         // the pod's sandbox is closed; its tunnel is of no use
  pod_refused,      // nothing listens on the pod's port
  pod_reset,        // the application in the pod reset the connection
  stream_failed,    // a stream was reset or not answered, without a word why
  half_close_cut,   // the runtime cut the answer one second after an end of stream
  stalled,          // a connection whose reader stopped, and which blocked others
};

boost::system::error_category const& errc_category() noexcept;
error_code make_error_code(Errc code) noexcept;

}  // namespace kportal

template <>
struct boost::system::is_error_code_enum<kportal::Errc> : std::true_type {};

namespace kportal {

struct Error {
  Errc code{};
  std::string text;                     // without a trailing dot, never a secret
  std::chrono::seconds retry_after{0};  // what the server asked for; 0 = nothing

  Error() = default;  // no error of ours; Result needs it
  Error(Errc c, std::string t) : code(c), text(std::move(t)) {}
  // The same error as seen one level out: "WHERE: text".
  Error within(std::string_view where) const&;
  bool operator==(Error const&) const = default;
};

template <class T>
using Result = boost::system::result<T, Error>;

// Needed by Result::value(); an Error there is a broken invariant of ours.
[[noreturn]] void throw_exception_from_error(Error const& error,
                                             boost::source_location const& where);

// An operating system's or library's code as one of ours; `what` names the thing that failed.
Error io_error(error_code code, std::string_view what);

}  // namespace kportal
