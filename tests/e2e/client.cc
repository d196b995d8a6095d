// SPDX-License-Identifier: MIT
#include "tests/e2e/client.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace kportal::test {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
  sockaddr const* get() const { return reinterpret_cast<sockaddr const*>(&storage); }
};

Address address_of(char const* text, std::uint16_t port) {
  Address address;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  }
  return address;
}

int milliseconds_until(TimePoint deadline) {
  auto const left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 1'000'000));
}

// The decimal number behind `name`, 0 if there is none.
std::size_t number_after(std::string_view text, std::string_view name) {
  std::size_t const at = text.find(name);
  if (at == std::string_view::npos) return 0;
  std::size_t value = 0;
  std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::string_view to_word(End end) {
  switch (end) {
    case End::open:
      return "open";
    case End::eof:
      return "eof";
    case End::reset:
      return "reset";
    case End::refused:
      return "refused";
    case End::timeout:
      return "timeout";
    case End::other:
      return "other";
  }
  return "";
}

Client::Client(std::uint16_t port, char const* address) {
  connect(port, address);
}

void Client::connect(std::uint16_t port, char const* address) {
  Address const to = address_of(address, port);
  fd_ = ::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return failed(errno);
  int const on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, to.get(), to.size) == 0) return;
  if (errno != EINPROGRESS) return failed(errno);
  if (!wait(POLLOUT, Clock::now() + kPatience)) return failed(ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) failed(error);
}

Client Client::adopt(int descriptor) {
  Client client;
  client.fd_ = descriptor;
  ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
  return client;
}

Client::~Client() {
  close();
}

Client::Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), end_(other.end_) {}

bool Client::wait(short events, TimePoint deadline) {
  for (;;) {
    pollfd waiting{fd_, events, 0};
    int const ready = ::poll(&waiting, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 && Clock::now() >= deadline) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

void Client::failed(int error) {
  switch (error) {
    case ECONNREFUSED:
      end_ = End::refused;
      break;
    case ECONNRESET:
    case EPIPE:
      end_ = End::reset;
      break;
    case ETIMEDOUT:
      end_ = End::timeout;
      break;
    default:
      end_ = End::other;
  }
  close();
}

bool Client::send(std::string_view text, Duration within) {
  TimePoint const deadline = Clock::now() + within;
  while (!text.empty()) {
    if (fd_ < 0) return false;
    ssize_t const n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      if (wait(POLLOUT, deadline)) continue;
      end_ = End::timeout;
      return false;
    } else if (errno != EINTR) {
      failed(errno);
      return false;
    }
  }
  return true;
}

std::size_t Client::read_some(char* into, std::size_t size, TimePoint deadline) {
  while (fd_ >= 0) {
    ssize_t const n = ::recv(fd_, into, size, 0);
    if (n > 0) return static_cast<std::size_t>(n);
    if (n == 0) {
      end_ = End::eof;
      return 0;
    }
    if (errno == EAGAIN) {
      if (wait(POLLIN, deadline)) continue;
      end_ = End::timeout;
      return 0;
    }
    if (errno != EINTR) failed(errno);
  }
  return 0;
}

std::size_t Client::send_now(std::string_view text) {
  ssize_t const n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
  if (n > 0) return static_cast<std::size_t>(n);
  if (n < 0 && errno != EAGAIN) failed(errno);
  return 0;
}

std::size_t Client::read_now(char* into, std::size_t size) {
  ssize_t const n = ::recv(fd_, into, size, 0);
  if (n > 0) return static_cast<std::size_t>(n);
  if (n == 0) end_ = End::eof;
  if (n < 0 && errno != EAGAIN) failed(errno);
  return 0;
}

std::string Client::read(std::size_t n, Duration within) {
  TimePoint const deadline = Clock::now() + within;
  std::string text(n, '\0');
  std::size_t have = 0;
  while (have < n) {
    std::size_t const got = read_some(text.data() + have, n - have, deadline);
    if (got == 0) break;
    have += got;
  }
  text.resize(have);
  return text;
}

std::string Client::read_to_end(Duration within) {
  TimePoint const deadline = Clock::now() + within;
  std::string text;
  std::vector<char> buffer(256 * 1024);
  while (std::size_t const got = read_some(buffer.data(), buffer.size(), deadline)) {
    text.append(buffer.data(), got);
  }
  return text;
}

std::uint64_t Client::skip(std::uint64_t n, Duration within) {
  TimePoint const deadline = Clock::now() + within;
  std::vector<char> buffer(256 * 1024);
  std::uint64_t have = 0;
  while (have < n) {
    auto const want = std::min<std::uint64_t>(buffer.size(), n - have);
    std::size_t const got = read_some(buffer.data(), static_cast<std::size_t>(want), deadline);
    if (got == 0) break;
    have += got;
  }
  return have;
}

bool Client::wait_readable(Duration within) {
  return fd_ >= 0 && wait(POLLIN, Clock::now() + within);
}

void Client::shutdown_send() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
}

