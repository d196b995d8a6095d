// SPDX-License-Identifier: MIT
#include "k8s/target.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace kportal::k8s {
namespace {

using config::Target;
using config::TargetKind;

// How many pods or ports an error lists before it says "and N more".
constexpr std::size_t kMaxListed = 4;

bool is_usable(Pod const& pod) {
  return pod.phase == PodPhase::running && !pod.deleting;
}

std::string describe(Target const& target) {
  if (target.name.empty()) return fmt::format("pods with {}", target.selector);
  return fmt::format("{}/{}", config::to_word(target.kind), target.name);
}

std::string join_some(std::vector<std::string> words) {
  std::size_t const more = words.size() > kMaxListed ? words.size() - kMaxListed : 0;
  words.resize(words.size() - more);
  std::string text = fmt::format("{}", fmt::join(words, ", "));
  if (more > 0) text += fmt::format(" and {} more", more);
  return text;
}

std::string describe_port(std::uint16_t number, std::string_view name) {
  return name.empty() ? fmt::format("{}", number) : fmt::format("{} ({})", number, name);
}

template <class Ports, class Number>
std::string list_ports(Ports const& ports, Number number) {
  std::vector<std::string> words;
  for (auto const& port : ports) {
    if (port.protocol == Protocol::tcp) words.push_back(describe_port(port.*number, port.name));
  }
  return words.empty() ? "it declares no TCP port" : "it has " + join_some(std::move(words));
}

// The number, if the text is one; 0 if it is one that no port has.
std::optional<std::uint16_t> to_number(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  std::uint16_t number = 0;
  auto const [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc{} ? number : std::uint16_t{0};
}

// The pods that the target means, whatever their state.
struct Candidates {
  std::vector<Pod const*> pods;
  bool exact = false;     // the one pod of exactly this name
  bool fallback = false;  // pods named PREFIX-... in place of it
};

template <class Matches>
std::vector<Pod const*> pods_that(PodMap const& pods, Matches const& matches) {
  std::vector<Pod const*> found;
  for (auto const& [name, pod] : pods) {
    if (matches(pod)) found.push_back(&pod);
  }
  std::ranges::sort(found, [](Pod const* a, Pod const* b) {
    return a->created != b->created ? a->created > b->created : a->name < b->name;
  });
  return found;
}

Error nothing_named(TargetQuery const& query, std::string_view detail) {
  return {Errc::not_found,
          fmt::format("{}: namespace {} has no {} of this name{}", describe(query.target),
                      query.namespace_, config::to_word(query.target.kind), detail)};
}

Result<Candidates> find_named_pod(TargetQuery const& query, TargetView const& view,
                                  TargetMemory& memory) {
  std::string const& name = query.target.name;
  auto const exact = view.pods.find(name);
  if (exact != view.pods.end()) {
    memory.seen_exact = true;
    return Candidates{{&exact->second}, true, false};
  }
  if (memory.seen_exact) return nothing_named(query, " any more");
  std::string const prefix = name + "-";
  auto pods = pods_that(view.pods, [&](Pod const& pod) {
    return pod.name.size() > prefix.size() && pod.name.starts_with(prefix);
  });
  if (pods.empty()) return nothing_named(query, fmt::format(", nor one named {}...", prefix));
  return Candidates{std::move(pods), false, true};
}

Result<Candidates> find_candidates(TargetQuery const& query, TargetView const& view,
                                   TargetMemory& memory) {
  Target const& target = query.target;
  if (target.kind == TargetKind::pod && !target.name.empty()) {
    return find_named_pod(query, view, memory);
  }
  Selector selector;
  if (target.kind == TargetKind::pod) {
    auto parsed = Selector::parse(target.selector);
    if (!parsed) return parsed.error();
    selector = std::move(*parsed);
  } else if (target.kind == TargetKind::service) {
    selector = Selector::of_labels(view.service->selector);
  } else {
    if (view.workload == nullptr) return nothing_named(query, "");
    selector = view.workload->selector;
  }
  return Candidates{
      pods_that(view.pods, [&](Pod const& pod) { return selector.matches(pod.labels); }), false,
      false};
}

// What a port of the target is on one pod.
struct PodPort {
  std::uint16_t number = 0;  // 0 = the pod has no such port
  std::string warning;
};

ContainerPort const* find_port(Pod const& pod, std::string_view name) {
  auto const found = std::ranges::find_if(pod.ports, [&](ContainerPort const& port) {
    return port.name == name && port.protocol == Protocol::tcp;
  });
  return found == pod.ports.end() ? nullptr : &*found;
}

ContainerPort const* find_port(Pod const& pod, std::uint16_t number) {
  auto const found = std::ranges::find_if(pod.ports, [&](ContainerPort const& port) {
    return port.number == number && port.protocol == Protocol::tcp;
  });
  return found == pod.ports.end() ? nullptr : &*found;
}

std::uint16_t target_of(ServicePort const& port, Pod const& pod) {
  if (port.target_name.empty()) return port.target_number != 0 ? port.target_number : port.port;
  ContainerPort const* const found = find_port(pod, port.target_name);
  return found == nullptr ? std::uint16_t{0} : found->number;
}

// Maps the port of a query to pods. Made once per choice, asked once per pod.
class PortMapping {
 public:
  // `service` is null for other kinds.
  PortMapping(TargetQuery const& query, Service const* service)
      : query_(query), number_(to_number(query.port)), service_(service) {
    if (service_ != nullptr) service_port_ = find_service_port();
  }

  // An error that no pod can mend.
  std::optional<Error> problem() const {
    if (number_ == 0) {
      return Error(Errc::no_such_port, fmt::format("{}: {} is not a port: ports are 1 to 65535",
                                                   describe(query_.target), query_.port));
    }
    if (service_port_ != nullptr && service_port_->protocol != Protocol::tcp) {
      return not_tcp(describe(query_.target));
    }
    if (service_ != nullptr && service_port_ == nullptr && !number_) return missing_on_service();
    return std::nullopt;
  }

  PodPort on(Pod const& pod) const {
    if (service_port_ != nullptr) return {target_of(*service_port_, pod), {}};
    if (service_ != nullptr) return number_ ? without_service_port(pod) : PodPort{};
    if (number_) return {is_other_protocol(pod) ? std::uint16_t{0} : *number_, {}};
    ContainerPort const* const found = find_port(pod, query_.port);
    return {found == nullptr ? std::uint16_t{0} : found->number, {}};
  }

  // Why on(pod) found nothing.
  Error missing_on(Pod const& pod) const {
    if (service_port_ != nullptr) {
      return {
          Errc::no_such_port,
          fmt::format("{} port {} leads to the container port named {}, which pod/{} has not; {}",
                      describe(query_.target), service_port_->port, service_port_->target_name,
                      pod.name, list_ports(pod.ports, &ContainerPort::number))};
    }
    if (service_ != nullptr) return missing_on_service();
    if (is_other_protocol(pod)) return not_tcp("pod/" + pod.name);
    return {Errc::no_such_port,
            fmt::format("pod/{} has no port named {}; {}; a number works too", pod.name,
                        query_.port, list_ports(pod.ports, &ContainerPort::number))};
  }

 private:
  Error missing_on_service() const {
    return {Errc::no_such_port,
            fmt::format("{} has no port {}; {}", describe(query_.target), query_.port,
                        list_ports(service_->ports, &ServicePort::port))};
  }

  ServicePort const* find_service_port() const {
    ServicePort const* best = nullptr;
    for (ServicePort const& port : service_->ports) {
      bool const same = number_ ? port.port == *number_ : port.name == query_.port;
      if (same && (best == nullptr || port.protocol == Protocol::tcp)) best = &port;
    }
    return best;
  }

  // Files written for kportal name the pod's port, not the service's.
  PodPort without_service_port(Pod const& pod) const {
    for (ServicePort const& port : service_->ports) {
      if (port.protocol == Protocol::tcp && target_of(port, pod) == *number_) {
        return {*number_, fmt::format("{} has no port {}, which is the targetPort of its port {}: "
                                      "write port {}",
                                      describe(query_.target), *number_,
                                      describe_port(port.port, port.name), port.port)};
      }
    }
    if (find_port(pod, *number_) != nullptr) {
      return {*number_, fmt::format("{} has no port {}, but its pods have and that is used; {}",
                                    describe(query_.target), *number_,
                                    list_ports(service_->ports, &ServicePort::port))};
    }
    bool const any_port = service_->cluster_ip == "None" && service_->ports.empty();
    return {any_port ? *number_ : std::uint16_t{0}, {}};
  }

  // The pod declares the port, but for UDP or SCTP only.
  bool is_other_protocol(Pod const& pod) const {
    bool const declared = std::ranges::any_of(pod.ports, [&](ContainerPort const& port) {
      return number_ ? port.number == *number_ : port.name == query_.port;
    });
    if (!declared) return false;
    return (number_ ? find_port(pod, *number_) : find_port(pod, query_.port)) == nullptr;
  }

  Error not_tcp(std::string_view what) const {
    return {Errc::unsupported, fmt::format("{}: port {} is not TCP, and only TCP can be forwarded",
                                           what, query_.port)};
  }

  TargetQuery const& query_;
  std::optional<std::uint16_t> number_;
  Service const* service_;
  ServicePort const* service_port_ = nullptr;
};

std::optional<Error> check_service(TargetQuery const& query, Service const* service) {
  if (service == nullptr) return nothing_named(query, "");
  if (service->type == "ExternalName") {
    return Error(Errc::unsupported,
                 fmt::format("{} is of type ExternalName and has no pods: connect to {} directly",
                             describe(query.target), service->external_name));
  }
  if (service->selector.empty()) {
    return Error(Errc::unsupported,
                 fmt::format("{} has no selector, so no pods are known to be behind it: name a pod "
                             "or a workload",
                             describe(query.target)));
  }
  return std::nullopt;
}

std::string state_of(Pod const& pod) {
  if (pod.deleting) return pod.name + " is being deleted";
  if (pod.phase != PodPhase::running) return fmt::format("{} is {}", pod.name, to_word(pod.phase));
  return pod.name + " is not Ready";
}

// Why a workload has no pods at work; empty if it should have some.
std::string rest_of(TargetView const& view) {
  if (view.workload == nullptr) return {};
  if (view.workload->replicas == 0) return "; it is scaled to 0 replicas";
  return view.workload->rest.empty() ? "" : "; it " + view.workload->rest;
}

Error none_eligible(TargetQuery const& query, TargetView const& view, Candidates const& found) {
  std::string const what = describe(query.target);
  if (found.pods.empty()) {
    return {Errc::no_ready_pod, fmt::format("{}: there are none in namespace {}{}",
                                            query.target.name.empty() ? what : "pods of " + what,
                                            query.namespace_, rest_of(view))};
  }
  std::vector<std::string> states;
  for (Pod const* pod : found.pods) states.push_back(state_of(*pod));
  bool const running_is_enough = query.allow_unready || found.exact;
  return {Errc::no_ready_pod,
          fmt::format("{}: no pod is {}: {}{}", what, running_is_enough ? "running" : "Ready",
                      join_some(std::move(states)), rest_of(view))};
}

std::string message_of(TargetQuery const& query, Candidates const& found, Pod const& pod,
                       bool kept) {
  std::string text;
  if (found.fallback) {
    text = fmt::format("there is no pod named {}: using {}", query.target.name, pod.name);
  }
  if (pod.ready) return text;
  if (!text.empty()) text += "; ";
  text += fmt::format("pod {} is not Ready", pod.name);
  if (kept) text += ", it stays in use until another is";
  return text;
}

// Pods of one state of eligibility with their ports, in the order of `found`.
template <class Eligible>
Result<Choices> choices_of(TargetQuery const& query, Candidates const& found,
                           PortMapping const& ports, bool kept, Eligible const& eligible) {
  Choices choices;
  Pod const* without_port = nullptr;
  for (Pod const* pod : found.pods) {
    if (!eligible(*pod)) continue;
    PodPort port = ports.on(*pod);
    if (port.number == 0) {
      if (without_port == nullptr) without_port = pod;
      continue;
    }
    choices.push_back({pod->name, pod->uid, port.number, message_of(query, found, *pod, kept),
                       std::move(port.warning)});
  }
  if (choices.empty() && without_port != nullptr) return ports.missing_on(*without_port);
  return choices;
}

}  // namespace

std::string WorkloadApi::role_resource() const {
  return group.empty() ? std::string(plural) : fmt::format("{}.{}", plural, group);
}

WorkloadApi workload_api(config::TargetKind kind) {
  switch (kind) {
    case config::TargetKind::deployment:
      return {"apps", "deployments"};
    case config::TargetKind::statefulset:
      return {"apps", "statefulsets"};
    case config::TargetKind::daemonset:
      return {"apps", "daemonsets"};
    case config::TargetKind::replicaset:
      return {"apps", "replicasets"};
    case config::TargetKind::job:
      return {"batch", "jobs"};
    case config::TargetKind::replication_controller:
      return {"", "replicationcontrollers"};
    case config::TargetKind::pod:
    case config::TargetKind::service:
      break;
  }
  return {};
}

Result<Choices> choose_pods(TargetQuery const& query, TargetView const& view,
                            TargetMemory& memory) {
  bool const is_service = query.target.kind == TargetKind::service;
  if (is_service) {
    if (auto problem = check_service(query, view.service)) return *std::move(problem);
  }
  PortMapping const ports(query, is_service ? view.service : nullptr);
  if (auto problem = ports.problem()) return *std::move(problem);
  auto const found = find_candidates(query, view, memory);
  if (!found) return found.error();

  bool const running_is_enough = query.allow_unready || found->exact;
  auto choices = choices_of(query, *found, ports, false, [&](Pod const& pod) {
    return is_usable(pod) && (pod.ready || running_is_enough);
  });
  if (!choices) return choices.error();
  auto const is_in_use = [&](auto const& it) {
    return !it.uid.empty() && std::ranges::find(memory.in_use, it.uid) != memory.in_use.end();
  };
  if (choices->empty()) {
    choices = choices_of(query, *found, ports, true,
                         [&](Pod const& pod) { return is_usable(pod) && is_in_use(pod); });
    if (!choices) return choices.error();
  }
  if (!choices->empty()) {
    std::ranges::stable_partition(*choices, is_in_use);
    return choices;
  }
  // A port that none of the pods has will not be there when one is Ready either.
  auto const any = choices_of(query, *found, ports, false, [](Pod const&) { return true; });
  if (!any) return any.error();
  return none_eligible(query, view, *found);
}

bool is_leaving(Pod const* pod) {
  return pod == nullptr || pod->deleting || pod->phase != PodPhase::running;
}

std::uint64_t unrest_of(Pod const* pod) {
  return pod == nullptr ? 0 : pod->restarts * 2 + (pod->ready ? 0 : 1);
}

bool is_vouched_for(TargetQuery const& query, std::string const& name, Pod const* pod) {
  bool const exact = query.target.kind == TargetKind::pod && name == query.target.name;
  return query.allow_unready || exact || pod == nullptr || pod->ready;
}

Result<Choice> choose_unseen(TargetQuery const& query) {
  std::string const what = describe(query.target);
  if (query.target.kind != TargetKind::pod || query.target.name.empty()) {
    return Error(Errc::forbidden,
                 fmt::format("{}: finding its pods needs the right to list pods in namespace {}; "
                             "without it only pod/NAME works",
                             what, query.namespace_));
  }
  auto const number = to_number(query.port);
  if (!number) {
    return Error(Errc::forbidden,
                 fmt::format("{}: the port name {} needs the right to get pods in namespace {}; "
                             "without it write the port's number",
                             what, query.port, query.namespace_));
  }
  if (auto problem = PortMapping(query, nullptr).problem()) return *std::move(problem);
  return Choice{query.target.name, "", *number, "", ""};
}

}  // namespace kportal::k8s
