// SPDX-License-Identifier: MIT
// probe_port: tries a pod's port through a tunnel, as a user's connection would, and says what it
// found. It does not decide what that means for the forward (health_tracker does) nor when to try
// (checker).
#pragma once

#include <cstdint>

#include "base/wakeup.h"
#include "config/config.h"
#include "healthcheck/health_tracker.h"

namespace kportal::net {
class SpdyConnection;
}

namespace kportal::healthcheck {

// The runtime answers a stream before it dials the pod, so a refusal comes a little after the
// answer (protocol.md 3.3). This long without one is a success.
inline constexpr Duration kDialSettle = std::chrono::milliseconds(300);
// At most this much of what the pod says is read.
inline constexpr std::size_t kMaxProbeBytes = 1024;

// tcp_dial: good when the stream was answered and no error text came within kDialSettle of that, or
// until `deadline`; bytes or an end without error text are good at once. data_transfer: the same,
// but waits for bytes until `deadline`; silence is good. Not answered by then, a reset without a
// word, or an error text is bad; the Errc of the verdict tells pod_refused, pod_gone, pod_reset and
// stream_failed apart, and what ended the connection. Ends with a reset of the stream, never with a
// half-close, and holds back no other stream. The connection must outlive it; may be cancelled.
awaitable<ProbeVerdict> probe_port(net::SpdyConnection& connection, std::uint16_t port,
                                   std::uint32_t request_id, config::ProbeMethod method,
                                   TimePoint deadline);

}  // namespace kportal::healthcheck
