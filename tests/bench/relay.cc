// SPDX-License-Identifier: MIT
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <vector>

#include <openssl/ssl.h>

#include "tests/bench/peer.h"
#include "tests/bench/tls_socket.h"

namespace kportal::bench {
namespace {

constexpr std::size_t kBuffer = 32 * 1024;
// Steps of one direction before the other one is looked at.
constexpr int kSteps = 16;

enum class Step { moved, blocked, ended };

Step after_tls(SSL* ssl, int result) {
  int const error = SSL_get_error(ssl, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Step::blocked
                                                                       : Step::ended;
}

Step after_tcp(ssize_t result) {
  return result < 0 && errno == EAGAIN ? Step::blocked : Step::ended;
}

class Relay {
 public:
  Relay(Socket local, TlsSocket remote) : local_(std::move(local)), remote_(std::move(remote)) {
    set_non_blocking(local_.descriptor());
    set_non_blocking(remote_.descriptor());
  }

  void run() {
    for (;;) {
      Step const down = several(&Relay::move_down);
      Step const up = several(&Relay::move_up);
      if (down == Step::ended || up == Step::ended) return;
      if (down == Step::blocked && up == Step::blocked) wait();
    }
  }

 private:
  struct Buffer {
    std::vector<std::byte> bytes = std::vector<std::byte>(kBuffer);
    std::size_t begin = 0;
    std::size_t end = 0;
    bool empty() const { return begin == end; }
    std::size_t size() const { return end - begin; }
    void took(std::size_t n) {
      begin += n;
      if (empty()) begin = end = 0;
    }
  };

  Step several(Step (Relay::*move)()) {
    for (int i = 0; i < kSteps; ++i) {
      Step const step = (this->*move)();
      if (step != Step::moved) return step;
    }
    return Step::moved;
  }

  Step move_down() {
    if (down_.empty()) {
      std::size_t n = 0;
      int const result = SSL_read_ex(remote_.native(), down_.bytes.data(), kBuffer, &n);
      if (result != 1) return after_tls(remote_.native(), result);
      down_.end = n;
    }
    ssize_t const n =
        ::send(local_.descriptor(), down_.bytes.data() + down_.begin, down_.size(), MSG_NOSIGNAL);
    if (n <= 0) return after_tcp(n);
    down_.took(static_cast<std::size_t>(n));
    return Step::moved;
  }

  Step move_up() {
    if (up_.empty()) {
      ssize_t const n = ::recv(local_.descriptor(), up_.bytes.data(), kBuffer, 0);
      if (n <= 0) return after_tcp(n);
      up_.end = static_cast<std::size_t>(n);
    }
    std::size_t n = 0;
    int const result = SSL_write_ex(remote_.native(), up_.bytes.data() + up_.begin, up_.size(), &n);
    if (result != 1) return after_tls(remote_.native(), result);
    up_.took(n);
    return Step::moved;
  }

  // What a direction holds it could not write.
  void wait() const {
    auto const events = [](Buffer const& to_read, Buffer const& to_write) {
      return static_cast<short>((to_read.empty() ? POLLIN : 0) | (to_write.empty() ? 0 : POLLOUT));
    };
    pollfd waiting[2] = {{local_.descriptor(), events(up_, down_), 0},
                         {remote_.descriptor(), events(down_, up_), 0}};
    ::poll(waiting, 2, -1);
  }

  Socket local_;
  TlsSocket remote_;
  Buffer down_;
  Buffer up_;
};

}  // namespace

void relay(Socket local, std::uint16_t tls_port) {
  Relay(std::move(local), TlsSocket::connect(Socket::connect(tls_port))).run();
}

}  // namespace kportal::bench
