// SPDX-License-Identifier: MIT
// DelayLine: a long way to a server, in user space: a local port whose connections reach the server
// with every byte late, both ways, in order and without loss. A new one's first bytes wait another
// round trip: TCP's handshake. What it does not have is a long way's bandwidth. A thread of its
// own, ended with the object.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <thread>

#include "base/clock.h"
#include "tests/bench/socket.h"

namespace kportal::bench {

class DelayLine {
 public:
  DelayLine(std::string address, std::uint16_t port, Duration round_trip);
  ~DelayLine();
  DelayLine(DelayLine const&) = delete;
  DelayLine& operator=(DelayLine const&) = delete;

  std::uint16_t port() const { return listening_.port(); }

 private:
  class Connection;
  void run();
  void turn();

  std::string const address_;
  std::uint16_t const to_;
  Duration const round_trip_;
  Listening listening_;
  int stop_[2] = {-1, -1};
  bool stopped_ = false;
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace kportal::bench
