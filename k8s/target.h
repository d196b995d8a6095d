// SPDX-License-Identifier: MIT
// From a target to a pod and its port: which pods are eligible, which is best, what its port's
// number is. Pure: it sees the objects that the watches brought, and is asked again when they
// change. The rules are section "From target to pod" of the product's contract. Texts name the
// thing and say what to do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/config.h"
#include "k8s/objects.h"

namespace kportal::k8s {

using PodMap = std::map<std::string, Pod, std::less<>>;  // by name; of one namespace

// What a forward remembers of its target from one choice to the next.
struct TargetMemory {
  bool seen_exact =
      false;  // a pod with exactly the target's name was there once; set by choose_pods
  std::vector<std::string> in_use;  // uids of the pods in use, set by the caller
};

struct TargetQuery {
  config::Target target;
  std::string port;  // decimal number or name
  bool allow_unready = false;
  std::string namespace_;  // for messages
};

// Where the API has the workloads of a kind; both empty for pods and services.
struct WorkloadApi {
  std::string_view group;   // "apps", "batch", "" = core; version v1 all of them
  std::string_view plural;  // "deployments"
  // As a role names them: "deployments.apps".
  std::string role_resource() const;
};
WorkloadApi workload_api(config::TargetKind kind);

struct TargetView {
  PodMap const& pods;
  Service const* service = nullptr;    // for kind service; null = there is none of this name
  Workload const* workload = nullptr;  // for deployments and the like; null = there is none
};

struct Choice {
  std::string pod;
  std::string uid;  // empty = not known
  std::uint16_t port = 0;
  std::string message;  // what a person should know of this choice; empty if it is plain
  std::string warning;  // to be said once: the file names a port in a way that should be changed
  bool operator==(Choice const&) const = default;
};

using Choices = std::vector<Choice>;

// All pods that may be used, the best first; never empty. `balance: pin` takes the first, which is
// the pod in use for as long as that is eligible. Pods in use that turned unready are the only
// choice until another is Ready. Errc::not_found, no_ready_pod, no_such_port, unsupported;
// Errc::local for a selector that is none.
Result<Choices> choose_pods(TargetQuery const& query, TargetView const& view, TargetMemory& memory);

// Of a pod in use, as the cluster shows it; null = there is none of its uid any more.
// Nothing new may go there.
bool is_leaving(Pod const* pod);
// Its own sign of trouble: another value after each container restart and change of readiness.
std::uint64_t unrest_of(Pod const* pod);
// False: it is known not to be Ready, and this target asks for Ready pods. By its name: a pod that
// is not known may be.
bool is_vouched_for(TargetQuery const& query, std::string const& name, Pod const* pod);

// The choice where pods can neither be listed nor read: pod/NAME and a port number are taken at
// their word, all else is Errc::forbidden.
Result<Choice> choose_unseen(TargetQuery const& query);

}  // namespace kportal::k8s
