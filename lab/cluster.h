// SPDX-License-Identifier: MIT
// Cluster: the objects that the lab's API server shows and the pods that it forwards to, changed by
// the test or the demo; every change has a resourceVersion and is kept for watches. It does by
// itself what controllers do: a workload's deleted pod is replaced. It knows no HTTP. It must
// outlive its ApiServer.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "base/task_group.h"
#include "k8s/selector.h"
#include "lab/change_signal.h"
#include "lab/pod_ports.h"
#include "lab/sandbox.h"

namespace kportal::lab {

using k8s::Labels;

struct ObjectName {
  std::string namespace_;
  std::string name;
  ObjectName(std::string ns, std::string n) : namespace_(std::move(ns)), name(std::move(n)) {}
  auto operator<=>(ObjectName const&) const = default;
};
using PodName = ObjectName;

struct PodSpec {
  std::string namespace_ = "default";
  std::string name;
  Labels labels;
  bool ready = true;
  std::string phase = "Running";  // Pending (scheduled, no sandbox yet), Running, Succeeded, Failed
  std::string reason;             // of the phase, as status.reason: "Evicted"
  std::string node = "lab-node";  // empty: not scheduled
  std::vector<ContainerPort> container_ports = standard_container_ports();
  std::vector<ContainerPort> sidecar_ports;  // of an init container that goes on running
  PodPorts ports = standard_ports();
};

struct ServicePort {
  std::string name;
  std::uint16_t port = 0;
  std::string target;  // a number, a name, or empty for the same number
  std::string protocol = "TCP";
};

struct ServiceSpec {
  std::string namespace_ = "default";
  std::string name;
  Labels selector;  // empty: a Service without selector
  std::vector<ServicePort> ports;
  std::string type = "ClusterIP";
  bool headless = false;  // clusterIP: None
};

// The label that a job's pods are selected by.
inline constexpr char const* kControllerUid = "batch.kubernetes.io/controller-uid";

enum class WorkloadKind {
  deployment,
  stateful_set,
  daemon_set,
  replica_set,
  job,
  replication_controller
};

// How a workload's pods are replaced by those of its next revision, one by one.
enum class Rollout {
  surge,    // a new pod is Ready before an old one is deleted: maxSurge 1, maxUnavailable 0
  in_place  // an old one is deleted before its successor is made: maxSurge 0, maxUnavailable 1
};

// One of a selector's matchExpressions.
struct Expression {
  std::string key;
  std::string op;  // "In", "NotIn", "Exists", "DoesNotExist"
  std::vector<std::string> values;
};

struct WorkloadSpec {
  WorkloadKind kind = WorkloadKind::deployment;
  std::string namespace_ = "default";
  std::string name;
  // The pods' labels and, without expressions, the selector; empty: app=NAME. A job selects by a
  // label of its own.
  Labels labels;
  std::vector<Expression> expressions;
  int replicas = 1;
  Duration ready_after{};  // from a replacement's creation to its readiness; the first pods are
                           // ready at once
  std::vector<ContainerPort> container_ports = standard_container_ports();
  PodPorts ports = standard_ports();
};

// A pod as it is now. A change replaces the whole value, so watches can keep old ones.
struct Pod {
  PodSpec spec;
  std::string uid;
  std::uint64_t version = 0;
  std::chrono::system_clock::time_point created;
  std::optional<std::chrono::system_clock::time_point> deleting;
  std::chrono::system_clock::time_point ready_since;
  int restarts = 0;
  std::optional<std::size_t> owner;  // index of its workload
  int revision = 0;                  // of the workload that it was made from
  std::shared_ptr<Sandbox> sandbox;  // null while Pending
};

struct Service {
  ServiceSpec spec;
  std::string uid;
  std::uint64_t version = 0;
  std::string cluster_ip;
  std::chrono::system_clock::time_point created;
};

struct Workload {
  WorkloadSpec spec;
  std::string uid;
  std::uint64_t version = 0;
  std::chrono::system_clock::time_point created;
  bool removed = false;
  bool completed = false;  // a job
  int revision = 0;        // grows with each rollout
  int surge = 0;           // pods beyond the replicas that a rollout has just now
};

// One entry of the watch history: of a pod or of a service. `before` is null when it was added;
// `after` is never null: of a deleted object it is the last state, with the version of the
// deletion.
template <class Object>
struct Versions {
  std::shared_ptr<Object const> before;
  std::shared_ptr<Object const> after;
};
struct Change {
  std::uint64_t version = 0;
  bool deleted = false;
  Versions<Pod> pod;
  Versions<Service> service;
};

class Cluster {
 public:
  // A pod's programs go on for so long after its deletion began.
  static constexpr Duration kGrace = std::chrono::seconds(1);
  // Changes kept for watches; an older resourceVersion is answered with 410.
  static constexpr std::size_t kMaxHistory = 20'000;
  // Different targets of HTTP requests that are counted; later ones are not.
  static constexpr std::size_t kMaxRequests = 100'000;

  explicit Cluster(asio::any_io_executor executor);
  ~Cluster();  // stop() first
  Cluster(Cluster const&) = delete;
  Cluster& operator=(Cluster const&) = delete;
  // Ends the pods' programs and all delayed changes. Stop the ApiServer first.
  awaitable<void> stop();

