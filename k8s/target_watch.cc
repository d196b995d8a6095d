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
  return choose_pods(query_, view, memory_);
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

// A workload's selector cannot change, so it is asked for once and again only when in doubt.
awaitable<void> TargetWatch::follow_workload() {
  for (;;) {
    TimePoint const deadline = Clock::now() + Cluster::kRequestTimeout;
    auto const answer = co_await cluster_.rest().get_part(workload_path(), kWorkloadRule, deadline);
    workload_.reset();
    if (answer.has_error()) {
      workload_.emplace(answer.error());
    } else {
      workload_.emplace(parse_workload(*answer));
    }
    changed_();
    TimePoint const again = workload_->has_error() ? Clock::now() + kWorkloadRetry : kNever;
    bool const asked = co_await ask_again_.wait_until(again);
    static_cast<void>(asked);
  }
}

}  // namespace kportal::k8s
