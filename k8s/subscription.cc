// SPDX-License-Identifier: MIT
#include "k8s/subscription.h"

#include <utility>
#include <vector>

namespace kportal::k8s {

Subscription::Subscription(std::weak_ptr<List> list, std::uint64_t id)
    : list_(std::move(list)), id_(id) {}

Subscription::Subscription(Subscription&& other) noexcept
    : list_(std::move(other.list_)), id_(other.id_) {}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this == &other) return *this;
  leave();
  list_ = std::move(other.list_);
  id_ = other.id_;
  return *this;
}

Subscription::~Subscription() {
  leave();
}

void Subscription::leave() noexcept {
  if (auto const list = list_.lock()) list->erase(id_);
  list_.reset();
}

Subscribers::Subscribers() : list_(std::make_shared<Subscription::List>()) {}

Subscription Subscribers::add(ChangeCallback callback) {
  auto const id = next_id_++;
  list_->emplace(id, std::make_shared<ChangeCallback>(std::move(callback)));
  return {list_, id};
}

void Subscribers::notify(std::string_view name) {
  // Ids only grow: whoever joins during the calls comes after `last`.
  auto const last = next_id_;
  for (auto at = list_->begin(); at != list_->end() && at->first < last;) {
    auto const id = at->first;
    auto const callback = at->second;  // it may leave while it runs
    (*callback)(name);
    at = list_->upper_bound(id);
  }
}

}  // namespace kportal::k8s
