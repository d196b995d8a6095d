// SPDX-License-Identifier: MIT
#include "lab/cluster.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/wakeup.h"

namespace kportal::lab {
namespace {

using std::chrono::system_clock;

// What Kubernetes makes random name endings of: no vowels, nothing that looks like another.
constexpr std::string_view kNameLetters = "bcdfghjklmnpqrstvwxz2456789";

std::string letters(std::uint64_t seed, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    text.push_back(kNameLetters[(seed >> 33U) % kNameLetters.size()]);
  }
  return text;
}

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 1469598103934665603U;
  for (char const c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

ObjectName name_of(PodSpec const& spec) {
  return {spec.namespace_, spec.name};
}

}  // namespace

Cluster::Cluster(asio::any_io_executor executor)
    : executor_(executor), changed_(executor), objects_changed_(executor), tasks_(executor) {}

Cluster::~Cluster() = default;

awaitable<void> Cluster::stop() {
  tasks_.cancel();
  co_await tasks_.join();
}

std::string Cluster::next_uid() {
  return fmt::format("5a7b0000-0000-4000-8000-{:012x}", ++uids_);
}

template <class Object>
void Cluster::record(Versions<Object> Change::*of, Versions<Object> versions, bool deleted) {
  if (history_.size() == kMaxHistory) {
    compacted_ = history_.front().version;
    history_.pop_front();
    ++forgotten_;
  }
  Change change;
  change.version = version_;
  change.deleted = deleted;
  change.*of = std::move(versions);
  history_.push_back(std::move(change));
  objects_changed_.notify();
  changed_.notify();
}

void Cluster::compact() {
  forgotten_ += history_.size();
  history_.clear();
  compacted_ = version_;
  objects_changed_.notify();
  changed_.notify();
}

std::optional<std::uint64_t> Cluster::cursor_after(std::uint64_t version) const {
  if (is_compacted(version)) return std::nullopt;
  auto const at =
      std::upper_bound(history_.begin(), history_.end(), version,
                       [](std::uint64_t v, Change const& change) { return v < change.version; });
  return forgotten_ + static_cast<std::uint64_t>(at - history_.begin());
}

Change const* Cluster::change_at(std::uint64_t cursor) const {
  if (is_forgotten(cursor)) return nullptr;
  auto const index = static_cast<std::size_t>(cursor - forgotten_);
  return index < history_.size() ? &history_[index] : nullptr;
}

void Cluster::add_namespace(std::string name) {
  namespaces_.insert(std::move(name));
}

// Pods

void Cluster::put(Pod pod) {
  pod.version = ++version_;
  auto& place = pods_[name_of(pod.spec)];
  auto before = std::exchange(place, std::make_shared<Pod const>(std::move(pod)));
  record(&Change::pod, Versions<Pod>{std::move(before), place}, false);
}

void Cluster::remove(PodName const& name) {
  auto const at = pods_.find(name);
  if (at == pods_.end()) return;
  auto before = std::move(at->second);
  pods_.erase(at);
  auto last = std::make_shared<Pod>(*before);
  last->version = ++version_;
  record(&Change::pod, Versions<Pod>{std::move(before), std::move(last)}, true);
}

std::optional<Pod> Cluster::copy_of(PodName const& name) const {
  auto const at = pods_.find(name);
  if (at == pods_.end()) return std::nullopt;
  return *at->second;
}

std::shared_ptr<Sandbox> Cluster::make_sandbox(PodSpec const& spec) {
  auto program = std::make_shared<PodProgram>();
  program->pod = spec.name;
  program->node = spec.node;
  program->set_ready = [this, name = name_of(spec)](bool ready) { set_ready(name, ready); };
  program->exit = [this, name = name_of(spec)](int) { restart_container(name); };
  program->saw = [this](std::string const& target) {
    if (requests_.size() < kMaxRequests || requests_.contains(target)) ++requests_[target];
  };
  auto const seed = hash_of(spec.namespace_ + "/" + spec.name) + ++uids_;
  auto const id = fmt::format("{:016x}{:016x}{:016x}{:016x}", seed, hash_of(spec.name), seed * 31U,
                              seed * 1009U);
  return std::make_shared<Sandbox>(executor_, tasks_, changed_, id, std::move(program), spec.ports);
}

void Cluster::add_pod(PodSpec spec) {
  create(std::move(spec), std::nullopt);
}

void Cluster::create(PodSpec spec, std::optional<std::size_t> owner) {
  namespaces_.insert(spec.namespace_);
  Pod pod;
  pod.uid = next_uid();
  pod.created = system_clock::now();
  pod.ready_since = pod.created;
  pod.owner = owner;
  if (owner) pod.revision = workloads_[*owner].revision;
  if (spec.phase == "Running") pod.sandbox = make_sandbox(spec);
  if (spec.phase != "Running") spec.ready = false;
  pod.spec = std::move(spec);
  put(std::move(pod));
}

bool Cluster::delete_pod(PodName const& name, Duration grace) {
  auto pod = copy_of(name);
  if (!pod) return false;
  auto const uid = pod->uid;
  auto const owner = pod->owner;
  if (!pod->deleting) {
    pod->deleting = system_clock::now() + std::chrono::ceil<std::chrono::seconds>(grace);
    put(std::move(*pod));
    if (owner) reconcile(*owner);
  }
  if (grace <= Duration::zero()) {
    end_pod_now(name, uid);
  } else {
    tasks_.spawn(end_pod(name, uid, Clock::now() + grace));
  }
  return true;
}

void Cluster::end_pod_now(PodName const& name, std::string const& uid) {
  auto pod = copy_of(name);
  if (!pod || pod->uid != uid) return;
  if (pod->sandbox) pod->sandbox->close();
  auto const owner = pod->owner;
  if (pod->spec.ready) {
    pod->spec.ready = false;
    put(std::move(*pod));
  }
  remove(name);
  if (owner) reconcile(*owner);  // a name that is free again
}

awaitable<void> Cluster::end_pod(PodName name, std::string uid, TimePoint when) {
  co_await sleep_until(when);
  end_pod_now(name, uid);
}

bool Cluster::set_ready(PodName const& name, bool ready) {
  auto pod = copy_of(name);
  if (!pod) return false;
  if (pod->sandbox) pod->sandbox->program().ready = ready;
  if (pod->spec.ready == ready) return true;
  pod->spec.ready = ready;
  pod->ready_since = system_clock::now();
  put(std::move(*pod));
  return true;
}

bool Cluster::set_phase(PodName const& name, std::string phase) {
  auto pod = copy_of(name);
  if (!pod) return false;
  if (phase == "Running" && !pod->sandbox) pod->sandbox = make_sandbox(pod->spec);
  if (phase != "Running") pod->spec.ready = false;
  if ((phase == "Succeeded" || phase == "Failed") && pod->sandbox) pod->sandbox->close();
  pod->spec.phase = std::move(phase);
  auto const owner = pod->owner;
  put(std::move(*pod));
  if (owner) reconcile(*owner);
  return true;
}

bool Cluster::evict_pod(PodName const& name) {
  auto pod = copy_of(name);
  if (!pod || pod->deleting) return false;
  pod->spec.reason = "Evicted";
  put(std::move(*pod));
  return set_phase(name, "Failed");
}

bool Cluster::set_labels(PodName const& name, Labels labels) {
  auto pod = copy_of(name);
  if (!pod) return false;
  pod->spec.labels = std::move(labels);
  put(std::move(*pod));
  return true;
}

bool Cluster::restart_container(PodName const& name, Duration downtime) {
  auto pod = copy_of(name);
  if (!pod || !pod->sandbox) return false;
  auto const uid = pod->uid;
  pod->sandbox->stop();
  ++pod->restarts;
  pod->spec.ready = false;
  put(std::move(*pod));
  if (downtime <= Duration::zero()) {
    start_pod(name, uid);
  } else {
    tasks_.spawn(start_pod_at(name, uid, Clock::now() + downtime));
  }
  return true;
}

// The container runs and is Ready; before that a Pending pod becomes Running, which is seen too.
void Cluster::start_pod(PodName const& name, std::string const& uid) {
  auto pod = copy_of(name);
  if (!pod || pod->uid != uid || pod->deleting) return;
  if (!pod->sandbox) {
    pod->sandbox = make_sandbox(pod->spec);
    pod->spec.phase = "Running";
    put(*pod);
  }
  pod->sandbox->start();
  set_ready(name, true);
}

awaitable<void> Cluster::start_pod_at(PodName name, std::string uid, TimePoint when) {
  co_await sleep_until(when);
  start_pod(name, uid);
}

bool Cluster::listen(PodName const& name, std::uint16_t port, PortBehaviour behaviour) {
  auto const* const pod = find_pod(name);
  if (pod == nullptr || !pod->sandbox) return false;
  pod->sandbox->listen(port, behaviour);
  return true;
}

bool Cluster::unlisten(PodName const& name, std::uint16_t port) {
  auto const* const pod = find_pod(name);
  if (pod == nullptr || !pod->sandbox) return false;
  pod->sandbox->unlisten(port);
  return true;
}

bool Cluster::refuse_next(PodName const& name, int connections, std::string text) {
  auto const* const pod = find_pod(name);
  if (pod == nullptr || !pod->sandbox) return false;
  pod->sandbox->refuse_next(connections, std::move(text));
  return true;
}

// Services

void Cluster::add_service(ServiceSpec spec) {
  namespaces_.insert(spec.namespace_);
  ObjectName const name(spec.namespace_, spec.name);
  auto const at = services_.find(name);
  auto const known = at != services_.end();
  Service service = known ? *at->second : Service();
  if (!known) {
    service.uid = next_uid();
    service.created = system_clock::now();
    service.cluster_ip =
        fmt::format("10.96.{}.{}", services_.size() / 250, services_.size() % 250 + 1);
  }
  service.spec = std::move(spec);
  service.version = ++version_;
  auto& place = services_[name];
  auto before = std::exchange(place, std::make_shared<Service const>(std::move(service)));
  record(&Change::service, Versions<Service>{std::move(before), place}, false);
}

bool Cluster::delete_service(ObjectName const& name) {
  auto const at = services_.find(name);
  if (at == services_.end()) return false;
  auto before = std::move(at->second);
  services_.erase(at);
  auto last = std::make_shared<Service>(*before);
  last->version = ++version_;
  record(&Change::service, Versions<Service>{std::move(before), std::move(last)}, true);
  return true;
}

// Workloads

void Cluster::add_deployment(std::string const& namespace_, std::string const& name, int replicas) {
  WorkloadSpec spec;
  spec.namespace_ = namespace_;
  spec.name = name;
  spec.replicas = replicas;
  add_workload(std::move(spec));
}

void Cluster::add_workload(WorkloadSpec spec) {
  namespaces_.insert(spec.namespace_);
  if (spec.labels.empty()) spec.labels = {{"app", spec.name}};
  Workload workload;
  workload.uid = next_uid();
  workload.version = ++version_;
  workload.created = system_clock::now();
  if (spec.kind == WorkloadKind::job) spec.labels[kControllerUid] = workload.uid;
  auto const ready_after = std::exchange(spec.ready_after, Duration::zero());
  workload.spec = std::move(spec);
  workloads_.push_back(std::move(workload));
  auto const index = workloads_.size() - 1;
  creating_first_ = true;
  reconcile(index);
  creating_first_ = false;
  workloads_[index].spec.ready_after = ready_after;
}

bool Cluster::scale(ObjectName const& name, int replicas) {
  auto const index = index_of(name);
  if (!index) return false;
  workloads_[*index].spec.replicas = replicas;
  workloads_[*index].version = ++version_;
  reconcile(*index);
  return true;
}

bool Cluster::roll_out(ObjectName const& name, Rollout how) {
  auto const index = index_of(name);
  if (!index) return false;
  ++workloads_[*index].revision;
  workloads_[*index].version = ++version_;
  tasks_.spawn(roll(*index, how, pods_of(name)));
  return true;
}

awaitable<void> Cluster::roll(std::size_t index, Rollout how, std::vector<PodName> old) {
  auto const revision = workloads_[index].revision;
  std::size_t made = 0;
  std::function<bool()> const next_is_ready = [&] {
    return workloads_[index].revision != revision || ready_pods_of(index, revision) >= made;
  };
  for (auto const& name : old) {
    ++made;
    if (how == Rollout::in_place) {
      delete_pod(name);
    } else {
      workloads_[index].surge = 1;
      reconcile(index);
    }
    co_await changed_.wait_for(next_is_ready, kNever);
    if (workloads_[index].revision != revision) co_return;
    if (how == Rollout::in_place) continue;
    workloads_[index].surge = 0;
    delete_pod(name);
  }
}

std::size_t Cluster::ready_pods_of(std::size_t index, int revision) const {
  return static_cast<std::size_t>(std::ranges::count_if(pods_, [&](auto const& entry) {
    Pod const& pod = *entry.second;
    return pod.owner == index && pod.revision == revision && pod.spec.ready && !pod.deleting;
  }));
}

bool Cluster::delete_workload(ObjectName const& name) {
  auto const index = index_of(name);
  if (!index) return false;
  workloads_[*index].removed = true;
  workloads_[*index].spec.replicas = 0;
  reconcile(*index);
  return true;
}

bool Cluster::complete_job(ObjectName const& name) {
  auto const index = index_of(name);
  if (!index) return false;
  for (auto const& pod : pods_of(name)) set_phase(pod, "Succeeded");
  workloads_[*index].completed = true;
  workloads_[*index].version = ++version_;
  return true;
}

std::optional<std::size_t> Cluster::index_of(ObjectName const& name) const {
  for (std::size_t i = 0; i < workloads_.size(); ++i) {
    auto const& spec = workloads_[i].spec;
    if (!workloads_[i].removed && spec.namespace_ == name.namespace_ && spec.name == name.name) {
      return i;
    }
  }
  return std::nullopt;
}

std::string Cluster::pod_name_for(Workload const& workload) {
  auto const& spec = workload.spec;
  auto const revision = static_cast<std::uint64_t>(workload.revision);
  switch (spec.kind) {
    case WorkloadKind::stateful_set:
      for (int i = 0;; ++i) {
        auto name = fmt::format("{}-{}", spec.name, i);
        if (!pods_.contains(ObjectName(spec.namespace_, name))) return name;
      }
    case WorkloadKind::deployment:
      return fmt::format("{}-{}-{}", spec.name, letters(hash_of(spec.name) + revision, 10),
                         letters(++names_ + hash_of(spec.namespace_), 5));
    default:
      return fmt::format("{}-{}", spec.name, letters(++names_ + hash_of(spec.namespace_), 5));
  }
}

// As the controllers do: a pod that is being deleted does not count; but in a StatefulSet its name
// is taken until it is gone.
void Cluster::reconcile(std::size_t index) {
  auto const spec = workloads_[index].spec;
  auto const wanted = spec.replicas + workloads_[index].surge;
  auto alive = pods_of(ObjectName(spec.namespace_, spec.name));
  for (auto n = static_cast<int>(alive.size()); n > wanted; --n) {
    delete_pod(alive.back());
    alive.pop_back();
  }
  if (spec.kind == WorkloadKind::stateful_set && is_going(index)) return;
  for (auto n = static_cast<int>(alive.size()); n < wanted; ++n) create_owned(index);
}

bool Cluster::is_going(std::size_t index) const {
  return std::ranges::any_of(pods_, [&](auto const& entry) {
    return entry.second->owner == index && entry.second->deleting;
  });
}

void Cluster::create_owned(std::size_t index) {
  auto const& workload = workloads_[index];
  PodSpec pod;
  pod.namespace_ = workload.spec.namespace_;
  pod.name = pod_name_for(workload);
  pod.labels = workload.spec.labels;
  pod.container_ports = workload.spec.container_ports;
  pod.ports = workload.spec.ports;
  if (!creating_first_) pod.phase = "Pending";
  auto const ready_at = Clock::now() + workload.spec.ready_after;
  PodName const name(pod.namespace_, pod.name);
  create(std::move(pod), index);
  if (!creating_first_) tasks_.spawn(start_pod_at(name, find_pod(name)->uid, ready_at));
}

// Looking up

Pod const* Cluster::find_pod(PodName const& name) const {
  auto const at = pods_.find(name);
  return at == pods_.end() ? nullptr : at->second.get();
}

int Cluster::requests_seen(std::string const& target) const {
  auto const at = requests_.find(target);
  return at == requests_.end() ? 0 : at->second;
}

Service const* Cluster::find_service(ObjectName const& name) const {
  auto const at = services_.find(name);
  return at == services_.end() ? nullptr : at->second.get();
}

Workload const* Cluster::find_workload(WorkloadKind kind, ObjectName const& name) const {
  for (auto const& each : workloads_) {
    if (!each.removed && each.spec.kind == kind && each.spec.namespace_ == name.namespace_ &&
        each.spec.name == name.name) {
      return &each;
    }
  }
  return nullptr;
}

std::vector<PodName> Cluster::pods_of(ObjectName const& workload) const {
  std::vector<Pod const*> found;
  for (auto const& [name, pod] : pods_) {
    if (!pod->owner || pod->deleting) continue;
    auto const& spec = workloads_[*pod->owner].spec;
    auto const& phase = pod->spec.phase;
    auto const over = phase == "Failed" || phase == "Succeeded";
    if (over && spec.kind != WorkloadKind::job) continue;
    if (spec.namespace_ == workload.namespace_ && spec.name == workload.name) {
      found.push_back(pod.get());
    }
  }
  std::sort(found.begin(), found.end(), [](Pod const* a, Pod const* b) { return a->uid < b->uid; });
  std::vector<PodName> names;
  for (auto const* const pod : found) names.emplace_back(pod->spec.namespace_, pod->spec.name);
  return names;
}

}  // namespace kportal::lab
