// SPDX-License-Identifier: MIT
// The REST side of the lab's API server: which object a path names, and the JSON that answers:
// objects, lists, watch events, discovery and Status. Pure: a Cluster in, text out. JSON is in the
// .cc only; HTTP, rights and waiting are in lab/api_server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "k8s/selector.h"
#include "lab/access.h"
#include "lab/cluster.h"

namespace kportal::lab {

// The decoded pairs of a query, in order.
class Query {
 public:
  // `text` is what follows the question mark.
  static Query parse(std::string_view text);
  // The first value of that name, else "".
  std::string_view get(std::string_view name) const;
  bool is_true(std::string_view name) const;  // "1" or "true"

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// What a path names: /api/v1/namespaces/NS/pods/NAME/portforward and the like.
struct ResourcePath {
  std::string group;  // "" = core
  std::string version;
  std::string resource;
  std::string namespace_;  // empty: all namespaces, or a resource without
  std::string name;        // empty: the collection
  std::string subresource;

  std::string resource_and_subresource() const;
};
// Nothing for what is no resource: /version, discovery, an unknown path.
std::optional<ResourcePath> parse_resource_path(std::string_view path);

struct RestAnswer {
  int code = 200;
  std::string body;
  std::string content_type = "application/json";
  RestAnswer(int c, std::string b) : code(c), body(std::move(b)) {}
};

// A failure as a Status object. The reason word follows from the code. `message` empty: the usual
// one.
std::string status_json(int code, std::string_view message, int retry_after = 0);
RestAnswer status_answer(int code, std::string_view message);
RestAnswer not_found(ResourcePath const& path);

// /version, /api, /apis, /apis/GROUP, /api/v1, /apis/GROUP/VERSION; a 404 Status for other paths.
RestAnswer answer_discovery(std::string_view path);
RestAnswer answer_get(Cluster const& cluster, ResourcePath const& path);
// With limit and continue, labelSelector, fieldSelector.
RestAnswer answer_list(Cluster const& cluster, ResourcePath const& path, Query const& query);
// SelfSubjectAccessReview: may `user` do what `body` asks?
RestAnswer answer_access_review(Access const& access, User const& user, std::string_view body);
// SelfSubjectReview: who is asking?
RestAnswer answer_self_review(User const& user);

// Which changes one watch shows. An object that stops matching is shown as deleted, as the real one
// does.
class WatchFilter {
 public:
  // Fails with the RestAnswer's text for a resource that cannot be watched or a bad selector.
  static Result<WatchFilter> make(ResourcePath const& path, Query const& query);

  // One event as a line of JSON; nothing if the change is not of this watch.
  std::optional<std::string> event(Change const& change) const;
  // ADDED for each object that exists now: what a watch without resourceVersion begins with.
  std::vector<std::string> initial_events(Cluster const& cluster) const;
  std::string bookmark(std::uint64_t version, bool initial_events_end) const;

 private:
  bool matches(Pod const& pod) const;
  bool matches(Service const& service) const;
  bool matches(std::string const& ns, std::string const& name, Labels const& labels) const;
  template <class Object>
  std::optional<std::string> event(Versions<Object> const& versions, bool deleted) const;

  bool pods_ = true;  // else services
  std::string namespace_;
  std::string name_;  // fieldSelector metadata.name; empty: all
  k8s::Selector selector_;
};
// The ERROR event with a Status 410 in it.
std::string expired_event(std::uint64_t wanted, std::uint64_t oldest);
// A field selector's metadata.name; empty = any. Errc::server for a field that is not supported.
Result<std::string> parse_field_selector(std::string_view text);

}  // namespace kportal::lab
