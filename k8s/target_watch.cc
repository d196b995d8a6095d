// SPDX-License-Identifier: MIT
#include "k8s/target_watch.h"

#include <fmt/format.h>

#include "k8s/cluster.h"
#include "k8s/objects.h"
#include "k8s/rest_client.h"

namespace kportal::k8s {
namespace {

using config::TargetKind;

bool is_workload(TargetKind kind) {
  return kind != TargetKind::pod && kind != TargetKind::service;
}

}  // namespace

TargetWatch::TargetWatch(Cluster& cluster, TargetQuery query, std::function<void()> changed,
                         TaskGroup& tasks)
    : cluster_(cluster),
      query_(std::move(query)),
      changed_(std::move(changed)),
      pods_(cluster.pods(query_.namespace_)),
      ask_again_(cluster.executor()) {
  auto const tell = [this](std::string_view) { changed_(); };
  pods_changed_ = pods_.subscribe(tell);
  if (query_.target.kind == TargetKind::service) {
    services_ = &cluster.services(query_.namespace_);
    services_changed_ = services_->subscribe(tell);
  }
  if (is_workload(query_.target.kind)) tasks.spawn(follow_workload());
}

TargetWatch::~TargetWatch() = default;

std::optional<Result<Choices>> TargetWatch::choose(std::vector<std::string> in_use) {
  if (!pods_.synced()) {
    if (!pods_.error()) return std::nullopt;
    if (pods_.error()->code == Errc::forbidden) return one_unseen();
    return Result<Choices>(*pods_.error());
  }
  TargetView view{pods_.objects()};
  if (services_ != nullptr) {
    if (!services_->synced()) {
      if (!services_->error()) return std::nullopt;
      return Result<Choices>(*services_->error());
    }
    view.service = services_->find(query_.target.name);
  }
  if (is_workload(query_.target.kind)) {
    if (!workload_) return std::nullopt;
    if (workload_->has_error() && workload_->error().code != Errc::not_found) {
      return Result<Choices>(workload_->error());
    }
    view.workload = workload_->has_value() ? &**workload_ : nullptr;
  }
  memory_.in_use = std::move(in_use);
  auto choices = choose_pods(query_, view, memory_);
  if (is_workload(query_.target.kind)) doubt_workload(choices.has_error());
  return choices;
}

Result<Choices> TargetWatch::one_unseen() const {
  auto choice = choose_unseen(query_);
  if (choice.has_error()) return choice.error();
  return Choices{std::move(*choice)};
}

// A name may be taken by another pod by now.
Pod const* TargetWatch::find(std::string const& pod, std::string const& uid) const {
  Pod const* const found = pods_.find(pod);
  return found != nullptr && found->uid == uid ? found : nullptr;
}

bool TargetWatch::gone(std::string const& pod, std::string const& uid) const {
  if (uid.empty() || !pods_.synced()) return false;
  Pod const* const found = find(pod, uid);
  return found == nullptr || found->deleting || found->phase != PodPhase::running;
}

std::uint64_t TargetWatch::unrest(std::string const& pod, std::string const& uid) const {
  Pod const* const found = find(pod, uid);
  return found == nullptr ? 0 : found->restarts * 2 + (found->ready ? 0 : 1);
}

bool TargetWatch::vouches_for(std::string const& pod) const {
  bool const exact = query_.target.kind == TargetKind::pod && pod == query_.target.name;
  if (query_.allow_unready || exact) return true;
  Pod const* const found = pods_.find(pod);
  return found == nullptr || found->ready;
}

void TargetWatch::refresh() {
  pods_.refresh();
  if (services_ != nullptr) services_->refresh();
  ask_again_.set();
}

std::string TargetWatch::workload_path() const {
  std::string_view group = "/apis/apps/v1";
  std::string_view plural;
  switch (query_.target.kind) {
    case TargetKind::deployment:
      plural = "deployments";
      break;
    case TargetKind::statefulset:
      plural = "statefulsets";
      break;
    case TargetKind::daemonset:
      plural = "daemonsets";
      break;
    case TargetKind::replicaset:
      plural = "replicasets";
      break;
    case TargetKind::job:
      group = "/apis/batch/v1";
      plural = "jobs";
      break;
    case TargetKind::replication_controller:
      group = "/api/v1";
      plural = "replicationcontrollers";
      break;
    case TargetKind::pod:
    case TargetKind::service:
      break;
  }
  return fmt::format("{}/namespaces/{}/{}/{}", group, percent_encode(query_.namespace_), plural,
                     percent_encode(query_.target.name));
}

// A workload is not watched: that would need further rights, and it hardly ever changes. Another of
// its name, or another selector, shows in its pods.
awaitable<void> TargetWatch::follow_workload() {
  for (;;) {
    TimePoint const asked = Clock::now();
    TimePoint const deadline = asked + Cluster::kRequestTimeout;
    auto const answer = co_await cluster_.rest().get_part(workload_path(), kWorkloadRule, deadline);
    bool known = false;
    if (answer.has_error()) {
      known = take_workload(answer.error());
    } else {
      known = take_workload(parse_workload(*answer));
    }
    changed_();
    TimePoint const again = known && !no_choice_ ? kNever : asked + kWorkloadRetry;
    bool const doubted = co_await ask_again_.wait_until(again);
    static_cast<void>(doubted);
    co_await sleep_until(asked + kWorkloadPause);
  }
}

// False if it has to be asked for again. What was known stays good until the server says otherwise.
bool TargetWatch::take_workload(Result<Workload> answer) {
  bool const known = answer.has_value();
  bool const had = workload_ && workload_->has_value();
  if (known || !had || answer.error().code == Errc::not_found) {
    workload_.reset();
    workload_.emplace(std::move(answer));
  }
  return known;
}

void TargetWatch::doubt_workload(bool failed) {
  auto family = this->family();
  bool const changed = family_ && family != *family_;
  family_ = std::move(family);
  bool const news = !std::exchange(no_choice_, failed) && failed;
  if (changed || news) ask_again_.set();
}

// The pods that the workload selects, and those whose names say that one of its name made them.
std::set<std::string> TargetWatch::family() const {
  // Of a longer name only a part is in the names of its pods.
  std::string const prefix = (query_.target.name + "-").substr(0, 40);
  bool const known = workload_ && workload_->has_value();
  std::set<std::string> uids;
  for (auto const& [name, pod] : pods_.objects()) {
    bool const selected = known && (*workload_)->selector.matches(pod.labels);
    if (selected || name.starts_with(prefix)) uids.insert(pod.uid);
  }
  return uids;
}

}  // namespace kportal::k8s
