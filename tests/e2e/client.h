// SPDX-License-Identifier: MIT
// Client: a user's TCP connection to a local port, blocking with deadlines, so that a test reads
// like what a user does. It remembers how the connection ended. http_get is one request on one
// connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace kportal::test {

// Far beyond what anything here takes: only a hang gets there.
inline constexpr Duration kPatience = std::chrono::seconds(30);

enum class End {
  open,  // not ended: what was asked for has come
  eof,   // orderly
  reset,
  refused,  // nothing listens
  timeout,  // the deadline of a call
  other
};
std::string_view to_word(End end);

class Client {
 public:
  explicit Client(std::uint16_t port, char const* address = "127.0.0.1");
  // Of an accepted connection.
  static Client adopt(int descriptor);
  ~Client();
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;

  bool connected() const { return fd_ >= 0; }
  // How it ended, as far as calls have noticed.
  End end() const { return end_; }

  // All of it, or false.
  bool send(std::string_view text, Duration within = kPatience);
  // Up to `n` bytes: fewer only if the connection ended or time was up.
  std::string read(std::size_t n, Duration within = kPatience);
  std::string read_to_end(Duration within = kPatience);
  // Reads and counts `n` bytes without keeping them; the number that came.
  std::uint64_t skip(std::uint64_t n, Duration within = kPatience);
  // What the kernel takes or has at once, 0 if nothing or if it ended; for tests that poll many.
  std::size_t send_now(std::string_view text);
  std::size_t read_now(char* into, std::size_t size);
  int descriptor() const { return fd_; }
  // Waits until there is something to read or the end. False at the deadline.
  bool wait_readable(Duration within);
  void shutdown_send();
  // Ends it by a reset.
  void reset();
  void close();

 private:
  Client() = default;
  void connect(std::uint16_t port, char const* address);
  bool wait(short events, TimePoint deadline);
  std::size_t read_some(char* into, std::size_t size, TimePoint deadline);
  void failed(int error);

  int fd_ = -1;
  End end_ = End::open;
};

struct HttpAnswer {
  int status = 0;  // 0: no whole answer came
  std::string body;
  End end = End::open;  // how the connection ended before the answer was whole
  Duration took{};
};
HttpAnswer http_get(std::uint16_t port, std::string_view path = "/",
                    char const* address = "127.0.0.1", Duration within = kPatience);

// The answer that `received` begins with, once it is whole: status and body.
std::optional<HttpAnswer> parse_answer(std::string_view received);

// A port that nothing listens on just now, on either loopback address.
std::uint16_t free_port();

// A port of 127.0.0.1 that listens and never accepts.
class BusyPort {
 public:
  BusyPort();
  ~BusyPort() { free(); }
  BusyPort(BusyPort const&) = delete;
  BusyPort& operator=(BusyPort const&) = delete;
  std::uint16_t port() const { return port_; }
  void free();

 private:
  int fd_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace kportal::test
