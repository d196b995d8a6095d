// SPDX-License-Identifier: MIT
// SpdyConnection: one SPDY/3.1 session over one Transport: its reader and writer loops, and Stream,
// the handle its users hold (client-go: httpstream.Connection and Stream). It decides nothing about
// the protocol (net/spdy_session does) and nothing about reconnecting (forward/ does). Owned by who
// dialled.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "base/task_group.h"
#include "base/wakeup.h"
#include "net/spdy_session.h"
#include "net/transport.h"

namespace kportal::net {

class SpdyConnection;

// Takes a stream's bytes on the spot, so that the common case copies nothing.
class DataSink {
 public:
  virtual ~DataSink() = default;
  // Takes a prefix of `bytes` without waiting and returns its length; 0 when it cannot take any
  // now. Called from the connection's reader: it must not destroy the stream.
  virtual std::size_t take(Bytes bytes) noexcept = 0;
  // What it did not take fills the stream's buffer, so that the whole connection is not read; or
  // does not any more. Called from the reader, from read_some(), from reset(), and when another
  // stream is opened.
  virtual void buffer_full(bool full) noexcept { static_cast<void>(full); }
};

// One stream. Destroying it resets it unless both directions have ended. May outlive its
// connection's run(), not the connection object: that asserts. Nobody may wait in it when it is
// destroyed.
class Stream {
 public:
  // What arrives beyond this and is not read stops the reading of the whole connection, for SPDY as
  // Kubernetes speaks it has no flow control of its own. Reading goes on once half of it is read.
  // One read of the connection (128 KiB) may come on top.
  static constexpr std::size_t kMaxBuffered = 1024 * 1024;
  // The same while no more than two streams are open, a data stream and its error stream: then
  // nobody else is stopped.
  static constexpr std::size_t kMaxBufferedAlone = 128 * 1024;

  ~Stream();
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;

  StreamId id() const { return id_; }
  // The headers of the peer's SYN_STREAM (server role); empty on a stream this side opened.
  Headers const& headers() const { return headers_; }

  // While set, bytes that arrive with nothing buffered before them are offered to the sink first;
  // the rest is buffered for read_some. The sink must outlive the stream or be unset with nullptr.
  void set_sink(DataSink* sink) { sink_ = sink; }
  // Reads at least one byte. Fails with eof after the peer's FIN, Errc::stream_failed after its RST
  // (what came before it is delivered first), or with what ended the connection: Errc::network
  // where that was an orderly end of the transport. One read at a time.
  awaitable<IoResult> read_some(MutableBytes into);
  // Hands the chunk to the writer; returns once it was taken to be written, so that one chunk a
  // stream is queued at the most. Empty chunks are allowed and send nothing. One write at a time;
  // when a write is cancelled its chunk may leave all the same.
  awaitable<error_code> write(Chunk chunk);
  // Sends FIN behind what was written; further writes fail. Idempotent.
  void finish();
  // Sends RST_STREAM (CANCEL) behind what was written and forgets the stream; what was not read is
  // dropped, and a pending read fails with Errc::closed.
  void reset();

  // Server role. The reply leaves when the accept callback returns, unless it called hold_reply();
  // then it leaves with reply(), or never.
  void hold_reply() { reply_held_ = true; }
  void reply(Headers const& headers = {});

  // True after SYN_REPLY, data or FIN arrived; RST is no reply. In the server role: after reply().
  bool replied() const { return replied_at_ != TimePoint{}; }
  // Since when.
  TimePoint replied_at() const { return replied_at_; }
  // Time of the last payload byte received; TimePoint{} if none ever came.
  TimePoint last_data() const { return last_data_; }

 private:
  friend class SpdyConnection;
  enum class By : bool { us, peer };
  Stream(SpdyConnection& connection, StreamId id, By opener, Headers headers);

  awaitable<error_code> wait_until_taken();
  void take_data(Bytes bytes);
  void append(Bytes bytes);
  std::size_t take_buffered(MutableBytes into);
  void drop_buffered();
  void update_full();
  void end_reading(error_code error);
  void fail(error_code error);
  void note_reply();

  SpdyConnection& connection_;
  StreamId const id_;
  By const opener_;
  Headers const headers_;
  DataSink* sink_ = nullptr;
  std::list<Chunk> buffer_;   // what came and neither the sink nor a read took
  std::size_t consumed_ = 0;  // bytes of its first chunk that were read
  std::size_t buffered_ = 0;
  bool full_ = false;  // counted in the connection's full_streams_
  TimePoint replied_at_{};
  bool reply_held_ = false;
  error_code read_end_;   // what a read fails with once the buffer is empty
  error_code write_end_;  // what a write fails with, finish() apart
  TimePoint last_data_{};
  Wakeup readable_;
  Wakeup writable_;
};

struct SpdyOptions {
  SpdyRole role = SpdyRole::client;
  // A PING after this long without any byte from the peer; zero = never.
  Duration ping_interval{};
  // No byte at all for this long after a PING ends the connection with Errc::ping_timeout.
  Duration ping_timeout{};
  // Asked when an answer to a PING is overdue while none can come, because reading is paused or a
  // write is blocked: has the peer's TCP acknowledged anything within the last ping_timeout? False
  // ends the connection as if answers were possible. Without the function such a connection is only
  // stalled.
  std::function<bool()> acknowledged;
};

class SpdyConnection : private SpdyEvents {
 public:
  SpdyConnection(asio::any_io_executor executor, std::unique_ptr<Transport> transport,
                 SpdyOptions options);
  // run() has returned or was never called, and all streams are destroyed.
  ~SpdyConnection() override;
  SpdyConnection(SpdyConnection const&) = delete;
  SpdyConnection& operator=(SpdyConnection const&) = delete;

