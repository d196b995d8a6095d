// SPDX-License-Identifier: MIT
#include "k8s/object_poll.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "k8s/access_review.h"
#include "k8s/cluster.h"
#include "k8s/object_kind.h"

namespace kportal::k8s {

namespace {

constexpr Duration kFirstRetry = std::chrono::milliseconds(500);

bool is_last_word(Errc code) {
  return code == Errc::not_found || code == Errc::forbidden || code == Errc::unauthorized;
}

}  // namespace

template <class Object>
ObjectPoll<Object>::ObjectPoll(Cluster& cluster, ObjectCache<Object>& cache, std::string name_space,
                               std::string name, std::function<void()> changed)
    : cluster_(cluster),
      cache_(cache),
      name_space_(std::move(name_space)),
      name_(std::move(name)),
      changed_(std::move(changed)),
      wakeup_(cluster.executor()),
      cache_changed_(cache.subscribe([this](std::string_view) {
        if (needed() != asking_) wakeup_.set();
      })) {}

template <class Object>
bool ObjectPoll<Object>::needed() const {
  return cache_.error() && cache_.error()->code == Errc::forbidden;
}

template <class Object>
awaitable<void> ObjectPoll<Object>::run() {
  for (;;) {
    asking_ = needed();
    if (!asking_) {
      if (std::exchange(answer_, std::nullopt)) changed_();
      co_await wakeup_.wait();
      continue;
    }
    auto const json = co_await get();
    Duration wait{};
    if (json.has_error()) {
      wait = take(json.error());
    } else {
      wait = take(ObjectKind<Object>::parse(*json));
    }
    changed_();
    bool const woken = co_await wakeup_.wait_until(Clock::now() + wait);
    static_cast<void>(woken);
  }
}

template <class Object>
awaitable<Result<std::string>> ObjectPoll<Object>::get() {
  DialGate::Pass const pass = co_await cluster_.lookups().enter();
  co_return co_await cluster_.rest().get_part(
      fmt::format("/api/v1/namespaces/{}/{}/{}", percent_encode(name_space_),
                  ObjectKind<Object>::kPath, percent_encode(name_)),
      ObjectKind<Object>::kRule, Clock::now() + Cluster::kRequestTimeout);
}

// Returns when to ask again.
template <class Object>
Duration ObjectPoll<Object>::take(Result<Object> answer) {
  if (answer.has_value()) {
    worked_ = true;
    backoff_.reset();
    answer_.emplace(std::move(answer));
    return kInterval;
  }
  Duration wait = kInterval;
  if (worked_) wait = std::clamp<Duration>(backoff_.next(), kFirstRetry, kInterval);
  wait = std::max<Duration>(wait, answer.error().retry_after);
  bool const had = answer_ && answer_->has_value();
  if (had && !is_last_word(answer.error().code)) return wait;
  answer_.emplace(with_rule(answer.error(), "get", ObjectKind<Object>::kPath, name_space_));
  return wait;
}

template class ObjectPoll<Pod>;
template class ObjectPoll<Service>;

}  // namespace kportal::k8s
