// SPDX-License-Identifier: MIT
#include "net/tcp.h"

#include <algorithm>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/descriptors.h"
#include "base/printable.h"
#include "base/wakeup.h"

namespace kportal::net {
namespace {

using asio::ip::tcp;

// The second family's first address follows the first one's, and so on (RFC 8305 section 4).
Addresses interleaved(Addresses const& addresses) {
  Addresses first;
  Addresses second;
  for (auto const& address : addresses) {
    auto& family = address.is_v6() == addresses.front().is_v6() ? first : second;
    family.push_back(address);
  }
  Addresses mixed;
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) mixed.push_back(first[i]);
    if (i < second.size()) mixed.push_back(second[i]);
  }
  mixed.resize(std::min(mixed.size(), kMaxConnectAddresses));
  return mixed;
}

void set_option(tcp::socket& socket, int name, int value) {
  // An option refused costs comfort, not the connection.
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof(value));
}

void tune(tcp::socket& socket, TcpOptions const& options) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (options.keepalive <= Duration::zero()) return;
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  auto const idle = std::chrono::ceil<std::chrono::seconds>(options.keepalive).count();
  int const seconds = static_cast<int>(std::clamp<std::int64_t>(idle, 1, 32767));
#ifdef TCP_KEEPIDLE
  set_option(socket, TCP_KEEPIDLE, seconds);
#endif
#ifdef TCP_KEEPINTVL
  set_option(socket, TCP_KEEPINTVL, std::max(1, seconds / 3));
  set_option(socket, TCP_KEEPCNT, 3);
#endif
}

// A port of the local range where nobody listens may be given to our own end: TCP then connects it
// to itself.
error_code self_connection(tcp::socket& socket) {
  error_code error;
  auto const local = socket.local_endpoint(error);
  if (error || local != socket.remote_endpoint(error)) return error;
  socket.close(error);
  return asio::error::connection_refused;
}

// The attempts of one connect(). Their handlers share it with the coroutine, which may be gone
// first.
struct Race {
  struct Attempt {
    Attempt(asio::any_io_executor const& executor, asio::ip::address a)
        : socket(executor), address(std::move(a)) {}
    tcp::socket socket;
    asio::ip::address address;
    bool pending = true;
    error_code error;
  };

  explicit Race(asio::any_io_executor e) : executor(std::move(e)), wakeup(executor) {}

  // Moves of `attempts` must not disturb pending operations.
  std::vector<std::unique_ptr<Attempt>> attempts;
  asio::any_io_executor executor;
  Wakeup wakeup;

  static void start(std::shared_ptr<Race> const& race, asio::ip::address const& address,
                    std::uint16_t port) {
    auto& attempt =
        *race->attempts.emplace_back(std::make_unique<Attempt>(race->executor, address));
    tcp::endpoint const endpoint(address, port);
    attempt.socket.open(endpoint.protocol(), attempt.error);
    if (attempt.error) {
      attempt.pending = false;
      return;
    }
    attempt.socket.async_connect(endpoint, [race, &attempt](error_code error) {
      attempt.pending = false;
      attempt.error = error ? error : self_connection(attempt.socket);
      race->wakeup.set();
    });
  }
  Attempt* winner() const {
    auto const won = [](auto const& attempt) { return !attempt->pending && !attempt->error; };
    auto const at = std::ranges::find_if(attempts, won);
    return at == attempts.end() ? nullptr : at->get();
  }
  bool pending() const {
    return std::ranges::any_of(attempts, [](auto const& attempt) { return attempt->pending; });
  }
  void close() {
    for (auto const& attempt : attempts) {
      error_code ignored;
      attempt->socket.close(ignored);
    }
  }
};

struct CloseRace {
  explicit CloseRace(Race& r) : race(r) {}
  ~CloseRace() { race.close(); }
  CloseRace(CloseRace const&) = delete;
  CloseRace& operator=(CloseRace const&) = delete;
  Race& race;
};

