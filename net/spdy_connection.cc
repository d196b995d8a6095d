// SPDX-License-Identifier: MIT
#include "net/spdy_connection.h"

#include <algorithm>
#include <cassert>
#include <new>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace kportal::net {
namespace {

// What is buffered in small pieces takes chunks of this size, else full ones from the pool.
constexpr std::size_t kSmallBuffer = 4 * 1024;
// Of one forwarded connection: data and error.
constexpr std::size_t kStreamsOfOne = 2;

}  // namespace

Stream::Stream(SpdyConnection& connection, StreamId id, By opener, Headers headers)
    : connection_(connection),
      id_(id),
      opener_(opener),
      headers_(std::move(headers)),
      readable_(connection.executor_),
      writable_(connection.executor_) {
  connection_.streams_.emplace(id_, this);
  connection_.stream_added();
}

Stream::~Stream() {
  drop_buffered();
  connection_.streams_.erase(id_);
  connection_.reset(id_);
}

awaitable<IoResult> Stream::read_some(MutableBytes into) {
  while (buffered_ == 0 && !read_end_) {
    co_await readable_.wait();
  }
  if (buffered_ == 0) co_return IoResult(read_end_, 0);
  co_return IoResult(error_code(), take_buffered(into));
}

awaitable<error_code> Stream::write(Chunk chunk) {
  error_code error = co_await wait_until_taken();  // a chunk that a cancelled write left
  if (error || chunk.empty()) co_return error;
  error = connection_.session_.send(id_, std::move(chunk), Fin::no);
  if (error) co_return error;
  connection_.to_write_.set();
  co_return co_await wait_until_taken();
}

awaitable<error_code> Stream::wait_until_taken() {
  while (!write_end_ && connection_.session_.queued(id_)) {
    co_await writable_.wait();
  }
  co_return write_end_;
}

void Stream::finish() {
  if (connection_.session_.send(id_, Chunk(), Fin::yes)) return;
  connection_.to_write_.set();
}

void Stream::reset() {
  connection_.reset(id_);
  drop_buffered();
  fail(Errc::closed);
}

void Stream::reply(Headers const& headers) {
  reply_held_ = true;
  if (connection_.session_.reply(id_, headers)) return;
  note_reply();
  connection_.to_write_.set();
}

void Stream::note_reply() {
  if (!replied()) replied_at_ = Clock::now();
}

void Stream::take_data(Bytes bytes) {
  last_data_ = connection_.session_.last_received();
  if (opener_ == By::us) note_reply();
  if (sink_ != nullptr && buffered_ == 0) bytes = bytes.subspan(sink_->take(bytes));
  if (bytes.empty()) return;
  append(bytes);
  update_full();
  readable_.set();
}

void Stream::append(Bytes bytes) {
  while (!bytes.empty()) {
    if (buffer_.empty() || buffer_.back().room().empty()) {
      buffer_.emplace_back(bytes.size() > kSmallBuffer ? Chunk::kPayload : kSmallBuffer);
    }
    std::size_t const n = std::min(bytes.size(), buffer_.back().room().size());
    buffer_.back().append(bytes.first(n));
    buffered_ += n;
    bytes = bytes.subspan(n);
  }
}

std::size_t Stream::take_buffered(MutableBytes into) {
  std::size_t size = 0;
  while (size < into.size() && buffered_ != 0) {
    Bytes const front = std::as_const(buffer_.front()).data().subspan(consumed_);
    std::size_t const n = std::min(front.size(), into.size() - size);
    std::copy_n(front.begin(), n, into.begin() + static_cast<std::ptrdiff_t>(size));
    size += n;
    buffered_ -= n;
    consumed_ += n;
    if (n < front.size()) break;
    buffer_.pop_front();
    consumed_ = 0;
  }
  update_full();
  return size;
}

void Stream::drop_buffered() {
  buffer_.clear();
  consumed_ = 0;
  buffered_ = 0;
  update_full();
}

// High and low water: no longer full at half of it. Of a stream that has ended no more can come, so
// it stops nobody.
void Stream::update_full() {
  std::size_t const most = connection_.most_buffered();
  bool const full = !read_end_ && buffered_ >= (full_ ? most / 2 + 1 : most);
  if (full == full_) return;
  full_ = full;
  connection_.count_full(full);
  if (sink_ != nullptr) sink_->buffer_full(full);
}

void Stream::end_reading(error_code error) {
  if (!read_end_) read_end_ = error;
  update_full();
  readable_.set();
}

