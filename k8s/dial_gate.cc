// SPDX-License-Identifier: MIT
#include "k8s/dial_gate.h"

#include <utility>

namespace kportal::k8s {

DialGate::Pass::Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}

DialGate::Pass::~Pass() {
  if (gate_ != nullptr) gate_->leave();
}

DialGate::DialGate(asio::any_io_executor executor, std::size_t limit)
    : executor_(std::move(executor)), limit_(limit) {}

namespace {

// A place in the queue that is given up when the waiting coroutine is cancelled.
class Place {
 public:
  Place(std::list<Wakeup*>& queue, Wakeup& wakeup)
      : queue_(queue), at_(queue.insert(queue.end(), &wakeup)) {}
  // Whoever gives up may have been told that there is room: the next one looks, too.
  ~Place() {
    queue_.erase(at_);
    if (!queue_.empty()) queue_.front()->set();
  }
  Place(Place const&) = delete;
  Place& operator=(Place const&) = delete;
  bool first() const { return at_ == queue_.begin(); }

 private:
  std::list<Wakeup*>& queue_;
  std::list<Wakeup*>::iterator at_;
};

}  // namespace

awaitable<DialGate::Pass> DialGate::enter() {
  Wakeup wakeup(executor_);
  {
    Place const place(waiting_, wakeup);
    while (inside_ >= limit_ || !place.first()) co_await wakeup.wait();
    ++inside_;
  }
  co_return Pass(*this);
}

void DialGate::leave() {
  --inside_;
  if (!waiting_.empty()) waiting_.front()->set();
}

}  // namespace kportal::k8s