void Client::reset() {
  linger const at_once{1, 0};
  if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

HttpAnswer http_get(std::uint16_t port, std::string_view path, char const* address,
                    Duration within) {
  TimePoint const begin = Clock::now();
  HttpAnswer answer;
  Client client(port, address);
  client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: pod\r\n\r\n");
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    std::string const byte = client.read(1, within);
    if (byte.empty()) break;
    head += byte;
  }
  std::size_t const length = number_after(head, "\r\nContent-Length: ");
  answer.body = client.read(length, within);
  answer.end = client.end();
  answer.took = Clock::now() - begin;
  if (answer.end == End::open) answer.status = static_cast<int>(number_after(head, "HTTP/1.1 "));
  return answer;
}

std::optional<HttpAnswer> parse_answer(std::string_view received) {
  constexpr std::string_view kHeadEnd = "\r\n\r\n";
  std::size_t const head = received.find(kHeadEnd);
  if (head == std::string_view::npos) return std::nullopt;
  std::string_view const body = received.substr(head + kHeadEnd.size());
  std::size_t const length = number_after(received.substr(0, head), "\r\nContent-Length: ");
  if (body.size() < length) return std::nullopt;
  HttpAnswer answer;
  answer.status = static_cast<int>(number_after(received, "HTTP/1.1 "));
  answer.body = body.substr(0, length);
  return answer;
}

BusyPort::BusyPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  Address any = address_of("127.0.0.1", 0);
  auto* const raw = reinterpret_cast<sockaddr*>(&any.storage);
  EXPECT_EQ(::bind(fd_, any.get(), any.size), 0);
  EXPECT_EQ(::listen(fd_, 16), 0);
  EXPECT_EQ(::getsockname(fd_, raw, &any.size), 0);
  port_ = ntohs(reinterpret_cast<sockaddr_in*>(&any.storage)->sin_port);
}

void BusyPort::free() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::uint16_t free_port() {
  for (;;) {
    int const v6 = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int const v4 = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Address any = address_of("127.0.0.1", 0);
    socklen_t size = any.size;
    auto* const raw = reinterpret_cast<sockaddr*>(&any.storage);
    bool good = ::bind(v4, any.get(), any.size) == 0 && ::getsockname(v4, raw, &size) == 0;
    std::uint16_t const port = ntohs(reinterpret_cast<sockaddr_in*>(&any.storage)->sin_port);
    Address const same = address_of("::1", port);
    // A machine without IPv6 has nothing that could hold the port there.
    if (v6 >= 0 && ::bind(v6, same.get(), same.size) != 0 && errno == EADDRINUSE) good = false;
    ::close(v4);
    if (v6 >= 0) ::close(v6);
    if (good) return port;
  }
}

}  // namespace kportal::test
