// SPDX-License-Identifier: MIT
#include "base/turns.h"

#include <list>
#include <memory>
#include <utility>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/wakeup.h"

namespace kportal {
namespace {

// One of each loop, which owns it.
class Turns final : public asio::execution_context::service {
 public:
  using Queue = std::list<std::function<void()>>;
  static inline asio::execution_context::id id;

  explicit Turns(asio::execution_context& loop) : service(loop) {}

  // False: a step was done in this turn already. True: the caller's is the step of this turn.
  bool begin(asio::any_io_executor const& executor) {
    if (std::exchange(turning_, true)) return false;
    asio::post(executor, [this, executor] { turn(executor); });
    return true;
  }
  Queue& queue() { return queue_; }

 private:
  void shutdown() noexcept override { queue_.clear(); }
  void turn(asio::any_io_executor const& executor) {
    turning_ = false;
    if (queue_.empty()) return;
    begin(executor);
    auto const step = std::move(queue_.front());
    queue_.pop_front();
    step();
  }

  Queue queue_;
  bool turning_ = false;
};

Turns& turns_of(asio::any_io_executor const& executor) {
  return asio::use_service<Turns>(executor.context());
}

// What wakes a coroutine; it may have been cancelled meanwhile.
class Waiting {
 public:
  explicit Waiting(asio::any_io_executor const& executor)
      : wakeup_(std::make_shared<Wakeup>(executor)) {
    turns_of(executor).queue().emplace_back([weak = std::weak_ptr<Wakeup>(wakeup_)] {
      if (auto const wakeup = weak.lock()) wakeup->set();
    });
  }
  Wakeup& wakeup() { return *wakeup_; }

 private:
  std::shared_ptr<Wakeup> wakeup_;
};

}  // namespace

awaitable<void> own_turn() {
  auto const executor = co_await asio::this_coro::executor;
  if (turns_of(executor).begin(executor)) co_return;
  Waiting waiting(executor);
  co_await waiting.wakeup().wait();
}

void in_turn(asio::any_io_executor const& executor, std::function<void()> step) {
  Turns& turns = turns_of(executor);
  if (turns.begin(executor)) return step();
  turns.queue().push_back(std::move(step));
}

}  // namespace kportal
