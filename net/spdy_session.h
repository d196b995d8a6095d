// SPDX-License-Identifier: MIT
// SpdySession: the protocol of one SPDY/3.1 connection as moby/spdystream speaks it, client or
// server role: streams, ids, half-close, RST, PING keepalive, GOAWAY, and the order of what is
// sent. No I/O and no clock: bytes in, events and bytes out, time a parameter. Owned and driven by
// net/spdy_connection. There is no flow control: peers ignore WINDOW_UPDATE and never send it,
// backpressure is TCP's.
#pragma once

#include <list>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/chunk.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/spdy_frame.h"
#include "net/spdy_headers.h"

namespace kportal::net {

enum class SpdyRole { client, server };

// What receive() tells. Any function of the session but receive() may be called from here.
class SpdyEvents {
 public:
  virtual ~SpdyEvents() = default;
  // The peer opened a stream. Answer with reply(), or refuse it with reset().
  virtual void stream_opened(StreamId stream, Headers headers, Fin fin) = 0;
  // SYN_REPLY to a stream this side opened. Peers that pipeline may send data before it.
  virtual void stream_replied(StreamId stream, Headers headers) = 0;
  // A part of a DATA frame, never empty; the bytes live until the call returns.
  virtual void stream_data(StreamId stream, Bytes bytes) = 0;
  // FIN: nothing more will come on this stream.
  virtual void stream_finished(StreamId stream) = 0;
  // The stream is over and forgotten, by RST_STREAM of the peer or because the peer broke its
  // rules.
  virtual void stream_reset(StreamId stream, RstStatus status) = 0;
};

struct SpdyKeepalive {
  // A PING after this long without a byte from the peer; zero = never.
  Duration interval{};
  // No byte for this long after a PING is Errc::ping_timeout; zero = wait for ever.
  Duration timeout{};
};

class SpdySession {
 public:
  // Streams open at once, of both sides together: 64 tunnels' worth of what a forward may hold
  // (1,024).
  static constexpr std::size_t kMaxStreams = 16'384;
  // Control frames waiting to be sent. A peer that makes us answer without reading answers ends
  // here.
  static constexpr std::size_t kMaxQueuedControl = 256 * 1024;
  // DATA frames up to this payload are copied together into one chunk; larger ones leave as they
  // are.
  static constexpr std::size_t kMaxCopied = 2 * 1024;
  // Chunks kept for streams that were reset with data still queued; beyond it the data is dropped.
  static constexpr std::size_t kMaxLingering = 4 * 1024 * 1024;

  SpdySession(SpdyRole role, SpdyKeepalive keepalive, TimePoint now);

  // Queues SYN_STREAM. Errc::limit: ids used up, kMaxStreams, kMaxQueuedControl, or the headers are
  // too large; Errc::protocol: a header that peers take for fatal; Errc::closed after goaway().
  Result<StreamId> open_stream(Headers const& headers, Fin fin);
  // Queues SYN_REPLY to a stream of the peer. Errc::closed if it is over or has been replied to.
  error_code reply(StreamId stream, Headers const& headers, Fin fin = Fin::no);
  // Queues a chunk, or with Fin::yes the end of what this side sends; an empty chunk without FIN
  // sends nothing. Errc::closed if the stream is over or this side has ended; Errc::limit if a
  // chunk of the stream is queued already or it exceeds kMaxDataPayload.
  error_code send(StreamId stream, Chunk data, Fin fin);
  // Queues RST_STREAM behind what the stream has queued, and forgets the stream. Nothing if it is
  // over.
  void reset(StreamId stream, RstStatus status);
  // Drops queued data, resets all streams (CANCEL) and announces the end, as spdystream's Close
  // does.
  void goaway();
  // Counts from the next byte or PING on.
  void set_keepalive(SpdyKeepalive keepalive) { keepalive_ = keepalive; }
  // Queues a PING; its answer is due within the keepalive timeout.
  void ping(TimePoint now);

