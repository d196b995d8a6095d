// SPDX-License-Identifier: MIT
// SpdyConnection: one SPDY/3.1 session over one Transport: its reader and writer loops, and Stream, the
// handle its users hold (client-go: httpstream.Connection and Stream). It decides nothing about the
// protocol (net/spdy_session does) and nothing about reconnecting (forward/ does). Owned by who dialled.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/wakeup.h"
#include "net/spdy_session.h"
#include "net/transport.h"

namespace kportal::net {

class SpdyConnection;

// Takes a stream's bytes on the spot, so that the common case copies nothing.
class DataSink {
 public:
  virtual ~DataSink() = default;
  // Takes a prefix of `bytes` without waiting and returns its length; 0 when it cannot take any now.
  virtual std::size_t take(Bytes bytes) noexcept = 0;
};

// One stream. Destroying it resets it unless both directions have ended. May outlive its connection's
// run(), not the connection.
class Stream {
 public:
  // What arrives beyond this and is not read stops the reading of the whole connection, for SPDY as
  // Kubernetes speaks it has no flow control of its own.
  static constexpr std::size_t kMaxBuffered = 1024 * 1024;

  ~Stream();
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;

  StreamId id() const { return id_; }
  // The headers of the peer's SYN_STREAM (server role); empty on a stream this side opened.
  Headers const& headers() const;

  // While set, bytes that arrive with nothing buffered before them are offered to the sink first; the
  // rest is buffered for read_some. The sink must outlive the stream or be unset with nullptr.
  void set_sink(DataSink* sink);
  // Reads at least one byte. Fails with eof after the peer's FIN, Errc::stream_failed after its RST
  // (what came before it is delivered first), or with what ended the connection. One read at a time.
  awaitable<IoResult> read_some(MutableBytes into);
  // Hands the chunk to the writer; returns once it was taken to be written, so that one chunk a stream
  // is queued at the most. Empty chunks are allowed and send nothing.
  awaitable<error_code> write(Chunk chunk);
  // Sends FIN behind what was written; further writes fail. Idempotent.
  void finish();
  // Sends RST_STREAM (CANCEL) and forgets the stream; a pending read fails with Errc::closed.
  void reset();

  // True after SYN_REPLY (or any later frame of the stream) arrived.
  bool replied() const;
  // Time of the last payload byte received; TimePoint{} if none ever came.
  TimePoint last_data() const;
};

struct SpdyOptions {
  SpdyRole role = SpdyRole::client;
  // A PING after this long without any byte from the peer; zero = never.
  Duration ping_interval{};
  // No byte at all for this long after a PING ends the connection with Errc::ping_timeout.
  Duration ping_timeout{};
};

class SpdyConnection {
 public:
  SpdyConnection(asio::any_io_executor executor, std::unique_ptr<Transport> transport,
                 SpdyOptions options);
  ~SpdyConnection();

  // Server role: called for each stream the peer opens, from run(). To refuse it, reset() it.
  // Without a callback all are refused.
  void on_stream(std::function<void(std::unique_ptr<Stream>)> accept);

  // Runs until the connection is over and says why: the transport's error, eof, Errc::going_away,
  // Errc::protocol, Errc::ping_timeout, or Errc::closed after close(). Once. By the time it returns all
  // waits of all streams have been told.
  awaitable<error_code> run();
  // Ends it: pending and later operations fail. Sends RST for open streams and GOAWAY if they fit a
  // write that does not wait.
  void close();
  bool ended() const;

  // Opens a stream without waiting for the reply: frames written in the same turn of the loop leave in
  // one write. Fails after the connection ended, or when its ids are used up.
  Result<std::unique_ptr<Stream>> open_stream(Headers headers, Fin fin);

  // Sends a PING now; an answer shows as last_received() moving on.
  void ping();
  // Time of the last byte of any kind from the peer.
  TimePoint last_received() const;
  // Not reading, because a stream's buffer is full: a missing answer to a PING means nothing.
  bool reading_paused() const;
  std::size_t open_streams() const;
};

}  // namespace kportal::net
