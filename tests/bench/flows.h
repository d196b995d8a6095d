// SPDX-License-Identifier: MIT
// Connections that carry bytes for as long as a fault lasts, each kind in a thread of its own:
// Echoes send a block and compare what comes back, again and again; Readers read as fast as they
// can, and one of them may stop reading for a while.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/client.h"

namespace kportal::bench {

class Echoes {
 public:
  // Of an echo port. Each connection waits `pause` after a block that came back.
  Echoes(std::uint16_t port, int connections, std::size_t block, Duration pause = {});
  ~Echoes();
  Echoes(Echoes const&) = delete;
  Echoes& operator=(Echoes const&) = delete;

  // How each connection did until now, or until it ended.
  struct Flow {
    std::uint64_t blocks = 0;  // that came back whole
    bool same = true;          // what came back is what was sent
    test::End end = test::End::open;
    TimePoint ended;
    bool untouched() const { return same && end == test::End::open; }
  };
  // Until every one has had that many blocks back. False: some ended, or did not within.
  bool wait_for_blocks(std::uint64_t blocks, Duration within) const;
  std::uint64_t least_blocks() const { return least_; }
  // Ends them.
  std::vector<Flow> finish();

 private:
  struct Connection;
  void run();
  void step(Connection& connection);
  void turn();

  std::string const block_;
  Duration const pause_;
  std::atomic<bool> finishing_ = false;
  std::atomic<std::uint64_t> least_ = 0;
  std::atomic<bool> broken_ = false;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::thread thread_;
};

class Readers {
 public:
  // Of a port that sends without end. It returns once each has had a byte, or after `patience`.
  Readers(std::uint16_t port, std::size_t readers, Duration patience = test::kPatience);
  ~Readers();
  Readers(Readers const&) = delete;
  Readers& operator=(Readers const&) = delete;

  bool all_read() const;
  std::uint64_t bytes(std::size_t reader) const { return readers_[reader]->bytes; }
  std::size_t size() const { return readers_.size(); }
  // It reads nothing while stalled. Ended readers read nothing either.
  void stall(std::size_t reader, bool stalled) { readers_[reader]->stalled = stalled; }
  bool ended(std::size_t reader) const { return readers_[reader]->ended; }
  // Closes that reader's connection.
  void leave(std::size_t reader) { readers_[reader]->leaving = true; }

 private:
  struct Reader {
    explicit Reader(std::uint16_t port) : client(port) {}
    test::Client client;
    std::atomic<std::uint64_t> bytes = 0;
    std::atomic<bool> stalled = false;
    std::atomic<bool> leaving = false;
    std::atomic<bool> ended = false;
  };
  void run();

  std::atomic<bool> finishing_ = false;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::thread thread_;
};

}  // namespace kportal::bench
