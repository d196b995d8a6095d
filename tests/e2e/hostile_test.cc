// SPDX-License-Identifier: MIT
// API servers that lie, stop in the midst of a word, or send without end: the program lives, says
// why, keeps its memory, and the forwards to another server do not notice.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <optional>
#include <vector>
#include <zlib.h>

#include <gtest/gtest.h>

#include "net/spdy_frame.h"
#include "net/spdy_headers.h"
#include "tests/e2e/hostile_server.h"
#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = 1024 * 1024;

std::string const kGarbage =
    std::string("\x00\xff\x13garbage\r\n\x7f\x80", 15) + std::string(5000, '\xa5') + "\r\n\r\nmore";

// Sends `piece` until the peer has enough or `total` bytes are out.
void send_much(Client& client, std::string const& piece, std::size_t total) {
  for (std::size_t sent = 0; sent < total; sent += piece.size()) {
    if (!client.send(piece, 5s)) return;
  }
}

std::string bytes_of(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

// A header block that grows to `size` bytes.
std::string zlib_bomb(std::size_t size) {
  z_stream zlib{};
  EXPECT_EQ(deflateInit(&zlib, Z_BEST_COMPRESSION), Z_OK);
  auto const dictionary = net::spdy_dictionary();
  deflateSetDictionary(&zlib, reinterpret_cast<Bytef const*>(dictionary.data()),
                       static_cast<uInt>(dictionary.size()));
  std::string plain(size, '\0');
  std::string packed(deflateBound(&zlib, static_cast<uLong>(size)), '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(plain.data());
  zlib.avail_in = static_cast<uInt>(plain.size());
  zlib.next_out = reinterpret_cast<Bytef*>(packed.data());
  zlib.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&zlib, Z_SYNC_FLUSH), Z_OK);
  packed.resize(zlib.total_out);
  deflateEnd(&zlib);
  return packed;
}

class HostileTest : public E2eTest {
 protected:
  // A program with a forward to the lab that must go on working, and one to a server that answers
  // so.
  struct Verdict {
    Status status{};
    Reason reason{};
    std::string message;
  };
  Verdict play(HostileServer::Answer answer, std::string const& health = kHealth) {
    HostileServer server(std::move(answer));
    dir_.write("evil", server.kubeconfig("evil"));
    add_pod("solo");
    dir_.write("forwards.yaml",
               forwards({"resource: pod/solo, port: 8080, localPort: auto, alias: good"}, health) +
                   "  - name: evil\n"
                   "    kubeconfig: evil\n"
                   "    namespaces:\n"
                   "      - name: default\n"
                   "        forwards:\n"
                   "          - { resource: " +
                   target_ + ", port: 8080, localPort: auto, alias: evil }\n");
    Program program(up_arguments());
    std::uint16_t const good = active_port(program, "good:auto");
    Verdict verdict;
    if (auto const* const change = program.wait_for_status("evil:auto", Status::error)) {
      verdict = {change->status, change->reason, change->message};
    }
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(http_get(good).status, 200);
    }
    while_it_runs(program);
    EXPECT_FALSE(program.wait_for_event("forward.disconnected", "good:auto", 0, 0s));
    peak_ = program.memory_kib("VmHWM");
    program.signal(SIGINT);
    EXPECT_TRUE(program.wait_for_event("forward.stopped"));
    program.signal(SIGINT);  // it need not wait for what http_get left
    EXPECT_EQ(program.wait(), 0);
    return verdict;
  }
  // The forward is in Error, for a reason that has words, and the program did not grow.
  void expect_told(char const* what, Verdict const& verdict) {
    std::printf("%s: %s: %s (peak %zu KiB)\n", what,
                std::string(events::to_word(verdict.reason)).c_str(), verdict.message.c_str(),
                peak_);
    EXPECT_EQ(verdict.status, Status::error) << what;
    EXPECT_TRUE(verdict.reason == Reason::server || verdict.reason == Reason::network ||
                verdict.reason == Reason::timeout)
        << what << ": " << events::to_word(verdict.reason);
    EXPECT_NE(verdict.message, "") << what;
    EXPECT_LT(verdict.message.size(), 1200u) << what;
    if (!kSanitized) {
      EXPECT_LT(peak_, most_kib_) << what;
    }
  }
  void on_list(char const* what, HostileServer::Answer const& answer) {
    target_ = "service/evil";
    expect_told(what, play(answer));
  }
  // REST is forbidden, so that the forward goes to the pod of that name; a WebSocket is the way.
  void on_websocket(char const* what, std::function<void(Client&)> const& answer) {
    expect_told(what, play([&](Client& client, std::string const& head) {
                  if (!is_upgrade(head)) return forbid(client);
                  if (!is_websocket(head)) return send_answer(client, "400 Bad Request", "no");
                  accept_websocket(client, head);
                  answer(client);
                  client.read_to_end(2s);
                }));
  }
  void on_spdy(char const* what, std::function<void(Client&)> const& answer) {
    expect_told(what, play([&](Client& client, std::string const& head) {
                  if (!is_upgrade(head)) return forbid(client);
                  if (is_websocket(head)) return send_answer(client, "400 Bad Request", "no");
                  accept_spdy(client);
                  client.wait_readable(5s);  // the server may not speak first
                  answer(client);
                  client.read_to_end(2s);
                }));
  }
  virtual void while_it_runs(Program&) {}

  static constexpr char const* kHealth =
      "healthCheck: { interval: 200ms, timeout: 500ms, startupGrace: 1s }\n";
  std::string target_ = "pod/evil";
  std::size_t peak_ = 0;  // memory, KiB
  std::size_t most_kib_ = 48 * 1024;
};

