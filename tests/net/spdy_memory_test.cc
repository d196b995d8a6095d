// SPDX-License-Identifier: MIT
// No memory, at each place where a SPDY session asks for some: it says so by std::bad_alloc, breaks
// no invariant of its own and leaves nothing behind.
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "net/spdy_session.h"

namespace {

// Allocations until one fails; negative = none does.
long left = -1;
long live = 0;

void* allocate(std::size_t size) {
  if (left == 0) throw std::bad_alloc();
  if (left > 0) --left;
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  ++live;
  return memory;
}
void release(void* memory) {
  if (memory == nullptr) return;
  --live;
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete[](void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  release(memory);
}

namespace kportal::net {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kNow{1h};

class Silent : public SpdyEvents {
 public:
  std::size_t bytes = 0;
  StreamId opened = 0;
  void stream_opened(StreamId stream, Headers, Fin) override { opened = stream; }
  void stream_replied(StreamId, Headers) override {}
  void stream_data(StreamId, Bytes data) override { bytes += data.size(); }
  void stream_finished(StreamId) override {}
  void stream_reset(StreamId, RstStatus) override {}
};

void carry(SpdySession& from, SpdySession& to, SpdyEvents& events) {
  while (auto const chunk = from.next_chunk()) {
    ASSERT_FALSE(to.receive(chunk->data(), kNow, events));
  }
}

// Two streams, both ways, a ping, a reset and the end.
void converse() {
  SpdySession client(SpdyRole::client, SpdyKeepalive(), kNow);
  SpdySession server(SpdyRole::server, SpdyKeepalive(), kNow);
  Silent at_client;
  Silent at_server;
  for (int i = 0; i < 2; ++i) {
    auto const id = client.open_stream({{"streamtype", "data"}, {"port", "80"}}, Fin::no);
    ASSERT_TRUE(id);
    carry(client, server, at_server);
    ASSERT_FALSE(server.reply(at_server.opened, {}));
    std::string const text(3000, 'x');
    ASSERT_FALSE(client.send(*id, Chunk::copy_of(std::as_bytes(std::span(text))), Fin::no));
    ASSERT_FALSE(server.send(*id, Chunk::copy_of(std::as_bytes(std::span(text))), Fin::yes));
    client.ping(kNow);
    carry(client, server, at_server);
    carry(server, client, at_client);
  }
  client.reset(1, RstStatus::cancel);
  client.goaway();
  while (client.next_chunk()) {
  }
  EXPECT_EQ(at_server.bytes, 6000u);
  EXPECT_EQ(at_client.bytes, 6000u);
}

TEST(SpdyMemoryTest, EachAllocationMayFail) {
  converse();  // what is kept for later use is there now
  long const before = live;
  long failed = 0;
  for (bool whole = false; !whole; ++failed) {
    bool ran_out = false;
    left = failed;
    try {
      converse();
    } catch (std::bad_alloc const&) {
      ran_out = true;
    }
    left = -1;
    whole = !ran_out;
    EXPECT_EQ(live, before) << "after allocation " << failed << " failed";
    ASSERT_LT(failed, 10'000);
  }
  std::printf("%ld allocations failed, one at a time\n", failed - 1);
  EXPECT_GT(failed, 10);
}

}  // namespace
}  // namespace kportal::net