void Stream::fail(error_code error) {
  if (!write_end_) write_end_ = error;
  writable_.set();
  end_reading(error);
}

SpdyConnection::SpdyConnection(asio::any_io_executor executor, std::unique_ptr<Transport> transport,
                               SpdyOptions options)
    : executor_(std::move(executor)),
      transport_(std::move(transport)),
      options_(std::move(options)),
      session_(options_.role, SpdyKeepalive{options_.ping_interval, options_.ping_timeout},
               Clock::now()),
      to_write_(executor_),
      resumed_(executor_),
      changed_(executor_),
      tasks_(executor_) {}

SpdyConnection::~SpdyConnection() {
  assert(streams_.empty() && "SpdyConnection destroyed before its streams");
}

void SpdyConnection::on_stream(std::function<void(std::unique_ptr<Stream>)> accept) {
  accept_ = std::move(accept);
}

// The reader and the writer are tasks of their own; this one only waits for the end and for the
// keepalive. When it is cancelled it goes on without exceptions until they have ended.
awaitable<error_code> SpdyConnection::run() {
  assert(!running_);
  running_ = true;
  bool const throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  if (!ended_) {
    tasks_.spawn(end_without_memory(read_loop()));
    tasks_.spawn(end_without_memory(write_loop()));
  }
  while (!ended_) {
    changed_.expires_at(session_.deadline());
    auto const [ignored] = co_await changed_.async_wait(asio::as_tuple(asio::use_awaitable));
    static_cast<void>(ignored);
    auto const state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) end(Errc::closed);
    keep_alive(Clock::now());
  }
  tasks_.cancel();
  co_await tasks_.join();
  writing_since_ = kNever;
  co_await asio::this_coro::throw_if_cancelled(throws);
  auto const state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return end_;
}

// Where there is no memory for what comes or goes, it is this connection's end and nobody else's.
awaitable<void> SpdyConnection::end_without_memory(awaitable<void> loop) {
  try {
    co_await std::move(loop);
  } catch (std::bad_alloc const&) {
    end(boost::system::errc::make_error_code(boost::system::errc::not_enough_memory));
  }
}

awaitable<void> SpdyConnection::read_loop() {
  while (!ended_) {
    MutableBytes const into = read_buffer();
    IoResult const read = co_await transport_->read_some(into);
    if (read.error) {
      end(read.error);
      break;
    }
    note_flow(read.size);
    receive(into.first(read.size));
    while (reading_paused()) {
      co_await resumed_.wait();
    }
  }
}

void SpdyConnection::note_flow(std::size_t read) {
  if (read >= kSmallRead) {
    quiet_reads_ = 0;
  } else if (quiet_reads_ < kQuietReads) {
    ++quiet_reads_;
  }
}

MutableBytes SpdyConnection::read_buffer() {
  if (quiet_reads_ == kQuietReads) {
    large_.reset();
    return small_;
  }
  if (!large_) large_.reset(new (std::nothrow) std::byte[kLargeRead]);
  if (!large_) return small_;
  return {large_.get(), kLargeRead};
}

void SpdyConnection::receive(Bytes bytes) {
  error_code const error = session_.receive(bytes, Clock::now(), *this);
  to_write_.set();
  if (error) end(error);
  look_if_late();
  expect_deadline();
}

// run() sleeps until a deadline that bytes mostly move away; only an earlier one needs telling.
void SpdyConnection::expect_deadline() {
  if (session_.deadline() < changed_.expiry()) changed_.cancel();
}

awaitable<void> SpdyConnection::write_loop() {
  while (!ended_) {
    co_await to_write_.wait();
    while (std::optional<Chunk> chunk = session_.next_chunk()) {
      tell_taken();
      writing_since_ = Clock::now();
      error_code const error = co_await transport_->write(std::move(*chunk));
      writing_since_ = kNever;
      end_excuse();
      if (error) {
        end(error);
        co_return;
      }
    }
  }
}

void SpdyConnection::tell_taken() {
  for (StreamId const id : session_.taken()) {
    auto const at = streams_.find(id);
    if (at != streams_.end()) at->second->writable_.set();
  }
}

void SpdyConnection::keep_alive(TimePoint now) {
  using Answers = SpdySession::Answers;
  if (ended_ || now < session_.deadline()) return;
  bool const stalled = session_.awaits_answer() && (reading_paused() || writing_since_ != kNever);
  bool const overdue = session_.answer_overdue(now);
  bool const excused = stalled && (!overdue || !options_.acknowledged || options_.acknowledged());
  if (excused && overdue) excused_ = true;
  error_code const error = session_.tick(now, excused ? Answers::impossible : Answers::possible);
  if (error) end(error);
  look_if_late();
  to_write_.set();
}