TEST_F(HostileTest, AnswersToAListThatAreNone) {
  on_list("garbage", [](Client& client, std::string const&) { client.send(kGarbage); });
  on_list("the end in the midst of the head",
          [](Client& client, std::string const&) { client.send("HTTP/1.1 200 OK\r\nContent-Ty"); });
  on_list("the end in the midst of the body", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"items\":[{\"metadata\":");
  });
  on_list("no JSON", [](Client& client, std::string const&) {
    send_answer(client, "200 OK", "<html>login</html>");
  });
  on_list("JSON of another kind", [](Client& client, std::string const&) {
    send_answer(client, "200 OK", R"({"kind":"Secret","items":42})");
  });
}

TEST_F(HostileTest, AnswersToAListWithoutEnd) {
  on_list("a head without end", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 200 OK\r\n");
    send_much(client, "X-Filler: " + std::string(60'000, 'x') + "\r\n", 200 * kMiB);
  });
  on_list("a body without end", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 200 OK\r\n\r\n{\"kind\":\"PodList\",\"x\":\"");
    send_much(client, std::string(64 * 1024, 'x'), 400 * kMiB);
  });
  on_list("items without end", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 200 OK\r\n\r\n{\"kind\":\"PodList\",\"items\":[");
    std::string items;
    for (int i = 0; i < 500; ++i) items += R"({"metadata":{"name":"p","namespace":"default"}},)";
    send_much(client, items, 400 * kMiB);
  });
  on_list("one item without end", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 200 OK\r\n\r\n{\"kind\":\"PodList\",\"items\":[{\"spec\":[");
    send_much(client, "\"" + std::string(64 * 1024, 'x') + "\",", 400 * kMiB);
  });
  on_list("pages without end", [](Client& client, std::string const&) {
    send_answer(client, "200 OK", R"({"metadata":{"continue":"more"},"items":[]})");
  });
  on_list("a refusal without end", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 500 Oh\r\n\r\n");
    send_much(client, std::string(64 * 1024, 'x'), 400 * kMiB);
  });
  on_list("deep JSON", [](Client& client, std::string const&) {
    client.send("HTTP/1.1 200 OK\r\n\r\n");
    send_much(client, std::string(64 * 1024, '['), 20 * kMiB);
  });
}

TEST_F(HostileTest, AnswersToAnUpgradeThatAreNone) {
  auto const instead = [](std::function<void(Client&)> const& answer) {
    return [answer](Client& client, std::string const& head) {
      if (!is_upgrade(head)) return forbid(client);
      answer(client);
    };
  };
  expect_told("garbage", play(instead([](Client& client) { client.send(kGarbage); })));
  expect_told("the end in the midst of the head", play(instead([](Client& client) {
                client.send("HTTP/1.1 101 Switching Protocols\r\nUpgr");
              })));
  expect_told("a head without end", play(instead([](Client& client) {
                client.send("HTTP/1.1 101 Switching Protocols\r\n");
                send_much(client, std::string(64 * 1024, 'x'), 100 * kMiB);
              })));
  expect_told("a 101 without a protocol", play(instead([](Client& client) {
                client.send("HTTP/1.1 101 Switching Protocols\r\n\r\n");
              })));
  expect_told("a 500 without end", play(instead([](Client& client) {
                client.send("HTTP/1.1 500 Oh\r\n\r\n");
                send_much(client, std::string(64 * 1024, 'x'), 100 * kMiB);
              })));
}

