// SPDX-License-Identifier: MIT
// The runtime's end of a tunnel, frame by frame, against what protocol.md says the real one does.
#include "lab/runtime.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gmock/gmock.h>

#include "lab/cluster.h"
#include "tests/lab/raw_spdy.h"
#include "tests/support/hex.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::lab {
namespace {

using namespace std::chrono_literals;
using net::Fin;
using test::MemoryTransport;
using test::RawSpdy;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

class LabRuntimeTest : public test::LoopFixture {
 public:
  void SetUp() override {
    PodSpec spec;
    spec.name = "web";
    cluster_.add_pod(spec);
    sandbox_ = cluster_.find_pod(pod_)->sandbox;
    options_.half_close_wait = 5ms;
  }

  // Runs the scene against a session, closes the client's end, and joins everything.
  void play(awaitable<void> (*scene)(LabRuntimeTest&), bool tunnelled = false) {
    auto [client, server] = MemoryTransport::make_pair(executor());
    server_ = server.get();
    client_ = std::make_unique<RawSpdy>(std::move(client));
    PortForwardSession session(executor(), *server, tunnelled, sandbox_, faults_, options_,
                               counters_, cluster_.changed());
    session_ = &session;
    spawn(session.run());
    run(play_and_stop(scene(*this)));
  }
  awaitable<void> play_and_stop(awaitable<void> scene) {
    co_await std::move(scene);
    client_->transport().close();
    session_->stop();
    co_await cluster_.stop();
  }
  awaitable<bool> wait_for(std::function<bool()> condition) {
    co_return co_await cluster_.changed().wait_for(std::move(condition), Clock::now() + 10s);
  }
  // Lets everything happen that needs no time.
  awaitable<void> settle() {
    for (int i = 0; i < 200; ++i) {
      co_await asio::post(executor(), asio::use_awaitable);
    }
  }

  PodName pod_{"default", "web"};
  Cluster cluster_{executor()};
  std::shared_ptr<Sandbox> sandbox_;
  Faults faults_;
  RuntimeOptions options_;
  RuntimeCounters counters_;
  MemoryTransport* server_ = nullptr;
  std::unique_ptr<RawSpdy> client_;
  PortForwardSession* session_ = nullptr;
};

using Lab = LabRuntimeTest;

TEST_F(LabRuntimeTest, SaysNothingBeforeTheClientsFirstFrame) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.settle();
    EXPECT_TRUE(t.server_->writes().empty());
  });
}

TEST_F(LabRuntimeTest, ForwardsAPairThatWasPipelined) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "7000").data(3, "hello").send();
    // The data stream's reply overtakes the error stream's.
    auto const text = co_await t.client_->read_text(3);
    EXPECT_EQ(text, "REPLY 3, REPLY 1, DATA 3 hello");
    EXPECT_EQ(t.counters_.streams, 2U);
    EXPECT_EQ(t.sandbox_->open_connections(), 1U);
    co_await t.client_->data(3, "", Fin::yes).send();
    auto const end = co_await t.client_->read_text(2);
    EXPECT_EQ(end, "DATA 3 FIN, DATA 1 FIN");
    co_await t.settle();
    EXPECT_EQ(t.session_->open_streams(), 0U);
  });
}

TEST_F(LabRuntimeTest, WritesEachFieldOfAFrameByItself) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "7000").data(3, "hello").ping(1).send();
    auto const text = co_await t.client_->read_text(4);
    EXPECT_THAT(text, HasSubstr("PING 1"));
    auto sizes = t.server_->writes();
    // The first empty header block has 16 bytes or so, later ones 8; what matters is where it is
    // cut.
    EXPECT_THAT(std::vector<std::size_t>(sizes.begin(), sizes.begin() + 4),
                ElementsAre(2, 2, 4, 4));
    EXPECT_THAT(std::vector<std::size_t>(sizes.end() - 3, sizes.end()), ElementsAre(4, 4, 5));
  });
}

