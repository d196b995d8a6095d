// SPDX-License-Identifier: MIT
// Link: one tunnel: the product's SpdySession in both roles, joined by a wire that the weather
// delays, stops or cuts. The client's side does what net/SpdyConnection and net/PortStream do, the
// server's side (Runtime) what a container runtime does. Owned by its forward, kept until the
// schedule ends, so that tasks may point to it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/spdy_session.h"
#include "tests/sim/stage.h"
#include "tests/sim/weather.h"

namespace kportal::sim {

class Link;

// A pair of streams to a pod's port, as net::PortStream.
class Pair {
 public:
  virtual ~Pair() = default;

  // Bytes of the data stream.
  virtual void data(Bytes bytes) = 0;
  // The data stream was answered.
  virtual void replied() {}
  // What was sent has left, more may follow.
  virtual void writable() {}
  // No more will come on the data stream: eof, Errc::stream_failed, or the end of the tunnel.
  virtual void ended(error_code why) = 0;
  // The error stream spoke, or is over (`text_over`).
  virtual void told() = 0;

  std::string text;
  bool text_over = false;
  bool is_replied() const { return replied_at != TimePoint{}; }
  TimePoint replied_at{};
  bool is_ended = false;

 private:
  friend class Link;
  Link* link_ = nullptr;
  net::StreamId error_ = 0;
  net::StreamId data_ = 0;
};

// One end of the wire.
struct WireEnd {
  std::deque<Chunk> coming;  // in flight to this end
  TimePoint last_arrival{};
  std::size_t held_back = 0;  // arrived while packets were dropped
};

// The server's side.
class LinkServer : public net::SpdyEvents {
 public:
  // The tunnel is over.
  virtual void closed() = 0;
};

class Link final : private net::SpdyEvents {
 public:
  Link(Stage& stage, Weather const& weather, net::SpdyKeepalive keepalive);

  // Before anything is sent.
  void serve(std::unique_ptr<LinkServer> server) { server_events_ = std::move(server); }
  void on_end(std::function<void(error_code)> ended) { on_end_ = std::move(ended); }
  void on_bytes(std::function<void()> bytes) { on_bytes_ = std::move(bytes); }
  void on_late(std::function<void(bool)> late) { on_late_ = std::move(late); }

  // Client.
  error_code open(Pair& pair, std::uint16_t port, std::uint32_t request);
  // One chunk at a time.
  bool may_send(Pair const& pair) const { return !client_.queued(pair.data_); }
  void send(Pair& pair, Bytes bytes);
  void finish(Pair& pair);
  // Resets both streams; the pair hears no more.
  void reset(Pair& pair);
  void reset_data(Pair& pair);
  void ping();
  void close();
  bool ended() const { return ended_; }
  error_code end_reason() const { return end_; }
  void set_keepalive(net::SpdyKeepalive keepalive);
  // Streams whose reader does not read stop all reading.
  void count_full(bool full);
  TimePoint writing_since() const { return writing_since_; }
  bool stalled() const { return full_ > 0 || writing_since_ != kNever; }
  TimePoint last_received() const { return client_.last_received(); }
  std::size_t open_streams() const { return client_.open_streams(); }

  // Faults.
  void cut(error_code why);
  void goaway();
  void set_silent(bool silent);
  void set_delay(Duration delay) { delay_ = delay; }
  // The peer's TCP takes nothing, and says so.
  void block_writes(bool blocked);
  // Within the time that a dead peer is noticed in, something kept answers from coming.
  bool was_obstructed() const { return obstructed_at_end_; }
  // The peer is there, whether it takes anything just now or not.
  bool alive() const { return !ended_ && !silent_ && !weather_.blackhole() && !server_over_; }
  bool carries() const { return alive() && !blocked_ && full_ == 0; }
  // The weather changed: what was held back may arrive.
  void released();

  // The server's session, for LinkServer; flush() after its use.
  net::SpdySession& server() { return server_; }
  void flush();
  bool over() const { return ended_ || server_over_; }

 private:
  void stream_opened(net::StreamId stream, net::Headers headers, net::Fin fin) override;
  void stream_replied(net::StreamId stream, net::Headers headers) override;
  void stream_data(net::StreamId stream, Bytes bytes) override;
  void stream_finished(net::StreamId stream) override;
  void stream_reset(net::StreamId stream, net::RstStatus status) override;

  void carry(net::SpdySession& from, WireEnd& to);
  void arrive(WireEnd& end);
  void take(WireEnd& end);
  void end(error_code why);
  void write();
  void keep_alive();
  void look_if_late();
  void end_excuse();
  void expect_deadline();
  Pair* find(net::StreamId stream) const;
  void forget(Pair& pair);
  void note_reply(Pair& pair);

  Stage& stage_;
  Weather const& weather_;
  net::SpdySession client_;
  net::SpdySession server_;
  std::unique_ptr<LinkServer> server_events_;
  std::function<void(error_code)> on_end_ = [](error_code) {};
  std::function<void()> on_bytes_ = [] {};
  std::function<void(bool)> on_late_ = [](bool) {};
  WireEnd to_client_;
  WireEnd to_server_;
  std::map<net::StreamId, Pair*> pairs_;
  Duration delay_{};
  TimePoint obstructed_{};  // something was kept back, or late
  TimePoint keepalive_at_ = kNever;
  TimePoint writing_since_ = kNever;
  std::size_t full_ = 0;
  bool silent_ = false;
  bool blocked_ = false;
  bool excused_ = false;
  bool late_ = false;
  bool ended_ = false;
  bool obstructed_at_end_ = false;
  bool server_over_ = false;
  error_code end_;
};

}  // namespace kportal::sim
