// SPDX-License-Identifier: MIT
#include "k8s/object_cache.h"

#include <utility>

#include <fmt/format.h>

#include "k8s/access_review.h"
#include "k8s/object_kind.h"
#include "k8s/rest_client.h"

namespace kportal::k8s {

namespace {

// The Status of an ERROR event, as the same answer over HTTP would be understood.
Error event_error(Status const& status) {
  bool const gone = status.code == 410 || status.reason == "Expired" || status.reason == "Gone";
  Error error = status_error(gone ? 410 : status.code, {}, status.message);
  error.retry_after = std::min(status.retry_after, std::chrono::seconds(60));
  return error;
}

}  // namespace

template <class Object>
ObjectCache<Object>::ObjectCache(asio::any_io_executor executor, RestClient& client,
                                 std::string const& name_space, std::string selector,
                                 ReflectorOptions options)
    : name_space_(name_space),
      reflector_(std::move(executor), client, *this,
                 Collection(fmt::format("/api/v1/namespaces/{}/{}", percent_encode(name_space),
                                        ObjectKind<Object>::kPath),
                            std::move(selector), ObjectKind<Object>::kListRule,
                            ObjectKind<Object>::kEventRule),
                 options) {}

template <class Object>
ObjectCache<Object>::~ObjectCache() = default;

template <class Object>
awaitable<void> ObjectCache<Object>::run() {
  return reflector_.run();
}

template <class Object>
void ObjectCache<Object>::refresh() {
  reflector_.refresh();
}

template <class Object>
void ObjectCache<Object>::hurry() {
  reflector_.hurry();
}

template <class Object>
Subscription ObjectCache<Object>::subscribe(ChangeCallback callback) {
  return subscribers_.add(std::move(callback));
}

template <class Object>
typename ObjectCache<Object>::Objects const& ObjectCache<Object>::objects() const {
  return objects_;
}

template <class Object>
Object const* ObjectCache<Object>::find(std::string_view name) const {
  auto const found = objects_.find(name);
  return found == objects_.end() ? nullptr : &found->second;
}

template <class Object>
void ObjectCache<Object>::on_list() {
  listing_.clear();
  listed_ = 0;
}

// Items are counted, not names: a list may repeat one for ever.
template <class Object>
std::optional<Error> ObjectCache<Object>::on_item(std::string_view json) {
  if (++listed_ > kMaxObjects) return too_many();
  auto item = ObjectKind<Object>::parse(json);
  if (!item) return item.error();
  std::string name = item->name;
  listing_.insert_or_assign(std::move(name), std::move(*item));
  return std::nullopt;
}

template <class Object>
Result<ListPage> ObjectCache<Object>::on_page(std::string_view json) {
  auto head = parse_list_head(json);
  if (!head) return head.error();
  ListPage page;
  page.resource_version = std::move(head->resource_version);
  page.continue_token = std::move(head->continue_token);
  return page;
}

template <class Object>
void ObjectCache<Object>::on_synced() {
  objects_ = std::exchange(listing_, Objects());
  synced_ = true;
  subscribers_.notify("");
}

template <class Object>
WatchEvent ObjectCache<Object>::on_event(std::string_view json) {
  WatchEvent result;
  auto event = ObjectKind<Object>::parse_event(json);
  if (!event) {
    result.error = event.error();
    return result;
  }
  if (event->type == WatchType::error) {
    result.error = event_error(event->status);
    return result;
  }
  if (event->resource_version.empty()) {
    result.error = Error(Errc::protocol, "a watch event without a resourceVersion");
    return result;
  }
  result.resource_version = std::move(event->resource_version);
  if (event->type == WatchType::bookmark) return result;
  if (!apply(event->type == WatchType::deleted, std::move(event->object))) {
    result.error = too_many();
  }
  return result;
}

template <class Object>
bool ObjectCache<Object>::apply(bool deleted, Object object) {
  std::string const name = object.name;
  auto const found = objects_.find(name);
  if (deleted) {
    if (found == objects_.end()) return true;
    objects_.erase(found);
  } else if (found == objects_.end()) {
    if (objects_.size() >= kMaxObjects) return false;
    objects_.emplace(name, std::move(object));
  } else {
    found->second = std::move(object);
  }
  subscribers_.notify(name);
  return true;
}

template <class Object>
Error ObjectCache<Object>::too_many() {
  return {Errc::limit,
          fmt::format("more than {} {} in one namespace", kMaxObjects, ObjectKind<Object>::kPath)};
}

template <class Object>
void ObjectCache<Object>::on_error(Error const& error) {
  Error told = with_rule(error, "get,list,watch", ObjectKind<Object>::kPath, name_space_);
  if (error_ == told) return;
  error_ = std::move(told);
  subscribers_.notify("");
}

template <class Object>
void ObjectCache<Object>::on_healthy() {
  if (!error_) return;
  error_.reset();
  subscribers_.notify("");
}

template class ObjectCache<Pod>;
template class ObjectCache<Service>;

}  // namespace kportal::k8s