  void add_namespace(std::string name);  // "default" is there
  void add_pod(PodSpec spec);
  // Marks the pod as terminating at once; after `grace` its programs and sandbox end and it is
  // gone. Streams to it that are open end then; its tunnels stay open and silent. False: no such
  // pod.
  bool delete_pod(PodName const& name, Duration grace = kGrace);
  bool set_ready(PodName const& name, bool ready);
  bool set_phase(PodName const& name, std::string phase);
  bool set_labels(PodName const& name, Labels labels);
  // As a kubelet short of memory or disk: Failed with the reason Evicted, the containers and the
  // sandbox are gone, the object stays.
  bool evict_pod(PodName const& name);
  // The container ends (open connections too) and is back, Ready, after `downtime`. The sandbox
  // stays.
  bool restart_container(PodName const& name, Duration downtime = {});
  // Changes what listens in a running pod.
  bool listen(PodName const& name, std::uint16_t port, PortBehaviour behaviour);
  bool unlisten(PodName const& name, std::uint16_t port);
  // The next connections to a running pod fail in the runtime with this text; empty: refused.
  bool refuse_next(PodName const& name, int connections, std::string text = {});

  void add_service(ServiceSpec spec);  // or replaces the one of that name
  bool delete_service(ObjectName const& name);
  void add_workload(WorkloadSpec spec);
  void add_deployment(std::string const& namespace_, std::string const& name, int replicas = 1);
  bool scale(ObjectName const& workload, int replicas);
  // Replaces each pod it has now; the next one once the last new one is Ready. Another rollout of
  // it takes over.
  bool roll_out(ObjectName const& workload, Rollout how);
  bool delete_workload(ObjectName const& workload);  // its pods too
  bool complete_job(ObjectName const& job);          // its pods have Succeeded

  // The node answers nobody: dials of its pods fail. Nothing is changed in its pods. (Tunnels that
  // are open fall silent by ApiServer::freeze_tunnels.)
  void lose_node(std::string node) { lost_nodes_.insert(std::move(node)); }
  void find_node(std::string const& node) { lost_nodes_.erase(node); }
  bool has_lost(std::string const& node) const { return lost_nodes_.contains(node); }

  // How many HTTP requests for this target ("/a?b") the pods' servers have read, all together.
  int requests_seen(std::string const& target) const;

  Pod const* find_pod(PodName const& name) const;
  Service const* find_service(ObjectName const& name) const;
  Workload const* find_workload(WorkloadKind kind, ObjectName const& name) const;
  bool has_namespace(std::string const& name) const { return namespaces_.contains(name); }
  std::set<std::string> const& namespaces() const { return namespaces_; }
  std::map<ObjectName, std::shared_ptr<Pod const>> const& pods() const { return pods_; }
  std::map<ObjectName, std::shared_ptr<Service const>> const& services() const { return services_; }
  std::vector<Workload> const& workloads() const { return workloads_; }
  // Pods of a workload that are at work or will be, oldest first: not those that are being deleted,
  // nor those of a workload other than a job that have ended.
  std::vector<PodName> pods_of(ObjectName const& workload) const;

  std::uint64_t version() const { return version_; }
  // Where a watch from `version` begins in the history; nullopt when that is too old.
  std::optional<std::uint64_t> cursor_after(std::uint64_t version) const;
  // Null when that change has not happened yet. Valid until the next change.
  Change const* change_at(std::uint64_t cursor) const;
  // The change was dropped from the history.
  bool is_forgotten(std::uint64_t cursor) const { return cursor < forgotten_; }
  // Forgets the history: watches from before, and continue tokens from before, are answered with
  // 410.
  void compact();
  bool is_compacted(std::uint64_t version) const { return version < compacted_; }

  // Told at every change of an object, of a pod's connections, and by ApiServers of this cluster at
  // every change of theirs: what tests wait on.
  ChangeSignal& changed() { return changed_; }
  // Told at every change of an object only: what watches wait on.
  ChangeSignal& objects_changed() { return objects_changed_; }

 private:
  std::optional<Pod> copy_of(PodName const& name) const;
  void create(PodSpec spec, std::optional<std::size_t> owner);
  void put(Pod pod);
  void remove(PodName const& name);
  template <class Object>
  void record(Versions<Object> Change::*of, Versions<Object> versions, bool deleted);
  std::shared_ptr<Sandbox> make_sandbox(PodSpec const& spec);
  std::optional<std::size_t> index_of(ObjectName const& workload) const;
  std::size_t ready_pods_of(std::size_t workload, int revision) const;
  bool is_going(std::size_t workload) const;
  void reconcile(std::size_t workload);
  awaitable<void> roll(std::size_t workload, Rollout how, std::vector<PodName> old);
  void create_owned(std::size_t workload);
  std::string pod_name_for(Workload const& workload);
  void end_pod_now(PodName const& name, std::string const& uid);
  awaitable<void> end_pod(PodName name, std::string uid, TimePoint when);
  void start_pod(PodName const& name, std::string const& uid);
  awaitable<void> start_pod_at(PodName name, std::string uid, TimePoint when);
  std::string next_uid();

  asio::any_io_executor executor_;
  ChangeSignal changed_;
  ChangeSignal objects_changed_;
  TaskGroup tasks_;
  std::set<std::string> namespaces_{"default"};
  std::map<ObjectName, std::shared_ptr<Pod const>> pods_;
  std::map<ObjectName, std::shared_ptr<Service const>> services_;
  std::set<std::string> lost_nodes_;
  std::map<std::string, int> requests_;
  std::vector<Workload> workloads_;  // never erased, so that an index stays good
  std::deque<Change> history_;
  std::uint64_t forgotten_ = 0;  // dropped from the front, ever
  std::uint64_t version_ = 1000;
  std::uint64_t compacted_ = 0;  // the oldest version a watch may start from
  std::uint64_t names_ = 0;
  std::uint64_t uids_ = 0;
  bool creating_first_ = false;  // a new workload's pods are there at once
};

}  // namespace kportal::lab
