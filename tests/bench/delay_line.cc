// SPDX-License-Identifier: MIT
#include "tests/bench/delay_line.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "tests/bench/place.h"

namespace kportal::bench {
namespace {

// More than any way of the bench has in flight; the sender waits then.
constexpr std::size_t kMaxHeld = 16 * 1024 * 1024;

// One direction. An empty piece is the end of it.
class Pipe {
 public:
  Pipe(int from, int to, TimePoint not_before) : from_(from), to_(to), not_before_(not_before) {}

  bool done() const { return done_; }
  bool reads() const { return !ended_ && held_ < kMaxHeld; }
  bool waits_for_room() const { return full_; }
  TimePoint due() const { return done_ || full_ || pieces_.empty() ? kNever : pieces_.front().due; }

  void read(Duration delay) {
    std::array<char, 64 * 1024> buffer;
    ssize_t const n = ::recv(from_, buffer.data(), buffer.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    Piece piece;
    piece.due = std::max(Clock::now(), not_before_) + delay;
    if (n > 0) piece.bytes.assign(buffer.data(), static_cast<std::size_t>(n));
    if (n <= 0) ended_ = true;
    held_ += piece.bytes.size();
    pieces_.push_back(std::move(piece));
  }

  void write(TimePoint now) {
    full_ = false;
    while (!done_ && !full_ && !pieces_.empty() && pieces_.front().due <= now) write_piece();
  }

 private:
  struct Piece {
    TimePoint due;
    std::string bytes;
    std::size_t sent = 0;
  };

  void write_piece() {
    Piece& piece = pieces_.front();
    if (piece.bytes.empty()) {
      ::shutdown(to_, SHUT_WR);
      done_ = true;
      return;
    }
    ssize_t const n =
        ::send(to_, piece.bytes.data() + piece.sent, piece.bytes.size() - piece.sent, MSG_NOSIGNAL);
    if (n < 0) {
      full_ = errno == EAGAIN;
      done_ = !full_;
      return;
    }
    piece.sent += static_cast<std::size_t>(n);
    held_ -= static_cast<std::size_t>(n);
    if (piece.sent == piece.bytes.size()) pieces_.pop_front();
  }

  int from_;
  int to_;
  TimePoint not_before_;
  std::deque<Piece> pieces_;
  std::size_t held_ = 0;
  bool ended_ = false;
  bool full_ = false;
  bool done_ = false;
};

}  // namespace

class DelayLine::Connection {
 public:
  Connection(Socket client, Socket server, Duration round_trip)
      : delay_(round_trip / 2),
        client_(std::move(client)),
        server_(std::move(server)),
        up_(client_.descriptor(), server_.descriptor(), Clock::now() + round_trip),
        down_(server_.descriptor(), client_.descriptor(), {}) {
    set_non_blocking(client_.descriptor());
    set_non_blocking(server_.descriptor());
  }

  bool done() const { return up_.done() && down_.done(); }
  TimePoint due() const { return std::min(up_.due(), down_.due()); }
  void add_to(std::vector<pollfd>& waiting) const {
    waiting.push_back(wanted(client_, up_, down_));
    waiting.push_back(wanted(server_, down_, up_));
  }
  void step(short client_events, short server_events) {
    TimePoint const now = Clock::now();
    if ((client_events & (POLLIN | POLLHUP | POLLERR)) != 0 && up_.reads()) up_.read(delay_);
    if ((server_events & (POLLIN | POLLHUP | POLLERR)) != 0 && down_.reads()) down_.read(delay_);
    up_.write(now);
    down_.write(now);
  }

 private:
  // A negative descriptor, where nothing is wanted: poll would tell of a hang-up over and over.
  static pollfd wanted(Socket const& socket, Pipe const& reads, Pipe const& writes) {
    short const events =
        static_cast<short>((reads.reads() ? POLLIN : 0) | (writes.waits_for_room() ? POLLOUT : 0));
    return {events == 0 ? -1 : socket.descriptor(), events, 0};
  }

  Duration delay_;
  Socket client_;
  Socket server_;
  Pipe up_;
  Pipe down_;
};

DelayLine::DelayLine(std::string address, std::uint16_t port, Duration round_trip)
    : address_(std::move(address)), to_(port), round_trip_(round_trip) {
  if (::pipe2(stop_, O_CLOEXEC) != 0) throw CannotMeasure("no pipe");
  thread_ = std::thread([this] { run(); });
}

DelayLine::~DelayLine() {
  ::close(stop_[1]);
  thread_.join();
  ::close(stop_[0]);
}

void DelayLine::run() {
  while (!stopped_) turn();
}

void DelayLine::turn() {
  std::vector<pollfd> waiting{{stop_[0], 0, 0}, {listening_.descriptor(), POLLIN, 0}};
  TimePoint due = kNever;
  for (Connection const& each : connections_) {
    each.add_to(waiting);
    due = std::min(due, each.due());
  }
  auto const left = std::clamp<Duration>(due - Clock::now(), Duration{}, std::chrono::seconds(1));
  timespec const within{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
  ::ppoll(waiting.data(), waiting.size(), &within, nullptr);
  stopped_ = waiting[0].revents != 0;
  std::size_t at = 2;
  for (auto each = connections_.begin(); each != connections_.end(); at += 2) {
    each->step(waiting[at].revents, waiting[at + 1].revents);
    each = each->done() ? connections_.erase(each) : std::next(each);
  }
  if (waiting[1].revents == 0) return;
  try {
    Socket client = listening_.accept();
    connections_.emplace_back(std::move(client), Socket::connect(to_, address_), round_trip_);
  } catch (CannotMeasure const&) {  // its client sees the end
  }
}

}  // namespace kportal::bench
