// SPDX-License-Identifier: MIT
#include "tests/bench/flows.h"

#include <algorithm>
#include <poll.h>

namespace kportal::bench {

using namespace std::chrono_literals;
using test::End;

struct Echoes::Connection {
  explicit Connection(std::uint16_t port) : client(port) {}

  bool alive() const { return flow.end == End::open; }
  pollfd wanted(TimePoint now, std::size_t block) const {
    if (!alive() || now < rest_until) return {-1, 0, 0};
    short const out = sent < block ? POLLOUT : 0;
    return {client.descriptor(), static_cast<short>(POLLIN | out), 0};
  }

  test::Client client;
  Flow flow;
  std::size_t sent = 0;  // of the block
  std::size_t received = 0;
  TimePoint rest_until{};
};

namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 20'261'123;
  for (char& c : text) {
    state = state * 1'664'525 + 1'013'904'223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

}  // namespace

Echoes::Echoes(std::uint16_t port, int connections, std::size_t block, Duration pause)
    : block_(pattern(block)), pause_(pause) {
  for (int i = 0; i < connections; ++i) {
    connections_.push_back(std::make_unique<Connection>(port));
    connections_.back()->flow.end = connections_.back()->client.end();
  }
  thread_ = std::thread([this] { run(); });
}

Echoes::~Echoes() {
  finish();
}

bool Echoes::wait_for_blocks(std::uint64_t blocks, Duration within) const {
  TimePoint const deadline = Clock::now() + within;
  while (least_ < blocks && !broken_ && Clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  return least_ >= blocks && !broken_;
}

std::vector<Echoes::Flow> Echoes::finish() {
  finishing_ = true;
  if (thread_.joinable()) thread_.join();
  std::vector<Flow> flows;
  for (auto const& connection : connections_) flows.push_back(connection->flow);
  return flows;
}

void Echoes::run() {
  while (!finishing_) turn();
}

void Echoes::turn() {
  TimePoint const now = Clock::now();
  std::vector<pollfd> waiting;
  for (auto const& each : connections_) waiting.push_back(each->wanted(now, block_.size()));
  // 2 ms: those that rest are looked at again.
  ::poll(waiting.data(), waiting.size(), 2);
  std::uint64_t least = UINT64_MAX;
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    if (waiting[i].revents != 0) step(*connections_[i]);
    least = std::min(least, connections_[i]->flow.blocks);
    if (!connections_[i]->flow.untouched()) broken_ = true;
  }
  least_ = least;
}

void Echoes::step(Connection& connection) {
  test::Client& client = connection.client;
  Flow& flow = connection.flow;
  auto const block = std::string_view(block_);
  if (connection.sent < block.size()) {
    connection.sent += client.send_now(block.substr(connection.sent));
  }
  char buffer[64 * 1024];
  std::size_t const room = std::min(sizeof buffer, block.size() - connection.received);
  std::size_t const n = client.connected() ? client.read_now(buffer, room) : 0;
  if (block.substr(connection.received, n) != std::string_view(buffer, n)) flow.same = false;
  connection.received += n;
  flow.end = client.end();
  if (flow.end != End::open) flow.ended = Clock::now();
  if (connection.received < block.size()) return;
  ++flow.blocks;
  connection.sent = connection.received = 0;
  connection.rest_until = Clock::now() + pause_;
}

Readers::Readers(std::uint16_t port, std::size_t readers, Duration patience) {
  for (std::size_t i = 0; i < readers; ++i) readers_.push_back(std::make_unique<Reader>(port));
  thread_ = std::thread([this] { run(); });
  TimePoint const deadline = Clock::now() + patience;
  while (!all_read() && Clock::now() < deadline) std::this_thread::sleep_for(1ms);
}

Readers::~Readers() {
  finishing_ = true;
  thread_.join();
}

bool Readers::all_read() const {
  return std::all_of(readers_.begin(), readers_.end(),
                     [](auto const& each) { return each->bytes > 0; });
}

void Readers::run() {
  std::vector<char> buffer(256 * 1024);
  while (!finishing_) {
    std::vector<pollfd> waiting;
    for (auto const& each : readers_) {
      if (each->leaving) each->client.close();
      if (!each->client.connected()) each->ended = true;
      bool const reads = !each->stalled && !each->ended;
      waiting.push_back({reads ? each->client.descriptor() : -1, POLLIN, 0});
    }
    ::poll(waiting.data(), waiting.size(), 20);
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      readers_[i]->bytes += readers_[i]->client.read_now(buffer.data(), buffer.size());
      if (readers_[i]->client.end() != End::open) readers_[i]->ended = true;
    }
  }
}

}  // namespace kportal::bench
