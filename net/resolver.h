// SPDX-License-Identifier: MIT
// Resolver: host names to addresses, each getaddrinfo on a detached thread of its own, so that a
// dead name server blocks neither the loop, nor other names, nor the exit. Not a cache. One per
// loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>

#include "base/clock.h"
#include "base/error.h"

namespace kportal {
namespace asio = boost::asio;
using asio::awaitable;
}  // namespace kportal

namespace kportal::net {

using Addresses = std::vector<asio::ip::address>;

class Resolver {
 public:
  // Lookups running at once; further names wait for a free thread until their deadline. A dead name
  // holds one for tens of seconds, so there are more than the clusters that anybody has.
  static constexpr std::size_t kMaxThreads = 32;
  // Equal names share a lookup. One that is older than this gets another beside it, for its
  // question may have been lost with a network that is back now; extra ones are started only while
  // few lookups run.
  static constexpr Duration kFresh = std::chrono::seconds(2);
  static constexpr std::size_t kFewThreads = 4;

  // Blocks, on a thread of its own; must not throw. May still run when the Resolver is gone, so it
  // owns what it uses.
  using Lookup = std::function<Result<Addresses>(std::string const& host)>;

  // The executor's loop must outlive the Resolver. The second form is for tests.
  explicit Resolver(asio::any_io_executor executor);
  Resolver(asio::any_io_executor executor, Lookup lookup, Duration fresh = kFresh);
  // Lookups still running are forgotten. Nobody may be waiting in resolve().
  ~Resolver();
  Resolver(Resolver const&) = delete;
  Resolver& operator=(Resolver const&) = delete;

  // All addresses of `host`, at least one, in the order of the system (RFC 6724), without
  // duplicates. IP literals and "localhost" (127.0.0.1, ::1) need no thread. Fails with
  // Errc::network, Errc::timeout at the deadline, Errc::local when no thread can be had; the text
  // begins with the host.
  awaitable<Result<Addresses>> resolve(std::string host, TimePoint deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the threads
};

}  // namespace kportal::net