TEST_F(HostileTest, WebSocketsThatAreNone) {
  on_websocket("garbage", [](Client& client) { client.send(kGarbage); });
  on_websocket("the end in the midst of a frame", [](Client& client) {
    client.send(std::string("\x82\x7e\x10", 3));
    client.close();
  });
  on_websocket("a frame of 2^63 bytes", [](Client& client) {
    client.send(std::string("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10));
    send_much(client, std::string(64 * 1024, 'x'), 100 * kMiB);
  });
  on_websocket("a frame of 2^62 bytes of nothing", [](Client& client) {
    client.send(std::string("\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00", 10));
    send_much(client, std::string(64 * 1024, '\0'), 100 * kMiB);
  });
  on_websocket("text", [](Client& client) { client.send("\x81\x05hello"); });
  on_websocket("a masked frame",
               [](Client& client) { client.send(std::string("\x82\x81\x01\x02\x03\x04x", 7)); });
}

TEST_F(HostileTest, SpdyThatIsNone) {
  on_spdy("garbage", [](Client& client) { client.send(kGarbage); });
  on_spdy("a control frame of 2^24-1 bytes", [](Client& client) {
    client.send(std::string("\x80\x03\x00\x02\x00\xff\xff\xff", 8));
    send_much(client, std::string(64 * 1024, 'x'), 16 * kMiB);
  });
  on_spdy("a frame of an unknown type", [](Client& client) {
    client.send(
        std::string("\x80\x03\x00\x63\x00\x00\x00\x04"
                    "abcd",
                    12));
  });
  on_spdy("the end in the midst of a frame", [](Client& client) {
    client.send(std::string("\x80\x03\x00\x02\x00", 5));
    client.close();
  });
  on_spdy("a zlib bomb", [](Client& client) {
    std::string const bomb = zlib_bomb(40 * kMiB);
    ASSERT_LT(bomb.size(), 64 * 1024u);
    client.send(bytes_of(net::syn_reply_head(1, net::Fin::no, bomb.size())) + bomb);
  });
  on_spdy("streams of its own without end", [](Client& client) {
    net::HeaderEncoder encoder;
    std::string frames;
    for (net::StreamId id = 2; id < 20'000; id += 2) {
      std::vector<std::byte> block;
      encoder.encode({{"streamtype", "data"}}, block);
      frames += bytes_of(net::syn_stream_head(id, net::Fin::no, block.size())) + bytes_of(block);
    }
    client.send(frames);
    client.close();
  });
}

// A runtime's end of SPDY, as far as probes need it: it answers streams and pings at once and
// refuses the port on the error stream; while `late`, each second time only after 700 ms.
class LateRefusal {
 public:
  LateRefusal(Client& client, std::atomic<bool> const& late) : client_(client), late_(late) {}

  void run() {
    std::vector<char> buffer(64 * 1024);
    while (client_.end() == End::open) {
      TimePoint const now = Clock::now();
      while (!due_.empty() && due_.begin()->first <= now) {
        refuse(due_.begin()->second);
        due_.erase(due_.begin());
      }
      client_.wait_readable(20ms);
      std::size_t const n = client_.read_now(buffer.data(), buffer.size());
      take(as_bytes(std::string_view(buffer.data(), n)));
    }
  }

 private:
  void take(Bytes input) {
    while (!input.empty()) {
      std::optional<net::Frame> frame;
      if (parser_.next(input, frame) || !frame) return;
      if (frame->type == net::FrameType::ping)
        client_.send(bytes_of(net::ping_frame(frame->value)));
      if (frame->type != net::FrameType::syn_stream) continue;
      std::vector<std::byte> block;
      encoder_.encode({}, block);
      client_.send(bytes_of(net::syn_reply_head(frame->stream, net::Fin::no, block.size())) +
                   bytes_of(block));
      // The error stream is the one that its opener ends at once.
      if (!frame->fin()) continue;
      bool const late = late_ && ++pairs_ % 2 == 1;
      due_.emplace(Clock::now() + (late ? 700ms : 30ms), frame->stream);
    }
  }
  void refuse(net::StreamId stream) {
    std::string const text = "failed to connect to localhost:8080: connect: connection refused";
    std::array<std::byte, net::kFrameHeaderSize> head{};
    net::write_data_header(head, stream, net::Fin::yes, text.size());
    client_.send(bytes_of(head) + text);
  }

  Client& client_;
  std::atomic<bool> const& late_;
  int pairs_ = 0;
  net::FrameParser parser_;
  net::HeaderEncoder encoder_;
  std::multimap<TimePoint, net::StreamId> due_;
};

// Refusals that come later than a probe waits look like silence, which is good; but not to a
// forward that is known to be refused.
class LateRefusalTest : public HostileTest {
 protected:
  void while_it_runs(Program& program) override {
    std::size_t const mark = program.mark();
    late_ = true;
    EXPECT_FALSE(program.wait_for_line("\"status\":\"Active\"", mark, 4s));
  }
  std::atomic<bool> late_ = false;
};

TEST_F(LateRefusalTest, APortThatWasRefusedIsNotActiveBecauseARefusalIsLate) {
  Verdict const verdict = play([&](Client& client, std::string const& head) {
    if (!is_upgrade(head)) return forbid(client);
    if (is_websocket(head)) return send_answer(client, "400 Bad Request", "no");
    accept_spdy(client);
    LateRefusal(client, late_).run();
  });
  EXPECT_EQ(verdict.reason, Reason::refused) << verdict.message;
}

}  // namespace
}  // namespace kportal::test
