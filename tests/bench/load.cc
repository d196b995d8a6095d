// SPDX-License-Identifier: MIT
#include "tests/bench/load.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <poll.h>

#include <fmt/format.h>

#include "tests/bench/socket.h"

namespace kportal::bench {
namespace {

using namespace std::chrono_literals;

// Socket buffers, the tool's and the pod's: less than this in all.
constexpr std::uint64_t kFill = 64 * 1024 * 1024;
constexpr std::size_t kBlock = 256 * 1024;
constexpr std::size_t kMessage = 64;
// What nothing cold is left after; the last of them are not measured either.
constexpr int kWarmConnects = 20;
constexpr int kWarmEchoes = 200;
constexpr Duration kPatience = 3min;
// How often ports are looked for.
constexpr int kLook = 2;  // milliseconds

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}
double micros(Duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

// What a tool had spent at a time.
struct Spent {
  explicit Spent(Running const& tool) : at(Clock::now()), cpu(cpu_time(tool.pids())) {}
  TimePoint at;
  Duration cpu;
};

// One connection's bytes, in either direction.
class Flow {
 public:
  Flow(Running& tool, std::size_t forward, Way way)
      : socket_(Socket::connect(tool.ready_port(forward))),
        way_(way),
        scale_(tool.scale()),
        block_(kBlock, std::byte{'b'}) {}

  double bytes() const { return bytes_; }
  void move() {
    std::size_t n = 0;
    if (way_ == Way::down) n = socket_.read(block_);
    if (way_ == Way::up && socket_.write_all(block_)) n = block_.size();
    if (n == 0) throw CannotMeasure("the connection ended after " + fmt::format("{} B", bytes_));
    bytes_ += scale_ * static_cast<double>(n);
  }

 private:
  Socket socket_;
  Way const way_;
  double const scale_;
  std::vector<std::byte> block_;
  double bytes_ = 0;
};

std::array<std::byte, kMessage> message() {
  std::array<std::byte, kMessage> bytes{};
  bytes.fill(std::byte{'m'});
  return bytes;
}

// Runs it so often, and puts aside how long each took.
template <class Step>
Times timed(Running const& tool, int count, Step step) {
  Times times;
  Spent const before(tool);
  for (int i = 0; i < count; ++i) times.each.push_back(step());
  Spent const after(tool);
  times.cpu_micros = micros(after.cpu - before.cpu) / count;
  std::sort(times.each.begin(), times.each.end());
  return times;
}

}  // namespace

Bulk measure_bulk(Running& tool, std::size_t forward, Way way, Duration window) {
  Flow flow(tool, forward, way);
  while (flow.bytes() < static_cast<double>(kFill)) flow.move();
  double const filled = flow.bytes();
  Spent const before(tool);
  while (Clock::now() < before.at + window) flow.move();
  Spent const after(tool);
  double const bytes = flow.bytes() - filled;
  Bulk bulk;
  bulk.bytes_per_second = bytes / seconds(after.at - before.at);
  bulk.cpu_seconds_per_gigabyte = seconds(after.cpu - before.cpu) / bytes * 1e9;
  bulk.memory = memory(tool.pids());
  return bulk;
}

double Times::percentile(double p) const {
  auto const rank = static_cast<std::size_t>(std::ceil(p / 100 * static_cast<double>(each.size())));
  return each.at(std::max<std::size_t>(rank, 1) - 1);
}

Times measure_connects(Running& tool, std::size_t forward, int connects) {
  std::uint16_t const port = tool.ready_port(forward);
  auto const sent = message();
  auto const one = [&] {
    TimePoint const begin = Clock::now();
    Socket const socket = Socket::connect(port);
    std::array<std::byte, kMessage> got{};
    if (!socket.write_all(sent) || socket.read(got) == 0) throw CannotMeasure("no answer");
    return micros(Clock::now() - begin);
  };
  for (int i = 0; i < kWarmConnects; ++i) one();
  return timed(tool, connects, one);
}

Times measure_echoes(Running& tool, std::size_t forward, int echoes) {
  Socket const socket = Socket::connect(tool.ready_port(forward));
  auto const sent = message();
  auto const one = [&] {
    TimePoint const begin = Clock::now();
    std::array<std::byte, kMessage> got{};
    if (!socket.write_all(sent) || !socket.read_all(got)) throw CannotMeasure("no echo");
    return micros(Clock::now() - begin);
  };
  for (int i = 0; i < kWarmEchoes; ++i) one();
  return timed(tool, echoes, one);
}

TimePoint answered_by_all(Running& tool, std::size_t forwards) {
  std::string_view const question = "GET / HTTP/1.1\r\nHost: pod\r\n\r\n";
  TimePoint const deadline = Clock::now() + kPatience;
  std::vector<Socket> sockets(forwards);
  std::vector<pollfd> waiting(forwards, pollfd{-1, POLLIN, 0});
  std::vector<bool> asked(forwards);
  std::array<std::byte, 4096> answer{};
  for (std::size_t left = forwards; left > 0;) {
    for (std::size_t i = 0; i < forwards; ++i) {
      if (asked[i]) continue;
      auto const port = tool.port_now(i);
      if (!port) continue;
      asked[i] = true;
      sockets[i] = Socket::connect(*port);
      sockets[i].write_all(as_bytes(question));
      waiting[i].fd = sockets[i].descriptor();
    }
    ::poll(waiting.data(), waiting.size(), kLook);
    for (std::size_t i = 0; i < forwards; ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      std::size_t const n = sockets[i].read(answer);
      if (!as_text(Bytes(answer).first(n)).starts_with("HTTP/1.1 200")) {
        throw CannotMeasure(fmt::format("forward {} does not answer", i));
      }
      waiting[i].fd = -1;
      --left;
    }
    if (Clock::now() > deadline) throw CannotMeasure(fmt::format("{} never answer", left));
  }
  return Clock::now();
}

}  // namespace kportal::bench