void SpdyConnection::end_excuse() {
  if (excused_) session_.postpone(Clock::now());
  excused_ = false;
  look_if_late();
}

void SpdyConnection::look_if_late() {
  bool const late = session_.answer_late();
  if (ended_ || std::exchange(late_, late) == late) return;
  if (tell_late_) tell_late_(late);
}

void SpdyConnection::close() {
  if (ended_) return;
  session_.goaway();
  // While a write is under way its bytes come first, so there is no room for a farewell.
  if (writing_since_ == kNever) {
    for (auto chunk = session_.next_chunk(); chunk; chunk = session_.next_chunk()) {
      std::size_t const taken = transport_->write_now(chunk->data());
      if (taken < chunk->size()) break;
    }
  }
  end(Errc::closed);
}

void SpdyConnection::end(error_code error) {
  if (ended_) return;
  ended_ = true;
  end_ = error;
  transport_->close();
  // The transport's orderly end is no stream's: whoever reads must not take it for the pod's.
  fail_streams(end_ == asio::error::eof ? make_error_code(Errc::network) : end_);
  changed_.cancel();
}

std::string SpdyConnection::end_detail() const {
  if (!ended_) return {};
  auto fault = session_.fault();
  return fault.empty() ? transport_->end_detail() : fault;
}

void SpdyConnection::fail_streams(error_code error) {
  for (auto const& [id, stream] : streams_) stream->fail(error);
}

Result<std::unique_ptr<Stream>> SpdyConnection::open_stream(Headers const& headers, Fin fin) {
  if (ended()) return io_error(end_ ? end_ : make_error_code(Errc::closed), "open a stream");
  Result<StreamId> const id = session_.open_stream(headers, fin);
  if (!id) return id.error();
  to_write_.set();
  return std::unique_ptr<Stream>(new Stream(*this, *id, Stream::By::us, Headers()));
}

void SpdyConnection::set_keepalive(Duration ping_interval, Duration ping_timeout) {
  session_.set_keepalive(SpdyKeepalive{ping_interval, ping_timeout});
  expect_deadline();
}

void SpdyConnection::ping() {
  session_.ping(Clock::now());
  to_write_.set();
  expect_deadline();
}

void SpdyConnection::reset(StreamId id) {
  session_.reset(id, RstStatus::cancel);
  to_write_.set();
}

void SpdyConnection::count_full(bool full) {
  if (full) {
    ++full_streams_;
    return;
  }
  --full_streams_;
  if (full_streams_ != 0) return;
  end_excuse();
  resumed_.set();
}

std::size_t SpdyConnection::most_buffered() const {
  return streams_.size() <= kStreamsOfOne ? Stream::kMaxBufferedAlone : Stream::kMaxBuffered;
}

// Who was alone has more room from now on.
void SpdyConnection::stream_added() {
  if (full_streams_ == 0 || streams_.size() != kStreamsOfOne + 1) return;
  for (auto const& [id, stream] : streams_) stream->update_full();
}

void SpdyConnection::stream_opened(StreamId id, Headers headers, Fin fin) {
  if (!accept_) {
    reset(id);
    return;
  }
  std::unique_ptr<Stream> stream(new Stream(*this, id, Stream::By::peer, std::move(headers)));
  if (fin == Fin::yes) stream->end_reading(asio::error::eof);
  accept_(std::move(stream));
  // The callback may have destroyed the stream, answered for itself or put the answer off.
  auto const at = streams_.find(id);
  if (at != streams_.end() && !at->second->reply_held_) at->second->reply();
}

void SpdyConnection::stream_replied(StreamId id, Headers) {
  auto const at = streams_.find(id);
  if (at != streams_.end()) at->second->note_reply();
}

void SpdyConnection::stream_data(StreamId id, Bytes bytes) {
  auto const at = streams_.find(id);
  if (at != streams_.end()) at->second->take_data(bytes);
}

void SpdyConnection::stream_finished(StreamId id) {
  auto const at = streams_.find(id);
  if (at == streams_.end()) return;
  if (at->second->opener_ == Stream::By::us) at->second->note_reply();
  at->second->end_reading(asio::error::eof);
}

void SpdyConnection::stream_reset(StreamId id, RstStatus) {
  auto const at = streams_.find(id);
  if (at != streams_.end()) at->second->fail(Errc::stream_failed);
}

}  // namespace kportal::net
