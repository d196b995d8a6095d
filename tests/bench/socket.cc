// SPDX-License-Identifier: MIT
#include "tests/bench/socket.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "tests/bench/place.h"

namespace kportal::bench {
namespace {

constexpr time_t kPatience = 60;  // seconds

sockaddr_in address_of(std::string const& address, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  return to;
}

sockaddr const* generic(sockaddr_in const& address) {
  return reinterpret_cast<sockaddr const*>(&address);
}

void set_up(int fd) {
  int const yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  timeval const patience{kPatience, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

}  // namespace

Socket Socket::connect(std::uint16_t port, std::string const& address) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_up(socket.fd_);
  sockaddr_in const to = address_of(address, port);
  if (::connect(socket.fd_, generic(to), sizeof to) != 0) {
    throw CannotMeasure(fmt::format("no connection to {}:{}: {}", address, port, strerror(errno)));
  }
  return socket;
}

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

std::size_t Socket::read(MutableBytes into) const {
  ssize_t const n = ::recv(fd_, into.data(), into.size(), 0);
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

bool Socket::read_all(MutableBytes into) const {
  while (!into.empty()) {
    std::size_t const n = read(into);
    if (n == 0) return false;
    into = into.subspan(n);
  }
  return true;
}

bool Socket::write_all(Bytes bytes) const {
  while (!bytes.empty()) {
    ssize_t const n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

void Socket::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Listening::Listening() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in at = address_of("127.0.0.1", 0);
  socklen_t size = sizeof at;
  if (::bind(descriptor(), generic(at), size) != 0 || ::listen(descriptor(), SOMAXCONN) != 0) {
    throw CannotMeasure(fmt::format("cannot listen: {}", strerror(errno)));
  }
  ::getsockname(descriptor(), reinterpret_cast<sockaddr*>(&at), &size);
  port_ = ntohs(at.sin_port);
}

Socket Listening::accept() const {
  int const fd = ::accept4(descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) throw CannotMeasure(fmt::format("cannot accept: {}", strerror(errno)));
  set_up(fd);
  return Socket(fd);
}

void set_non_blocking(int descriptor) {
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

}  // namespace kportal::bench
