// SPDX-License-Identifier: MIT
// Pulse: a user who opens a connection every so often, asks one thing by each, and counts how they
// ended, on a thread of its own, so that a test breaks things meanwhile. It knows only what a user
// sees: a connection was answered, refused, reset, cut, or still waits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/e2e/client.h"

namespace kportal::test {

struct PulseCount {
  int asked = 0;
  int answered = 0;    // by a whole answer with status 200
  int refused = 0;     // nothing listened
  int reset = 0;       // before the answer was whole
  int cut = 0;         // ended otherwise before the answer was whole, or another status
  int waiting = 0;     // not ended yet
  Duration longest{};  // from asking to the end of the answer, of those that were answered
};

class Pulse {
 public:
  struct Beat {
    TimePoint asked;
    TimePoint ended{};
    End end = End::open;  // open: answered, or waiting while `ended` is not set
    int status = 0;       // 0: no whole answer
    std::string pod;      // NAME of an answer that says pod=NAME
  };

  // Asks http://127.0.0.1:PORT each `period` for `path` with the number of the connection behind
  // it, from 0.
  explicit Pulse(std::uint16_t port, Duration period = std::chrono::milliseconds(20),
                 std::string path = "/beat/");
  ~Pulse();  // stops at once
  Pulse(Pulse const&) = delete;
  Pulse& operator=(Pulse const&) = delete;

  // Asks no more; what is under way may end within that time.
  void stop(Duration within = kPatience);

  PulseCount count() const;
  std::vector<Beat> beats() const;
  // When the first answer after `from` came, of another pod than `old` where that is given; nothing
  // after `within`.
  std::optional<TimePoint> wait_for_answer(TimePoint from, std::string_view old = {},
                                           Duration within = kPatience) const;
  // Until so many connections were begun, or that many wait at the same time.
  bool wait_for_asked(int n, Duration within = kPatience) const;
  bool wait_for_waiting(int n, Duration within = kPatience) const;

 private:
  struct Open {
    std::size_t beat;
    Client client;
    std::string received;
    Open(std::size_t b, std::uint16_t port) : beat(b), client(port) {}
  };

  void run();
  void begin();
  void step(Open& open);
  bool ended(Open const& open) const;
  void end(std::size_t beat, End end, HttpAnswer const& answer);
  bool wait_until(TimePoint deadline, std::function<bool()> const& holds) const;

  std::uint16_t const port_;
  Duration const period_;
  std::string const path_;
  std::list<Open> open_;  // of the thread only
  std::atomic<bool> stopping_ = false;
  std::atomic<TimePoint::rep> give_up_at_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<Beat> beats_;
  std::thread thread_;
};

}  // namespace kportal::test
