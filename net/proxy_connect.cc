// SPDX-License-Identifier: MIT
#include "net/proxy_connect.h"

#include <memory>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "net/close_timer.h"
#include "net/proxy_handshake.h"

namespace kportal::net {
namespace {

constexpr std::size_t kReadSize = 4 * 1024;

Error broken(CloseTimer const& timer, error_code error) {
  if (timer.expired()) return {Errc::timeout, "no answer of the proxy in time"};
  if (error == asio::error::eof) {
    return {Errc::network, "the proxy ended the connection instead of answering"};
  }
  return io_error(error, "asking the proxy");
}

}  // namespace

awaitable<Result<void>> ask_proxy(Transport& to_proxy, Proxy proxy, std::string host,
                                  std::uint16_t port, TimePoint deadline) {
  auto begun = ProxyHandshake::begin(proxy, host, port);
  if (begun.has_error()) co_return begun.error();
  ProxyHandshake& handshake = **begun;
  auto const executor = co_await asio::this_coro::executor;
  CloseTimer const timer(executor, to_proxy, deadline);
  Chunk room(kReadSize);
  for (;;) {
    std::string const output = handshake.take_output();
    if (!output.empty()) {
      Chunk question = Chunk::copy_of(as_bytes(output));
      error_code const error = co_await to_proxy.write(std::move(question));
      if (error) co_return broken(timer, error);
    }
    if (handshake.complete()) co_return Result<void>();
    IoResult const got = co_await to_proxy.read_some(room.room());
    if (got.error) co_return broken(timer, got.error);
    auto const used = handshake.feed(room.room().first(got.size));
    if (used.has_error()) co_return used.error();
    if (*used != got.size) {
      co_return Error(Errc::network,
                      fmt::format("the proxy sent {} bytes behind its answer, before the "
                                  "server was asked anything: is it a proxy?",
                                  got.size - *used));
    }
  }
}

}  // namespace kportal::net
