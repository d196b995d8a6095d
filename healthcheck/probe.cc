// SPDX-License-Identifier: MIT
#include "healthcheck/probe.h"

#include <algorithm>
#include <array>
#include <memory>

#include <boost/asio/error.hpp>
#include <fmt/format.h>

#include "net/port_stream.h"
#include "net/spdy_connection.h"

namespace kportal::healthcheck {
namespace {

// A reply and an error text do not wake a reader of the data stream: they are looked for this
// often.
constexpr Duration kLook = std::chrono::milliseconds(50);

// What the data stream showed: bytes, its end, or neither by the time that the method allows.
enum class Heard { bytes, end, silence };

struct DataSide {
  Heard heard = Heard::silence;
  error_code error;  // with Heard::end
  DataSide(Heard h, error_code e) : heard(h), error(e) {}
};

awaitable<DataSide> listen(net::PortStream& stream, config::ProbeMethod method,
                           TimePoint deadline) {
  std::array<std::byte, kMaxProbeBytes> bytes;
  TimePoint until = deadline;
  bool replied = false;
  for (;;) {
    TimePoint const now = Clock::now();
    if (!replied && stream.data().replied()) {
      replied = true;
      if (method == config::ProbeMethod::tcp_dial) until = std::min(until, now + kDialSettle);
    }
    if (now >= until || stream.has_error_text()) break;
    TimePoint const look = std::min(until, now + kLook);
    net::IoResult const read = co_await net::read_until(stream.data(), bytes, look);
    if (!read.error) co_return DataSide(Heard::bytes, {});
    if (read.error != Errc::timeout) co_return DataSide(Heard::end, read.error);
  }
  co_return DataSide(Heard::silence, {});
}

ProbeVerdict bad(Errc code, std::uint16_t port, std::string_view why) {
  return ProbeVerdict(Error(code, fmt::format("port {}: {}", port, why)));
}

ProbeVerdict judge_end(error_code error, std::uint16_t port) {
  if (error == asio::error::eof) return ProbeVerdict();
  if (error == Errc::stream_failed) {
    return bad(Errc::stream_failed, port, "the stream was reset without a word why");
  }
  return ProbeVerdict(io_error(error, fmt::format("port {}: the tunnel ended", port)));
}

}  // namespace

awaitable<ProbeVerdict> probe_port(net::SpdyConnection& connection, std::uint16_t port,
                                   std::uint32_t request_id, config::ProbeMethod method,
                                   TimePoint deadline) {
  auto opened = net::PortStream::open(connection, port, request_id);
  if (!opened) co_return ProbeVerdict(opened.error());
  std::unique_ptr<net::PortStream> const stream = std::move(opened).value();  // resets at the end

  DataSide const side = co_await listen(*stream, method, deadline);
  if (side.heard == Heard::bytes) co_return ProbeVerdict();
  if (side.heard == Heard::end || stream->has_error_text()) {
    // The words come right behind the end, or what came is not yet all of them.
    if (side.heard != Heard::end) stream->data().reset();
    TimePoint const until = std::min(deadline, Clock::now() + kDialSettle);
    std::string const text = co_await stream->error_text(until);
    if (!text.empty()) co_return ProbeVerdict(net::classify_error_text(text, port));
  }
  if (side.heard == Heard::end) co_return judge_end(side.error, port);
  if (!stream->data().replied()) {
    co_return bad(Errc::timeout, port, "the probe was not answered in time");
  }
  co_return ProbeVerdict::of_silence();
}

}  // namespace kportal::healthcheck
