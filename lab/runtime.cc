// SPDX-License-Identifier: MIT
#include "lab/runtime.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/wakeup.h"
#include "lab/header_compressor.h"
#include "net/spdy_frame.h"
#include "net/spdy_headers.h"

namespace kportal::lab {
namespace {

using net::Fin;
using net::Frame;
using net::FrameType;
using net::Headers;
using net::RstStatus;
using net::StreamId;

constexpr std::size_t kReadSize = 16 * 1024;
// io.Copy's buffer: no DATA frame of the runtime is larger.
constexpr std::size_t kCopySize = 32 * 1024;
// Where spdystream's framer cuts what it writes (protocol.md 2.7); the rest is the last write.
constexpr std::array<std::size_t, 4> kSynReplyCuts{2, 2, 4, 4};
constexpr std::array<std::size_t, 3> kControlCuts{2, 2, 4};

// Go's write mutex: first come, first served.
class WriteLock {
 public:
  explicit WriteLock(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  awaitable<void> lock() {
    if (!std::exchange(held_, true)) co_return;
    auto const turn = std::make_shared<Wakeup>(executor_);
    waiting_.push_back(turn);
    co_await turn->wait();
  }
  void unlock() {
    if (waiting_.empty()) {
      held_ = false;
      return;
    }
    waiting_.front()->set();
    waiting_.pop_front();
  }

 private:
  asio::any_io_executor executor_;
  bool held_ = false;
  std::deque<std::shared_ptr<Wakeup>> waiting_;
};

class Unlock {
 public:
  explicit Unlock(WriteLock& lock) : lock_(lock) {}
  ~Unlock() { lock_.unlock(); }
  Unlock(Unlock const&) = delete;
  Unlock& operator=(Unlock const&) = delete;

 private:
  WriteLock& lock_;
};

// spdystream's Stream: what a worker hands over waits until the reader takes it.
struct RuntimeStream {
  RuntimeStream(asio::any_io_executor executor, StreamId i, Headers h)
      : id(i), headers(std::move(h)), readable(executor), taken(executor) {}

