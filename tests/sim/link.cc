// SPDX-License-Identifier: MIT
#include "tests/sim/link.h"

#include <utility>

#include <boost/asio/error.hpp>

namespace kportal::sim {

using net::Fin;
using net::StreamId;

namespace {

net::Headers port_headers(char const* type, std::uint16_t port, std::uint32_t request) {
  return {
      {"streamtype", type}, {"port", std::to_string(port)}, {"requestid", std::to_string(request)}};
}

}  // namespace

Link::Link(Stage& stage, Weather const& weather, net::SpdyKeepalive keepalive)
    : stage_(stage),
      weather_(weather),
      client_(net::SpdyRole::client, keepalive, stage.time.now()),
      server_(net::SpdyRole::server, {}, stage.time.now()) {
  expect_deadline();
}

error_code Link::open(Pair& pair, std::uint16_t port, std::uint32_t request) {
  if (ended_) return end_;
  auto const error = client_.open_stream(port_headers("error", port, request), Fin::yes);
  if (!error) return error.error().code;
  auto const data = client_.open_stream(port_headers("data", port, request), Fin::no);
  if (!data) return data.error().code;
  pair.link_ = this;
  pair.error_ = *error;
  pair.data_ = *data;
  pair.text.clear();
  pair.text_over = pair.is_ended = false;
  pair.replied_at = {};
  pairs_[*error] = &pair;
  pairs_[*data] = &pair;
  flush();
  return {};
}

void Link::send(Pair& pair, Bytes bytes) {
  if (ended_ || pair.link_ != this) return;
  stage_.expect(may_send(pair), "a chunk is queued already");
  static_cast<void>(client_.send(pair.data_, Chunk::copy_of(bytes), Fin::no));
  flush();
}

void Link::finish(Pair& pair) {
  if (ended_ || pair.link_ != this) return;
  static_cast<void>(client_.send(pair.data_, Chunk(), Fin::yes));
  flush();
}

void Link::reset(Pair& pair) {
  if (pair.link_ != this) return;
  reset_data(pair);
  client_.reset(pair.error_, net::RstStatus::cancel);
  forget(pair);
  flush();
}

void Link::reset_data(Pair& pair) {
  if (pair.link_ != this) return;
  client_.reset(pair.data_, net::RstStatus::cancel);
  flush();
}

void Link::forget(Pair& pair) {
  pairs_.erase(pair.error_);
  pairs_.erase(pair.data_);
  pair.link_ = nullptr;
}

void Link::ping() {
  if (ended_) return;
  client_.ping(stage_.time.now());
  flush();
  expect_deadline();
}

void Link::close() {
  if (ended_) return;
  client_.goaway();
  if (writing_since_ == kNever) carry(client_, to_server_);
  end(Errc::closed);
}

void Link::cut(error_code why) {
  end(why);
}

void Link::goaway() {
  if (over()) return;
  server_.goaway();
  flush();
  server_over_ = true;
}

void Link::set_silent(bool silent) {
  stage_.trace("a tunnel is {}silent", silent ? "" : "no longer ");
  silent_ = silent;
  if (!silent) {
    obstructed_ = stage_.time.now();
    released();
  }
}

void Link::released() {
  if (silent_ || weather_.blackhole()) return;
  for (WireEnd* const side : {&to_client_, &to_server_}) {
    if (side == &to_client_ ? full_ > 0 : blocked_) continue;
    for (; side->held_back > 0; --side->held_back) arrive(*side);
  }
}

void Link::block_writes(bool blocked) {
  // While nothing passes no write can end either.
  if (!blocked && !ended_ && (silent_ || weather_.blackhole())) {
    stage_.time.after(std::chrono::milliseconds(100), [this] { block_writes(false); });
    return;
  }
  blocked_ = blocked;
  stage_.trace("writes are {}blocked", blocked ? "" : "no longer ");
  if (blocked_ || ended_) return;
  obstructed_ = stage_.time.now();
  writing_since_ = kNever;
  released();
  end_excuse();
  write();
  std::vector<Pair*> waiting;
  for (auto const& [stream, pair] : pairs_) {
    if (stream == pair->data_) waiting.push_back(pair);
  }
  for (Pair* const pair : waiting) {
    if (pair->link_ == this) pair->writable();
  }
}

void Link::set_keepalive(net::SpdyKeepalive keepalive) {
  client_.set_keepalive(keepalive);
  expect_deadline();
}

void Link::count_full(bool full) {
  if (full) {
    ++full_;
    return;
  }
  --full_;
  obstructed_ = stage_.time.now();
  if (full_ != 0 || ended_) return;
  end_excuse();
  released();
}

void Link::flush() {
  if (!ended_) write();
  carry(server_, to_client_);
}

// One write at a time, as the writer loop does.
void Link::write() {
  if (!blocked_) {
    carry(client_, to_server_);
    return;
  }
  if (writing_since_ != kNever) return;
  if (auto chunk = client_.next_chunk()) {
    writing_since_ = stage_.time.now();
    to_server_.coming.push_back(std::move(*chunk));
    arrive(to_server_);
  }
}

void Link::carry(net::SpdySession& from, WireEnd& to) {
  while (auto chunk = from.next_chunk()) {
    to.coming.push_back(std::move(*chunk));
    arrive(to);
  }
}

void Link::arrive(WireEnd& side) {
  TimePoint const now = stage_.time.now();
  side.last_arrival = std::max(side.last_arrival, now + weather_.network->latency + delay_);
  if (delay_ != Duration()) obstructed_ = side.last_arrival;
  stage_.time.at(side.last_arrival, [this, at = &side] { take(*at); });
}

void Link::take(WireEnd& side) {
  bool const to_client = &side == &to_client_;
  if (ended_ && to_client) return;
  bool const paused = to_client && full_ > 0;
  if (silent_ || weather_.blackhole() || paused || (!to_client && blocked_)) {
    ++side.held_back;
    obstructed_ = stage_.time.now();
    return;
  }
  Chunk const chunk = std::move(side.coming.front());
  side.coming.pop_front();
  TimePoint const now = stage_.time.now();
  if (!to_client) {
    error_code const error = server_.receive(chunk.data(), now, *server_events_);
    if (error && !server_over_) {
      stage_.require(Promise::session_holds, error == Errc::going_away, "the server's session: {}",
                     error.message());
      server_over_ = true;
      server_events_->closed();
    }
    flush();
    return;
  }
  error_code const error = client_.receive(chunk.data(), now, *this);
  if (!error) {
    flush();
    look_if_late();
    expect_deadline();
    on_bytes_();
  } else {
    stage_.require(Promise::session_holds, error == Errc::going_away, "the client's session: {}",
                   error.message());
    end(error);
  }
}

// As SpdyConnection: all streams hear of it, then who runs it.
void Link::end(error_code why) {
  if (ended_) return;
  // The server, too, stands still with the loop.
  TimePoint const last = std::max(obstructed_, stage_.time.last_stall());
  obstructed_at_end_ = !carries() || stage_.time.now() - last < std::chrono::seconds(12);
  ended_ = true;
  end_ = why;
  if (!server_over_ && why != Errc::closed) {
    server_over_ = true;
    server_events_->closed();
  }
  // The wire's orderly end is no stream's.
  error_code const told = why == boost::asio::error::eof ? make_error_code(Errc::network) : why;
  auto const pairs = std::exchange(pairs_, {});
  for (auto const& [stream, pair] : pairs) {
    if (pair->link_ != this) continue;
    pair->link_ = nullptr;
    pair->text_over = true;
    if (!std::exchange(pair->is_ended, true)) {
      pair->ended(told);
    } else {
      pair->told();
    }
  }
  stage_.time.after({}, [this] { on_end_(end_); });
}

void Link::expect_deadline() {
  if (ended_) return;
  TimePoint const due = client_.deadline();
  if (due >= keepalive_at_) return;
  keepalive_at_ = due;
  stage_.time.at(due, [this, due] {
    if (keepalive_at_ != due) return;
    keepalive_at_ = kNever;
    keep_alive();
  });
}

// As SpdyConnection: while no answer can come, TCP's acknowledgements count.
void Link::keep_alive() {
  using Answers = net::SpdySession::Answers;
  TimePoint const now = stage_.time.now();
  if (ended_) return;
  if (now < client_.deadline()) {
    expect_deadline();
    return;
  }
  bool const held_up = client_.awaits_answer() && stalled();
  bool const overdue = client_.answer_overdue(now);
  bool const acknowledged = !silent_ && !weather_.blackhole() && !server_over_;
  bool const excused = held_up && (!overdue || acknowledged);
  if (excused && overdue) excused_ = true;
  error_code const error = client_.tick(now, excused ? Answers::impossible : Answers::possible);
  if (error) {
    end(error);
    return;
  }
  look_if_late();
  flush();
  stage_.require(Promise::time_passes, client_.deadline() > now, "a session is due at once again");
  expect_deadline();
}

void Link::look_if_late() {
  bool const late = client_.answer_late();
  if (ended_ || std::exchange(late_, late) == late) return;
  stage_.coverage.hit(late ? "event.answer_late" : "event.answer_came");
  on_late_(late);
}

void Link::end_excuse() {
  if (excused_) client_.postpone(stage_.time.now());
  excused_ = false;
  look_if_late();
}

Pair* Link::find(StreamId stream) const {
  auto const at = pairs_.find(stream);
  return at == pairs_.end() ? nullptr : at->second;
}

void Link::note_reply(Pair& pair) {
  if (!pair.is_replied()) pair.replied_at = stage_.time.now();
}

void Link::stream_opened(StreamId, net::Headers, Fin) {
  throw Violation("the server opened a stream");
}

void Link::stream_replied(StreamId stream, net::Headers) {
  Pair* const pair = find(stream);
  if (pair == nullptr || pair->data_ != stream || pair->is_replied()) return;
  note_reply(*pair);
  pair->replied();
}

void Link::stream_data(StreamId stream, Bytes bytes) {
  Pair* const pair = find(stream);
  if (pair == nullptr) return;
  if (stream == pair->data_) {
    note_reply(*pair);
    pair->data(bytes);
  } else {
    pair->text.append(as_text(bytes));
    pair->told();
  }
}

void Link::stream_finished(StreamId stream) {
  Pair* const pair = find(stream);
  if (pair == nullptr) return;
  if (stream == pair->error_) {
    pair->text_over = true;
    pair->told();
  } else if (!std::exchange(pair->is_ended, true)) {
    note_reply(*pair);
    pair->ended(boost::asio::error::eof);
  }
}

void Link::stream_reset(StreamId stream, net::RstStatus) {
  Pair* const pair = find(stream);
  if (pair == nullptr) return;
  if (stream == pair->error_) {
    pair->text_over = true;
    pair->told();
  } else if (!std::exchange(pair->is_ended, true)) {
    pair->ended(Errc::stream_failed);
  }
}

}  // namespace kportal::sim
