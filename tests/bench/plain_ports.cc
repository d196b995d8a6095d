// SPDX-License-Identifier: MIT
#include "tests/bench/plain_ports.h"

#include <memory>
#include <thread>
#include <vector>

#include "tests/bench/place.h"

namespace kportal::bench {
namespace {

// What the runtime's copies take at once.
constexpr std::size_t kBlock = 32 * 1024;

template <class Stream>
void behave(std::uint16_t port, Stream const& stream) {
  std::vector<std::byte> block(kBlock, std::byte{'s'});
  if (port == kSourcePort) {
    while (stream.write_all(block)) {
    }
    return;
  }
  for (;;) {
    std::size_t const n = stream.read(block);
    if (n == 0) return;
    if (port == kEchoPort && !stream.write_all(Bytes(block).first(n))) return;
  }
}

// `prepare` makes a stream of an accepted socket.
template <class Prepare>
PortMap serve(Prepare prepare) {
  PortMap ports;
  for (std::uint16_t const port : {kEchoPort, kDiscardPort, kSourcePort}) {
    auto const listening = std::make_shared<Listening>();
    ports[port] = listening->port();
    std::thread([listening, port, prepare] {
      for (;;) {
        std::thread(
            [port, prepare](Socket socket) {
              try {
                behave(port, prepare(std::move(socket)));
              } catch (CannotMeasure const&) {  // that client's handshake
              }
            },
            listening->accept())
            .detach();
      }
    }).detach();
  }
  return ports;
}

}  // namespace

PortMap serve_tcp() {
  return serve([](Socket socket) { return socket; });
}

PortMap serve_tls(TlsServer const& server) {
  return serve([server](Socket socket) { return TlsSocket::accept(std::move(socket), server); });
}

}  // namespace kportal::bench
