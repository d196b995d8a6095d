// SPDX-License-Identifier: MIT
#include "forward/relay.h"

#include <new>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace kportal::forward {
namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
// Until then a silent connection is not known to have been accepted: runtimes answer the stream
// before they dial the pod's port.
constexpr Duration kAcceptedAfter = std::chrono::seconds(1);
// That cancelled pumps have ended is looked for this often.
constexpr Duration kLook = std::chrono::milliseconds(10);

}  // namespace

Relay::Relay(ConnectionId id, asio::ip::tcp::socket socket, config::HalfClose half_close,
             RelayOwner& owner, TaskGroup& tasks)
    : id_(id),
      socket_(std::move(socket)),
      machine_(half_close),
      owner_(owner),
      tasks_(tasks),
      arrived_(Clock::now()),
      up_wake_(socket_.get_executor()),
      up_ended_(socket_.get_executor()) {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

Relay::~Relay() = default;

void Relay::place(std::shared_ptr<Tunnel> tunnel, std::uint32_t request_id) {
  tunnel_id_ = tunnel->id();
  error_code ignored;
  if (std::exchange(watching_held_, false)) socket_.cancel(ignored);
  auto opened = net::PortStream::open(*tunnel->connection(), tunnel->port(), request_id);
  if (opened.has_error()) {
    ConnectionEnd end;
    end.movable = machine_.movable(opened.error().code);
    end.error = opened.error();
    owner_.relay_left(id_, std::move(end));
    return;
  }
  tunnel_ = std::move(tunnel);
  stream_ = std::move(*opened);
  stream_->data().set_sink(this);
  machine_.placed(Clock::now());
  stopping_up_ = false;
  up_running_ = true;
  up_ = tasks_.spawn(pump_up());
  run_ = tasks_.spawn(run());
}

void Relay::place_on_ended(TunnelId tunnel) {
  tunnel_id_ = tunnel;
  ConnectionEnd end;
  end.movable = machine_.movable(Errc::network);
  end.error = Error(Errc::network, "the tunnel ended");
  owner_.relay_left(id_, std::move(end));
}

void Relay::watch_held() {
  if (std::exchange(watching_held_, true)) return;
  tasks_.spawn(wait_for_reset(socket_, owner_, id_));
}

// The relay may be gone when it returns from its wait. An end of stream is no error: who has said
// all still waits for the answer.
awaitable<void> Relay::wait_for_reset(asio::ip::tcp::socket& socket, RelayOwner& owner,
                                      ConnectionId id) {
  auto const [error] = co_await socket.async_wait(asio::ip::tcp::socket::wait_error, kTuple);
  if (!error) owner.client_left(id);
}

void Relay::evict(Error why) {
  if (!placed()) return;
  evicted_ = std::move(why);
  owner_.relay_ending(id_);
  stream_->data().reset();
  error_code ignored;
  socket_.cancel(ignored);
}

void Relay::abandon(Error why) {
  if (!placed()) return;
  tasks_.cancel(run_);
  tasks_.cancel(up_);
  run_ = tasks_.spawn(leave_when_over(run_, std::move(why)));
}

awaitable<void> Relay::leave_when_over(TaskGroup::TaskId cancelled, Error why) {
  while (tasks_.contains(cancelled) || tasks_.contains(up_)) {
    co_await sleep_until(Clock::now() + kLook);
  }
  ConnectionEnd end;
  end.error = std::move(why);
  leave(std::move(end));
}

void Relay::reset() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

bool Relay::accepted_by_pod(TimePoint now) const {
  if (!placed() || !stream_->data().replied()) return false;
  return machine_.answered() || now - stream_->data().replied_at() >= kAcceptedAfter;
}

// The common case: what arrives goes to the client at once, without a copy.
std::size_t Relay::take(Bytes bytes) noexcept {
  if (writing_) return 0;
  error_code error;
  std::size_t const n = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
  if (n > 0) received();
  return n;
}

void Relay::buffer_full(bool full) noexcept {
  owner_.relay_full(id_, full);
}

void Relay::received() {
  TimePoint const now = Clock::now();
  bool const first = !machine_.answered();
  machine_.received(now);
  tunnel_->received(now);
  if (first) owner_.relay_answered(tunnel_id_);
  tell_moved(now);
}

void Relay::sent(Bytes bytes) {
  TimePoint const now = Clock::now();
  machine_.sent(bytes, now);
  tunnel_->sent(now);
  tell_moved(now);
}

void Relay::tell_moved(TimePoint now) {
  if (now < next_tell_) return;
  next_tell_ = now + kTellMoved;
  owner_.relay_moved(id_);
}

awaitable<void> Relay::run() {
  error_code ended;
  try {
    ended = co_await pump_down();
  } catch (std::bad_alloc const&) {
    local_failed();
  }
  owner_.relay_ending(id_);
  ConnectionEnd end = co_await judge(ended);
  stream_->data().set_sink(nullptr);
  if (!end.error && !local_failed_) {
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    co_await linger();
  }
  co_await end_pump_up();
  leave(std::move(end));
}

void Relay::leave(ConnectionEnd end) {
  stream_.reset();
  tunnel_.reset();
  owner_.relay_left(id_, std::move(end));  // may destroy this
}

// Whatever it waits for: the client, the moment to pass its end on, or a tunnel that takes nothing.
awaitable<void> Relay::end_pump_up() {
  stopping_up_ = true;
  up_wake_.set();
  stream_->data().reset();
  error_code ignored;
  socket_.cancel(ignored);
  while (up_running_) {
    co_await up_ended_.wait();
  }
}

// Delivers what the sink could not, until the stream or the client's side is over.
awaitable<error_code> Relay::pump_down() {
  net::Stream& data = stream_->data();
  for (;;) {
    net::IoResult const readable = co_await data.read_some(MutableBytes());
    if (readable.error) co_return readable.error;
    writing_ = true;
    Chunk chunk(Chunk::kPayload);
    net::IoResult const got = co_await data.read_some(chunk.room());
    if (got.error) {
      writing_ = false;
      co_return got.error;
    }
    auto const buffer = asio::buffer(chunk.room().data(), got.size);
    auto const [error, n] = co_await asio::async_write(socket_, buffer, kTuple);
    writing_ = false;
    if (n > 0) received();
    if (error) {
      local_failed();
      co_return error;
    }
  }
}

// What the end of the data stream means, with what the error stream says of it.
awaitable<ConnectionEnd> Relay::judge(error_code end) {
  ConnectionEnd result;
  result.error = evicted_;
  if (evicted_ || local_failed_) co_return result;
  bool const clean = end == asio::error::eof;
  TimePoint const ended_at = Clock::now();
  if (!clean) stream_->data().reset();
  std::string const text = co_await stream_->error_text(ended_at + kErrorTextWait);
  if (local_failed_) co_return result;
  if (!text.empty()) {
    result.error = net::classify_error_text(text, tunnel_->port());
    bool const refused = result.error->code == Errc::pod_refused;
    bool const unknown = result.error->code == Errc::stream_failed;
    result.blocks_tunnel = (refused || unknown) && stream_->ended_by_fin() && machine_.has_sent();
    // Words that nobody knows: to its client the connection was reset.
    if (result.error->code == Errc::stream_failed) result.error->code = Errc::pod_reset;
  } else if (!clean && end == Errc::stream_failed) {
    result.error = Error(Errc::pod_reset, "the connection was reset in the pod");
  } else if (!clean) {
    result.error = tunnel_->error_of(end, "tunnel");
  } else if (!machine_.end_is_trusted(ended_at)) {
    result.error = Error(Errc::half_close_cut,
                         "the container runtime ended the answer one second after the client's end "
                         "of stream; `halfClose: hold` on this forward avoids it");
  }
  if (result.error) result.movable = machine_.movable(result.error->code);
  co_return result;
}

awaitable<void> Relay::pump_up() {
  try {
    error_code const resent = co_await resend_kept();
    if (!resent) co_await read_local();
    if (!resent) co_await pass_fin();
  } catch (std::bad_alloc const&) {  // it ends this connection only
    local_failed();
  }
  up_running_ = false;
  up_ended_.set();
}

awaitable<error_code> Relay::resend_kept() {
  if (machine_.kept().empty()) co_return error_code();
  Chunk first = Chunk::copy_of(machine_.kept());
  error_code const error = co_await stream_->data().write(std::move(first));
  co_return error;
}

// From the client to the pod until the client's end of stream, its failure, or the pod's end.
awaitable<void> Relay::read_local() {
  while (!stopping_up_) {
    Chunk chunk(Chunk::kPayload);
    auto const room = chunk.room();
    error_code error;
    std::size_t const n = socket_.read_some(asio::buffer(room.data(), room.size()), error);
    if (error == asio::error::would_block || (discarding_ && !error)) {
      chunk = Chunk();  // an idle connection holds no buffer
      auto const [waited] = co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, kTuple);
      if (waited && waited != asio::error::operation_aborted) co_return local_failed();
      continue;
    }
    if (error == asio::error::eof) {
      machine_.local_ended();
      co_return;
    }
    if (error) co_return local_failed();
    chunk.commit(n);
    sent(chunk.data());
    error_code const written = co_await stream_->data().write(std::move(chunk));
    if (written && !discarding_) co_return;  // pump_down learns why
  }
}

awaitable<void> Relay::pass_fin() {
  while (!stopping_up_ && !discarding_ && !local_failed_) {
    TimePoint const due = machine_.fin_due();
    TimePoint const now = Clock::now();
    if (due <= now) {
      stream_->data().finish();
      machine_.fin_sent(now);
      co_return;
    }
    co_await up_wake_.wait_until(due);
  }
}

// The pod's side is over and delivered: closing now, with unread bytes of the client in the kernel,
// would be a reset that takes back what the client has not read yet.
awaitable<void> Relay::linger() {
  discarding_ = true;
  up_wake_.set();
  TimePoint const until = Clock::now() + kLinger;
  while (up_running_ && Clock::now() < until) {
    bool const ended = co_await up_ended_.wait_until(until);
    static_cast<void>(ended);
  }
}

void Relay::local_failed() {
  if (local_failed_) return;
  local_failed_ = true;
  if (stream_) stream_->data().reset();
}

}  // namespace kportal::forward