TEST_F(LabRuntimeTest, WritesFramesWholeIfToldSo) {
  options_.split_writes = false;
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "7000").data(3, "hello").send();
    auto const text = co_await t.client_->read_text(3);
    EXPECT_THAT(t.server_->writes(), testing::SizeIs(3));
  });
}

TEST_F(LabRuntimeTest, WritesEmptyMessagesIntoATunnel) {
  play(
      [](Lab& t) -> awaitable<void> {
        co_await t.client_->pair(1, "9999").send();
        auto const found = co_await t.client_->read_until("DATA 3 FIN");
        EXPECT_TRUE(found);
        EXPECT_THAT(t.server_->writes(), testing::Contains(0U));
      },
      true);
}

TEST_F(LabRuntimeTest, TellsOfARefusedPortOnTheErrorStream) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9999").send();
    auto const text = co_await t.client_->read_text(5);
    auto const id = t.sandbox_->id();
    EXPECT_EQ(text,
              "REPLY 3, REPLY 1, DATA 3 FIN, DATA 1 error forwarding port 9999 to pod " + id +
                  ", uid : failed to execute portforward in network namespace \"" +
                  t.sandbox_->netns() +
                  "\": failed to connect to localhost:9999 inside namespace \"" + id +
                  "\", IPv4: dial tcp4 127.0.0.1:9999: connect: connection refused IPv6 dial tcp6 "
                  "[::1]:9999: connect: connection refused , RST 1 5");
  });
}

TEST_F(LabRuntimeTest, EndsARefusedPortAsOlderRuntimesDo) {
  options_.flavour = RuntimeFlavour::message_and_fin;
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9999").send();
    auto const text = co_await t.client_->read_text(5);
    EXPECT_THAT(text, MatchesRegex("REPLY 3, REPLY 1, DATA 3 FIN, DATA 1 error .*, DATA 1 FIN"));
  });
}

TEST_F(LabRuntimeTest, TellsThatTheSandboxIsClosed) {
  sandbox_->close();
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "8080").send();
    auto const text = co_await t.client_->read_text(5);
    auto const id = t.sandbox_->id();
    EXPECT_EQ(text, "REPLY 3, REPLY 1, DATA 1 error forwarding port 8080 to pod " + id +
                        ", uid : network namespace for sandbox \"" + id +
                        "\" is closed, RST 3 5, RST 1 5");
  });
}

TEST_F(LabRuntimeTest, TellsThatTheApplicationReset) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9005").data(3, "x").send();
    auto const text = co_await t.client_->read_text(5);
    EXPECT_THAT(text,
                MatchesRegex("REPLY 3, REPLY 1, DATA 3 FIN, DATA 1 error forwarding port 9005 "
                             ".*: read: connection reset by peer, RST 1 5"));
  });
}

TEST_F(LabRuntimeTest, ResetsWithoutAWordAsOldContainerdDid) {
  options_.flavour = RuntimeFlavour::reset_only;
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9005").data(3, "x").send();
    auto const text = co_await t.client_->read_text(4);
    EXPECT_EQ(text, "REPLY 3, REPLY 1, RST 3 5, RST 1 5");
  });
}

TEST_F(LabRuntimeTest, ClosesASecondAfterTheClientsHalfClose) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "8080").data(3, "GET /sleep?ms=60000 HTTP/1.1\r\n\r\n").send();
    co_await t.client_->data(3, "", Fin::yes).send();
    auto const text = co_await t.client_->read_text(4);
    EXPECT_EQ(text, "REPLY 3, REPLY 1, DATA 3 FIN, DATA 1 FIN");
  });
}

TEST_F(LabRuntimeTest, DeliversWhatThePodSentBeforeItEnded) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9006").send();
    auto const text = co_await t.client_->read_text(5);
    EXPECT_EQ(text, "REPLY 3, REPLY 1, DATA 3 BYE\r\n, DATA 3 FIN, DATA 1 FIN");
  });
}

