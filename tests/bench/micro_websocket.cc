// SPDX-License-Identifier: MIT
#include <algorithm>
#include <benchmark/benchmark.h>
#include <vector>

#include "net/websocket.h"

namespace kportal::bench {
namespace {

using net::Opcode;
using net::WebSocketRole;

constexpr std::uint32_t kMask = 0x12345678;

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(state.range(0) * state.iterations());
}

void mask(benchmark::State& state) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    net::apply_mask(bytes, kMask, 1);
    benchmark::DoNotOptimize(bytes.data());
  }
  count_bytes(state);
}
BENCHMARK(mask)->Arg(72)->Arg(Chunk::kPayload);

// What masking is measured against.
void copy(benchmark::State& state) {
  std::vector<std::byte> const from(static_cast<std::size_t>(state.range(0)));
  std::vector<std::byte> to(from.size());
  for (auto _ : state) {
    std::copy(from.begin(), from.end(), to.begin());
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}
BENCHMARK(copy)->Arg(Chunk::kPayload);

void encode_client_frame(benchmark::State& state) {
  net::MaskSource masks;
  for (auto _ : state) {
    Chunk chunk(Chunk::kPayload);
    chunk.commit(static_cast<std::size_t>(state.range(0)));
    auto const frame =
        net::encode_frame(WebSocketRole::client, Opcode::binary, std::move(chunk), masks.next());
    benchmark::DoNotOptimize(frame.data().data());
  }
  count_bytes(state);
}
BENCHMARK(encode_client_frame)->Arg(72)->Arg(Chunk::kPayload);

void decode_server_frames(benchmark::State& state) {
  std::vector<std::byte> const payload(static_cast<std::size_t>(state.range(0)));
  auto frame = net::encode_frame(WebSocketRole::server, Opcode::binary, Chunk::copy_of(payload), 0);
  net::WebSocketDecoder decoder(WebSocketRole::client);
  for (auto _ : state) {
    for (MutableBytes left = frame.data(); !left.empty();) {
      auto const event = decoder.decode(left);
      left = left.subspan(event.consumed);
      benchmark::DoNotOptimize(event.payload.data());
    }
  }
  count_bytes(state);
}
BENCHMARK(decode_server_frames)->Arg(72)->Arg(32 * 1024);

}  // namespace
}  // namespace kportal::bench
