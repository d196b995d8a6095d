// SPDX-License-Identifier: MIT
#include "tests/sim/pods.h"

#include <algorithm>
#include <utility>

namespace kportal::sim {

using config::TargetKind;
using std::chrono::milliseconds;

void Sandbox::end_connections() {
  for (auto const& tell : std::exchange(at_end, {})) tell();
}

Pods::Pods(Stage& stage, Weather const& weather, config::Target target, std::string port,
           bool allow_unready)
    : stage_(stage), weather_(weather) {
  query_.target = std::move(target);
  query_.port = std::move(port);
  query_.allow_unready = allow_unready;
  query_.namespace_ = "shop";
  service_.name = query_.target.name;
  service_.selector = {{"app", "web"}};
  service_.type = "ClusterIP";
  service_.cluster_ip = "10.0.0.1";
  set_service_port(true);
  bool const named = query_.target.kind == TargetKind::pod && !query_.target.name.empty();
  if (named) add(query_.target.name, true);
  while (truth_.size() < kCount) add(fresh_name(), true);
  relist(stage_.time.now());
}

std::string Pods::fresh_name() {
  return fmt::format("web-{}", last_number_);
}

void Pods::add(std::string const& name, bool ready) {
  k8s::Pod pod;
  pod.namespace_ = query_.namespace_;
  pod.name = name;
  pod.uid = fmt::format("uid-{}", ++last_number_);
  pod.labels = {{"app", "web"}};
  pod.phase = k8s::PodPhase::running;
  pod.ready = ready;
  pod.created = std::chrono::sys_seconds(std::chrono::seconds(last_number_));
  k8s::ContainerPort port;
  port.name = "http";
  port.number = kPort;
  pod.ports.push_back(port);
  auto sandbox = std::make_unique<Sandbox>();
  sandbox->uid = pod.uid;
  sandboxes_.emplace(pod.uid, std::move(sandbox));
  truth_.insert_or_assign(name, std::move(pod));
}

k8s::Pod* Pods::pick(std::size_t which) {
  if (truth_.empty()) return nullptr;
  return &std::next(truth_.begin(), static_cast<std::ptrdiff_t>(which % truth_.size()))->second;
}

void Pods::remove(std::size_t which, Duration grace, std::optional<Duration> back_after) {
  k8s::Pod* const pod = pick(which);
  if (pod == nullptr || pod->deleting) return;
  stage_.trace("pod {} ({}) is being deleted", pod->name, pod->uid);
  pod->deleting = true;
  pod->ready = false;
  changed();
  std::string const name = pod->name;
  stage_.time.after(grace, [this, name, uid = pod->uid, back_after] {
    Sandbox* const box = sandbox(uid);
    box->closed = true;
    box->end_connections();
    if (uid_of(name) == uid) drop(name, back_after);
  });
}

void Pods::drop(std::string const& name, std::optional<Duration> back_after) {
  stage_.trace("pod {} is gone", name);
  truth_.erase(name);
  changed();
  if (!back_after) return;
  bool const same_name = query_.target.kind == TargetKind::pod && name == query_.target.name;
  stage_.time.after(*back_after, [this, again = same_name ? name : std::string()] {
    // Others that came meanwhile are enough, but for the one that is named.
    if (again.empty() && truth_.size() >= kCount) return;
    add(again.empty() ? fresh_name() : again, true);
    stage_.trace("a pod takes its place: uid-{}", last_number_);
    changed();
  });
}

void Pods::set_ready(std::size_t which, bool ready) {
  k8s::Pod* const pod = pick(which);
  if (pod == nullptr || pod->deleting || pod->ready == ready) return;
  stage_.trace("pod {} ready={}", pod->name, ready);
  pod->ready = ready;
  changed();
}

void Pods::set_port(std::size_t which, Port port) {
  if (k8s::Pod* const pod = pick(which)) {
    stage_.trace("pod {} ({}) port={}", pod->name, pod->uid, static_cast<int>(port));
    sandbox(pod->uid)->port = port;
  }
}

void Pods::restart(std::size_t which) {
  k8s::Pod* const pod = pick(which);
  if (pod == nullptr || pod->deleting) return;
  stage_.trace("pod {}: a container restarts", pod->name);
  ++pod->restarts;
  sandbox(pod->uid)->end_connections();
  changed();
}

void Pods::set_service_port(bool there) {
  k8s::ServicePort port;
  port.name = there ? "web" : "other";
  port.port = 80;
  port.target_name = "http";
  service_.ports = {port};
  changed();
}

void Pods::set_supported(bool supported) {
  service_.type = supported ? "ClusterIP" : "ExternalName";
  service_.external_name = supported ? "" : "example.org";
  changed();
}

void Pods::heal() {
  service_.type = "ClusterIP";
  set_service_port(true);
  bool const named = query_.target.kind == TargetKind::pod && !query_.target.name.empty();
  if (named && !truth_.contains(query_.target.name)) add(query_.target.name, true);
  while (truth_.size() < kCount) add(fresh_name(), true);
  for (auto& [name, pod] : truth_) {
    if (!pod.deleting) pod.ready = true;
    sandboxes_.at(pod.uid)->port = Port::accepts;
  }
  stage_.time.after(milliseconds(100), [this] { show(); });
}

// What the watch makes of a change.
void Pods::changed() {
  Network const& network = *weather_.network;
  switch (weather_.watch) {
    case Weather::Watch::on_time:
      if (network.answers()) stage_.time.after(network.latency, [this] { show(); });
      break;
    case Weather::Watch::late:
      stage_.time.after(weather_.watch_delay, [this] { show(); });
      break;
    case Weather::Watch::lost:
      break;
  }
}

void Pods::show() {
  if (!weather_.network->answers() || weather_.watch == Weather::Watch::lost) return;
  if (!synced_) return;  // the list is asked for still
  seen_ = truth_;
  changed_();
}

// The list, and what becomes of it: asked again while it fails.
void Pods::relist(TimePoint asked) {
  asked_ = asked;
  relisting_ = true;
  std::uint64_t const list = ++lists_;
  stage_.time.at(asked + weather_.network->latency * 2, [this, list] { list_arrives(list, 0); });
}

void Pods::list_arrives(std::uint64_t list, std::size_t resent) {
  if (list != lists_) return;
  Network const& network = *weather_.network;
  if (network.blackhole && resent < Network::kResent.size()) {
    TimePoint const next = std::min(asked_ + Network::kResent[resent], asked_ + kRequestTimeout);
    stage_.time.at(next, [this, list, resent] { list_arrives(list, resent + 1); });
    return;
  }
  relisting_ = false;
  if (network.answers() && !weather_.list_error) {
    synced_ = true;
    list_error_.reset();
    seen_ = truth_;
  } else {
    if (network.blackhole) {
      list_error_ = Error(Errc::timeout, "list pods: no answer");
    } else if (network.closed) {
      list_error_ = Error(Errc::network, "list pods: connection refused");
    } else {
      list_error_ = *weather_.list_error;
    }
    if (!synced_) stage_.time.after(kRelist, [this] { refresh(); });
  }
  listed_(network.answers(), asked_);
  changed_();
}

// What hangs is begun anew.
void Pods::refresh() {
  TimePoint const now = stage_.time.now();
  if (!relisting_ || now >= asked_ + milliseconds(500)) relist(now);
}

void Pods::start_over() {
  synced_ = false;
  list_error_.reset();
  seen_.clear();
  refresh();
}

std::optional<Result<k8s::Choices>> Pods::choose(std::vector<std::string> in_use) {
  memory_.in_use = std::move(in_use);
  if (!synced_) {
    if (!list_error_) return std::nullopt;
    return Result<k8s::Choices>(*list_error_);
  }
  k8s::TargetView view{seen_};
  if (query_.target.kind == TargetKind::service) view.service = &service_;
  return choose_pods(query_, view, memory_);
}

k8s::Pod const* Pods::find(std::string const& pod, std::string const& uid) const {
  auto const at = seen_.find(pod);
  return at != seen_.end() && (uid.empty() || at->second.uid == uid) ? &at->second : nullptr;
}

bool Pods::gone(std::string const& pod, std::string const& uid) const {
  return !uid.empty() && synced_ && k8s::is_leaving(find(pod, uid));
}

std::uint64_t Pods::unrest(std::string const& pod, std::string const& uid) const {
  return k8s::unrest_of(find(pod, uid));
}

bool Pods::vouches_for(std::string const& pod) const {
  return k8s::is_vouched_for(query_, pod, find(pod, ""));
}

Sandbox* Pods::sandbox(std::string const& uid) {
  auto const at = sandboxes_.find(uid);
  return at == sandboxes_.end() ? nullptr : at->second.get();
}

std::string Pods::uid_of(std::string const& name) const {
  auto const at = truth_.find(name);
  return at == truth_.end() ? std::string() : at->second.uid;
}

bool Pods::all_well() const {
  bool const named = query_.target.kind == TargetKind::pod && !query_.target.name.empty();
  if (named && !truth_.contains(query_.target.name)) return false;
  if (!synced_ || truth_.size() < kCount || service_.ports.front().name != "web" ||
      service_.type != "ClusterIP") {
    return false;
  }
  bool const good = std::ranges::all_of(truth_, [this](auto const& entry) {
    k8s::Pod const& pod = entry.second;
    return pod.ready && !pod.deleting && sandboxes_.at(pod.uid)->port == Port::accepts;
  });
  return good && seen_ == truth_;
}

}  // namespace kportal::sim
