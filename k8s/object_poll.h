// SPDX-License-Identifier: MIT
// ObjectPoll: one object, asked for by its name at intervals, while the user may not list its kind
// (RBAC grants `get` without `list`). As long as listing is allowed it asks nothing. Owned by a
// TargetWatch. Exists for Pod and Service.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/backoff.h"
#include "base/wakeup.h"
#include "k8s/object_cache.h"
#include "k8s/objects.h"

namespace kportal::k8s {

class Cluster;

template <class Object>
class ObjectPoll {
 public:
  // Rights and objects that change are noticed within this. What was there before and is not now
  // (a pod that is made anew, rights that a server has not read yet after its start) is asked for
  // sooner at first, by back-off.
  static constexpr Duration kInterval = std::chrono::seconds(10);

  // `cache` is what may not be listed. `changed` as of TargetWatch. All outlive it.
  ObjectPoll(Cluster& cluster, ObjectCache<Object>& cache, std::string name_space, std::string name,
             std::function<void()> changed);

  // Never returns but by cancellation. Once.
  awaitable<void> run();
  // Asks again now.
  void refresh() { wakeup_.set(); }

  // The object as last read, or why not. Nothing while its kind may be listed, or before the first
  // answer. What was read stays good until the server says otherwise.
  std::optional<Result<Object>> const& answer() const { return answer_; }

 private:
  bool needed() const;
  awaitable<Result<std::string>> get();
  Duration take(Result<Object> answer);

  Cluster& cluster_;
  ObjectCache<Object>& cache_;
  std::string name_space_;
  std::string name_;
  std::function<void()> changed_;
  std::optional<Result<Object>> answer_;
  bool asking_ = false;
  bool worked_ = false;  // it was read once
  Backoff backoff_{1};
  Wakeup wakeup_;
  Subscription cache_changed_;
};

extern template class ObjectPoll<Pod>;
extern template class ObjectPoll<Service>;

}  // namespace kportal::k8s
