// SPDX-License-Identifier: MIT
#include "k8s/target_watch.h"

#include <fmt/format.h>

#include "k8s/access_review.h"
#include "k8s/cluster.h"
#include "k8s/objects.h"
#include "k8s/rest_client.h"

namespace kportal::k8s {
namespace {

using config::TargetKind;

bool is_workload(TargetKind kind) {
  return kind != TargetKind::pod && kind != TargetKind::service;
}

template <class Object>
bool forbidden(ObjectCache<Object> const& cache) {
  return cache.error() && cache.error()->code == Errc::forbidden;
}

}  // namespace

TargetWatch::TargetWatch(Cluster& cluster, TargetQuery query, std::function<void()> changed,
                         TaskGroup& tasks)
    : cluster_(cluster),
      query_(std::move(query)),
      changed_(std::move(changed)),
      pods_(cluster.pods(query_.namespace_)),
      tasks_(tasks),
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
  memory_.in_use = std::move(in_use);
  poll_if_forbidden();
  if (forbidden(pods_) && (pod_poll_ || !pods_.synced())) return choose_narrowly();
  if (!pods_.synced()) {
    if (!pods_.error()) return std::nullopt;
    return Result<Choices>(*pods_.error());
  }
  TargetView view{pods_.objects()};
  if (services_ != nullptr) {
    auto const found = service();
    if (!found) return std::nullopt;
    if (found->has_error()) return Result<Choices>(found->error());
    view.service = **found;
  }
  if (is_workload(query_.target.kind)) {
    if (!workload_) return std::nullopt;
    if (workload_->has_error() && workload_->error().code != Errc::not_found) {
      return Result<Choices>(workload_->error());
    }
    view.workload = workload_->has_value() ? &**workload_ : nullptr;
  }
  auto choices = choose_pods(query_, view, memory_);
  if (is_workload(query_.target.kind)) doubt_workload(choices.has_error());
  return choices;
}

void TargetWatch::poll_if_forbidden() {
  std::string const& name = query_.target.name;
  if (services_ != nullptr && !service_poll_ && forbidden(*services_)) {
    service_poll_ = std::make_unique<ObjectPoll<Service>>(cluster_, *services_, query_.namespace_,
                                                          name, changed_);
    tasks_.spawn(service_poll_->run());
  }
  bool const named = query_.target.kind == TargetKind::pod && !name.empty();
  if (named && !pod_poll_ && forbidden(pods_)) {
    pod_poll_ =
        std::make_unique<ObjectPoll<Pod>>(cluster_, pods_, query_.namespace_, name, changed_);
    tasks_.spawn(pod_poll_->run());
  }
}

std::optional<Result<Choices>> TargetWatch::choose_narrowly() {
  if (!pod_poll_) return one_unseen();
  auto const& pod = pod_poll_->answer();
  if (!pod) return std::nullopt;
  if (pod->has_value()) {
    PodMap const one{{(*pod)->name, **pod}};
    return choose_pods(query_, TargetView{one}, memory_);
  }
  Error error = pod->error();
  if (error.code == Errc::forbidden) return one_unseen();
  if (error.code == Errc::not_found) {
    error.text += "; without the right to list pods only the exact name of a pod works";
  }
  return Result<Choices>(std::move(error));
}

Result<Choices> TargetWatch::one_unseen() const {
  auto choice = choose_unseen(query_);
  if (choice.has_value()) return Choices{std::move(*choice)};
  Error error = choice.error();
  if (error.code != Errc::forbidden) return error;
  bool const by_name = pod_poll_ && pod_poll_->answer() && pod_poll_->answer()->has_error();
  error.text += ": " + (by_name ? pod_poll_->answer()->error() : *pods_.error()).text;
  return error;
}

std::optional<Result<Service const*>> TargetWatch::service() const {
  static std::optional<Result<Service>> const kUnasked;
  auto const& polled = service_poll_ ? service_poll_->answer() : kUnasked;
  if (polled && polled->has_value()) return Result<Service const*>(&**polled);
  if (polled && polled->error().code == Errc::not_found) return Result<Service const*>(nullptr);
  if (services_->synced()) return Result<Service const*>(services_->find(query_.target.name));
  if (polled) return Result<Service const*>(polled->error());
  if (!services_->error() || forbidden(*services_)) return std::nullopt;
  return Result<Service const*>(*services_->error());
}

// A name may be taken by another pod by now.
Pod const* TargetWatch::find(std::string const& pod, std::string const& uid) const {
  Pod const* found = pods_.find(pod);
  if (pod_poll_ && pod_poll_->answer()) {
    auto const& polled = *pod_poll_->answer();
    found = polled.has_value() && polled->name == pod ? &*polled : nullptr;
  }
  return found != nullptr && found->uid == uid ? found : nullptr;
}

bool TargetWatch::gone(std::string const& pod, std::string const& uid) const {
  if (uid.empty()) return false;
  if (pod_poll_ && pod_poll_->answer()) {
    auto const& polled = *pod_poll_->answer();
    bool const other = pod != query_.target.name;  // once found by a prefix
    if (other || (polled.has_error() && polled.error().code != Errc::not_found)) return false;
  } else if (!pods_.synced()) {
    return false;
  }
  return is_leaving(find(pod, uid));
}

std::uint64_t TargetWatch::unrest(std::string const& pod, std::string const& uid) const {
  return unrest_of(find(pod, uid));
}

bool TargetWatch::vouches_for(std::string const& pod) const {
  return is_vouched_for(query_, pod, pods_.find(pod));
}

void TargetWatch::refresh() {
  pods_.refresh();
  if (services_ != nullptr) services_->refresh();
  if (pod_poll_) pod_poll_->refresh();
  if (service_poll_) service_poll_->refresh();
  ask_again_.set();
}

void TargetWatch::hurry() {
  if (pod_poll_) pod_poll_->refresh();
  if (service_poll_) service_poll_->refresh();
  bool const known = workload_ && workload_->has_value();
  if (!known) ask_again_.set();
}

std::string TargetWatch::workload_path() const {
  WorkloadApi const api = workload_api(query_.target.kind);
  std::string const root = api.group.empty() ? "/api/v1" : fmt::format("/apis/{}/v1", api.group);
  return fmt::format("{}/namespaces/{}/{}/{}", root, percent_encode(query_.namespace_), api.plural,
                     percent_encode(query_.target.name));
}

awaitable<Result<std::string>> TargetWatch::look_up_workload(TimePoint deadline) {
  DialGate::Pass const pass = co_await cluster_.lookups().enter();
  co_return co_await cluster_.rest().get_part(workload_path(), kWorkloadRule, deadline);
}

// A workload is not watched: that would need further rights, and it hardly ever changes. Another of
// its name, or another selector, shows in its pods.
awaitable<void> TargetWatch::follow_workload() {
  for (;;) {
    TimePoint const asked = Clock::now();
    TimePoint const deadline = asked + Cluster::kRequestTimeout;
    auto const answer = co_await look_up_workload(deadline);
    bool known = false;
    if (answer.has_error()) {
      std::string const resource = workload_api(query_.target.kind).role_resource();
      known = take_workload(with_rule(answer.error(), "get", resource, query_.namespace_));
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
