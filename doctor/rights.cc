// SPDX-License-Identifier: MIT
#include "doctor/rights.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "k8s/access_review.h"
#include "k8s/target.h"

namespace kportal::doctor {
namespace {

using config::TargetKind;

std::string words(std::vector<Right> const& rights) {
  std::map<std::string, std::vector<std::string>> verbs;  // of each resource
  for (Right const& right : rights) verbs[right.resource].push_back(right.verb);
  std::string text;
  for (auto const& [resource, list] : verbs) {
    if (!text.empty()) text += "; ";
    text += fmt::format("{} {}", fmt::join(list, ", "), resource);
  }
  return text;
}

class Judge {
 public:
  Judge(config::Target const& target, std::vector<Right> const& denied)
      : target_(target), denied_(denied) {}

  // The resources without which the forward cannot work.
  std::vector<std::string> fatal() const {
    std::vector<std::string> out;
    bool const by_name = target_.kind == TargetKind::pod && !target_.name.empty();
    if (lacks("create", "pods/portforward") && lacks("get", "pods/portforward")) {
      out.push_back("pods/portforward");
    }
    if (lacks("list", "pods") && !by_name) out.push_back("pods");
    if (lacks("list", "services") && lacks("get", "services")) out.push_back("services");
    std::string_view const resource = k8s::workload_api(target_.kind).plural;
    if (!resource.empty() && lacks("get", resource)) out.emplace_back(resource);
    return out;
  }

  // With the role to add for them.
  Error failure(std::vector<std::string> const& fatal, std::string text,
                std::string const& name_space) const {
    Error error(Errc::forbidden, std::move(text));
    std::vector<std::string> more;
    for (std::string const& resource : fatal) {
      std::vector<std::string> verbs;
      std::string full = resource;
      for (Right const& right : denied_) {
        if (right.resource != resource) continue;
        verbs.push_back(right.verb);
        if (!right.group.empty()) full = resource + "." + right.group;
      }
      if (resource == fatal.front()) {
        error = k8s::with_rule(std::move(error), fmt::format("{}", fmt::join(verbs, ",")), full,
                               name_space);
      } else {
        more.push_back(fmt::format("{} of {}", fmt::join(verbs, ","), full));
      }
    }
    if (!more.empty()) error.text += fmt::format("; so too {}", fmt::join(more, ", "));
    return error;
  }

  // What becomes of a forward that works all the same.
  std::string consequence() const {
    if (lacks("create", "pods/portforward")) {
      return "without create only API servers before 1.35 let a tunnel through";
    }
    if (lacks("list", "pods") && lacks("get", "pods")) {
      return "the pod cannot be seen, so it is taken at its word";
    }
    if (lacks("list", "pods") || lacks("watch", "pods") || lacks("list", "services") ||
        lacks("watch", "services")) {
      return "without list and watch changes are seen late, by asking again and again";
    }
    if (lacks("get", "pods/portforward")) {
      return "without get on pods/portforward only SPDY works, no WebSocket";
    }
    return "it works without";
  }

 private:
  bool lacks(std::string_view verb, std::string_view resource) const {
    return std::any_of(denied_.begin(), denied_.end(), [&](Right const& right) {
      return right.verb == verb && right.resource == resource;
    });
  }

  config::Target const& target_;
  std::vector<Right> const& denied_;
};

}  // namespace

std::vector<Right> rights_for(TargetKind kind) {
  std::vector<Right> rights{{"get", "", "pods"},
                            {"list", "", "pods"},
                            {"watch", "", "pods"},
                            {"create", "", "pods/portforward"},
                            {"get", "", "pods/portforward"}};
  if (kind == TargetKind::service) {
    for (char const* const verb : {"get", "list", "watch"})
      rights.push_back({verb, "", "services"});
  }
  k8s::WorkloadApi const api = k8s::workload_api(kind);
  if (!api.plural.empty()) {
    rights.push_back({"get", std::string(api.group), std::string(api.plural)});
  }
  return rights;
}

void judge_rights(config::Target const& target, std::string const& name_space,
                  std::vector<Right> const& denied, std::chrono::microseconds took, Hops& hops) {
  if (denied.empty()) {
    return hops.ok(HopName::rights, took, words(rights_for(target.kind)));
  }
  Judge const judge(target, denied);
  std::string missing = fmt::format("may not {} in namespace {}", words(denied), name_space);
  auto const fatal = judge.fatal();
  if (!fatal.empty()) {
    return hops.fail(HopName::rights, took, judge.failure(fatal, std::move(missing), name_space));
  }
  hops.warn(HopName::rights, took, "enough, but not all", missing + ": " + judge.consequence());
}

}  // namespace kportal::doctor
