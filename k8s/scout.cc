// SPDX-License-Identifier: MIT
#include "k8s/scout.h"

#include <utility>

namespace kportal::k8s {

Scout::Attempt::Attempt(Scout& scout, bool patient)
    : scout_(scout),
      patient_(patient),
      began_(Clock::now()),
      last_sign_(began_),
      changed_(scout.executor_),
      at_(scout.attempts_.insert(scout.attempts_.end(), this)) {}

Scout::Attempt::~Attempt() {
  scout_.attempts_.erase(at_);
}

void Scout::Attempt::heard() {
  answered_ = true;
  last_sign_ = Clock::now();
  scout_.heard(last_sign_);
}

void Scout::Attempt::failed(Error const& error) {
  bool const unreached = error.code == Errc::network || error.code == Errc::timeout;
  if (unreached && !answered_) scout_.doubt(began_);
}

awaitable<void> Scout::Attempt::given_up() {
  for (;;) {
    TimePoint const now = Clock::now();
    bool const hopeless = again_ || scout_.machine_.hopeless(last_sign_, now);
    if (moved_ || (!patient_ && hopeless)) co_return;
    TimePoint due = last_sign_ + ScoutMachine::kBeat;
    if (now >= due) {
      bool const news = !answered_ && !std::exchange(doubted_, true);
      if (news) scout_.doubt(began_);
      if (news) continue;
      due = kNever;
    }
    bool const told = co_await changed_.wait_until(due);
    static_cast<void>(told);
  }
}

Scout::Scout(asio::any_io_executor executor, Owner& owner)
    : executor_(executor), owner_(owner), wake_(executor), tasks_(executor), knocks_(executor) {}

void Scout::heard(TimePoint at) {
  auto const lasted = machine_.heard(at);
  if (!lasted) return;
  wake_all();
  if (*lasted < ScoutMachine::kBlink) return;
  for (Attempt* const attempt : attempts_) {
    attempt->again_ = attempt->again_ || attempt->last_sign_ < at - *lasted;
  }
  owner_.network_is_back();
}

void Scout::doubt(TimePoint since) {
  if (machine_.dark()) return;
  heard(owner_.last_heard());
  machine_.doubt(since, Clock::now());
  if (!machine_.dark()) return;
  wake_all();
  if (!std::exchange(running_, true)) tasks_.spawn(run());
}

void Scout::wake_all() {
  wake_.set();
  for (Waiting* const waiting : waiting_) waiting->wakeup.set();
  for (Attempt* const attempt : attempts_) attempt->changed_.set();
}

awaitable<std::optional<Error>> Scout::alive() {
  if (!machine_.dark()) co_return std::nullopt;
  struct Place {
    Place(std::list<Waiting*>& l, asio::any_io_executor const& executor)
        : waiting(executor), list(l), at(list.insert(list.end(), &waiting)) {}
    ~Place() { list.erase(at); }
    Place(Place const&) = delete;
    Place& operator=(Place const&) = delete;
    Waiting waiting;
    std::list<Waiting*>& list;
    std::list<Waiting*>::iterator at;
  } place(waiting_, executor_);
  while (machine_.dark() && !place.waiting.verdict) {
    co_await place.waiting.wakeup.wait();
  }
  if (!machine_.dark()) co_return std::nullopt;
  co_return place.waiting.verdict;
}

void Scout::network_changed() {
  knocks_.cancel();  // by the old way
  machine_.network_changed(Clock::now());
  for (Attempt* const attempt : attempts_) attempt->moved_ = attempt->moved_ || !attempt->answered_;
  wake_all();
}

awaitable<void> Scout::run() {
  while (machine_.dark()) {
    TimePoint const now = Clock::now();
    if (machine_.knock_due(now)) knocks_.spawn(knock(now));
    bool const told = co_await wake_.wait_until(machine_.deadline());
    static_cast<void>(told);
  }
  running_ = false;
  knocks_.cancel();
}

awaitable<void> Scout::knock(TimePoint began) {
  auto const error = co_await owner_.knock(began + ScoutMachine::kKnockTime);
  TimePoint const now = Clock::now();
  if (!error) {
    heard(now);
    co_return;
  }
  machine_.knock_failed(began, now);
  wake_.set();
  for (Waiting* const waiting : waiting_) {
    waiting->verdict = error;
    waiting->wakeup.set();
  }
}

awaitable<void> Scout::stop() {
  tasks_.cancel();
  knocks_.cancel();
  co_await tasks_.join();
  co_await knocks_.join();
}

}  // namespace kportal::k8s
