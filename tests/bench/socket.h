// SPDX-License-Identifier: MIT
// Socket and Listening: blocking TCP for the bench's own ends (load, relay, plain servers), as
// little as can be between what is measured and the kernel. Without Nagle. A call that waits longer
// than kPatience fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace kportal::bench {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : fd_(descriptor) {}
  // Throws CannotMeasure if nobody accepts.
  static Socket connect(std::uint16_t port, std::string const& address = "127.0.0.1");
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;

  int descriptor() const { return fd_; }
  // Bytes read; 0 at the end, also after an error.
  std::size_t read(MutableBytes into) const;
  // Reads until `into` is full. False if the stream ends before.
  bool read_all(MutableBytes into) const;
  bool write_all(Bytes bytes) const;
  void close();

 private:
  int fd_ = -1;
};

// A free port of 127.0.0.1.
class Listening {
 public:
  Listening();
  std::uint16_t port() const { return port_; }
  int descriptor() const { return socket_.descriptor(); }
  // The next connection. Throws CannotMeasure if there cannot be one.
  Socket accept() const;

 private:
  Socket socket_;
  std::uint16_t port_ = 0;
};

void set_non_blocking(int descriptor);

}  // namespace kportal::bench
