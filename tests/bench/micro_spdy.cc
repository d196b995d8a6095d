// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>
#include <vector>

#include "net/spdy_session.h"

namespace kportal::bench {
namespace {

using net::Fin;

// io.Copy's, the largest that a runtime sends.
constexpr std::size_t kFrame = 32 * 1024;
constexpr int kFrames = 8;
// What TLS gives at once.
constexpr std::size_t kRecord = 16 * 1024;

std::vector<std::byte> data_frames(net::StreamId stream) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < kFrames; ++i) {
    std::array<std::byte, net::kFrameHeaderSize> head{};
    net::write_data_header(head, stream, Fin::no, kFrame);
    bytes.insert(bytes.end(), head.begin(), head.end());
    bytes.resize(bytes.size() + kFrame);
  }
  return bytes;
}

net::Headers headers() {
  return {{"streamtype", "data"}, {"port", "8080"}, {"requestid", "1"}};
}

void count_bytes(benchmark::State& state, std::size_t each) {
  state.SetBytesProcessed(static_cast<std::int64_t>(each) * state.iterations());
}

void parse_frames(benchmark::State& state) {
  auto const bytes = data_frames(3);
  net::FrameParser parser;
  for (auto _ : state) {
    for (Bytes left(bytes); !left.empty();) {
      Bytes record = left.first(std::min(kRecord, left.size()));
      left = left.subspan(record.size());
      while (!record.empty()) {
        std::optional<net::Frame> frame;
        benchmark::DoNotOptimize(parser.next(record, frame));
      }
    }
  }
  count_bytes(state, bytes.size());
}
BENCHMARK(parse_frames);

class NoEvents final : public net::SpdyEvents {
 public:
  void stream_opened(net::StreamId, net::Headers, Fin) override {}
  void stream_replied(net::StreamId, net::Headers) override {}
  void stream_data(net::StreamId, Bytes bytes) override { benchmark::DoNotOptimize(bytes.data()); }
  void stream_finished(net::StreamId) override {}
  void stream_reset(net::StreamId, net::RstStatus) override {}
};

void session_receives(benchmark::State& state) {
  TimePoint const now{};
  net::SpdySession session(net::SpdyRole::client, {}, now);
  auto const bytes = data_frames(*session.open_stream(headers(), Fin::no));
  NoEvents events;
  for (auto _ : state) {
    for (Bytes left(bytes); !left.empty();) {
      Bytes const record = left.first(std::min(kRecord, left.size()));
      left = left.subspan(record.size());
      benchmark::DoNotOptimize(session.receive(record, now, events));
    }
  }
  count_bytes(state, bytes.size());
}
BENCHMARK(session_receives);

void session_sends(benchmark::State& state) {
  net::SpdySession session(net::SpdyRole::client, {}, TimePoint());
  net::StreamId const stream = *session.open_stream(headers(), Fin::no);
  auto const size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    Chunk chunk(Chunk::kPayload);
    chunk.commit(size);
    benchmark::DoNotOptimize(session.send(stream, std::move(chunk), Fin::no));
    while (auto const out = session.next_chunk()) benchmark::DoNotOptimize(out->data().data());
  }
  count_bytes(state, size);
}
BENCHMARK(session_sends)->Arg(64)->Arg(Chunk::kPayload);

void encode_headers(benchmark::State& state) {
  net::HeaderEncoder encoder;
  auto const all = headers();
  std::vector<std::byte> block;
  for (auto _ : state) {
    block.clear();
    encoder.encode(all, block);
    benchmark::DoNotOptimize(block.data());
  }
}
BENCHMARK(encode_headers);

// The blocks of a peer that sends what we send.
void decode_headers(benchmark::State& state) {
  net::HeaderEncoder encoder;
  net::HeaderDecoder decoder;
  auto const all = headers();
  std::vector<std::byte> block;
  for (auto _ : state) {
    block.clear();
    encoder.encode(all, block);
    net::Headers decoded;
    benchmark::DoNotOptimize(decoder.decode(block, net::HeaderKind::request, decoded));
  }
}
BENCHMARK(decode_headers);

}  // namespace
}  // namespace kportal::bench
