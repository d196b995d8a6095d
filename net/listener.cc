// SPDX-License-Identifier: MIT
#include "net/listener.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <poll.h>
#include <unistd.h>

#include <boost/asio/ip/v6_only.hpp>
#include <fmt/format.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/printable.h"
#include "base/wakeup.h"
#include "net/tcp.h"

namespace kportal::net {
namespace {

using asio::ip::tcp;
namespace errc = boost::system::errc;

constexpr int kBacklog = 1024;
// Free ports tried until one is free on all addresses.
constexpr int kMaxPortTries = 16;
constexpr Duration kShortageWait = std::chrono::milliseconds(50);
constexpr Duration kMaxShortageWait = std::chrono::seconds(1);

using Acceptors = std::vector<tcp::acceptor>;

std::string place_of(tcp::endpoint const& endpoint) {
  return host_port(endpoint.address().to_string(), endpoint.port());
}

Result<std::vector<asio::ip::address>> parse(std::span<std::string const> texts) {
  std::vector<asio::ip::address> addresses;
  for (std::string const& text : texts) {
    if (text == "localhost") {
      addresses.emplace_back(asio::ip::address_v4::loopback());
      addresses.emplace_back(asio::ip::address_v6::loopback());
      continue;
    }
    error_code error;
    auto const address = asio::ip::make_address(text, error);
    if (error) {
      return Error(Errc::local,
                   fmt::format("{}: not an IP address (or localhost)", printable(text)));
    }
    addresses.push_back(address);
  }
  std::ranges::sort(addresses);
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  if (addresses.empty()) return Error(Errc::local, "no address to listen on");
  return addresses;
}

bool is_missing_family(error_code error, asio::ip::address const& address) {
  if (error == errc::address_family_not_supported || error == errc::protocol_not_supported) {
    return true;
  }
  // IPv6 switched off at run time leaves the family, but takes ::1 away.
  return error == errc::address_not_available && address.is_loopback();
}

Error bind_error(error_code error, tcp::endpoint const& endpoint) {
  std::string cause = cause_of(error);
  if (error == errc::address_in_use) return {Errc::port_in_use, place_of(endpoint) + ": " + cause};
  if (error == errc::permission_denied && endpoint.port() < 1024) {
    cause = "permission denied (a port below 1024 needs a privilege)";
  } else if (error == errc::address_not_available) {
    cause = "not an address of this machine now (is the interface or the VPN up?)";
  }
  return {Errc::local, place_of(endpoint) + ": " + cause};
}

error_code listen_on(tcp::acceptor& acceptor, tcp::endpoint const& endpoint) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (error) return error;
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  acceptor.bind(endpoint, error);
  if (error) return error;
  acceptor.listen(kBacklog, error);
  if (error) return error;
  // Without this Asio waits for the next connection, blocking, when one is gone before it was
  // accepted.
  acceptor.set_option(asio::socket_base::enable_connection_aborted(true), error);
  acceptor.non_blocking(true, error);
  return error;
}

// With port 0 the first address chooses the port of the others.
Result<Acceptors> listen_on_all(asio::any_io_executor const& executor,
                                std::vector<asio::ip::address> const& addresses,
                                std::uint16_t port) {
  Acceptors acceptors;
  std::optional<Error> missing;
  for (auto const& address : addresses) {
    tcp::endpoint const endpoint(address, port);
    tcp::acceptor acceptor(executor);
    error_code const error = listen_on(acceptor, endpoint);
    if (error && !is_missing_family(error, address)) return bind_error(error, endpoint);
    if (error) {
      missing = bind_error(error, endpoint);
      continue;
    }
    error_code ignored;
    if (port == 0) port = acceptor.local_endpoint(ignored).port();
    acceptors.push_back(std::move(acceptor));
  }
  if (acceptors.empty()) return *std::move(missing);
  return acceptors;
}

// Errors of the socket itself. All others pass: a shortage on this machine, or the network of the
// one connection was gone when it came (accept(2) lists them).
bool is_broken(error_code error) {
  return error == errc::bad_file_descriptor || error == errc::invalid_argument ||
         error == errc::not_a_socket || error == errc::operation_not_supported;
}

bool is_shortage(error_code error) {
  return lacks_descriptors(error) || error == errc::no_buffer_space ||
         error == errc::not_enough_memory;
}

}  // namespace

struct Listener::State {
  struct Door {
    explicit Door(tcp::acceptor a) : acceptor(std::move(a)) {}
    tcp::acceptor acceptor;
    bool armed = false;  // a readiness handler is pending
  };