TEST_F(LabRuntimeTest, FinishesTheErrorStreamAfterTheClientsReset) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9004").rst(3).send();
    auto const text = co_await t.client_->read_text(3);
    EXPECT_EQ(text, "REPLY 3, REPLY 1, DATA 1 FIN");
  });
}

TEST_F(LabRuntimeTest, CutsDataInto32KiB) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "7000").data(3, std::string(100'000, 'x')).send();
    auto const replies = co_await t.client_->read_text(2);
    std::vector<std::size_t> sizes;
    for (std::size_t total = 0; total < 100'000;) {
      auto const frame = co_await t.client_->read();
      if (!frame) break;
      sizes.push_back(frame->payload.size());
      total += frame->payload.size();
    }
    EXPECT_THAT(sizes, ElementsAre(32768, 32768, 32768, 1696));
  });
}

TEST_F(LabRuntimeTest, AnswersOddPingsOnly) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->ping(2).ping(7).ping(4).ping(9).send();
    auto const text = co_await t.client_->read_text(2);
    EXPECT_EQ(text, "PING 7, PING 9");
    EXPECT_EQ(t.counters_.pings, 2U);
  });
}

TEST_F(LabRuntimeTest, IgnoresSettingsWindowUpdatesAndUnknownStreams) {
  play([](Lab& t) -> awaitable<void> {
    auto const settings = test::from_hex("80030004 0000000c 00000001 00000004 00000064");
    auto const update = test::from_hex("80030009 00000008 00000001 00010000");
    co_await t.client_->bytes(settings).bytes(update).data(77, "x").rst(79).ping(1).send();
    auto const text = co_await t.client_->read_text(1);
    EXPECT_EQ(text, "PING 1");
  });
}

TEST_F(LabRuntimeTest, RejectsStreamsWithBadHeaders) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->syn(1, "error", "0", "1").syn(3, "junk", "80", "1").send();
    auto const text = co_await t.client_->read_text(2);
    EXPECT_EQ(text, "RST 1 5, RST 3 5");
  });
}

TEST_F(LabRuntimeTest, ResetsAStreamWithAReusedId) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9004").syn(3, "data", "9004", "2").ping(1).send();
    auto const found = co_await t.client_->read_until("RST 3 1");
    EXPECT_TRUE(found);
  });
}

TEST_F(LabRuntimeTest, EndsAtAnUpperCaseHeader) {
  play([](Lab& t) -> awaitable<void> {
    net::Headers const headers{{"streamType", "error"}, {"port", "80"}};
    co_await t.client_->syn(1, headers).send();
    auto const text = co_await t.client_->read_text(1);
    EXPECT_EQ(text, "END");
  });
}

TEST_F(LabRuntimeTest, EndsAtGoaway) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9004").send();
    auto const replies = co_await t.client_->read_text(2);
    co_await t.client_->goaway().send();
    auto const text = co_await t.client_->read_text(1);
    EXPECT_EQ(text, "END");
    co_await t.settle();
    EXPECT_EQ(t.sandbox_->open_connections(), 0U);
  });
}

TEST_F(LabRuntimeTest, DerivesAMissingRequestId) {
  play([](Lab& t) -> awaitable<void> {
    net::Headers const error{{"streamtype", "error"}, {"port", "9006"}};
    net::Headers const data{{"streamtype", "data"}, {"port", "9006"}};
    co_await t.client_->syn(1, error, Fin::yes).syn(3, data).send();
    auto const found = co_await t.client_->read_until("DATA 3 BYE\r\n");
    EXPECT_TRUE(found);
  });
}

TEST_F(LabRuntimeTest, TellsOfASecondStreamOfOneKind) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->syn(1, "error", "80", "a").syn(3, "error", "80", "a").send();
    auto const text = co_await t.client_->read_text(3);
    EXPECT_THAT(text,
                HasSubstr("DATA 1 error processing stream for request a: error stream already "
                          "assigned"));
  });
}

