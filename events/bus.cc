// SPDX-License-Identifier: MIT
#include "events/bus.h"

#include <cassert>
#include <deque>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "base/wakeup.h"

namespace kportal::events {

// Owned by its Subscription and, while it is called, by the delivery.
struct Subscription::Handler {
  std::function<void(Event const&)> deliver;
  std::uint64_t after;  // events up to this one were published before it subscribed
};

// Owned by its Reader and, while next() waits, by that.
struct ReaderQueue {
  ReaderQueue(asio::any_io_executor const& executor, std::size_t max)
      : max_queued(max), wakeup(executor) {}

  void push(SharedEvent const& event);
  void end();

  std::deque<Delivery> queued;  // at most max_queued events, and a Dropped after the last
  std::size_t const max_queued;
  bool ended = false;
  Wakeup wakeup;
};

// Owned by the Bus and, while it delivers, by the delivery.
struct BusState {
  asio::any_io_executor executor;
  Bus::WallClock wall_clock;
  std::uint64_t last_seq = 0;
  std::deque<SharedEvent> pending;  // for handlers; one posted delivery for each
  std::vector<std::weak_ptr<Subscription::Handler>> handlers;
  std::vector<std::weak_ptr<ReaderQueue>> readers;

  void deliver_next();
};

namespace {

template <class T>
void forget_the_gone(std::vector<std::weak_ptr<T>>& listeners) {
  std::erase_if(listeners, [](std::weak_ptr<T> const& listener) { return listener.expired(); });
}

awaitable<std::optional<Delivery>> next_of(std::shared_ptr<ReaderQueue> queue) {
  while (queue->queued.empty() && !queue->ended) {
    co_await queue->wakeup.wait();
  }
  std::optional<Delivery> next;
  if (!queue->queued.empty()) {
    next = std::move(queue->queued.front());
    queue->queued.pop_front();
  }
  co_return next;
}

}  // namespace

void ReaderQueue::push(SharedEvent const& event) {
  if (ended) return;
  if (queued.size() < max_queued) {
    queued.emplace_back(event);
  } else if (auto* const dropped =
                 queued.empty() ? nullptr : std::get_if<Dropped>(&queued.back())) {
    ++dropped->count;
  } else {
    queued.emplace_back(Dropped(1));
  }
  wakeup.set();
}

void ReaderQueue::end() {
  ended = true;
  wakeup.set();
}

void BusState::deliver_next() {
  SharedEvent const event = std::move(pending.front());
  pending.pop_front();
  forget_the_gone(handlers);
  // A delivery may subscribe (which appends), unsubscribe, or destroy the bus (which clears).
  for (std::size_t i = 0; i < handlers.size(); ++i) {
    auto const handler = handlers[i].lock();
    if (handler && handler->after < event->seq) handler->deliver(*event);
  }
}

Reader::Reader(std::shared_ptr<ReaderQueue> queue) : queue_(std::move(queue)) {}

Reader& Reader::operator=(Reader&& other) noexcept {
  if (queue_ && queue_ != other.queue_) queue_->end();
  queue_ = std::move(other.queue_);
  return *this;
}

Reader::~Reader() {
  if (queue_) queue_->end();
}

awaitable<std::optional<Delivery>> Reader::next() {
  assert(queue_ && "moved from");
  return next_of(queue_);
}

Bus::Bus(asio::any_io_executor executor, WallClock wall_clock)
    : state_(std::make_shared<BusState>()) {
  state_->executor = std::move(executor);
  state_->wall_clock = std::move(wall_clock);
}

Bus::~Bus() {
  for (auto const& listener : state_->readers) {
    if (auto const reader = listener.lock()) reader->end();
  }
  state_->handlers.clear();
}

void Bus::publish(Fact fact) {
  auto const event = std::make_shared<Event const>(
      Event{++state_->last_seq, state_->wall_clock(), std::move(fact)});
  for (auto const& listener : state_->readers) {
    if (auto const reader = listener.lock()) reader->push(event);
  }
  if (state_->handlers.empty()) return;
  state_->pending.push_back(event);
  asio::post(state_->executor, [state = std::weak_ptr(state_)] {
    if (auto const alive = state.lock()) alive->deliver_next();
  });
}

Subscription Bus::subscribe(std::function<void(Event const&)> deliver) {
  auto handler = std::make_shared<Subscription::Handler>();
  handler->deliver = std::move(deliver);
  handler->after = state_->last_seq;
  state_->handlers.push_back(handler);
  return Subscription(std::move(handler));
}

Reader Bus::read(std::size_t max_queued) {
  forget_the_gone(state_->readers);
  auto queue = std::make_shared<ReaderQueue>(state_->executor, max_queued);
  state_->readers.push_back(queue);
  return Reader(std::move(queue));
}

}  // namespace kportal::events
