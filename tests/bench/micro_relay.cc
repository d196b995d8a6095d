// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>
#include <vector>

#include "forward/relay_machine.h"
#include "net/spdy_session.h"
#include "net/websocket.h"
#include "tests/bench/micro_tls_pair.h"

namespace kportal::bench {
namespace {

using net::Fin;
using net::Opcode;
using net::WebSocketEvent;
using net::WebSocketRole;

net::Headers headers() {
  return {{"streamtype", "data"}, {"port", "8080"}, {"requestid", "1"}};
}

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(state.range(0) * state.iterations());
}

// What becomes of a client's bytes between its socket and the server's: all layers, no kernel.
void relay_step_up(benchmark::State& state) {
  TlsPair pair;
  net::SpdySession session(net::SpdyRole::client, {}, TimePoint());
  net::StreamId const stream = *session.open_stream(headers(), Fin::no);
  net::MaskSource masks;
  forward::RelayMachine machine(config::HalfClose::pass);
  for (auto _ : state) {
    Chunk chunk(Chunk::kPayload);
    chunk.commit(static_cast<std::size_t>(state.range(0)));
    machine.sent(chunk.data(), TimePoint());
    benchmark::DoNotOptimize(session.send(stream, std::move(chunk), Fin::no));
    while (auto frame = session.next_chunk()) {
      auto const message =
          net::encode_frame(WebSocketRole::client, Opcode::binary, std::move(*frame), masks.next());
      benchmark::DoNotOptimize(pair.client().encrypt(message.data()));
    }
    while (pair.client().has_output()) {
      auto const out = pair.client().take_output();
      benchmark::DoNotOptimize(out.data().data());
    }
  }
  count_bytes(state);
}
BENCHMARK(relay_step_up)->Arg(64)->Arg(Chunk::kPayload);

class Delivery final : public net::SpdyEvents {
 public:
  explicit Delivery(forward::RelayMachine& machine) : machine_(machine) {}
  void stream_opened(net::StreamId, net::Headers, Fin) override {}
  void stream_replied(net::StreamId, net::Headers) override {}
  void stream_data(net::StreamId, Bytes bytes) override {
    benchmark::DoNotOptimize(bytes.data());
    machine_.received(TimePoint());
  }
  void stream_finished(net::StreamId) override {}
  void stream_reset(net::StreamId, net::RstStatus) override {}

 private:
  forward::RelayMachine& machine_;
};

// From the server's records to what the client's socket would be given; the server's sealing of
// them is in it (see tls_write).
void relay_step_down(benchmark::State& state) {
  auto const size = static_cast<std::size_t>(state.range(0));
  TlsPair pair;
  net::SpdySession session(net::SpdyRole::client, {}, TimePoint());
  net::StreamId const stream = *session.open_stream(headers(), Fin::no);
  net::WebSocketDecoder decoder(WebSocketRole::client);
  forward::RelayMachine machine(config::HalfClose::pass);
  Delivery delivery(machine);
  std::array<std::byte, net::kFrameHeaderSize> head{};
  net::write_data_header(head, stream, Fin::no, size);
  std::vector<std::byte> frame(head.begin(), head.end());
  frame.resize(frame.size() + size);
  auto const message =
      net::encode_frame(WebSocketRole::server, Opcode::binary, Chunk::copy_of(frame), 0);
  std::vector<std::byte> clear(Chunk::kPayload);
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.server().encrypt(message.data()));
    while (pair.server().has_output()) {
      pair.client().feed(pair.server().take_output());
      for (;;) {
        auto const got = pair.client().decrypt(clear);
        if (got.size == 0) break;
        for (auto left = MutableBytes(clear).first(got.size); !left.empty();) {
          WebSocketEvent const event = decoder.decode(left);
          left = left.subspan(event.consumed);
          benchmark::DoNotOptimize(session.receive(event.payload, TimePoint(), delivery));
        }
      }
    }
  }
  count_bytes(state);
}
BENCHMARK(relay_step_down)->Arg(64)->Arg(32 * 1024);

}  // namespace
}  // namespace kportal::bench
