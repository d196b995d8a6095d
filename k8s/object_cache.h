// SPDX-License-Identifier: MIT
// ObjectCache: all objects of one kind in one namespace by name, kept true by a Reflector, with
// callbacks on change. Shared by all forwards there; owned by the cluster. Exists for Pod and
// Service. Include k8s/objects.h to look at the objects.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "k8s/reflector.h"
#include "k8s/subscription.h"

namespace kportal::k8s {

struct Pod;
struct Service;

template <class Object>
class ObjectCache : private ReflectorSink {
 public:
  using Objects = std::map<std::string, Object, std::less<>>;

  // A namespace beyond this many is an error, Errc::limit, rather than all of the memory.
  static constexpr std::size_t kMaxObjects = 100'000;

  // `selector`: a label selector, or "" for all of the namespace. `client` outlives the cache.
  ObjectCache(asio::any_io_executor executor, RestClient& client, std::string const& name_space,
              std::string selector, ReflectorOptions options);
  ~ObjectCache() override;

  // Never returns but by cancellation. Once.
  awaitable<void> run();
  // LIST again now, when what is here is in doubt.
  void refresh();
  // The server may answer again: ends the wait after a failure.
  void hurry();

  // The callback comes after the change, from run(), also when only synced() or error() changed. It
  // must not destroy the cache.
  [[nodiscard]] Subscription subscribe(ChangeCallback callback);

  // Whether anybody is subscribed.
  bool used() const { return !subscribers_.empty(); }

  // A reference is good until the next turn of the loop.
  Objects const& objects() const;
  Object const* find(std::string_view name) const;
  // A whole list has been here; from then on objects() is at worst old.
  bool synced() const { return synced_; }
  // Why objects() may be old or missing; nothing while the watch works.
  std::optional<Error> const& error() const { return error_; }

 private:
  void on_list() override;
  std::optional<Error> on_item(std::string_view json) override;
  Result<ListPage> on_page(std::string_view json) override;
  void on_synced() override;
  WatchEvent on_event(std::string_view json) override;
  void on_error(Error const& error) override;
  void on_healthy() override;
  bool apply(bool deleted, Object object);
  static Error too_many();

  std::string name_space_;
  Objects objects_;
  Objects listing_;  // the pages of a list that is not complete yet
  std::size_t listed_ = 0;
  bool synced_ = false;
  std::optional<Error> error_;
  Subscribers subscribers_;
  Reflector reflector_;
};

extern template class ObjectCache<Pod>;
extern template class ObjectCache<Service>;

using PodCache = ObjectCache<Pod>;
using ServiceCache = ObjectCache<Service>;

}  // namespace kportal::k8s
