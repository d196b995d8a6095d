// SPDX-License-Identifier: MIT
#include "events/bus.h"

#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"

namespace kportal::events {
namespace {

using namespace std::chrono_literals;

Fact stale(int number) {
  return HealthStale{{}, std::to_string(number)};
}

std::string number_of(Event const& event) {
  return std::get<HealthStale>(event.fact).message;
}

// Notes each delivery as "seq:number ", a gap as "(count) " and the end as "end".
awaitable<void> read_all(Reader reader, std::string& log) {
  for (;;) {
    auto const delivery = co_await reader.next();
    if (!delivery) break;
    if (auto const* const dropped = std::get_if<Dropped>(&*delivery)) {
      log += "(" + std::to_string(dropped->count) + ") ";
    } else {
      Event const& event = *std::get<SharedEvent>(*delivery);
      log += std::to_string(event.seq) + ":" + number_of(event) + " ";
    }
  }
  log += "end";
}

awaitable<void> read_one(Reader& reader, std::vector<SharedEvent>& events) {
  auto const delivery = co_await reader.next();
  events.push_back(std::get<SharedEvent>(*delivery));
}

class BusTest : public ::testing::Test {
 protected:
  BusTest()
      : bus_(std::make_unique<Bus>(loop_.get_executor(), [this] { return now_; })),
        tasks_(loop_.get_executor()) {}

  void publish(int from, int to) {
    for (int i = from; i <= to; ++i) bus_->publish(stale(i));
  }
  // Appends "number " for each delivery.
  Subscription note_in(std::string& log) {
    return bus_->subscribe([&log](Event const& event) { log += number_of(event) + " "; });
  }
  void turn() {
    loop_.restart();
    loop_.poll();
  }

  asio::io_context loop_;
  std::chrono::system_clock::time_point now_ = std::chrono::sys_days(std::chrono::days(20000));
  std::unique_ptr<Bus> bus_;
  TaskGroup tasks_;
};

TEST_F(BusTest, SubscribersGetEveryEventInOrderAndPosted) {
  std::string log;
  auto const subscription = note_in(log);
  publish(1, 5);
  EXPECT_EQ(log, "");
  turn();
  EXPECT_EQ(log, "1 2 3 4 5 ");
}

TEST_F(BusTest, EventsHaveTheTimeOfTheirPublishingAndASeqWithoutGaps) {
  std::vector<Event> events;
  auto const subscription =
      bus_->subscribe([&events](Event const& event) { events.push_back(event); });
  auto const begin = now_;
  bus_->publish(stale(1));
  now_ += 5s;
  bus_->publish(stale(2));
  now_ += 1h;
  turn();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].seq, 1u);
  EXPECT_EQ(events[0].time, begin);
  EXPECT_EQ(events[1].seq, 2u);
  EXPECT_EQ(events[1].time, begin + 5s);
}

TEST_F(BusTest, SeqGoesOnWhileNobodyListens) {
  publish(1, 3);
  std::vector<Event> events;
  auto const subscription =
      bus_->subscribe([&events](Event const& event) { events.push_back(event); });
  publish(4, 4);
  turn();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].seq, 4u);
}

TEST_F(BusTest, NothingIsDroppedForTheOneWhoActs) {
  std::string reader_log;
  tasks_.spawn(read_all(bus_->read(), reader_log));
  int count = 0;
  auto const subscription = bus_->subscribe(
      [&count](Event const& event) { EXPECT_EQ(number_of(event), std::to_string(++count)); });
  publish(1, 5000);
  turn();
  EXPECT_EQ(count, 5000);
  tasks_.cancel();
  turn();
}

TEST_F(BusTest, PublishingInsideADeliveryKeepsTheOrderAndDoesNotReenter) {
  std::string log;
  bool inside = false;
  auto const first = bus_->subscribe([&](Event const& event) {
    EXPECT_FALSE(inside);
    inside = true;
    log += "a" + number_of(event) + " ";
    if (number_of(event) == "1") publish(3, 4);
    inside = false;
  });
  auto const second = bus_->subscribe([&](Event const& event) {
    EXPECT_FALSE(inside);
    log += "b" + number_of(event) + " ";
  });
  publish(1, 2);
  turn();
  EXPECT_EQ(log, "a1 b1 a2 b2 a3 b3 a4 b4 ");
}

TEST_F(BusTest, ASubscriptionBeginsWithWhatIsPublishedAfterIt) {
  std::string early;
  std::string late;
  auto const first = note_in(early);
  publish(1, 2);
  auto const second = note_in(late);
  publish(3, 3);
  turn();
  EXPECT_EQ(early, "1 2 3 ");
  EXPECT_EQ(late, "3 ");
}

TEST_F(BusTest, AnEndedSubscriptionGetsNothingMoreNotEvenWhatWaits) {
  std::string log;
  std::string other;
  auto first = std::make_unique<Subscription>(note_in(log));
  auto const second = note_in(other);
  publish(1, 1);
  first.reset();
  publish(2, 2);
  turn();
  EXPECT_EQ(log, "");
  EXPECT_EQ(other, "1 2 ");
}

TEST_F(BusTest, ADeliveryMayEndItsOwnSubscription) {
  std::string log;
  std::unique_ptr<Subscription> subscription;
  auto const kept = std::make_shared<std::string>("kept");
  subscription = std::make_unique<Subscription>(bus_->subscribe([&, kept](Event const& event) {
    subscription.reset();
    log += number_of(event) + *kept;
  }));
  publish(1, 3);
  turn();
  EXPECT_EQ(log, "1kept");
  EXPECT_EQ(kept.use_count(), 1);
}

