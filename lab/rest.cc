// SPDX-License-Identifier: MIT
#include "lab/rest.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lab/protobuf.h"

namespace kportal::lab {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::system_clock;

constexpr std::size_t kMaxQueryPairs = 64;

std::string rfc3339(system_clock::time_point when) {
  auto const seconds = system_clock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string dump(Json const& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Resources

struct ResourceKind {
  std::string_view group;
  std::string_view resource;
  std::string_view singular;
  std::string_view kind;
  bool namespaced;
  std::string_view short_name;
  std::optional<WorkloadKind> workload;
};

constexpr std::array<ResourceKind, 10> kKinds{{
    {"", "namespaces", "namespace", "Namespace", false, "ns", {}},
    {"", "pods", "pod", "Pod", true, "po", {}},
    {"", "services", "service", "Service", true, "svc", {}},
    {"", "replicationcontrollers", "replicationcontroller", "ReplicationController", true, "rc",
     WorkloadKind::replication_controller},
    {"apps", "deployments", "deployment", "Deployment", true, "deploy", WorkloadKind::deployment},
    {"apps", "replicasets", "replicaset", "ReplicaSet", true, "rs", WorkloadKind::replica_set},
    {"apps", "statefulsets", "statefulset", "StatefulSet", true, "sts", WorkloadKind::stateful_set},
    {"apps", "daemonsets", "daemonset", "DaemonSet", true, "ds", WorkloadKind::daemon_set},
    {"batch", "jobs", "job", "Job", true, "", WorkloadKind::job},
    {"discovery.k8s.io", "endpointslices", "endpointslice", "EndpointSlice", true, "", {}},
}};
constexpr std::array<std::string_view, 3> kGroups{"apps", "batch", "discovery.k8s.io"};

ResourceKind const* find_kind(std::string_view group, std::string_view resource) {
  auto const at = std::find_if(kKinds.begin(), kKinds.end(), [&](ResourceKind const& each) {
    return each.group == group && each.resource == resource;
  });
  return at == kKinds.end() ? nullptr : &*at;
}

std::string api_version(std::string_view group) {
  return group.empty() ? "v1" : fmt::format("{}/v1", group);
}

Json typed(ResourceKind const& kind) {
  return Json{{"kind", kind.kind}, {"apiVersion", api_version(kind.group)}};
}

// Objects

Json metadata(std::string const& ns, std::string const& name, std::string const& uid,
              std::uint64_t version, system_clock::time_point created, Labels const& labels) {
  Json json{{"name", name}};
  if (!ns.empty()) json["namespace"] = ns;
  json["uid"] = uid;
  json["resourceVersion"] = std::to_string(version);
  json["creationTimestamp"] = rfc3339(created);
  if (!labels.empty()) json["labels"] = labels;
  return json;
}

Json container(std::vector<ContainerPort> const& ports) {
  Json list = Json::array();
  for (auto const& port : ports) {
    Json item;
    if (!port.name.empty()) item["name"] = port.name;
    item["containerPort"] = port.number;
    item["protocol"] = port.protocol;
    list.push_back(std::move(item));
  }
  return Json{{"name", "server"},
              {"image", "lab.test/pod:1"},
              {"ports", std::move(list)},
              {"imagePullPolicy", "Never"}};
}

Json condition(std::string_view type, bool holds, system_clock::time_point since) {
  return Json{{"type", type},
              {"status", holds ? "True" : "False"},
              {"lastProbeTime", nullptr},
              {"lastTransitionTime", rfc3339(since)}};
}

std::string pod_ip(Pod const& pod) {
  auto const n = std::hash<std::string>{}(pod.uid);
  return fmt::format("10.244.{}.{}", n / 250 % 250, n % 250 + 2);
}

Json pod_status(Pod const& pod) {
  auto const& spec = pod.spec;
  auto const running = spec.phase == "Running";
  Json json{{"phase", spec.phase}};
  if (!spec.reason.empty()) json["reason"] = spec.reason;
  Json conditions = Json::array();
  conditions.push_back(condition("Initialized", running, pod.created));
  conditions.push_back(condition("Ready", spec.ready, pod.ready_since));
  conditions.push_back(condition("ContainersReady", spec.ready, pod.ready_since));
  conditions.push_back(condition("PodScheduled", !spec.node.empty(), pod.created));
  json["conditions"] = std::move(conditions);
  if (running) {
    json["hostIP"] = "192.0.2.10";
    json["podIP"] = pod_ip(pod);
    json["podIPs"] = Json::array({Json{{"ip", pod_ip(pod)}}});
    json["startTime"] = rfc3339(pod.created);
    Json status{{"name", "server"},
                {"state", Json{{"running", Json{{"startedAt", rfc3339(pod.ready_since)}}}}},
                {"lastState", Json::object()},
                {"ready", spec.ready},
                {"restartCount", pod.restarts},
                {"image", "lab.test/pod:1"},
                {"imageID", "lab.test/pod@sha256:0"},
                {"started", true}};
    json["containerStatuses"] = Json::array({std::move(status)});
  }
  json["qosClass"] = "BestEffort";
  return json;
}

Json pod_json(Pod const& pod) {
  auto const& spec = pod.spec;
  Json meta = metadata(spec.namespace_, spec.name, pod.uid, pod.version, pod.created, spec.labels);
  if (pod.deleting) {
    meta["deletionTimestamp"] = rfc3339(*pod.deleting);
    meta["deletionGracePeriodSeconds"] = 1;
  }
  Json details{{"containers", Json::array({container(spec.container_ports)})},
               {"restartPolicy", "Always"},
               {"terminationGracePeriodSeconds", 1},
               {"dnsPolicy", "ClusterFirst"}};
  if (!spec.sidecar_ports.empty()) {
    Json sidecar = container(spec.sidecar_ports);
    sidecar["name"] = "sidecar";
    sidecar["restartPolicy"] = "Always";
    details["initContainers"] = Json::array({std::move(sidecar)});
  }
  if (!spec.node.empty()) details["nodeName"] = spec.node;
  return Json{
      {"metadata", std::move(meta)}, {"spec", std::move(details)}, {"status", pod_status(pod)}};
}

Json service_json(Service const& service) {
  auto const& spec = service.spec;
  Json ports = Json::array();
  for (auto const& port : spec.ports) {
    Json item;
    if (!port.name.empty()) item["name"] = port.name;
    item["protocol"] = port.protocol;
    item["port"] = port.port;
    auto const number = to_number(port.target);
    if (number) {
      item["targetPort"] = *number;
    } else if (port.target.empty()) {
      item["targetPort"] = port.port;
    } else {
      item["targetPort"] = port.target;
    }
    ports.push_back(std::move(item));
  }
  Json details;
  if (!ports.empty()) details["ports"] = std::move(ports);
  if (!spec.selector.empty()) details["selector"] = spec.selector;
  if (spec.type == "ExternalName") {
    details["externalName"] = "example.test";
  } else {
    details["clusterIP"] = spec.headless ? "None" : service.cluster_ip;
    details["clusterIPs"] = Json::array({details["clusterIP"]});
  }
  details["type"] = spec.type;
  details["sessionAffinity"] = "None";
  return Json{{"metadata", metadata(spec.namespace_, spec.name, service.uid, service.version,
                                    service.created, {})},
              {"spec", std::move(details)},
              {"status", Json{{"loadBalancer", Json::object()}}}};
}

Json workload_selector(WorkloadSpec const& spec) {
  if (spec.kind == WorkloadKind::replication_controller) return spec.labels;
  if (spec.kind == WorkloadKind::job) {
    return Json{{"matchLabels", Json{{kControllerUid, spec.labels.at(kControllerUid)}}}};
  }
  if (spec.expressions.empty()) return Json{{"matchLabels", spec.labels}};
  Json expressions = Json::array();
  for (auto const& each : spec.expressions) {
    Json item{{"key", each.key}, {"operator", each.op}};
    if (!each.values.empty()) item["values"] = each.values;
    expressions.push_back(std::move(item));
  }
  return Json{{"matchExpressions", std::move(expressions)}};
}

Json workload_json(Cluster const& cluster, Workload const& workload) {
  auto const& spec = workload.spec;
  Json pod_template{{"metadata", Json{{"labels", spec.labels}}},
                    {"spec", Json{{"containers", Json::array({container(spec.container_ports)})}}}};
  Json details{{spec.kind == WorkloadKind::job ? "parallelism" : "replicas", spec.replicas}};
  details["selector"] = workload_selector(spec);
  details["template"] = std::move(pod_template);
  int ready = 0;
  for (auto const& name : cluster.pods_of(ObjectName(spec.namespace_, spec.name))) {
    if (cluster.find_pod(name)->spec.ready) ++ready;
  }
  Json status{{"replicas", spec.replicas}, {"readyReplicas", ready}, {"availableReplicas", ready}};
  if (spec.kind == WorkloadKind::job) status = Json{{"active", ready}, {"ready", ready}};
  if (workload.completed) {
    status = Json{{"succeeded", spec.replicas}};
    status["conditions"] = Json::array({condition("Complete", true, workload.created)});
  }
  return Json{{"metadata", metadata(spec.namespace_, spec.name, workload.uid, workload.version,
                                    workload.created, spec.labels)},
              {"spec", std::move(details)},
              {"status", std::move(status)}};
}

Json namespace_json(std::string const& name) {
  return Json{
      {"metadata", metadata("", name, "5a7b0000-0000-4000-9000-" + std::string(12, '0'), 1,
                            system_clock::time_point(), {{"kubernetes.io/metadata.name", name}})},
      {"spec", Json{{"finalizers", Json::array({"kubernetes"})}}},
      {"status", Json{{"phase", "Active"}}}};
}

// The number that a service's port has in this pod.
std::uint16_t target_number(ServicePort const& port, Pod const& pod) {
  if (port.target.empty()) return port.port;
  if (auto const number = to_number(port.target)) return static_cast<std::uint16_t>(*number);
  for (auto const& each : pod.spec.container_ports) {
    if (each.name == port.target) return each.number;
  }
  return 0;
}

bool selects(Service const& service, Pod const& pod) {
  auto const& selector = service.spec.selector;
  if (selector.empty() || pod.spec.namespace_ != service.spec.namespace_) return false;
  return std::all_of(selector.begin(), selector.end(), [&](auto const& each) {
    auto const at = pod.spec.labels.find(each.first);
    return at != pod.spec.labels.end() && at->second == each.second;
  });
}

Json endpoint_slice_json(Cluster const& cluster, Service const& service) {
  auto const& spec = service.spec;
  Json endpoints = Json::array();
  Json ports = Json::array();
  std::uint64_t version = service.version;
  for (auto const& [name, pod] : cluster.pods()) {
    if (!selects(service, *pod) || pod->spec.phase != "Running") continue;
    version = std::max(version, pod->version);
    auto const going = pod->deleting.has_value();
    endpoints.push_back(Json{{"addresses", Json::array({pod_ip(*pod)})},
                             {"conditions", Json{{"ready", pod->spec.ready && !going},
                                                 {"serving", pod->spec.ready},
                                                 {"terminating", going}}},
                             {"targetRef", Json{{"kind", "Pod"},
                                                {"namespace", name.namespace_},
                                                {"name", name.name},
                                                {"uid", pod->uid}}}});
    if (!ports.empty()) continue;
    for (auto const& port : spec.ports) {
      ports.push_back(Json{
          {"name", port.name}, {"protocol", port.protocol}, {"port", target_number(port, *pod)}});
    }
  }
  Labels const labels{{"kubernetes.io/service-name", spec.name}};
  return Json{{"metadata", metadata(spec.namespace_, spec.name + "-lab01", service.uid, version,
                                    service.created, labels)},
              {"addressType", "IPv4"},
              {"endpoints", std::move(endpoints)},
              {"ports", std::move(ports)}};
}

// What a list or a get looks at: an object and what selectors compare.
struct Found {
  ObjectName name;
  Labels labels;
  Json json;
};

void add_services(Cluster const& cluster, bool slices, std::vector<Found>& found) {
  for (auto const& [name, service] : cluster.services()) {
    if (!slices) {
      found.push_back(Found{name, {}, service_json(*service)});
    } else if (!service->spec.selector.empty()) {
      found.push_back(Found{ObjectName(name.namespace_, name.name + "-lab01"),
                            {{"kubernetes.io/service-name", name.name}},
                            endpoint_slice_json(cluster, *service)});
    }
  }
}

// All objects of a kind in one namespace, or in all, by name.
std::vector<Found> find_all(Cluster const& cluster, ResourceKind const& kind,
                            std::string const& ns) {
  std::vector<Found> found;
  if (kind.resource == "pods") {
    for (auto const& [name, pod] : cluster.pods()) {
      if (!ns.empty() && name.namespace_ != ns) continue;
      found.push_back(Found{name, pod->spec.labels, pod_json(*pod)});
    }
  } else if (kind.resource == "services" || kind.resource == "endpointslices") {
    add_services(cluster, kind.resource == "endpointslices", found);
  } else if (kind.resource == "namespaces") {
    for (auto const& name : cluster.namespaces()) {
      found.push_back(Found{ObjectName("", name), {}, namespace_json(name)});
    }
  } else {
    for (auto const& workload : cluster.workloads()) {
      if (workload.removed || workload.spec.kind != kind.workload) continue;
      found.push_back(Found{ObjectName(workload.spec.namespace_, workload.spec.name),
                            workload.spec.labels, workload_json(cluster, workload)});
    }
  }
  if (kind.namespaced && !ns.empty()) {
    std::erase_if(found, [&](Found const& each) { return each.name.namespace_ != ns; });
  }
  std::sort(found.begin(), found.end(),
            [](Found const& a, Found const& b) { return a.name < b.name; });
  return found;
}

std::string_view reason_word(int code) {
  switch (code) {
    case 400:
      return "BadRequest";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 405:
      return "MethodNotAllowed";
    case 409:
      return "Conflict";
    case 410:
      return "Expired";
    case 429:
      return "TooManyRequests";
    case 500:
      return "InternalError";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "Unknown";
  }
}

std::string_view usual_message(int code) {
  switch (code) {
    case 401:
      return "Unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return "the server could not find the requested resource";
    case 429:
      return "Too many requests, please try again later.";
    case 500:
      return "Internal error occurred: scripted by the lab";
    case 503:
      return "the server is currently unable to handle the request";
    default:
      return "scripted by the lab";
  }
}

Json status_object(int code, std::string_view message, Json details) {
  Json json{{"kind", "Status"},
            {"apiVersion", "v1"},
            {"metadata", Json::object()},
            {"status", "Failure"},
            {"message", message.empty() ? usual_message(code) : message},
            {"reason", reason_word(code)}};
  if (!details.empty()) json["details"] = std::move(details);
  json["code"] = code;
  return json;
}

// Continue tokens: the version of the first page and the last name shown, in hexadecimal.

std::string to_hex(std::string_view text) {
  std::string hex;
  for (char const c : text) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

std::optional<std::string> from_hex(std::string_view hex) {
  std::string text;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned value = 0;
    auto const [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, value, 16);
    if (error != std::errc() || end != hex.data() + i + 2) return std::nullopt;
    text.push_back(static_cast<char>(value));
  }
  if (hex.size() % 2 != 0) return std::nullopt;
  return text;
}

struct Continuation {
  std::uint64_t version;
  ObjectName after;
};

std::string encode_continue(std::uint64_t version, ObjectName const& last) {
  return to_hex(fmt::format("{} {} {}", version, last.namespace_, last.name));
}

std::optional<Continuation> decode_continue(std::string_view token) {
  auto const text = from_hex(token);
  if (!text) return std::nullopt;
  auto const first = text->find(' ');
  auto const second = text->find(' ', first == std::string::npos ? first : first + 1);
  if (second == std::string::npos) return std::nullopt;
  auto const version = to_number(std::string_view(*text).substr(0, first));
  if (!version) return std::nullopt;
  return Continuation{
      *version, ObjectName(text->substr(first + 1, second - first - 1), text->substr(second + 1))};
}

// Discovery

Json resource_list(std::string_view group) {
  Json resources = Json::array();
  for (auto const& kind : kKinds) {
    if (kind.group != group) continue;
    Json item{{"name", kind.resource},
              {"singularName", kind.singular},
              {"namespaced", kind.namespaced},
              {"kind", kind.kind},
              {"verbs", Json::array({"get", "list", "watch"})}};
    if (!kind.short_name.empty()) item["shortNames"] = Json::array({kind.short_name});
    resources.push_back(std::move(item));
  }
  if (group.empty()) {
    resources.push_back(Json{{"name", "pods/portforward"},
                             {"singularName", ""},
                             {"namespaced", true},
                             {"kind", "PodPortForwardOptions"},
                             {"verbs", Json::array({"create", "get"})}});
  }
  return Json{{"kind", "APIResourceList"},
              {"apiVersion", "v1"},
              {"groupVersion", api_version(group)},
              {"resources", std::move(resources)}};
}

Json group_json(std::string_view group) {
  Json const version{{"groupVersion", api_version(group)}, {"version", "v1"}};
  return Json{{"name", group}, {"versions", Json::array({version})}, {"preferredVersion", version}};
}

Json group_list() {
  Json groups = Json::array();
  for (auto const group : kGroups) groups.push_back(group_json(group));
  return Json{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
}

Json version_json() {
  return Json{{"major", "1"},
              {"minor", "35"},
              {"gitVersion", "v1.35.0"},
              {"gitCommit", "0000000000000000000000000000000000000000"},
              {"gitTreeState", "clean"},
              {"buildDate", "2025-12-01T00:00:00Z"},
              {"goVersion", "go1.25.0"},
              {"compiler", "gc"},
              {"platform", "linux/amd64"}};
}

std::string event_line(std::string_view type, Json object) {
  return dump(Json{{"type", type}, {"object", std::move(object)}}) + "\n";
}

Json with_type(ResourceKind const& kind, Json object) {
  Json whole = typed(kind);
  whole.update(object);
  return whole;
}

Json object_json(Pod const& pod) {
  return with_type(*find_kind("", "pods"), pod_json(pod));
}

Json object_json(Service const& service) {
  return with_type(*find_kind("", "services"), service_json(service));
}

std::string percent_decode(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr ==
            text.data() + i + 3) {
      result.push_back(static_cast<char>(value));
      i += 2;
    } else {
      result.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return result;
}

}  // namespace

Query Query::parse(std::string_view text) {
  Query query;
  while (!text.empty() && query.pairs_.size() < kMaxQueryPairs) {
    auto const end = std::min(text.find('&'), text.size());
    auto const pair = text.substr(0, end);
    auto const equal = std::min(pair.find('='), pair.size());
    query.pairs_.emplace_back(percent_decode(pair.substr(0, equal)),
                              percent_decode(pair.substr(std::min(equal + 1, pair.size()))));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return query;
}

std::string_view Query::get(std::string_view name) const {
  for (auto const& [key, value] : pairs_) {
    if (key == name) return value;
  }
  return {};
}

bool Query::is_true(std::string_view name) const {
  auto const value = get(name);
  return value == "1" || value == "true";
}

std::string ResourcePath::resource_and_subresource() const {
  return subresource.empty() ? resource : resource + "/" + subresource;
}

std::optional<ResourcePath> parse_resource_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty() && parts.size() < 10) {
    path.remove_prefix(1);
    auto const end = std::min(path.find('/'), path.size());
    parts.push_back(percent_decode(path.substr(0, end)));
    path.remove_prefix(end);
  }
  ResourcePath result;
  std::size_t at = 0;
  if (parts.size() >= 3 && parts[0] == "api") {
    result.version = parts[1];
    at = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    result.group = parts[1];
    result.version = parts[2];
    at = 3;
  } else {
    return std::nullopt;
  }
  if (parts[at] == "namespaces" && parts.size() > at + 2) {
    result.namespace_ = parts[at + 1];
    at += 2;
  }
  result.resource = parts[at++];
  if (at < parts.size()) result.name = parts[at++];
  if (at < parts.size()) result.subresource = parts[at++];
  if (at < parts.size() || result.resource.empty()) return std::nullopt;
  return result;
}

std::string status_json(int code, std::string_view message, int retry_after) {
  Json details = Json::object();
  if (retry_after > 0) details["retryAfterSeconds"] = retry_after;
  return dump(status_object(code, message, std::move(details)));
}

RestAnswer status_answer(int code, std::string_view message) {
  return RestAnswer(code, status_json(code, message));
}

RestAnswer not_found(ResourcePath const& path) {
  auto const what = path.group.empty() ? path.resource : path.resource + "." + path.group;
  Json details{{"name", path.name}, {"kind", path.resource}};
  if (!path.group.empty()) details["group"] = path.group;
  auto const message = fmt::format("{} \"{}\" not found", what, path.name);
  return RestAnswer(404, dump(status_object(404, message, std::move(details))));
}

RestAnswer answer_discovery(std::string_view path) {
  if (path == "/version") return RestAnswer(200, dump(version_json()));
  if (path == "/api") {
    Json const json{{"kind", "APIVersions"},
                    {"versions", Json::array({"v1"})},
                    {"serverAddressByClientCIDRs", Json::array()}};
    return RestAnswer(200, dump(json));
  }
  if (path == "/apis") return RestAnswer(200, dump(group_list()));
  if (path == "/api/v1") return RestAnswer(200, dump(resource_list("")));
  if (path == "/livez" || path == "/readyz" || path == "/healthz") {
    RestAnswer ok(200, "ok");
    ok.content_type = "text/plain; charset=utf-8";
    return ok;
  }
  for (auto const group : kGroups) {
    if (path == fmt::format("/apis/{}", group)) {
      Json json{{"kind", "APIGroup"}, {"apiVersion", "v1"}};
      json.update(group_json(group));
      return RestAnswer(200, dump(json));
    }
    if (path == fmt::format("/apis/{}/v1", group)) {
      return RestAnswer(200, dump(resource_list(group)));
    }
  }
  return status_answer(404, "");
}

RestAnswer answer_get(Cluster const& cluster, ResourcePath const& path) {
  auto const* const kind = find_kind(path.group, path.resource);
  if (kind == nullptr || path.version != "v1" || !path.subresource.empty()) {
    return status_answer(404, "");
  }
  for (auto& each : find_all(cluster, *kind, path.namespace_)) {
    if (each.name.name == path.name) {
      return RestAnswer(200, dump(with_type(*kind, std::move(each.json))));
    }
  }
  return not_found(path);
}

Result<std::string> parse_field_selector(std::string_view text) {
  std::string name;
  while (!text.empty()) {
    auto const end = std::min(text.find(','), text.size());
    auto const term = text.substr(0, end);
    auto const equal = term.find('=');
    if (term.substr(0, equal) != "metadata.name" || equal == std::string_view::npos) {
      return Error(Errc::server, fmt::format("field label not supported: {}", term));
    }
    name = term.substr(term.find_first_not_of('=', equal));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return name;
}

RestAnswer answer_list(Cluster const& cluster, ResourcePath const& path, Query const& query) {
  auto const* const kind = find_kind(path.group, path.resource);
  if (kind == nullptr || path.version != "v1") return status_answer(404, "");
  auto const selector = k8s::Selector::parse(query.get("labelSelector"));
  if (!selector) return status_answer(400, selector.error().text);
  auto const only = parse_field_selector(query.get("fieldSelector"));
  if (!only) return status_answer(400, only.error().text);
  auto version = cluster.version();
  std::optional<ObjectName> after;
  if (auto const token = query.get("continue"); !token.empty()) {
    auto const from = decode_continue(token);
    if (!from) return status_answer(400, "continue key is not valid");
    if (cluster.is_compacted(from->version)) {
      return status_answer(410,
                           "The provided continue parameter is too old to display a consistent "
                           "list result. You can start a new list without the continue parameter.");
    }
    version = from->version;
    after = from->after;
  }
  auto const limit = to_number(query.get("limit")).value_or(0);
  Json items = Json::array();
  Json meta{{"resourceVersion", std::to_string(version)}};
  std::optional<ObjectName> last;
  for (auto& each : find_all(cluster, *kind, path.namespace_)) {
    if (after && !(*after < each.name)) continue;
    if (!selector->matches(each.labels) || (!only->empty() && *only != each.name.name)) continue;
    if (limit > 0 && items.size() == limit) {
      meta["continue"] = encode_continue(version, *last);
      break;
    }
    last = each.name;
    items.push_back(std::move(each.json));
  }
  Json json{{"kind", fmt::format("{}List", kind->kind)}, {"apiVersion", api_version(kind->group)}};
  json["metadata"] = std::move(meta);
  json["items"] = std::move(items);
  return RestAnswer(200, dump(json));
}

namespace {

// As JSON, whichever way it came; the numbers are those of SelfSubjectAccessReview's spec in
// k8s.io/api/authorization/v1/generated.proto.
Json review_of(std::string_view body) {
  auto const object = protobuf_object(body);
  if (!object) return Json::parse(body, nullptr, false);
  static constexpr std::pair<char const*, unsigned> kAttributes[] = {
      {"namespace", 1}, {"verb", 2},        {"group", 3},
      {"resource", 5},  {"subresource", 6}, {"name", 7}};
  auto const spec = protobuf_field(*object, 2);
  auto const attributes = spec ? protobuf_field(*spec, 1) : std::nullopt;
  if (!attributes) return Json();
  Json json{{"kind", "SelfSubjectAccessReview"}, {"apiVersion", "authorization.k8s.io/v1"}};
  for (auto const& [key, number] : kAttributes) {
    json["spec"]["resourceAttributes"][key] = protobuf_field(*attributes, number).value_or("");
  }
  return json;
}

}  // namespace

RestAnswer answer_access_review(Access const& access, User const& user, std::string_view body) {
  auto json = review_of(body);
  auto const pointer = Json::json_pointer("/spec/resourceAttributes");
  if (!json.is_object() || !json.contains(pointer) || !json.at(pointer).is_object()) {
    return status_answer(400, "spec.resourceAttributes is required");
  }
  auto const& wanted = json.at(pointer);
  auto const word = [&](char const* key) {
    auto const at = wanted.find(key);
    return at != wanted.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  AccessRequest request;
  request.verb = word("verb");
  request.group = word("group");
  request.resource = word("resource");
  if (!word("subresource").empty()) request.resource += "/" + word("subresource");
  request.namespace_ = word("namespace");
  request.name = word("name");
  auto const refusal = access.refusal(user, request);
  json["status"] = Json{{"allowed", !refusal}};
  return RestAnswer(201, dump(json));
}

RestAnswer answer_self_review(User const& user) {
  Json json{{"kind", "SelfSubjectReview"}, {"apiVersion", "authentication.k8s.io/v1"}};
  json["metadata"] = Json{{"creationTimestamp", nullptr}};
  json["status"]["userInfo"] = Json{{"username", user.name}, {"groups", user.groups}};
  return RestAnswer(201, dump(json));
}

Result<WatchFilter> WatchFilter::make(ResourcePath const& path, Query const& query) {
  auto const pods = path.resource == "pods";
  if (!path.group.empty() || path.version != "v1" || (!pods && path.resource != "services")) {
    return Error(Errc::not_found, "the lab watches pods and services only");
  }
  auto selector = k8s::Selector::parse(query.get("labelSelector"));
  if (!selector) return selector.error();
  auto name = parse_field_selector(query.get("fieldSelector"));
  if (!name) return name.error();
  WatchFilter filter;
  filter.pods_ = pods;
  filter.namespace_ = path.namespace_;
  filter.name_ = path.name.empty() ? *name : path.name;
  filter.selector_ = std::move(*selector);
  return filter;
}

bool WatchFilter::matches(std::string const& ns, std::string const& name,
                          Labels const& labels) const {
  return (namespace_.empty() || namespace_ == ns) && (name_.empty() || name_ == name) &&
         selector_.matches(labels);
}

bool WatchFilter::matches(Pod const& pod) const {
  return pods_ && matches(pod.spec.namespace_, pod.spec.name, pod.spec.labels);
}

bool WatchFilter::matches(Service const& service) const {
  return !pods_ && matches(service.spec.namespace_, service.spec.name, {});
}

template <class Object>
std::optional<std::string> WatchFilter::event(Versions<Object> const& versions,
                                              bool deleted) const {
  auto const before = versions.before && matches(*versions.before);
  auto const after = !deleted && matches(*versions.after);
  if (!before && !after) return std::nullopt;
  if (before && after) return event_line("MODIFIED", object_json(*versions.after));
  return event_line(after ? "ADDED" : "DELETED", object_json(*versions.after));
}

std::optional<std::string> WatchFilter::event(Change const& change) const {
  if (change.pod.after) return event(change.pod, change.deleted);
  return event(change.service, change.deleted);
}

std::vector<std::string> WatchFilter::initial_events(Cluster const& cluster) const {
  std::vector<std::string> lines;
  for (auto const& [name, pod] : cluster.pods()) {
    if (matches(*pod)) lines.push_back(event_line("ADDED", object_json(*pod)));
  }
  for (auto const& [name, service] : cluster.services()) {
    if (matches(*service)) lines.push_back(event_line("ADDED", object_json(*service)));
  }
  return lines;
}

std::string WatchFilter::bookmark(std::uint64_t version, bool initial_events_end) const {
  Json meta{{"resourceVersion", std::to_string(version)}, {"creationTimestamp", nullptr}};
  if (initial_events_end) meta["annotations"] = Json{{"k8s.io/initial-events-end", "true"}};
  auto const& kind = *find_kind("", pods_ ? "pods" : "services");
  return event_line("BOOKMARK", with_type(kind, Json{{"metadata", std::move(meta)}}));
}

std::string expired_event(std::uint64_t wanted, std::uint64_t oldest) {
  auto const message = fmt::format("too old resource version: {} ({})", wanted, oldest);
  return event_line("ERROR", status_object(410, message, Json::object()));
}

}  // namespace kportal::lab