  // Server role: called for each stream the peer opens, from run(). To refuse it, reset() or
  // destroy it. Without a callback all are refused.
  void on_stream(std::function<void(std::unique_ptr<Stream>)> accept);

  // Called when the answer to a PING is late while one could come (SpdySession::answer_late), and
  // when a byte came after all. It must not destroy the connection. Not called for its end.
  void on_answer_late(std::function<void(bool late)> tell) { tell_late_ = std::move(tell); }

  // Runs until the connection is over and says why: the transport's error, eof, Errc::going_away,
  // Errc::protocol, Errc::limit (a bound of FrameParser, HeaderDecoder or SpdySession),
  // Errc::ping_timeout, or Errc::closed after close(). Once. By the time it returns all waits of
  // all streams have been told.
  //
  // When cancelled it throws, as every wait does, but only after its own tasks have ended: a group
  // that runs it may be cancelled and joined, and then the connection be destroyed.
  awaitable<error_code> run();
  // Ends it: pending and later operations fail. RST for open streams and GOAWAY are sent as far as
  // the transport takes them without waiting.
  void close();
  bool ended() const { return ended_; }
  // What run() says or will say, once ended().
  error_code end_reason() const { return end_; }
  // For texts of errors, once ended(): the frame that broke the protocol or a bound (kind, length,
  // stream), or the peer's last words. Empty where end_reason() says it all.
  std::string end_detail() const;

  // Opens a stream without waiting for the reply: frames written in the same turn of the loop leave
  // in one write. Fails after the connection ended, or when its ids are used up.
  Result<std::unique_ptr<Stream>> open_stream(Headers const& headers, Fin fin);

  // Counts from the next byte or PING on.
  void set_keepalive(Duration ping_interval, Duration ping_timeout);
  // Sends a PING now; an answer shows as last_received() moving on, none within ping_timeout ends
  // the connection.
  void ping();
  // Time of the last byte of any kind from the peer; of the construction before that.
  TimePoint last_received() const { return session_.last_received(); }
  // Not reading, because a stream's buffer is full: a missing answer to a PING means nothing.
  bool reading_paused() const { return full_streams_ > 0; }
  // Since when the transport has not completed a write; kNever when none is under way.
  TimePoint writing_since() const { return writing_since_; }
  // Streams that have not ended in both directions; none after the end.
  std::size_t open_streams() const { return ended_ ? 0 : session_.open_streams(); }

 private:
  friend class Stream;

  // Idle connections wait in the small buffer. A read that fills it means that bytes flow: then the
  // large one is used, until so many reads in a row would not have filled the small one. Four,
  // because spdystream writes a DATA frame as 4, 4 and n bytes, and an answer to a PING in four.
  static constexpr std::size_t kSmallRead = 512;
  static constexpr std::size_t kLargeRead = 128 * 1024;
  static constexpr int kQuietReads = 4;

  awaitable<void> end_without_memory(awaitable<void> loop);
  awaitable<void> read_loop();
  awaitable<void> write_loop();
  MutableBytes read_buffer();
  void note_flow(std::size_t read);
  void receive(Bytes bytes);
  void tell_taken();
  void keep_alive(TimePoint now);
  void expect_deadline();
  void end_excuse();
  void look_if_late();
  void end(error_code error);
  void fail_streams(error_code error);

  void reset(StreamId id);
  void count_full(bool full);
  std::size_t most_buffered() const;
  void stream_added();

  void stream_opened(StreamId id, Headers headers, Fin fin) override;
  void stream_replied(StreamId id, Headers headers) override;
  void stream_data(StreamId id, Bytes bytes) override;
  void stream_finished(StreamId id) override;
  void stream_reset(StreamId id, RstStatus status) override;

  asio::any_io_executor executor_;
  std::unique_ptr<Transport> transport_;
  SpdyOptions options_;
  SpdySession session_;
  std::function<void(std::unique_ptr<Stream>)> accept_;
  std::unordered_map<StreamId, Stream*> streams_;  // all that are not destroyed
  std::size_t full_streams_ = 0;

  bool running_ = false;
  bool ended_ = false;
  error_code end_;  // why
  TimePoint writing_since_ = kNever;
  bool excused_ = false;  // an overdue answer was given more time
  bool late_ = false;     // as it was told
  std::function<void(bool)> tell_late_;

  std::array<std::byte, kSmallRead> small_{};
  std::unique_ptr<std::byte[]> large_;
  int quiet_reads_ = kQuietReads;

  Wakeup to_write_;
  Wakeup resumed_;
  asio::steady_timer changed_;  // for run(); cancelled at the end and for an earlier deadline
  TaskGroup tasks_;             // reader and writer
};

}  // namespace kportal::net