  // Bytes from the peer. An error is final, and the connection is over: Errc::going_away after
  // GOAWAY, Errc::protocol, Errc::limit.
  error_code receive(Bytes bytes, TimePoint now, SpdyEvents& events);
  // What was wrong with which frame, after Errc::protocol or Errc::limit; empty before.
  std::string fault() const;
  // The next bytes to write, or none. Everything small is in one chunk: control frames first, then
  // the streams in turn. Empties a stream's queue by one; taken() says of which.
  std::optional<Chunk> next_chunk();
  // The streams whose chunk the last next_chunk() took.
  std::span<StreamId const> taken() const { return taken_; }
  // A chunk of this stream waits to be taken.
  bool queued(StreamId stream) const;

  enum class Answers : bool { impossible, possible };
  // To be called at deadline(): sends the PING that is due, notes that its answer is late, or fails
  // with Errc::ping_timeout. While no answer can come (reading is paused, or writes are blocked) an
  // overdue one is given more time.
  error_code tick(TimePoint now, Answers answers);
  TimePoint deadline() const;
  bool awaits_answer() const { return pinged_.has_value(); }
  // An answer could have come and has not for kLate, or half of the timeout if that is less. Any
  // byte ends it.
  bool answer_late() const { return late_; }
  static constexpr Duration kLate = std::chrono::seconds(1);
  // The timeout is over.
  bool answer_overdue(TimePoint now) const {
    return pinged_ && now >= *pinged_ + keepalive_.timeout;
  }
  // Answers are possible again: one that is due gets the whole timeout from now on.
  void postpone(TimePoint now);

  TimePoint last_received() const { return last_received_; }
  std::size_t open_streams() const { return streams_.size(); }

 private:
  struct StreamState {
    Chunk queued;               // the one chunk that waits, in turns_ while not empty
    bool own = false;           // opened by this side, whatever its parity
    bool ended = false;         // this side sends nothing more: FIN or RST is queued or sent
    bool remote_ended = false;  // FIN came
    bool replied = false;
    std::optional<RstStatus> lingering;  // reset; RST follows the queued chunk, the rest is ignored
  };
  using Streams = std::unordered_map<StreamId, StreamState>;

  StreamState* find(StreamId stream);
  bool is_own(StreamId stream) const { return (stream & 1) == (next_id_ & 1); }
  void forget(Streams::iterator at);
  void erase_if_over(StreamId stream);

  error_code refuse(error_code kind, char const* wrong);
  error_code decode(Frame const& frame, HeaderKind kind, Headers& headers);
  error_code take_frame(Frame const& frame, SpdyEvents& events);
  error_code take_syn_stream(Frame const& frame, SpdyEvents& events);
  error_code take_syn_reply(Frame const& frame, SpdyEvents& events);
  error_code take_headers(Frame const& frame, SpdyEvents& events);
  error_code take_data(Frame const& frame, SpdyEvents& events);
  void take_fin(StreamId stream, SpdyEvents& events);

  void await_answer(std::optional<TimePoint> since);
  void queue_control(Bytes bytes);
  error_code queue_answer(Bytes bytes);
  void queue_header_frame(StreamId stream, FrameType type, Headers const& headers, Fin fin);
  void take_control(std::size_t size, Chunk& into);
  Chunk take_turn();

  SpdyKeepalive keepalive_;
  StreamId next_id_;       // of the next stream this side opens
  StreamId next_peer_id_;  // ids below it are used up
  StreamId last_peer_id_ = 0;
  std::uint32_t next_ping_;
  error_code failed_;            // what receive() ended with
  char const* wrong_ = nullptr;  // with the last frame; null = the parser knows
  bool going_away_ = false;

  FrameParser parser_;
  HeaderEncoder encoder_;
  HeaderDecoder decoder_;
  Streams streams_;

  std::vector<std::byte> control_;  // whole frames, in the order of their compression
  std::list<StreamId> turns_;       // streams with a queued chunk; an empty deque has 576 bytes
  std::size_t lingering_ = 0;       // bytes of them that belong to reset streams
  std::vector<StreamId> taken_;

  TimePoint last_received_;
  TimePoint quiet_since_;            // the last byte received or PING sent
  std::optional<TimePoint> pinged_;  // since when an answer is due
  bool looked_ = false;              // whether it is late
  bool late_ = false;
};

}  // namespace kportal::net
