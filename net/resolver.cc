// SPDX-License-Identifier: MIT
#include "net/resolver.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <sys/socket.h>
#include <system_error>
#include <thread>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "base/printable.h"
#include "base/wakeup.h"

namespace kportal::net {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

std::string reason_of(int code) {
  return code == EAI_SYSTEM ? std::generic_category().message(errno) : ::gai_strerror(code);
}

Result<Addresses> system_lookup(std::string const& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (int const code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
    return Error(Errc::network, fmt::format("name does not resolve: {}", reason_of(code)));
  }
  std::unique_ptr<addrinfo, FreeAddresses> const list(found);
  Addresses addresses;
  for (addrinfo const* at = list.get(); at != nullptr; at = at->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (at->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), at->ai_addr, at->ai_addrlen);
    addresses.push_back(endpoint.address());
  }
  return addresses;
}

std::optional<Addresses> without_lookup(std::string host) {
  error_code error;
  auto const literal = asio::ip::make_address(host, error);
  if (!error) return Addresses(1, literal);
  std::ranges::transform(host, host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  if (host != "localhost" && host != "localhost.") return std::nullopt;
  Addresses both(1, asio::ip::address_v4::loopback());
  both.emplace_back(asio::ip::address_v6::loopback());
  return both;
}

Addresses without_duplicates(Addresses const& addresses) {
  Addresses kept;
  for (auto const& address : addresses) {
    if (std::ranges::find(kept, address) == kept.end()) kept.push_back(address);
  }
  return kept;
}

}  // namespace

struct Resolver::State {
  // One resolve() that waits.
  struct Waiter {
    explicit Waiter(asio::any_io_executor const& executor) : wakeup(executor) {}
    Wakeup wakeup;
    std::optional<Result<Addresses>> answer;
  };
  struct Name {
    explicit Name(std::string h) : host(std::move(h)) {}
    std::string host;
    std::size_t running = 0;
    std::uint64_t newest = 0;  // the lookup that was started last, and when
    TimePoint newest_at{};
    std::list<Waiter*> waiters;
  };
  // The way from a thread to the loop, shut by the Resolver's destructor.
  struct Gate {
    std::mutex mutex;
    std::optional<asio::any_io_executor> executor;
  };

  State(asio::any_io_executor e, Lookup l, Duration f)
      : executor(e), lookup(std::move(l)), fresh(f) {
    gate->executor = std::move(e);
  }
  Name& name_of(std::string const& host);
  void forget(std::string const& host, Waiter* waiter);
  void start_due(std::shared_ptr<State> const& self);
  void start(Name& name, std::weak_ptr<State> self);
  void finish(std::string const& host, std::uint64_t id, Result<Addresses> const& answer);

  asio::any_io_executor executor;
  Lookup lookup;
  Duration fresh;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::list<Name> names;  // the one that came first gets a thread first
  std::size_t running = 0;
  std::uint64_t last_id = 0;
};

Resolver::State::Name& Resolver::State::name_of(std::string const& host) {
  auto const at = std::ranges::find(names, host, &Name::host);
  return at != names.end() ? *at : names.emplace_back(host);
}

void Resolver::State::forget(std::string const& host, Waiter* waiter) {
  auto const at = std::ranges::find(names, host, &Name::host);
  if (at == names.end()) return;
  at->waiters.remove(waiter);
  if (at->waiters.empty() && at->running == 0) names.erase(at);
}

void Resolver::State::start_due(std::shared_ptr<State> const& self) {
  auto const now = Clock::now();
  for (Name& name : names) {
    if (name.waiters.empty()) continue;
    bool const first = name.running == 0 && running < kMaxThreads;
    bool const extra = name.running > 0 && running < kFewThreads && now - name.newest_at >= fresh;
    if (first || extra) start(name, self);
  }
}

void Resolver::State::start(Name& name, std::weak_ptr<State> self) {
  auto const id = ++last_id;
  name.newest = id;
  name.newest_at = Clock::now();
  auto work = [way = gate, self = std::move(self), look_up = lookup, host = name.host, id] {
    auto answer = look_up(host);
    std::lock_guard const lock(way->mutex);
    if (!way->executor) return;
    asio::post(*way->executor, [self, host, id, answer = std::move(answer)] {
      if (auto const state = self.lock()) {
        state->finish(host, id, answer);
        state->start_due(state);
      }
    });
  };
  try {
    std::thread(std::move(work)).detach();
    ++name.running;
    ++running;
  } catch (std::system_error const& error) {
    Error const failure(Errc::local, fmt::format("no thread to resolve it: {}", error.what()));
    for (Waiter* waiter : name.waiters) {
      waiter->answer.emplace(failure);
      waiter->wakeup.set();
    }
  }
}

// A success answers all who wait for the name. A failure does if no later lookup may do better.
void Resolver::State::finish(std::string const& host, std::uint64_t id,
                             Result<Addresses> const& answer) {
  Name& name = name_of(host);
  assert(name.running > 0);
  --name.running;
  --running;
  bool const useful = answer && !answer->empty();
  if (useful || id == name.newest || name.running == 0) {
    for (Waiter* waiter : name.waiters) {
      waiter->answer.emplace(answer);
      waiter->wakeup.set();
    }
    name.waiters.clear();
  }
  if (name.waiters.empty() && name.running == 0)
    names.remove_if([&](Name& n) { return &n == &name; });
}

Resolver::Resolver(asio::any_io_executor executor)
    : Resolver(std::move(executor), &system_lookup) {}

Resolver::Resolver(asio::any_io_executor executor, Lookup lookup, Duration fresh)
    : state_(std::make_shared<State>(std::move(executor), std::move(lookup), fresh)) {}

Resolver::~Resolver() {
  std::lock_guard const lock(state_->gate->mutex);
  state_->gate->executor.reset();
}

awaitable<Result<Addresses>> Resolver::resolve(std::string host, TimePoint deadline) {
  if (auto known = without_lookup(host)) co_return *std::move(known);
  // RFC 1035: at most 253 characters.
  if (host.empty() || host.size() > 253 || host.find('\0') != std::string::npos) {
    co_return Error(Errc::network,
                    fmt::format("{}: not a host name", printable(host.substr(0, 80))));
  }
  struct Registered {
    Registered(State& s, std::string const& h) : state(s), host(h), waiter(s.executor) {
      state.name_of(host).waiters.push_back(&waiter);
    }
    ~Registered() { state.forget(host, &waiter); }
    Registered(Registered const&) = delete;
    Registered& operator=(Registered const&) = delete;
    State& state;
    std::string const& host;
    State::Waiter waiter;
  };
  Registered registered(*state_, host);
  state_->start_due(state_);
  while (!registered.waiter.answer && Clock::now() < deadline) {
    bool const told = co_await registered.waiter.wakeup.wait_until(deadline);
    static_cast<void>(told);
  }
  if (!registered.waiter.answer) {
    co_return Error(Errc::timeout,
                    fmt::format("{}: the name server does not answer", printable(host)));
  }
  auto const& answer = *registered.waiter.answer;
  if (!answer) co_return answer.error().within(printable(host));
  if (answer->empty()) {
    co_return Error(Errc::network, fmt::format("{}: the name has no address", printable(host)));
  }
  co_return without_duplicates(*answer);
}

}  // namespace kportal::net
