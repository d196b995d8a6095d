// SPDX-License-Identifier: MIT
// An event as one JSON object on one line, the form of `--log-format json`, `events -o json` and
// the control socket (product contract, section 6): these fields in this order, and the way back
// for clients of the socket. No newline at the end; none within. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "events/bus.h"

namespace kportal::events {

// seq, time (UTC, milliseconds), type, then forward, context, namespace, resource, localPort (not
// for config.*), then the type's own. Invalid UTF-8 becomes U+FFFD, control characters are escaped.
std::string to_ndjson(Event const& event);
// {"type":"events.dropped","count":12}
std::string to_ndjson(Dropped dropped);
std::string to_ndjson(Delivery const& delivery);

// Fields it does not know are skipped, so that an older client reads a newer program.
// Errc::protocol = not an event; Errc::unsupported = a type this program does not know.
Result<Delivery> parse_ndjson(std::string_view line);

}  // namespace kportal::events