TEST_F(BusTest, ADeliveryMayEndAnothersSubscriptionAndBeginOne) {
  std::string log;
  std::unique_ptr<Subscription> victim;
  std::unique_ptr<Subscription> newcomer;
  auto const killer = bus_->subscribe([&](Event const&) {
    victim.reset();
    if (!newcomer) newcomer = std::make_unique<Subscription>(note_in(log));
  });
  victim =
      std::make_unique<Subscription>(bus_->subscribe([&log](Event const&) { log += "victim "; }));
  publish(1, 1);
  turn();
  EXPECT_EQ(log, "");
  publish(2, 2);
  turn();
  EXPECT_EQ(log, "2 ");
}

TEST_F(BusTest, SubscriptionsMoveAndAssigningEndsTheOldOne) {
  std::string log;
  std::string other;
  Subscription subscription = note_in(log);
  Subscription moved(std::move(subscription));
  publish(1, 1);
  turn();
  moved = note_in(other);
  publish(2, 2);
  turn();
  EXPECT_EQ(log, "1 ");
  EXPECT_EQ(other, "2 ");
}

TEST_F(BusTest, ADeliveryMayDestroyTheBus) {
  std::string log;
  auto const first = bus_->subscribe([&](Event const&) {
    bus_.reset();
    log += "gone";
  });
  auto const second = note_in(log);
  publish(1, 2);
  turn();
  EXPECT_EQ(log, "gone");
}

TEST_F(BusTest, SubscriptionsMayOutliveTheBus) {
  std::string log;
  {
    auto const subscription = note_in(log);
    publish(1, 1);
    bus_.reset();
    turn();
  }
  EXPECT_EQ(log, "");
}

TEST_F(BusTest, AReaderGetsWhatIsPublishedFromThenOn) {
  std::string log;
  publish(1, 1);
  tasks_.spawn(read_all(bus_->read(), log));
  publish(2, 3);
  turn();
  EXPECT_EQ(log, "2:2 3:3 ");
  publish(4, 4);
  EXPECT_EQ(log, "2:2 3:3 ");
  turn();
  EXPECT_EQ(log, "2:2 3:3 4:4 ");
  bus_.reset();
  turn();
  EXPECT_EQ(log, "2:2 3:3 4:4 end");
}

TEST_F(BusTest, ASlowReaderIsToldInPlaceWhatIsMissingAndNobodyElseNotices) {
  std::string slow;
  std::string quick;
  std::string acting;
  Reader reader = bus_->read(3);
  auto const subscription = note_in(acting);
  tasks_.spawn(read_all(bus_->read(), quick));
  publish(1, 10);
  turn();
  tasks_.spawn(read_all(std::move(reader), slow));
  turn();
  publish(11, 11);
  turn();
  EXPECT_EQ(slow, "1:1 2:2 3:3 (7) 11:11 ");
  EXPECT_EQ(quick, "1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 9:9 10:10 11:11 ");
  EXPECT_EQ(acting, "1 2 3 4 5 6 7 8 9 10 11 ");
  tasks_.cancel();
  turn();
}

TEST_F(BusTest, AReaderThatTakesOneByOneMissesSeveralTimes) {
  std::string log;
  Reader reader = bus_->read(2);
  std::vector<SharedEvent> taken;
  publish(1, 3);  // 1 2 (1)
  tasks_.spawn(read_one(reader, taken));
  turn();
  publish(4, 4);  // 2 and the mark still fill it: 2 (2)
  tasks_.spawn(read_one(reader, taken));
  turn();
  publish(5, 6);  // (2) 5 and one more lost
  tasks_.spawn(read_all(std::move(reader), log));
  turn();
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[1]->seq, 2u);
  EXPECT_EQ(log, "(2) 5:5 (1) ");
  bus_.reset();
  turn();
}

TEST_F(BusTest, ReadersShareOneEvent) {
  Reader first = bus_->read();
  Reader second = bus_->read();
  std::vector<SharedEvent> events;
  publish(1, 1);
  tasks_.spawn(read_one(first, events));
  tasks_.spawn(read_one(second, events));
  turn();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0], events[1]);
}

TEST_F(BusTest, DestroyingTheBusEndsReadersThatWaitAndLosesNothingQueued) {
  std::string waiting;
  std::string late;
  Reader reader = bus_->read();
  tasks_.spawn(read_all(bus_->read(), waiting));
  turn();
  publish(1, 2);
  bus_.reset();
  turn();
  EXPECT_EQ(waiting, "1:1 2:2 end");
  tasks_.spawn(read_all(std::move(reader), late));
  turn();
  EXPECT_EQ(late, "1:1 2:2 end");
  EXPECT_TRUE(tasks_.empty());
}

awaitable<void> wait_for_the_end(Reader& reader, std::string& log) {
  auto const delivery = co_await reader.next();
  log += delivery ? "event" : "end";
}

TEST_F(BusTest, DestroyingAReaderEndsItsNext) {
  std::string log;
  auto reader = std::make_unique<Reader>(bus_->read());
  tasks_.spawn(wait_for_the_end(*reader, log));
  turn();
  reader.reset();
  publish(1, 1);
  turn();
  EXPECT_EQ(log, "end");
}

TEST_F(BusTest, ACancelledReaderGoesAwayQuietly) {
  std::string log;
  tasks_.spawn(read_all(bus_->read(), log));
  turn();
  tasks_.cancel();
  turn();
  EXPECT_TRUE(tasks_.empty());
  publish(1, 1);
  EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace kportal::events