TEST_F(LabRuntimeTest, GivesUpAPairThatStaysIncomplete) {
  options_.pair_timeout = 5ms;
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->syn(1, "error", "80", "a").send();
    auto const text = co_await t.client_->read_text(2);
    EXPECT_THAT(text, MatchesRegex("REPLY 1, DATA 1 \\(conn=.*, request=a\\) timed out waiting for "
                                   "streams"));
  });
}

TEST_F(LabRuntimeTest, EndsWhenIdle) {
  options_.idle_timeout = 5ms;
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9004").send();
    auto const text = co_await t.client_->read_text(6);
    EXPECT_EQ(text, "REPLY 3, REPLY 1, RST 1 5, RST 3 5, GOAWAY 3 0, END");
  });
}

TEST_F(LabRuntimeTest, EndsByScriptWithAndWithoutResets) {
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "9004").send();
    auto const replies = co_await t.client_->read_text(2);
    t.session_->end(SessionEnd::goaway);
    auto const text = co_await t.client_->read_text(2);
    EXPECT_EQ(text, "GOAWAY 3 0, END");
  });
}

TEST_F(LabRuntimeTest, NeverRepliesOrRejectsByScript) {
  faults_.new_streams = StreamFate::never_reply;
  play([](Lab& t) -> awaitable<void> {
    co_await t.client_->pair(1, "7000").data(3, "x").ping(1).send();
    auto const text = co_await t.client_->read_text(1);
    EXPECT_EQ(text, "PING 1");
    t.faults_.new_streams = StreamFate::reject;
    co_await t.client_->syn(5, "error", "80", "2").send();
    auto const rejected = co_await t.client_->read_text(1);
    EXPECT_EQ(rejected, "RST 5 5");
  });
}

// One unread frame blocks a worker: one ping in five is never answered, and the reset of the stream
// that blocks it does not help, for it waits behind.
TEST_F(LabRuntimeTest, LosesOnePingInFiveToAStalledStream) {
  play([](Lab& t) -> awaitable<void> {
    std::string const fill(Sandbox::kSocketBuffer + 64 * 1024, 'x');
    co_await t.client_->pair(1, "9002").data(3, fill).data(3, "y").rst(3).send();
    auto const replies = co_await t.client_->read_text(2);
    co_await t.settle();
    for (std::uint32_t id = 1; id <= 19; id += 2) t.client_->ping(id);
    co_await t.client_->send();
    co_await t.settle();
    EXPECT_EQ(t.counters_.pings, 8U);
    // Streams of another worker go on; this one's do not (13 % 5 == 3 % 5).
    co_await t.client_->pair(5, "7000").data(7, "on").send();
    auto const on = co_await t.client_->read_until("DATA 7 on");
    EXPECT_TRUE(on);
    auto const before = t.counters_.streams;
    co_await t.client_->pair(13, "7000").ping(21).ping(23).send();
    auto const ping = co_await t.client_->read_until("PING 21");
    EXPECT_TRUE(ping);
    EXPECT_EQ(t.counters_.streams, before + 2);
    EXPECT_EQ(t.sandbox_->connections(), 2U);
  });
}

TEST_F(LabRuntimeTest, StopsReadingWhenAWorkersQueueIsFull) {
  play([](Lab& t) -> awaitable<void> {
    std::string const fill(Sandbox::kSocketBuffer + 64 * 1024, 'x');
    t.client_->pair(1, "9002").data(3, fill);
    for (int i = 0; i < 52; ++i) t.client_->data(3, "y");
    for (std::uint32_t id = 1; id <= 19; id += 2) t.client_->ping(id);
    co_await t.client_->send();
    co_await t.settle();
    EXPECT_EQ(t.counters_.pings, 0U);
    EXPECT_EQ(t.counters_.streams, 2U);
  });
}

}  // namespace
}  // namespace kportal::lab