  explicit State(asio::any_io_executor const& executor) : wakeup(executor) {}

  static void arm(std::shared_ptr<State> const& state);
  // A connection, or the error to act on; would_block when there is none at any door.
  error_code try_accept(std::optional<tcp::socket>& socket);
  Error accept_error(Errc kind, error_code error) const;

  std::vector<Door> doors;  // of fixed size once listening
  std::size_t turn = 0;     // the door to ask first
  std::vector<tcp::endpoint> endpoints;
  Wakeup wakeup;
  Duration shortage_wait{};  // zero while there is no shortage
  bool closed = false;
};

void Listener::State::arm(std::shared_ptr<State> const& state) {
  for (std::size_t i = 0; i < state->doors.size(); ++i) {
    Door& door = state->doors[i];
    if (door.armed) continue;
    door.armed = true;
    door.acceptor.async_wait(tcp::acceptor::wait_read, [state, i](error_code) {
      state->doors[i].armed = false;
      state->wakeup.set();
    });
  }
}

error_code Listener::State::try_accept(std::optional<tcp::socket>& socket) {
  error_code result = asio::error::would_block;
  for (std::size_t i = 0; i < doors.size(); ++i) {
    Door& door = doors[turn++ % doors.size()];
    int const native = door.acceptor.native_handle();
    pollfd waiting{native, POLLIN, 0};
    if (::poll(&waiting, 1, 0) == 0) continue;
    if (!may_take_descriptor(native)) {
      result = errc::make_error_code(errc::too_many_files_open);
      continue;
    }
    error_code error;
    auto accepted = door.acceptor.accept(error);
    if (!error) {
      socket.emplace(std::move(accepted));
      return {};
    }
    if (error != asio::error::would_block) result = error;
  }
  return result;
}

Error Listener::State::accept_error(Errc kind, error_code error) const {
  return {kind, fmt::format("{}: accept: {}", place_of(endpoints.front()), cause_of(error))};
}

Result<std::unique_ptr<Listener>> Listener::open(asio::any_io_executor executor,
                                                 std::span<std::string const> texts,
                                                 std::uint16_t port) {
  auto const addresses = parse(texts);
  if (!addresses) return addresses.error();
  auto acceptors = listen_on_all(executor, *addresses, port);
  for (int tries = 1; port == 0 && tries < kMaxPortTries; ++tries) {
    if (acceptors || acceptors.error().code != Errc::port_in_use) break;
    acceptors = listen_on_all(executor, *addresses, port);
  }
  if (!acceptors) return acceptors.error();
  auto state = std::make_shared<State>(executor);
  for (tcp::acceptor& acceptor : *acceptors) {
    error_code ignored;
    state->endpoints.push_back(acceptor.local_endpoint(ignored));
    state->doors.emplace_back(std::move(acceptor));
  }
  return std::unique_ptr<Listener>(new Listener(std::move(state)));
}

Listener::Listener(std::shared_ptr<State> state) : state_(std::move(state)) {}

Listener::~Listener() {
  close();
}

std::uint16_t Listener::port() const {
  return state_->endpoints.front().port();
}

std::vector<tcp::endpoint> const& Listener::endpoints() const {
  return state_->endpoints;
}

awaitable<Result<tcp::socket>> Listener::accept() {
  auto const state = state_;
  while (!state->closed) {
    std::optional<tcp::socket> socket;
    error_code const error = state->try_accept(socket);
    if (socket) {
      state->shortage_wait = {};
      error_code ignored;
      socket->set_option(tcp::no_delay(true), ignored);
      co_return *std::move(socket);
    }
    if (error == errc::connection_aborted) continue;
    if (is_broken(error)) co_return state->accept_error(Errc::local, error);
    TimePoint until = kNever;
    if (error == asio::error::would_block) {
      State::arm(state);
    } else if (is_shortage(error) && state->shortage_wait == Duration::zero()) {
      state->shortage_wait = kShortageWait;
      co_return state->accept_error(Errc::limit, error);
    } else {
      state->shortage_wait = std::clamp(state->shortage_wait, kShortageWait, kMaxShortageWait);
      until = Clock::now() + state->shortage_wait;
      state->shortage_wait *= 2;
    }
    bool const told = co_await state->wakeup.wait_until(until);
    static_cast<void>(told);
  }
  co_return Error(Errc::closed, "the listener was closed");
}

void Listener::close() {
  if (state_->closed) return;
  state_->closed = true;
  for (State::Door& door : state_->doors) {
    error_code ignored;
    door.acceptor.close(ignored);
  }
  state_->wakeup.set();
}

}  // namespace kportal::net
