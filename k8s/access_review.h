// SPDX-License-Identifier: MIT
// Rights: whether the API server would allow something (SelfSubjectAccessReview, which everybody
// may ask for by the default role system:basic-user), and the rule that is missing where it refused
// something. It keeps nothing.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/wakeup.h"

namespace kportal::k8s {

class RestClient;

// One thing that somebody wants to do.
struct Deed {
  std::string verb;         // "get", "list", "create", ...
  std::string group;        // "" = core, "apps"
  std::string resource;     // "pods"
  std::string subresource;  // "portforward", or ""
  std::string name_space;   // "" = in all of them
  std::string name;         // "" = any

  Deed(std::string v, std::string g, std::string r, std::string sub, std::string ns,
       std::string n = {})
      : verb(std::move(v)),
        group(std::move(g)),
        resource(std::move(r)),
        subresource(std::move(sub)),
        name_space(std::move(ns)),
        name(std::move(n)) {}
};

// Errors as of RestClient::post; Errc::server for an answer that is none.
awaitable<Result<bool>> may(RestClient& client, Deed deed, TimePoint deadline);

// The body of that request, and what the answer to it says.
std::string access_review_json(Deed const& deed);
Result<bool> parse_access_review(std::string_view json);

// What to add to a refusal: the rule that is missing, as a command in one line. `verbs`
// "get,create", `resource` "pods/portforward" or "deployments.apps".
std::string missing_rule(std::string_view verbs, std::string_view resource,
                         std::string_view name_space);
// A refusal with that; every other error as it is.
Error with_rule(Error error, std::string_view verbs, std::string_view resource,
                std::string_view name_space);

}  // namespace kportal::k8s
