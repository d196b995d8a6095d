// SPDX-License-Identifier: MIT
#include "net/spdy_session.h"

#include <algorithm>
#include <cassert>

namespace kportal::net {
namespace {

// Ping ids wrap behind the last that spdystream uses.
constexpr std::uint32_t kMaxPingId = 0x7ffffffe;
static_assert(SpdySession::kMaxQueuedControl == 256 * 1024);
constexpr char const* kUnread = "more than 256 KiB wait for the peer to read them";

void append(std::vector<std::byte>& to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void prepend_data_header(Chunk& chunk, StreamId stream, Fin fin) {
  std::size_t const length = chunk.size();
  if (chunk.headroom() < kFrameHeaderSize) chunk = Chunk::copy_of(chunk.data());
  write_data_header(chunk.prepend(kFrameHeaderSize).first<kFrameHeaderSize>(), stream, fin, length);
}

}  // namespace

SpdySession::SpdySession(SpdyRole role, SpdyKeepalive keepalive, TimePoint now)
    : keepalive_(keepalive),
      next_id_(role == SpdyRole::client ? 1 : 2),
      // As spdystream: a server expects 1 first, a client 2; the parity is not looked at.
      next_peer_id_(role == SpdyRole::client ? 2 : 1),
      next_ping_(next_id_),
      last_received_(now),
      quiet_since_(now) {}

Result<StreamId> SpdySession::open_stream(Headers const& headers, Fin fin) {
  if (going_away_ || failed_) return Error(Errc::closed, "the connection has ended");
  if (next_id_ > kMaxStreamId) return Error(Errc::limit, "the connection's stream ids are used up");
  if (streams_.size() >= kMaxStreams) return Error(Errc::limit, "too many streams are open");
  if (control_.size() > kMaxQueuedControl) {
    return Error(Errc::limit, "too much waits to be sent");
  }
  if (error_code const error = check_headers(headers, HeaderKind::request); error) {
    return io_error(error, "headers of a new stream");
  }
  StreamId const stream = next_id_;
  next_id_ += 2;
  StreamState& state = streams_[stream];
  state.own = true;
  state.ended = fin == Fin::yes;
  queue_header_frame(stream, FrameType::syn_stream, headers, fin);
  return stream;
}

error_code SpdySession::reply(StreamId stream, Headers const& headers, Fin fin) {
  StreamState* const state = find(stream);
  if (state == nullptr || state->own || state->replied || state->ended) return Errc::closed;
  if (error_code const error = check_headers(headers, HeaderKind::reply); error) return error;
  state->replied = true;
  state->ended = fin == Fin::yes;
  // Data that is queued already brings the FIN.
  Fin const at_once = state->queued.empty() ? fin : Fin::no;
  queue_header_frame(stream, FrameType::syn_reply, headers, at_once);
  erase_if_over(stream);
  return {};
}

error_code SpdySession::send(StreamId stream, Chunk data, Fin fin) {
  StreamState* const state = find(stream);
  if (state == nullptr || state->ended) return Errc::closed;
  if (!data.empty() && !state->queued.empty()) return Errc::limit;
  if (data.size() > kMaxDataPayload) return Errc::limit;
  if (!data.empty()) {
    state->queued = std::move(data);
    turns_.push_back(stream);
  }
  if (fin == Fin::no) return {};
  state->ended = true;
  if (state->queued.empty()) {
    std::array<std::byte, kFrameHeaderSize> frame{};
    write_data_header(frame, stream, fin, 0);
    queue_control(frame);
    erase_if_over(stream);
  }
  return {};
}

void SpdySession::reset(StreamId stream, RstStatus status) {
  StreamState* const state = find(stream);
  if (state == nullptr) return;
  std::size_t const size = state->queued.size();
  if (size != 0 && lingering_ + size <= kMaxLingering) {
    lingering_ += size;
    state->ended = true;
    state->lingering = status;
    return;
  }
  queue_control(rst_stream_frame(stream, status));
  forget(streams_.find(stream));
}

void SpdySession::goaway() {
  if (going_away_ || failed_) return;
  for (auto const& [stream, state] : streams_) {
    queue_control(rst_stream_frame(stream, state.lingering.value_or(RstStatus::cancel)));
  }
  streams_.clear();
  turns_.clear();
  lingering_ = 0;
  queue_control(goaway_frame(last_peer_id_, GoawayStatus::ok));
  going_away_ = true;
}

void SpdySession::ping(TimePoint now) {
  if (going_away_ || failed_) return;
  queue_control(ping_frame(next_ping_));
  next_ping_ = next_ping_ + 2 > kMaxPingId ? 2 - (next_ping_ & 1) : next_ping_ + 2;
  quiet_since_ = now;
  if (!pinged_ && keepalive_.timeout != Duration::zero()) await_answer(now);
}

void SpdySession::await_answer(std::optional<TimePoint> since) {
  pinged_ = since;
  looked_ = false;
  late_ = false;
}

error_code SpdySession::receive(Bytes bytes, TimePoint now, SpdyEvents& events) {
  if (!bytes.empty()) {
    last_received_ = now;
    quiet_since_ = now;
    await_answer(std::nullopt);
  }
  while (!failed_) {
    std::optional<Frame> frame;
    failed_ = parser_.next(bytes, frame);
    if (failed_ || !frame) break;
    failed_ = take_frame(*frame, events);
  }
  return failed_;
}

std::string SpdySession::fault() const {
  if (failed_ != Errc::protocol && failed_ != Errc::limit) return {};
  return wrong_ == nullptr ? parser_.fault() : parser_.describe(wrong_);
}

error_code SpdySession::refuse(error_code kind, char const* wrong) {
  wrong_ = wrong;
  return kind;
}

error_code SpdySession::decode(Frame const& frame, HeaderKind kind, Headers& headers) {
  error_code const error = decoder_.decode(frame.bytes, kind, headers);
  return error ? refuse(error, decoder_.wrong()) : error;
}

error_code SpdySession::take_frame(Frame const& frame, SpdyEvents& events) {
  switch (frame.type) {
    case FrameType::data:
      return take_data(frame, events);
    case FrameType::syn_stream:
      return take_syn_stream(frame, events);
    case FrameType::syn_reply:
      return take_syn_reply(frame, events);
    case FrameType::headers:
      return take_headers(frame, events);
    case FrameType::rst_stream:
      if (find(frame.stream) == nullptr) return {};
      forget(streams_.find(frame.stream));
      events.stream_reset(frame.stream, static_cast<RstStatus>(frame.value));
      return {};
    case FrameType::ping:
      // spdystream answers the other side's parity only, and takes its own for answers.
      if (is_own(frame.value)) return {};
      return queue_answer(ping_frame(frame.value));
    case FrameType::goaway:
      return Errc::going_away;
    case FrameType::settings:
    case FrameType::window_update:
      return {};
  }
  return {};
}

error_code SpdySession::take_syn_stream(Frame const& frame, SpdyEvents& events) {
  Headers headers;
  error_code const error = decode(frame, HeaderKind::request, headers);
  if (error) return error;
  // Each is answered, by a reply or a reset.
  if (control_.size() > kMaxQueuedControl) return refuse(Errc::limit, kUnread);
  StreamId const stream = frame.stream;
  // As spdystream, ids of this side's parity are taken; then this side goes on behind them.
  StreamId const least = is_own(stream) ? std::max(next_id_, next_peer_id_) : next_peer_id_;
  if (stream > kMaxStreamId || stream < least) {
    return queue_answer(rst_stream_frame(stream, RstStatus::protocol_error));
  }
  if (is_own(stream)) next_id_ = stream + 2;
  next_peer_id_ = stream + 2;
  last_peer_id_ = stream;
  if (going_away_) return {};
  if (streams_.size() >= kMaxStreams) {
    return queue_answer(rst_stream_frame(stream, RstStatus::refused_stream));
  }
  StreamState& state = streams_[stream];
  state.remote_ended = frame.fin();
  state.ended = (frame.flags & kFlagUnidirectional) != 0;
  erase_if_over(stream);
  events.stream_opened(stream, std::move(headers), frame.fin() ? Fin::yes : Fin::no);
  return {};
}

error_code SpdySession::take_syn_reply(Frame const& frame, SpdyEvents& events) {
  Headers headers;
  error_code const error = decode(frame, HeaderKind::reply, headers);
  if (error) return error;
  StreamState* const state = find(frame.stream);
  if (state == nullptr || !state->own || state->replied) return {};
  state->replied = true;
  events.stream_replied(frame.stream, std::move(headers));
  if (frame.fin()) take_fin(frame.stream, events);
  return {};
}

error_code SpdySession::take_headers(Frame const& frame, SpdyEvents& events) {
  Headers ignored;
  error_code const error = decode(frame, HeaderKind::reply, ignored);
  if (error) return error;
  if (frame.fin()) take_fin(frame.stream, events);
  return {};
}

error_code SpdySession::take_data(Frame const& frame, SpdyEvents& events) {
  StreamState const* const state = find(frame.stream);
  if (state == nullptr) return {};
  if (state->remote_ended) {
    forget(streams_.find(frame.stream));
    error_code const error =
        queue_answer(rst_stream_frame(frame.stream, RstStatus::stream_already_closed));
    events.stream_reset(frame.stream, RstStatus::stream_already_closed);
    return error;
  }
  if (!frame.bytes.empty()) events.stream_data(frame.stream, frame.bytes);
  if (frame.fin() && frame.last) take_fin(frame.stream, events);
  return {};
}

void SpdySession::take_fin(StreamId stream, SpdyEvents& events) {
  StreamState* const state = find(stream);
  if (state == nullptr || state->remote_ended) return;
  state->remote_ended = true;
  erase_if_over(stream);
  events.stream_finished(stream);
}

std::optional<Chunk> SpdySession::next_chunk() {
  taken_.clear();
  std::size_t const control = std::min(control_.size(), Chunk::kPayload);
  std::size_t size = control;
  std::size_t streams = 0;
  // Control frames that do not fit whole leave no room for data to come between.
  for (StreamId const stream : turns_) {
    std::size_t const data = streams_.at(stream).queued.size();
    if (data > kMaxCopied || size + kFrameHeaderSize + data > Chunk::kPayload) break;
    size += kFrameHeaderSize + data;
    ++streams;
  }
  if (control == 0 && streams <= 1) {
    if (turns_.empty()) return std::nullopt;
    return take_turn();
  }
  Chunk chunk(size);
  take_control(control, chunk);
  for (std::size_t i = 0; i < streams; ++i) chunk.append(take_turn().data());
  return chunk;
}

// RST of a lingering stream becomes a control frame when its data is taken, so it follows that
// data.
Chunk SpdySession::take_turn() {
  StreamId const stream = turns_.front();
  turns_.pop_front();
  taken_.push_back(stream);
  StreamState& state = streams_.at(stream);
  Chunk chunk = std::move(state.queued);
  bool const fin = state.ended && !state.lingering;
  if (state.lingering) {
    lingering_ -= chunk.size();
    queue_control(rst_stream_frame(stream, *state.lingering));
    streams_.erase(stream);
  } else {
    erase_if_over(stream);
  }
  prepend_data_header(chunk, stream, fin ? Fin::yes : Fin::no);
  return chunk;
}

void SpdySession::take_control(std::size_t size, Chunk& chunk) {
  chunk.append(Bytes(control_).first(size));
  if (size == control_.size()) {
    control_ = {};
  } else {
    control_.erase(control_.begin(), control_.begin() + static_cast<std::ptrdiff_t>(size));
  }
}

bool SpdySession::queued(StreamId stream) const {
  auto const at = streams_.find(stream);
  return at != streams_.end() && !at->second.queued.empty();
}

error_code SpdySession::tick(TimePoint now, Answers answers) {
  if (now < deadline()) return {};
  if (!pinged_) {
    ping(now);
    return {};
  }
  if (!answer_overdue(now)) {
    looked_ = true;
    late_ = answers == Answers::possible;
    return {};
  }
  if (answers == Answers::possible) return Errc::ping_timeout;
  await_answer(now);
  return {};
}

TimePoint SpdySession::deadline() const {
  if (going_away_ || failed_) return kNever;
  if (pinged_ && !looked_) return *pinged_ + std::min(kLate, keepalive_.timeout / 2);
  if (pinged_) return *pinged_ + keepalive_.timeout;
  if (keepalive_.interval == Duration::zero()) return kNever;
  return quiet_since_ + keepalive_.interval;
}

void SpdySession::postpone(TimePoint now) {
  if (pinged_) await_answer(now);
}

SpdySession::StreamState* SpdySession::find(StreamId stream) {
  auto const at = streams_.find(stream);
  return at == streams_.end() || at->second.lingering ? nullptr : &at->second;
}

void SpdySession::forget(Streams::iterator at) {
  if (!at->second.queued.empty()) turns_.erase(std::find(turns_.begin(), turns_.end(), at->first));
  streams_.erase(at);
}

void SpdySession::erase_if_over(StreamId stream) {
  auto const at = streams_.find(stream);
  StreamState const& state = at->second;
  if (state.ended && state.remote_ended && state.queued.empty()) streams_.erase(at);
}

void SpdySession::queue_control(Bytes bytes) {
  append(control_, bytes);
}

error_code SpdySession::queue_answer(Bytes bytes) {
  if (control_.size() > kMaxQueuedControl) return refuse(Errc::limit, kUnread);
  queue_control(bytes);
  return {};
}

void SpdySession::queue_header_frame(StreamId stream, FrameType type, Headers const& headers,
                                     Fin fin) {
  std::vector<std::byte> block;
  encoder_.encode(headers, block);
  if (type == FrameType::syn_stream) {
    queue_control(syn_stream_head(stream, fin, block.size()));
  } else {
    queue_control(syn_reply_head(stream, fin, block.size()));
  }
  queue_control(block);
}

}  // namespace kportal::net
