// SPDX-License-Identifier: MIT
// Subscription: a callback's place in a list of callbacks, which leaves it when destroyed. Either
// may go first, also during a call. All on one loop; calls are direct, so callbacks only take note.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>

namespace kportal::k8s {

// Called with the name of the object that changed, or "" when any may have.
using ChangeCallback = std::function<void(std::string_view name)>;

class Subscription {
 public:
  Subscription() = default;
  Subscription(Subscription&& other) noexcept;
  Subscription& operator=(Subscription&& other) noexcept;
  ~Subscription();

 private:
  friend class Subscribers;
  using List = std::map<std::uint64_t, std::shared_ptr<ChangeCallback>>;
  Subscription(std::weak_ptr<List> list, std::uint64_t id);
  void leave() noexcept;

  std::weak_ptr<List> list_;
  std::uint64_t id_ = 0;
};

class Subscribers {
 public:
  Subscribers();

  [[nodiscard]] Subscription add(ChangeCallback callback);
  // Calls all that are there now and still are when their turn comes.
  void notify(std::string_view name);
  bool empty() const { return list_->empty(); }

 private:
  std::shared_ptr<Subscription::List> list_;
  std::uint64_t next_id_ = 1;
};

}  // namespace kportal::k8s