  std::string_view header(std::string_view name) const {
    for (auto const& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
  // Nothing more is read; what is offered is dropped.
  void close_remote() {
    ended_there = true;
    offered.reset();
    readable.set();
    taken.set();
  }

  StreamId id;
  Headers headers;
  bool replied = false;
  bool ended_here = false;   // FIN or RST was sent, or RST came
  bool ended_there = false;  // FIN or RST came, or this side reset it
  std::optional<std::vector<std::byte>> offered;
  std::vector<std::byte> current;  // taken by the reader
  std::size_t read = 0;            // of `current`
  Wakeup readable;
  Wakeup taken;
};
using StreamPtr = std::shared_ptr<RuntimeStream>;

// One frame in a worker's queue.
struct Work {
  Work() = default;
  FrameType type = FrameType::data;
  StreamId stream = 0;
  std::uint32_t value = 0;  // a PING's id
  bool fin = false;
  std::vector<std::byte> payload;
};

struct Worker {
  explicit Worker(asio::any_io_executor const& executor) : ready(executor) {}
  std::deque<Work> queue;
  Wakeup ready;
};

// Streams with one request id, until both are there.
struct Pair {
  StreamPtr error;
  StreamPtr data;
  TimePoint deadline;
};

// One connection to the pod's port, shared by its two copies and the coroutine that waits for them.
struct Piping {
  Piping(asio::any_io_executor const& executor, std::unique_ptr<PodSocket> s)
      : socket(std::move(s)), done(executor) {}
  void finish(std::string failure) {
    if (error.empty()) error = std::move(failure);
    ++finished;
    done.set();
  }

  std::unique_ptr<PodSocket> socket;
  int finished = 0;
  std::string error;
  Wakeup done;
};

// How a connection to the port ended.
struct Outcome {
  enum class Kind { clean, not_connected, app_failed };
  Kind kind = Kind::clean;
  std::string text;
  Outcome() = default;
  Outcome(Kind k, std::string t) : kind(k), text(std::move(t)) {}
};

std::optional<std::uint16_t> port_of(RuntimeStream const& stream) {
  auto const text = stream.header("port");
  std::uint16_t port = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

bool is_error_stream(RuntimeStream const& stream) {
  return stream.header("streamtype") == "error";
}

// Without a requestid the error stream's id stands for it: data streams follow two later.
std::string request_of(RuntimeStream const& stream) {
  auto const text = stream.header("requestid");
  if (!text.empty()) return std::string(text);
  return std::to_string(is_error_stream(stream) ? stream.id : stream.id - 2);
}

}  // namespace

class PortForwardSession::Impl {
 public:
  Impl(asio::any_io_executor executor, net::Transport& transport, bool tunnelled,
       std::shared_ptr<Sandbox> sandbox, Faults const& faults, RuntimeOptions options,
       RuntimeCounters& counters, ChangeSignal& changed)
      : executor_(executor),
        transport_(transport),
        tunnelled_(tunnelled),
        sandbox_(std::move(sandbox)),
        faults_(faults),
        options_(options),
        counters_(counters),
        changed_(changed),
        lock_(executor),
        space_(executor),
        house_(executor),
        tasks_(executor) {
    for (std::size_t i = 0; i < options_.workers; ++i) {
      workers_.push_back(std::make_unique<Worker>(executor));
    }
  }

  awaitable<void> run();
  void end(SessionEnd how);
  void stop();
  std::size_t open_streams() const { return streams_.size(); }
  Sandbox const& sandbox() const { return *sandbox_; }

 private:
  // Reading
  awaitable<void> read_loop();
  awaitable<bool> take(Frame const& frame);
  awaitable<bool> take_headers(Frame const& frame);
  awaitable<bool> take_data(Frame const& frame);
  awaitable<bool> dispatch(std::size_t worker, Work work);
  std::size_t worker_of(StreamId id) const { return id % workers_.size(); }

  // Workers
  awaitable<void> work(Worker& worker);
  awaitable<void> treat(Work work);
  awaitable<void> open(StreamPtr stream);
  awaitable<void> deliver(StreamPtr stream, Work work);
  void forget(StreamPtr const& stream);
  StreamPtr find(StreamId id) const;

  // Pairs
  awaitable<void> add_to_pair(StreamPtr stream);
  awaitable<void> keep_house();
  awaitable<void> expire_pairs();

  // Forwarding
  awaitable<void> forward(StreamPtr error, StreamPtr data);
  awaitable<Outcome> connect_and_copy(std::uint16_t port, StreamPtr data);
  awaitable<void> copy_up(std::shared_ptr<Piping> piping, StreamPtr data);
  awaitable<void> copy_down(std::shared_ptr<Piping> piping, StreamPtr data);
  awaitable<void> end_badly(StreamPtr error, StreamPtr data, std::string text, Outcome::Kind kind);
  awaitable<std::size_t> read_stream(StreamPtr stream, MutableBytes into);

  // Writing
  awaitable<bool> write(Bytes bytes);
  awaitable<bool> write_cut(Bytes bytes, std::span<std::size_t const> cuts);
  awaitable<bool> send_reply(StreamPtr stream);
  awaitable<bool> send_data(StreamPtr stream, Chunk payload, Fin fin);
  awaitable<void> finish(StreamPtr stream);
  awaitable<void> reset(StreamPtr stream);
  awaitable<void> send_reset(StreamId id, RstStatus status);
  awaitable<void> send_text(StreamPtr stream, std::string text);
  awaitable<void> say_goodbye(bool resets);

  asio::any_io_executor executor_;
  net::Transport& transport_;
  bool const tunnelled_;
  std::shared_ptr<Sandbox> sandbox_;
  Faults const& faults_;
  RuntimeOptions const options_;
  RuntimeCounters& counters_;
  ChangeSignal& changed_;

  net::FrameParser parser_;
  net::HeaderDecoder decoder_;
  HeaderCompressor compressor_;
  Work data_;  // the DATA frame that comes in pieces
  StreamId last_received_ = 0;
  std::size_t next_ping_worker_ = 0;
  TimePoint last_frame_ = Clock::now();
  bool ended_ = false;

  std::vector<std::unique_ptr<Worker>> workers_;
  std::map<StreamId, StreamPtr> streams_;
  std::map<std::string, Pair> pairs_;
  WriteLock lock_;
  Wakeup space_;  // some queue has room again
  Wakeup house_;
  TaskGroup tasks_;
};

awaitable<void> PortForwardSession::Impl::run() {
  for (auto const& worker : workers_) tasks_.spawn(work(*worker));
  tasks_.spawn(keep_house());
  co_await read_loop();
  ended_ = true;
  transport_.close();
  tasks_.cancel();
  co_await tasks_.join();
  streams_.clear();
  pairs_.clear();
}

void PortForwardSession::Impl::end(SessionEnd how) {
  if (!ended_) tasks_.spawn(say_goodbye(how == SessionEnd::resets_and_goaway));
}

void PortForwardSession::Impl::stop() {
  ended_ = true;
  space_.set();
}

// Reading

awaitable<void> PortForwardSession::Impl::read_loop() {
  std::vector<std::byte> buffer(kReadSize);
  while (!ended_) {
    auto const [error, n] = co_await transport_.read_some(buffer);
    if (error) co_return;
    Bytes input = Bytes(buffer).first(n);
    while (!input.empty()) {
      std::optional<Frame> frame;
      if (parser_.next(input, frame)) co_return;
      if (!frame) break;
      last_frame_ = Clock::now();
      auto const more = co_await take(*frame);
      if (!more) co_return;
    }
  }
}

// False when the connection is over.
awaitable<bool> PortForwardSession::Impl::take(Frame const& frame) {
  switch (frame.type) {
    case FrameType::syn_stream:
    case FrameType::syn_reply:
    case FrameType::headers:
      co_return co_await take_headers(frame);
    case FrameType::data:
      co_return co_await take_data(frame);
    case FrameType::goaway:
      co_return false;
    case FrameType::rst_stream:
    case FrameType::ping: {
      Work work;
      work.type = frame.type;
      work.stream = frame.stream;
      work.value = frame.value;
      auto worker = worker_of(frame.stream);
      if (frame.type == FrameType::ping) worker = next_ping_worker_++ % workers_.size();
      co_return co_await dispatch(worker, std::move(work));
    }
    case FrameType::settings:
    case FrameType::window_update:
      break;
  }
  co_return true;
}

awaitable<bool> PortForwardSession::Impl::take_headers(Frame const& frame) {
  Headers headers;
  auto const syn = frame.type == FrameType::syn_stream;
  auto const kind = syn ? net::HeaderKind::request : net::HeaderKind::reply;
  if (decoder_.decode(frame.bytes, kind, headers)) co_return false;
  if (!syn) co_return true;
  if (frame.stream <= last_received_ || frame.stream > net::kMaxStreamId) {
    tasks_.spawn(send_reset(frame.stream, RstStatus::protocol_error));
    co_return true;
  }
  last_received_ = frame.stream;
  ++counters_.streams;
  changed_.notify();
  streams_[frame.stream] =
      std::make_shared<RuntimeStream>(executor_, frame.stream, std::move(headers));
  Work work;
  work.type = FrameType::syn_stream;
  work.stream = frame.stream;
  work.fin = frame.fin();
  co_return co_await dispatch(worker_of(frame.stream), std::move(work));
}

// spdystream reads a DATA frame whole before it looks at it.
awaitable<bool> PortForwardSession::Impl::take_data(Frame const& frame) {
  data_.payload.insert(data_.payload.end(), frame.bytes.begin(), frame.bytes.end());
  if (!frame.last) co_return true;
  data_.stream = frame.stream;
  data_.fin = frame.fin();
  auto work = std::exchange(data_, Work());
  co_return co_await dispatch(worker_of(frame.stream), std::move(work));
}

// Waits while the worker's queue is full, and with it everything that comes behind.
awaitable<bool> PortForwardSession::Impl::dispatch(std::size_t worker, Work work) {
  auto& to = *workers_[worker];
  while (to.queue.size() >= options_.worker_queue && !ended_) {
    co_await space_.wait();
  }
  to.queue.push_back(std::move(work));
  to.ready.set();
  co_return !ended_;
}

// Workers

awaitable<void> PortForwardSession::Impl::work(Worker& worker) {
  for (;;) {
    while (worker.queue.empty()) {
      co_await worker.ready.wait();
    }
    auto work = std::move(worker.queue.front());
    worker.queue.pop_front();
    space_.set();
    co_await treat(std::move(work));
  }
}

StreamPtr PortForwardSession::Impl::find(StreamId id) const {
  auto const at = streams_.find(id);
  return at == streams_.end() ? nullptr : at->second;
}

awaitable<void> PortForwardSession::Impl::treat(Work work) {
  if (work.type == FrameType::ping) {
    if (work.value % 2 == 0) co_return;
    co_await lock_.lock();
    Unlock const unlock(lock_);
    auto const frame = net::ping_frame(work.value);
    co_await write_cut(frame, kControlCuts);
    ++counters_.pings;
    changed_.notify();
    co_return;
  }
  auto const stream = find(work.stream);
  if (!stream) co_return;
  if (work.type == FrameType::syn_stream) {
    co_await open(stream);
    if (work.fin) co_await deliver(stream, std::move(work));
  } else if (work.type == FrameType::rst_stream) {
    stream->ended_here = true;
    stream->close_remote();
    forget(stream);
  } else if (stream->replied) {
    co_await deliver(stream, std::move(work));
  }
}

void PortForwardSession::Impl::forget(StreamPtr const& stream) {
  streams_.erase(stream->id);
  changed_.notify();
}

// Blocks the worker until the reader takes the payload.
awaitable<void> PortForwardSession::Impl::deliver(StreamPtr stream, Work work) {
  if (!work.payload.empty() && !stream->ended_there) {
    stream->offered = std::move(work.payload);
    stream->readable.set();
    while (stream->offered) {
      co_await stream->taken.wait();
    }
  }
  if (!work.fin) co_return;
  stream->ended_there = true;
  stream->readable.set();
  if (stream->ended_here) forget(stream);
}

awaitable<void> PortForwardSession::Impl::open(StreamPtr stream) {
  if (faults_.new_streams == StreamFate::never_reply) co_return;
  auto const type = stream->header("streamtype");
  auto const valid = port_of(*stream) && (type == "error" || type == "data");
  if (!valid || faults_.new_streams == StreamFate::reject) {
    co_await reset(stream);
    co_return;
  }
  // The reply to the data stream often overtakes the one to its error stream.
  if (type == "error") {
    co_await asio::post(executor_, asio::use_awaitable);
    co_await asio::post(executor_, asio::use_awaitable);
  }
  auto const sent = co_await send_reply(stream);
  if (sent) co_await add_to_pair(stream);
}

// Pairs

awaitable<void> PortForwardSession::Impl::add_to_pair(StreamPtr stream) {
  auto const request = request_of(*stream);
  auto const error = is_error_stream(*stream);
  auto const [at, created] = pairs_.try_emplace(request);
  auto& pair = at->second;
  if (created) {
    pair.deadline = Clock::now() + options_.pair_timeout;
    house_.set();
  }
  auto& place = error ? pair.error : pair.data;
  if (place) {
    auto const text =
        fmt::format("error processing stream for request {}: {} stream already assigned", request,
                    error ? "error" : "data");
    auto const to = pair.error;
    if (to) co_await send_text(to, text);
    co_return;
  }
  place = std::move(stream);
  if (!pair.error || !pair.data) co_return;
  auto const complete = std::move(pair);
  pairs_.erase(at);
  tasks_.spawn(forward(complete.error, complete.data));
}

awaitable<void> PortForwardSession::Impl::expire_pairs() {
  auto const now = Clock::now();
  for (auto at = pairs_.begin(); at != pairs_.end();) {
    if (at->second.deadline > now) {
      ++at;
      continue;
    }
    auto const to = at->second.error;
    auto const text = fmt::format("(conn={}, request={}) timed out waiting for streams",
                                  fmt::ptr(static_cast<void const*>(this)), at->first);
    pairs_.erase(at);
    if (to) co_await send_text(to, text);
    at = pairs_.begin();
  }
}

awaitable<void> PortForwardSession::Impl::keep_house() {
  for (;;) {
    auto deadline = last_frame_ + options_.idle_timeout;
    for (auto const& [request, pair] : pairs_) deadline = std::min(deadline, pair.deadline);
    co_await house_.wait_until(deadline);
    co_await expire_pairs();
    if (Clock::now() - last_frame_ < options_.idle_timeout) continue;
    co_await say_goodbye(true);
    co_return;
  }
}

// Forwarding

awaitable<void> PortForwardSession::Impl::forward(StreamPtr error, StreamPtr data) {
  auto const port = port_of(*data).value_or(0);
  auto const outcome = co_await connect_and_copy(port, data);
  if (outcome.kind != Outcome::Kind::clean) {
    auto text = fmt::format("error forwarding port {} to pod {}, uid : {}", port, sandbox_->id(),
                            outcome.text);
    co_await end_badly(error, data, std::move(text), outcome.kind);
    co_return;
  }
  co_await finish(data);
  co_await finish(error);
}

awaitable<Outcome> PortForwardSession::Impl::connect_and_copy(std::uint16_t port, StreamPtr data) {
  if (sandbox_->closed()) {
    co_return Outcome(
        Outcome::Kind::not_connected,
        fmt::format("network namespace for sandbox \"{}\" is closed", sandbox_->id()));
  }
  auto const place =
      fmt::format("failed to execute portforward in network namespace \"{}\"", sandbox_->netns());
  auto const refusal = sandbox_->next_refusal();
  auto socket = refusal ? nullptr : sandbox_->connect(port);
  if (!socket) {
    co_await finish(data);
    if (refusal && !refusal->empty()) {
      co_return Outcome(Outcome::Kind::not_connected, fmt::format("{}: {}", place, *refusal));
    }
    co_return Outcome(
        Outcome::Kind::not_connected,
        fmt::format(
            "{}: failed to connect to localhost:{} inside namespace \"{}\", IPv4: dial tcp4 "
            "127.0.0.1:{}: connect: connection refused IPv6 dial tcp6 [::1]:{}: connect: "
            "connection refused ",
            place, port, sandbox_->id(), port, port));
  }
  auto const piping = std::make_shared<Piping>(executor_, std::move(socket));
  tasks_.spawn(copy_up(piping, data));
  tasks_.spawn(copy_down(piping, data));
  while (piping->finished == 0) {
    co_await piping->done.wait();
  }
  auto const deadline = Clock::now() + options_.half_close_wait;
  while (piping->finished == 1) {
    auto const told = co_await piping->done.wait_until(deadline);
    if (!told) break;
  }
  piping->socket->close();
  if (piping->error.empty()) co_return Outcome();
  auto const silent = options_.flavour == RuntimeFlavour::reset_only;
  if (!silent) co_await finish(data);
  co_return Outcome(Outcome::Kind::app_failed,
                    fmt::format("{}: {}", place, fmt::format(fmt::runtime(piping->error), port)));
}

awaitable<std::size_t> PortForwardSession::Impl::read_stream(StreamPtr stream, MutableBytes into) {
  for (;;) {
    if (stream->read < stream->current.size()) break;
    if (stream->offered) {
      stream->current = std::move(*stream->offered);
      stream->read = 0;
      stream->offered.reset();
      stream->taken.set();
      break;
    }
    if (stream->ended_there) co_return 0;
    co_await stream->readable.wait();
  }
  auto const n = std::min(into.size(), stream->current.size() - stream->read);
  std::copy_n(stream->current.begin() + static_cast<std::ptrdiff_t>(stream->read), n, into.begin());
  stream->read += n;
  co_return n;
}

awaitable<void> PortForwardSession::Impl::copy_up(std::shared_ptr<Piping> piping, StreamPtr data) {
  for (;;) {
    Chunk chunk(kCopySize);
    auto const n = co_await read_stream(data, chunk.room());
    if (n == 0) {
      piping->finish("");
      co_return;
    }
    chunk.commit(n);
    auto const failed = co_await piping->socket->write(std::move(chunk));
    if (failed) {
      piping->finish("write tcp4 127.0.0.1:41000->127.0.0.1:{}: write: broken pipe");
      co_return;
    }
  }
}

awaitable<void> PortForwardSession::Impl::copy_down(std::shared_ptr<Piping> piping,
                                                    StreamPtr data) {
  for (;;) {
    Chunk chunk(kCopySize);
    auto const [error, n] = co_await piping->socket->read_some(chunk.room());
    if (error) {
      auto const clean = error == asio::error::eof || error == asio::error::operation_aborted;
      piping->finish(clean ? ""
                           : "read tcp4 127.0.0.1:41000->127.0.0.1:{}: read: connection reset by "
                             "peer");
      co_return;
    }
    chunk.commit(n);
    auto const sent = co_await send_data(data, std::move(chunk), Fin::no);
    if (!sent) {
      piping->finish("write on closed stream");
      co_return;
    }
  }
}

awaitable<void> PortForwardSession::Impl::end_badly(StreamPtr error, StreamPtr data,
                                                    std::string text, Outcome::Kind kind) {
  if (options_.flavour == RuntimeFlavour::reset_only && kind == Outcome::Kind::app_failed) {
    co_await reset(data);
    co_await reset(error);
    co_return;
  }
  co_await send_text(error, std::move(text));
  if (options_.flavour == RuntimeFlavour::message_and_reset) {
    co_await reset(data);
    co_await reset(error);
  } else {
    co_await finish(data);
    co_await finish(error);
  }
}

// Writing

awaitable<bool> PortForwardSession::Impl::write(Bytes bytes) {
  if (bytes.empty() && !tunnelled_) co_return true;
  auto chunk = Chunk::copy_of(bytes);
  auto const failed = co_await transport_.write(std::move(chunk));
  last_frame_ = Clock::now();
  co_return !failed;
}

awaitable<bool> PortForwardSession::Impl::write_cut(Bytes bytes,
                                                    std::span<std::size_t const> cuts) {
  if (options_.split_writes) {
    for (auto const cut : cuts) {
      auto const sent = co_await write(bytes.first(cut));
      if (!sent) co_return false;
      bytes = bytes.subspan(cut);
    }
  }
  co_return co_await write(bytes);
}

awaitable<bool> PortForwardSession::Impl::send_reply(StreamPtr stream) {
  co_await lock_.lock();
  Unlock const unlock(lock_);
  if (stream->ended_here) co_return false;
  static constexpr std::array<std::byte, 4> kNoHeaders{};  // their number
  auto const block = compressor_.compressed(kNoHeaders);
  auto const head = net::syn_reply_head(stream->id, Fin::no, block.size());
  std::vector<std::byte> frame(head.begin(), head.end());
  frame.insert(frame.end(), block.begin(), block.end());
  stream->replied = true;
  co_return co_await write_cut(frame, kSynReplyCuts);
}

awaitable<bool> PortForwardSession::Impl::send_data(StreamPtr stream, Chunk payload, Fin fin) {
  co_await lock_.lock();
  Unlock const unlock(lock_);
  if (stream->ended_here) co_return false;
  if (fin == Fin::yes) {
    stream->ended_here = true;
    if (stream->ended_there) forget(stream);
  }
  std::array<std::byte, net::kFrameHeaderSize> head{};
  net::write_data_header(head, stream->id, fin, payload.size());
  if (!options_.split_writes) {
    std::copy(head.begin(), head.end(), payload.prepend(head.size()).begin());
    auto const failed = co_await transport_.write(std::move(payload));
    co_return !failed;
  }
  auto const id_sent = co_await write(Bytes(head).first(4));
  if (!id_sent) co_return false;
  auto const head_sent = co_await write(Bytes(head).subspan(4));
  if (!head_sent) co_return false;
  if (payload.empty() && !tunnelled_) co_return true;
  auto const failed = co_await transport_.write(std::move(payload));
  co_return !failed;
}

awaitable<void> PortForwardSession::Impl::finish(StreamPtr stream) {
  if (stream->ended_here) co_return;
  Chunk nothing(0);
  co_await send_data(stream, std::move(nothing), Fin::yes);
}

// After this side's own FIN, nothing is sent.
awaitable<void> PortForwardSession::Impl::reset(StreamPtr stream) {
  auto const silent = std::exchange(stream->ended_here, true);
  stream->close_remote();
  forget(stream);
  if (!silent) co_await send_reset(stream->id, RstStatus::cancel);
}

awaitable<void> PortForwardSession::Impl::send_reset(StreamId id, RstStatus status) {
  co_await lock_.lock();
  Unlock const unlock(lock_);
  auto const frame = net::rst_stream_frame(id, status);
  co_await write_cut(frame, kControlCuts);
}

awaitable<void> PortForwardSession::Impl::send_text(StreamPtr stream, std::string text) {
  auto chunk = Chunk::copy_of(as_bytes(text));
  co_await send_data(stream, std::move(chunk), Fin::no);
}

awaitable<void> PortForwardSession::Impl::say_goodbye(bool resets) {
  while (resets && !streams_.empty()) {
    auto const stream = streams_.begin()->second;
    co_await reset(stream);
  }
  co_await lock_.lock();
  Unlock const unlock(lock_);
  auto const frame = net::goaway_frame(last_received_, net::GoawayStatus::ok);
  co_await write_cut(frame, kControlCuts);
  ended_ = true;
  space_.set();
  transport_.close();
}

PortForwardSession::PortForwardSession(asio::any_io_executor executor, net::Transport& transport,
                                       bool tunnelled, std::shared_ptr<Sandbox> sandbox,
                                       Faults const& faults, RuntimeOptions options,
                                       RuntimeCounters& counters, ChangeSignal& changed)
    : impl_(std::make_unique<Impl>(std::move(executor), transport, tunnelled, std::move(sandbox),
                                   faults, options, counters, changed)) {}

PortForwardSession::~PortForwardSession() = default;

awaitable<void> PortForwardSession::run() {
  co_await impl_->run();
}

void PortForwardSession::end(SessionEnd how) {
  impl_->end(how);
}

void PortForwardSession::stop() {
  impl_->stop();
}

std::size_t PortForwardSession::open_streams() const {
  return impl_->open_streams();
}

Sandbox const& PortForwardSession::sandbox() const {
  return impl_->sandbox();
}

}  // namespace kportal::lab