// Causes in the order they came, each with the addresses it goes for.
Error failure_of(Race const& race, std::string_view place) {
  std::vector<std::pair<std::string, std::string>> causes;
  bool descriptors = false;
  for (auto const& attempt : race.attempts) {
    descriptors = descriptors || lacks_descriptors(attempt->error);
    auto const message = attempt->pending ? std::string("no answer") : cause_of(attempt->error);
    auto const address = attempt->address.to_string();
    auto const at = std::ranges::find(causes, message, &std::pair<std::string, std::string>::first);
    if (at == causes.end()) {
      causes.emplace_back(message, address);
    } else {
      at->second += ", " + address;
    }
  }
  std::string text(place);
  for (char const* separator = ": "; auto const& [message, addresses] : causes) {
    text += fmt::format("{}{} ({})", separator, message, addresses);
    separator = "; ";
  }
  Errc const kind = descriptors ? Errc::local : race.pending() ? Errc::timeout : Errc::network;
  return {kind, std::move(text)};
}

awaitable<Result<tcp::socket>> race_to(Addresses addresses, std::string place, std::uint16_t port,
                                       TimePoint deadline) {
  auto const executor = co_await asio::this_coro::executor;
  auto const race = std::make_shared<Race>(executor);
  CloseRace const close(*race);
  std::size_t next = 0;
  TimePoint next_at = TimePoint::min();
  for (;;) {
    if (auto* const winner = race->winner()) co_return std::move(winner->socket);
    auto const now = Clock::now();
    if (now >= deadline) co_return failure_of(*race, place);
    if (next < addresses.size() && (now >= next_at || !race->pending())) {
      Race::start(race, addresses[next++], port);
      next_at = now + kHappyEyeballsDelay;
      continue;
    }
    if (!race->pending()) co_return failure_of(*race, place);
    TimePoint const until = next < addresses.size() ? std::min(next_at, deadline) : deadline;
    bool const told = co_await race->wakeup.wait_until(until);
    static_cast<void>(told);
  }
}

}  // namespace

std::string host_port(std::string_view host, std::uint16_t port) {
  bool const literal = host.find(':') != std::string_view::npos;
  return literal ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

awaitable<Result<tcp::socket>> connect(Resolver& resolver, std::string host, std::uint16_t port,
                                       TcpOptions options, TimePoint deadline) {
  auto const place = host_port(printable(host), port);
  auto addresses = co_await resolver.resolve(host, deadline);
  if (!addresses) co_return addresses.error();
  auto socket = co_await race_to(interleaved(*addresses), place, port, deadline);
  if (socket) tune(*socket, options);
  co_return socket;
}

TcpTransport::TcpTransport(tcp::socket socket) : socket_(std::move(socket)) {
  error_code ignored;
  socket_.non_blocking(true, ignored);
}

awaitable<IoResult> TcpTransport::read_some(MutableBytes into) {
  auto const [error, size] = co_await socket_.async_read_some(
      asio::buffer(into.data(), into.size()), asio::as_tuple(asio::use_awaitable));
  co_return IoResult(error, size);
}

awaitable<error_code> TcpTransport::write(Chunk chunk) {
  writing_ = true;
  Bytes rest = chunk.data();
  while (!rest.empty()) {
    if (!socket_.is_open()) co_return asio::error::operation_aborted;
    error_code error;
    // Mostly the kernel takes all at once; asking it first spares a turn of the loop.
    std::size_t const sent = socket_.write_some(asio::buffer(rest.data(), rest.size()), error);
    rest = rest.subspan(sent);
    if (!error) continue;
    if (error != asio::error::would_block) co_return error;
    auto const [waited] =
        co_await socket_.async_wait(tcp::socket::wait_write, asio::as_tuple(asio::use_awaitable));
    if (waited) co_return waited;
  }
  writing_ = false;
  co_return error_code();
}

std::size_t TcpTransport::write_now(Bytes bytes) noexcept {
  if (writing_ || !socket_.is_open()) return 0;
  error_code error;
  return socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
}

void TcpTransport::close() noexcept {
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace kportal::net
