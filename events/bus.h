// SPDX-License-Identifier: MIT
// Bus: where facts become events (a number, a time) and reach everybody in the order of publishing.
// It decides nothing and keeps no history. Two ways to listen: subscribe() for the one who acts on
// events, read() for those who only tell. One loop's thread; subscriptions and readers may outlive
// the bus.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "events/event.h"

namespace kportal {
namespace asio = boost::asio;
using asio::awaitable;
}  // namespace kportal

namespace kportal::events {

// One event is shared by all readers, never copied for each.
using SharedEvent = std::shared_ptr<Event const>;

// What stands in a reader's sequence where events are missing; not an event, without a seq.
struct Dropped {
  std::uint64_t count;
  explicit Dropped(std::uint64_t n) : count(n) {}
};

using Delivery = std::variant<SharedEvent, Dropped>;

struct BusState;
struct ReaderQueue;

// Ends its subscription when destroyed, which is allowed inside a delivery, also its own.
class Subscription {
 public:
  struct Handler;

  Subscription() = default;
  explicit Subscription(std::shared_ptr<Handler> handler) : handler_(std::move(handler)) {}
  Subscription(Subscription&&) noexcept = default;
  Subscription& operator=(Subscription&&) noexcept = default;

 private:
  std::shared_ptr<Handler> handler_;
};

// One reader's end of the bus. Destroying it ends a next() that waits.
class Reader {
 public:
  explicit Reader(std::shared_ptr<ReaderQueue> queue);
  Reader(Reader&&) noexcept = default;
  Reader& operator=(Reader&& other) noexcept;
  ~Reader();

  // The next event, or how many are missing here. Nothing = the bus (or this Reader) is gone and
  // all that was queued has been delivered. One waiter at a time.
  awaitable<std::optional<Delivery>> next();

 private:
  std::shared_ptr<ReaderQueue> queue_;
};

class Bus {
 public:
  using WallClock = std::function<std::chrono::system_clock::time_point()>;

  // What a reader may be behind: a reload of some hundred forwards is a few events for each.
  static constexpr std::size_t kMaxQueued = 1024;

  explicit Bus(asio::any_io_executor executor,
               WallClock wall_clock = &std::chrono::system_clock::now);
  // Events not yet delivered to subscribers are not; readers still get what is queued, then the
  // end.
  ~Bus();
  Bus(Bus const&) = delete;
  Bus& operator=(Bus const&) = delete;

  // Allowed everywhere on the loop's thread, also inside a delivery: nobody is called before it
  // returns.
  void publish(Fact fact);

  // For the one who acts: called with every event published from now on, one per turn of the loop,
  // nothing dropped. That queue has no number as its bound: it is emptied as fast as the loop
  // turns, and each publisher (a worker, the checker, the watcher) tells a handful of facts per
  // turn.
  [[nodiscard]] Subscription subscribe(std::function<void(Event const&)> deliver);

  // For those who tell: the events published from now on, as fast as the reader takes them. When
  // `max_queued` wait, newer ones are dropped and counted; neither publishers nor other readers
  // notice.
  [[nodiscard]] Reader read(std::size_t max_queued = kMaxQueued);

 private:
  std::shared_ptr<BusState> state_;
};

}  // namespace kportal::events
