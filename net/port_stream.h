// SPDX-License-Identifier: MIT
// PortStream: the pair of streams that is one connection to a pod's port (protocol.md 3.1, 3.2): an
// error stream, finished at once, and a data stream with the same request id, opened without
// waiting for replies. It relays nothing (forward/relay does) and judges nothing but the runtime's
// words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "net/transport.h"

namespace kportal::net {

class SpdyConnection;
class Stream;

class PortStream {
 public:
  // The runtime's words are a line or two; more is read and dropped.
  static constexpr std::size_t kMaxErrorText = 4 * 1024;

  // `request_id` pairs the two streams: no other open pair of the connection may have it. The
  // frames leave with what is written to data() in the same turn of the loop.
  static Result<std::unique_ptr<PortStream>> open(SpdyConnection& connection, std::uint16_t port,
                                                  std::uint32_t request_id);
  // Resets what has not ended. Must not outlive the connection.
  ~PortStream();
  PortStream(PortStream const&) = delete;
  PortStream& operator=(PortStream const&) = delete;

  Stream& data();

  // The error stream has spoken; error_text() has it all.
  bool has_error_text() const;
  // The text of the error stream, at most kMaxErrorText of it; "" = no error. Waits for the end of
  // that stream (the runtime ends it by FIN or by RST alike, depending on its version) or for
  // `deadline`, and may be asked again. The data stream must have ended or been reset before, else
  // the server keeps the error stream open. One caller at a time.
  awaitable<std::string> error_text(TimePoint deadline);
  // After error_text(): the server ended the error stream by FIN. One that resets the streams of a
  // failed connection drops what it has not read of it. One that does not (kubelet's code before
  // 1.32, so containerd up to 2.0) leaves it in the way of its worker, which treats every fifth
  // stream and ping, for good (protocol.md 2.6, 3.3).
  bool ended_by_fin() const { return ended_by_fin_; }
  // Resets both: the data stream first, for the server ends the error stream after it.
  void reset();

 private:
  class ErrorSink;
  PortStream(std::unique_ptr<Stream> error, std::unique_ptr<Stream> data);

  std::unique_ptr<ErrorSink> sink_;  // outlives the stream that it is set on
  std::unique_ptr<Stream> error_;
  std::unique_ptr<Stream> data_;
  bool ended_by_fin_ = false;
};

// Stream::read_some that fails with Errc::timeout at `deadline`. No byte is lost by that, and the
// stream can be read on.
awaitable<IoResult> read_until(Stream& stream, MutableBytes into, TimePoint deadline);

// What the runtime's words mean (protocol.md 3.3): pod_gone (the sandbox is closed, not running or
// not found), pod_refused, pod_reset (reset by peer, broken pipe), otherwise stream_failed. The
// only place that looks into such text; it is hostile, so what is shown of it is cut and cleaned.
Error classify_error_text(std::string_view text, std::uint16_t port);

}  // namespace kportal::net
