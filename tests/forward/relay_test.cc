// SPDX-License-Identifier: MIT
// The relay between a real socket and SPDY in memory, whose other end plays the runtime.
#include "forward/relay.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include "tests/support/loop_fixture.h"
#include "tests/support/memory_transport.h"

namespace kportal::forward {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using test::MemoryTransport;

// One tunnel with both its ends.
struct TestTunnel {
  std::shared_ptr<Tunnel> client;
  std::unique_ptr<net::SpdyConnection> server;
  std::vector<std::unique_ptr<net::Stream>> streams;  // of the server, as they came: error, data

  TestTunnel(TunnelId id, asio::any_io_executor const& executor) {
    auto [a, b] = MemoryTransport::make_pair(executor);
    net::SpdyOptions options;
    k8s::Tunnel dialled(std::make_unique<net::SpdyConnection>(executor, std::move(a), options),
                        k8s::TransportKind::websocket, Duration{});
    k8s::Choice choice;
    choice.port = 8080;
    client = std::make_shared<Tunnel>(id, nullptr, std::move(dialled), choice, Clock::now());
    options.role = net::SpdyRole::server;
    server = std::make_unique<net::SpdyConnection>(executor, std::move(b), options);
    server->on_stream([this](auto stream) { streams.push_back(std::move(stream)); });
  }
  net::Stream& error_stream() { return *streams.at(0); }
  net::Stream& data() { return *streams.at(1); }
};

awaitable<void> run_to_end(net::SpdyConnection& connection) {
  error_code const ended = co_await connection.run();
  static_cast<void>(ended);
}

class RelayTest : public test::LoopFixture, public RelayOwner {
 public:
  RelayTest() : acceptor_(loop_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

  void SetUp() override {
    client_.connect(acceptor_.local_endpoint());
    relay_ = std::make_unique<Relay>(1, acceptor_.accept(), config::HalfClose::pass,
                                     static_cast<RelayOwner&>(*this), pumps_);
    for (TestTunnel* const tunnel : {&first_, &second_}) {
      spawn(run_to_end(*tunnel->client->connection()));
      spawn(run_to_end(*tunnel->server));
    }
  }
  void play(awaitable<void> (*scene)(RelayTest&)) { run(play_and_end(scene)); }
  awaitable<void> play_and_end(awaitable<void> (*scene)(RelayTest&)) {
    co_await scene(*this);
    pumps_.cancel();
    co_await pumps_.join();
    relay_.reset();
    for (TestTunnel* const tunnel : {&first_, &second_}) {
      tunnel->streams.clear();
      tunnel->client->connection()->close();
      tunnel->server->close();
    }
  }
  void place(TunnelId id) { relay_->place((id == 1 ? first_ : second_).client, 0); }
  void send(std::string const& text) { asio::write(client_, asio::buffer(text)); }

  template <class Condition>
  awaitable<void> until(Condition condition) {
    TimePoint const limit = Clock::now() + 10s;
    while (!condition() && Clock::now() < limit) {
      co_await asio::post(executor(), asio::use_awaitable);
    }
    EXPECT_TRUE(condition());
  }
  awaitable<std::string> read(net::Stream& stream) {
    std::array<std::byte, 100> bytes{};
    auto const got = co_await stream.read_some(bytes);
    co_return std::string(as_text(Bytes(bytes).first(got.size)));
  }
  awaitable<void> say(net::Stream& stream, std::string text) {
    Chunk chunk = Chunk::copy_of(as_bytes(text));
    error_code const error = co_await stream.write(std::move(chunk));
    EXPECT_FALSE(error);
    stream.finish();
  }

  void relay_ending(ConnectionId) override { ending_ = true; }
  void relay_left(ConnectionId, ConnectionEnd end) override {
    end_ = std::move(end);
    pumps_at_end_ = pumps_.size();
    if (!end_->movable) relay_.reset();
  }
  void client_left(ConnectionId) override { client_left_ = true; }
  void relay_answered(TunnelId) override {}
  void relay_moved(ConnectionId) override { ++moves_; }
  void relay_full(ConnectionId, bool full) override { full_ = full; }

  tcp::acceptor acceptor_;
  tcp::socket client_{loop_};
  TestTunnel first_{1, executor()};
  TestTunnel second_{2, executor()};
  TaskGroup pumps_{executor()};
  std::unique_ptr<Relay> relay_;
  std::optional<ConnectionEnd> end_;
  std::size_t pumps_at_end_ = 0;
  bool client_left_ = false;
  bool ending_ = false;
  int moves_ = 0;
  bool full_ = false;
};

awaitable<void> relay_both_ways(RelayTest& t) {
  t.place(1);
  t.send("ping");
  auto const opened = [&] { return t.first_.streams.size() == 2; };
  co_await t.until(opened);
  std::string const heard = co_await t.read(t.first_.data());
  EXPECT_EQ(heard, "ping");
  co_await t.say(t.first_.data(), "pong");
  t.first_.error_stream().finish();
  auto const answered = [&] { return t.client_.available() == 4; };
  co_await t.until(answered);
  t.client_.shutdown(tcp::socket::shutdown_send);
  auto const ended = [&] { return t.end_.has_value(); };
  co_await t.until(ended);
  EXPECT_FALSE(t.end_->error);
}

TEST_F(RelayTest, RelaysBothWays) {
  play(relay_both_ways);
}

awaitable<void> move_and_end(RelayTest& t) {
  t.place(1);
  auto const opened = [&] { return t.first_.streams.size() == 2; };
  co_await t.until(opened);
  t.send("x");
  t.client_.shutdown(tcp::socket::shutdown_send);
  auto const one_pump = [&] { return t.pumps_.size() == 1; };
  co_await t.until(one_pump);  // the other has passed the end on
  t.first_.data().reset();
  co_await t.say(t.first_.error_stream(), "pod sandbox is closed");
  auto const ended = [&] { return t.end_.has_value(); };
  co_await t.until(ended);
  EXPECT_EQ(t.end_->error->code, Errc::pod_gone) << t.end_->error->text;
  EXPECT_TRUE(t.end_->movable);
  if (!t.end_->movable) co_return;
  t.end_.reset();

  t.place(2);
  auto const opened_again = [&] { return t.second_.streams.size() == 2; };
  co_await t.until(opened_again);
  std::string const heard = co_await t.read(t.second_.data());
  EXPECT_EQ(heard, "x");
  co_await t.say(t.second_.error_stream(), "read: connection reset by peer");
  t.second_.data().reset();
  co_await t.until(ended);
  EXPECT_EQ(t.end_->error->code, Errc::pod_reset);
  EXPECT_EQ(t.pumps_at_end_, 1u);  // the one that tells
}

// A runtime that answers late dials the pod late, too: a refusal may still come.
awaitable<void> answer_late(RelayTest& t) {
  t.first_.server->on_stream([&t](std::unique_ptr<net::Stream> stream) {
    stream->hold_reply();
    t.first_.streams.push_back(std::move(stream));
  });
  t.place(1);
  auto const opened = [&] { return t.first_.streams.size() == 2; };
  co_await t.until(opened);
  EXPECT_FALSE(t.relay_->accepted_by_pod(Clock::now() + 1h));
  TimePoint const answered_from = Clock::now();
  auto const later = [&] { return Clock::now() > answered_from; };
  co_await t.until(later);
  t.first_.data().reply();
  auto const answered = [&] { return t.relay_->accepted_by_pod(Clock::now() + 1h); };
  co_await t.until(answered);
  EXPECT_FALSE(t.relay_->accepted_by_pod(answered_from + 1s));
  EXPECT_TRUE(t.relay_->accepted_by_pod(Clock::now() + 1s));
}

TEST_F(RelayTest, ASilentConnectionIsAcceptedASecondAfterTheReply) {
  play(answer_late);
}

// The pump towards the pod may end before the connection does; the next tunnel's must be waited for
// all the same.
TEST_F(RelayTest, LeavesNoPumpBehindWhenItHasMovedOnce) {
  play(move_and_end);
}

// Sends until the reader, who takes nothing, has told that its buffer is full.
awaitable<void> fill(RelayTest& t) {
  net::Stream& data = t.first_.data();
  for (int i = 0; i < 1000 && !t.full_; ++i) {
    Chunk chunk(Chunk::kPayload);
    chunk.commit(Chunk::kPayload);
    error_code const error = co_await data.write(std::move(chunk));
    EXPECT_FALSE(error);
    co_await asio::post(asio::use_awaitable);
  }
}

awaitable<void> give_way(RelayTest& t) {
  t.place(1);
  auto const opened = [&] { return t.first_.streams.size() == 2; };
  co_await t.until(opened);
  co_await fill(t);
  EXPECT_TRUE(t.full_);
  EXPECT_TRUE(t.first_.client->connection()->reading_paused());
  EXPECT_GT(t.moves_, 0);
  EXPECT_LT(t.moves_, 40);  // of hundreds of chunks, in less than ten seconds
  t.relay_->evict(Error(Errc::stalled, "it blocked others"));
  auto const ended = [&] { return t.end_.has_value(); };
  co_await t.until(ended);
  EXPECT_EQ(t.end_->error->code, Errc::stalled);
  EXPECT_FALSE(t.end_->movable);
  EXPECT_FALSE(t.full_);
  EXPECT_FALSE(t.first_.client->connection()->reading_paused());
  EXPECT_EQ(t.pumps_at_end_, 1u);  // the one that tells
}

// Its client does not read, so that its pump is blocked in a write.
TEST_F(RelayTest, TellsThatItStopsItsTunnelAndGivesWayAtOnce) {
  play(give_way);
}

// The pod has ended its side, the client has not: what it still says is read for kLinger.
awaitable<void> hang_in_the_end(RelayTest& t) {
  t.place(1);
  auto const opened = [&] { return t.first_.streams.size() == 2; };
  co_await t.until(opened);
  EXPECT_FALSE(t.ending_);
  co_await t.say(t.first_.data(), "answer");
  t.first_.error_stream().finish();
  auto const ending = [&] { return t.ending_; };
  co_await t.until(ending);
  TimePoint const asked = Clock::now();
  t.relay_->abandon(Error(Errc::timeout, "its end took too long"));
  auto const ended = [&] { return t.end_.has_value(); };
  co_await t.until(ended);
  EXPECT_LT(Clock::now() - asked, Relay::kLinger / 2);
  EXPECT_EQ(t.end_->error->code, Errc::timeout);
  EXPECT_FALSE(t.end_->movable);
  EXPECT_EQ(t.pumps_at_end_, 1u);  // the one that tells
}

TEST_F(RelayTest, AnEndThatHangsIsCutOff) {
  play(hang_in_the_end);
}

awaitable<void> place_on_ended(RelayTest& t) {
  t.first_.client->connection()->close();
  t.place(1);
  EXPECT_TRUE(t.end_.has_value());
  EXPECT_TRUE(t.end_->movable);
  co_return;
}

awaitable<void> place_on_none(RelayTest& t) {
  t.relay_->place_on_ended(7);
  EXPECT_EQ(t.relay_->tunnel(), 7u);
  EXPECT_TRUE(t.end_.has_value() && t.end_->movable);
  t.place(1);
  EXPECT_TRUE(t.relay_->placed());
  co_return;
}

TEST_F(RelayTest, TellsOfATunnelThatIsNoMoreAndCanBePlacedAgain) {
  play(place_on_none);
}

TEST_F(RelayTest, TellsAtOnceThatTheTunnelHasEnded) {
  play(place_on_ended);
}

awaitable<void> notice_a_client_that_leaves(RelayTest& t) {
  t.relay_->watch_held();
  t.send("hello");
  t.client_.shutdown(tcp::socket::shutdown_send);
  t.place(1);  // ends the first wait
  auto const opened = [&] { return t.first_.streams.size() == 2; };
  co_await t.until(opened);
  EXPECT_FALSE(t.client_left_);
  co_await t.say(t.first_.data(), "");
  t.first_.error_stream().finish();
  auto const ended = [&] { return t.end_.has_value(); };
  co_await t.until(ended);
}

TEST_F(RelayTest, AnEndOfStreamIsNoClientThatLeft) {
  play(notice_a_client_that_leaves);
}

awaitable<void> notice_a_reset(RelayTest& t) {
  t.send("hello");
  t.client_.set_option(asio::socket_base::linger(true, 0));
  t.client_.close();
  t.relay_->watch_held();
  auto const left = [&] { return t.client_left_; };
  co_await t.until(left);
}

TEST_F(RelayTest, TellsOfAHeldClientThatResetItsConnection) {
  play(notice_a_reset);
}

}  // namespace
}  // namespace kportal::forward
