// SPDX-License-Identifier: MIT
// The API objects, with the fields that forwarding needs and no others: what else an object carries
// is skipped while parsing and never stored. Input is what a server sent: a wrong type, a missing
// name, broken JSON or too much depth is Errc::server, never an exception. A field that is absent
// or null has its default.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "k8s/json_rule.h"
#include "k8s/json_splitter.h"
#include "k8s/selector.h"

namespace kportal::k8s {

// What of a document the parsers below look at, for a JsonSplitter.
extern JsonRule const kPodRule;
extern JsonRule const kPodListRule;
extern JsonRule const kPodEventRule;
extern JsonRule const kServiceRule;
extern JsonRule const kServiceListRule;
extern JsonRule const kServiceEventRule;
extern JsonRule const kWorkloadRule;

enum class Protocol { tcp, udp, other };
enum class PodPhase { pending, running, succeeded, failed, unknown };
std::string_view to_word(PodPhase phase);

struct ContainerPort {
  std::string name;  // may be empty
  std::uint16_t number = 0;
  Protocol protocol = Protocol::tcp;
  bool operator==(ContainerPort const&) const = default;
};

struct Pod {
  std::string namespace_;
  std::string name;
  std::string uid;
  std::string resource_version;
  Labels labels;
  PodPhase phase = PodPhase::unknown;
  bool ready = false;     // condition Ready is True
  bool deleting = false;  // has a deletionTimestamp
  std::string node;
  std::chrono::sys_seconds created{};
  std::vector<ContainerPort> ports;  // of containers, then of init containers
  std::uint64_t restarts = 0;        // of all its containers together
  bool operator==(Pod const&) const = default;
};

struct ServicePort {
  std::string name;  // may be empty
  std::uint16_t port = 0;
  Protocol protocol = Protocol::tcp;
  std::uint16_t target_number = 0;  // 0 with an empty target_name: the same as `port`
  std::string target_name;
  bool operator==(ServicePort const&) const = default;
};

struct Service {
  std::string namespace_;
  std::string name;
  std::string resource_version;
  Labels selector;  // empty = it has none
  std::vector<ServicePort> ports;
  std::string type;        // "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"
  std::string cluster_ip;  // "None" = headless
  std::string external_name;
  bool operator==(Service const&) const = default;
};

// A deployment, stateful set, daemon set, replica set, job or replication controller.
struct Workload {
  std::string namespace_;
  std::string name;
  Selector selector;                     // nothing() if it has none
  std::optional<std::int64_t> replicas;  // wanted
  std::string rest;  // why a job has no pods at work: "has completed"; empty for what may have some
  bool operator==(Workload const&) const = default;
};

// kind Status: how the API server says no.
struct Status {
  int code = 0;
  std::string reason;  // "Forbidden", "Expired", ...
  std::string message;
  std::chrono::seconds retry_after{0};
  bool operator==(Status const&) const = default;
};

// What a page of a list says beside its items.
struct ListHead {
  std::string resource_version;
  std::string continue_token;  // empty = the last page
};

enum class WatchType { added, modified, deleted, bookmark, error };

template <class Object>
struct ObjectEvent {
  WatchType type = WatchType::bookmark;
  Object object;                 // with added, modified, deleted
  std::string resource_version;  // of the object or bookmark; empty with error
  Status status;                 // with error
};
using PodEvent = ObjectEvent<Pod>;
using ServiceEvent = ObjectEvent<Service>;

Result<Pod> parse_pod(std::string_view json);
Result<Service> parse_service(std::string_view json);
Result<Workload> parse_workload(std::string_view json);
Result<Status> parse_status(std::string_view json);
// A list whose items were cut out and parsed by themselves.
Result<ListHead> parse_list_head(std::string_view json);
// One object of a watch: {"type": ..., "object": ...}.
Result<PodEvent> parse_pod_event(std::string_view json);
Result<ServiceEvent> parse_service_event(std::string_view json);

}  // namespace kportal::k8s
