// SPDX-License-Identifier: MIT
#include "k8s/objects.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kportal::k8s {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxObjectName = 253;
// Of any one text that is kept, but for labels.
constexpr std::size_t kMaxText = 8 * 1024;
constexpr std::size_t kMaxStatusText = 1024;
constexpr std::chrono::seconds kMaxRetryAfter{3600};

using Rule = JsonRule;
using Field = JsonField;

constexpr Rule const& kScalar = kJsonScalar;
constexpr Rule const& kEverything = kJsonEverything;

constexpr Field kMetadataFields[] = {{"name", &kScalar},
                                     {"namespace", &kScalar},
                                     {"uid", &kScalar},
                                     {"resourceVersion", &kScalar},
                                     {"continue", &kScalar},
                                     {"creationTimestamp", &kScalar},
                                     {"deletionTimestamp", &kScalar},
                                     {"labels", &kEverything}};
constexpr Rule kMetadata = Rule::object_of(kMetadataFields);

constexpr Field kContainerPortFields[] = {
    {"name", &kScalar}, {"containerPort", &kScalar}, {"protocol", &kScalar}};
constexpr Rule kContainerPort = Rule::object_of(kContainerPortFields);
constexpr Rule kContainerPorts = Rule::array_of(kContainerPort);
constexpr Field kContainerFields[] = {{"ports", &kContainerPorts}};
constexpr Rule kContainer = Rule::object_of(kContainerFields);
constexpr Rule kContainers = Rule::array_of(kContainer);
constexpr Field kPodSpecFields[] = {
    {"nodeName", &kScalar}, {"containers", &kContainers}, {"initContainers", &kContainers}};
constexpr Rule kPodSpec = Rule::object_of(kPodSpecFields);
constexpr Field kConditionFields[] = {{"type", &kScalar}, {"status", &kScalar}};
constexpr Rule kCondition = Rule::object_of(kConditionFields);
constexpr Rule kConditions = Rule::array_of(kCondition);
constexpr Field kContainerStatusFields[] = {{"restartCount", &kScalar}};
constexpr Rule kContainerStatus = Rule::object_of(kContainerStatusFields);
constexpr Rule kContainerStatuses = Rule::array_of(kContainerStatus);
constexpr Field kPodStatusFields[] = {{"phase", &kScalar},
                                      {"conditions", &kConditions},
                                      {"containerStatuses", &kContainerStatuses},
                                      {"initContainerStatuses", &kContainerStatuses}};
constexpr Rule kPodStatus = Rule::object_of(kPodStatusFields);

constexpr Field kServicePortFields[] = {
    {"name", &kScalar}, {"port", &kScalar}, {"protocol", &kScalar}, {"targetPort", &kScalar}};
constexpr Rule kServicePort = Rule::object_of(kServicePortFields);
constexpr Rule kServicePorts = Rule::array_of(kServicePort);
constexpr Field kServiceSpecFields[] = {{"selector", &kEverything},
                                        {"ports", &kServicePorts},
                                        {"type", &kScalar},
                                        {"clusterIP", &kScalar},
                                        {"externalName", &kScalar}};
constexpr Rule kServiceSpec = Rule::object_of(kServiceSpecFields);

constexpr Field kWorkloadSpecFields[] = {
    {"selector", &kEverything}, {"replicas", &kScalar}, {"suspend", &kScalar}};
constexpr Rule kWorkloadSpec = Rule::object_of(kWorkloadSpecFields);
constexpr Field kWorkloadStatusFields[] = {{"conditions", &kConditions}};
constexpr Rule kWorkloadStatus = Rule::object_of(kWorkloadStatusFields);
constexpr Field kWorkloadFields[] = {
    {"metadata", &kMetadata}, {"spec", &kWorkloadSpec}, {"status", &kWorkloadStatus}};
constexpr Rule kWorkload = Rule::object_of(kWorkloadFields);

constexpr Field kDetailsFields[] = {{"retryAfterSeconds", &kScalar}};
constexpr Rule kDetails = Rule::object_of(kDetailsFields);

// An object of a watch may be a Status as well, so their rules hold the fields of both.
constexpr Field kPodFields[] = {{"metadata", &kMetadata}, {"spec", &kPodSpec},
                                {"status", &kPodStatus},  {"kind", &kScalar},
                                {"code", &kScalar},       {"reason", &kScalar},
                                {"message", &kScalar},    {"details", &kDetails}};
constexpr Rule kPod = Rule::object_of(kPodFields);
constexpr Field kServiceFields[] = {
    {"metadata", &kMetadata}, {"spec", &kServiceSpec}, {"kind", &kScalar},    {"code", &kScalar},
    {"reason", &kScalar},     {"message", &kScalar},   {"details", &kDetails}};
constexpr Rule kService = Rule::object_of(kServiceFields);

constexpr Rule kPods = Rule::array_of(kPod);
constexpr Field kPodListFields[] = {{"metadata", &kMetadata}, {"items", &kPods}};
constexpr Rule kPodList = Rule::object_of(kPodListFields);
constexpr Rule kServices = Rule::array_of(kService);
constexpr Field kServiceListFields[] = {{"metadata", &kMetadata}, {"items", &kServices}};
constexpr Rule kServiceList = Rule::object_of(kServiceListFields);

constexpr Field kPodEventFields[] = {{"type", &kScalar}, {"object", &kPod}};
constexpr Rule kPodEvent = Rule::object_of(kPodEventFields);
constexpr Field kServiceEventFields[] = {{"type", &kScalar}, {"object", &kService}};
constexpr Rule kServiceEvent = Rule::object_of(kServiceEventFields);

// Builds the kept part as a tree while nlohmann's parser (which does not recurse) reads the whole.
class FilteredBuilder {
 public:
  FilteredBuilder(Json& root, Rule const& rule) : root_(root), root_rule_(rule) {}

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(Json::number_integer_t value) { return put(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return put(value); }
  bool number_float(Json::number_float_t value, Json::string_t const& /*text*/) {
    return put(value);
  }
  bool string(Json::string_t& value) { return put(std::move(value)); }
  bool binary(Json::binary_t& /*value*/) { return false; }

  bool start_object(std::size_t /*size*/) { return open(Json::object(), Rule::Kind::object); }
  bool end_object() { return close(); }
  bool start_array(std::size_t /*size*/) { return open(Json::array(), Rule::Kind::array); }
  bool end_array() { return close(); }

  bool key(Json::string_t& name) {
    if (skipping_ > 0) return true;
    Level& top = levels_.back();
    top.child = top.rule->member(name);
    if (top.child != nullptr) top.key = std::move(name);
    return true;
  }

  template <class Exception>
  bool parse_error(std::size_t position, std::string const& /*token*/, Exception const& /*why*/) {
    problem_ = fmt::format("broken JSON at byte {}", position);
    return false;
  }

  std::string const& problem() const { return problem_; }

 private:
  struct Level {
    Json* value;
    Rule const* rule;
    Rule const* child = nullptr;  // of the value that comes next; null = not kept
    std::string key;
  };

  // Where a value goes that comes now; null if it is not kept.
  Json* place(Json&& value) {
    if (levels_.empty()) return &(root_ = std::move(value));
    Level& top = levels_.back();
    if (top.child == nullptr) return nullptr;
    if (top.value->is_array()) return &top.value->emplace_back(std::move(value));
    return &((*top.value)[top.key] = std::move(value));
  }

  template <class Value>
  bool put(Value&& value) {
    if (skipping_ == 0) place(Json(std::forward<Value>(value)));
    return true;
  }

  bool open(Json&& empty, Rule::Kind kind) {
    if (++depth_ > kMaxJsonDepth) {
      problem_ = fmt::format("JSON nested deeper than {} levels", kMaxJsonDepth);
      return false;
    }
    if (skipping_ > 0) {
      ++skipping_;
      return true;
    }
    Rule const* const rule = levels_.empty() ? &root_rule_ : levels_.back().child;
    Json* const where = place(std::move(empty));
    bool const kept = rule != nullptr && rule->enters(kind);
    if (where == nullptr || !kept) {
      skipping_ = 1;
      return true;
    }
    levels_.push_back({where, rule, kind == Rule::Kind::array ? rule->element() : nullptr, {}});
    return true;
  }

  bool close() {
    --depth_;
    if (skipping_ > 0) {
      --skipping_;
    } else {
      levels_.pop_back();
    }
    return true;
  }

  Json& root_;
  Rule const& root_rule_;
  std::vector<Level> levels_;
  std::size_t depth_ = 0;
  std::size_t skipping_ = 0;  // levels open below the last one that is kept
  std::string problem_;
};

// Reads typed fields; the first that is not what it should be is remembered, and the rest yields
// defaults.
class Reader {
 public:
  // `what`: "pod", "service list"; names the document in errors.
  Reader(std::string_view what, std::string_view text, Rule const& rule) : what_(what) {
    FilteredBuilder builder(root_, rule);
    try {
      if (!Json::sax_parse(text.begin(), text.end(), &builder)) fail(builder.problem());
    } catch (std::exception const&) {
      fail("JSON that cannot be read");
    }
    if (!failed() && !root_.is_object()) fail("not a JSON object");
    if (failed()) root_ = Json::object();
  }

  Json const& root() const { return root_; }
  bool failed() const { return !problem_.empty(); }
  Error error() const {
    return {Errc::server, fmt::format("the server sent a {}: {}", what_, problem_)};
  }
  void fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  // The member, or null if it is absent or null. `parent` is an object.
  static Json const* member(Json const& parent, char const* key) {
    auto const found = parent.find(key);
    return found == parent.end() || found->is_null() ? nullptr : &*found;
  }

  // The member as an object; an empty one if it is absent.
  Json const& object(Json const& parent, char const* key) {
    static Json const empty = Json::object();
    Json const* const found = member(parent, key);
    if (found == nullptr) return empty;
    if (found->is_object()) return *found;
    fail(fmt::format("\"{}\" is not an object", key));
    return empty;
  }

  // Calls take(object) for each object of the array.
  template <class Take>
  void each(Json const& parent, char const* key, Take const& take) {
    Json const* const found = member(parent, key);
    if (found == nullptr) return;
    if (!found->is_array()) return fail(fmt::format("\"{}\" is not an array", key));
    for (Json const& item : *found) {
      if (!item.is_object()) return fail(fmt::format("\"{}\" holds what is not an object", key));
      take(item);
      if (failed()) return;
    }
  }

  std::string text(Json const& parent, char const* key) {
    std::string value = raw_text(parent, key);
    if (std::ranges::any_of(value, is_control)) {
      fail(fmt::format("\"{}\" has control characters", key));
    }
    if (value.size() > kMaxText) {
      fail(fmt::format("\"{}\" is longer than {} bytes", key, kMaxText));
    }
    return value;
  }

  // For what people wrote: control characters become spaces, and what is too long is cut.
  std::string prose(Json const& parent, char const* key) {
    std::string value = raw_text(parent, key);
    if (value.size() > kMaxStatusText) {
      std::size_t end = kMaxStatusText;
      while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0) == 0x80) --end;
      value.resize(end);
      value += "...";
    }
    std::ranges::replace_if(value, is_control, ' ');
    return value;
  }

  std::optional<std::int64_t> integer(Json const& parent, char const* key, std::int64_t low,
                                      std::int64_t high) {
    Json const* const found = member(parent, key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_number_integer()) {
      fail(fmt::format("\"{}\" is not an integer", key));
      return std::nullopt;
    }
    bool const huge = found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX;
    auto const value = huge ? INT64_MAX : found->get<std::int64_t>();
    if (value < low || value > high) fail(fmt::format("\"{}\" is out of range", key));
    return std::clamp(value, low, high);
  }

  std::uint16_t port(Json const& parent, char const* key) {
    auto const value = integer(parent, key, 1, 65'535);
    if (!value) fail(fmt::format("\"{}\" is missing", key));
    return static_cast<std::uint16_t>(value.value_or(0));
  }

  Labels labels(Json const& parent, char const* key) {
    Labels result;
    for (auto const& [name, value] : object(parent, key).items()) {
      if (!value.is_string()) {
        fail(fmt::format("\"{}\" holds what is not a string", key));
        break;
      }
      result.emplace(name, value.get_ref<std::string const&>());
    }
    return result;
  }

  std::chrono::sys_seconds time(Json const& parent, char const* key);

 private:
  static bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

  std::string raw_text(Json const& parent, char const* key) {
    Json const* const found = member(parent, key);
    if (found == nullptr) return {};
    if (found->is_string()) return found->get_ref<std::string const&>();
    fail(fmt::format("\"{}\" is not a string", key));
    return {};
  }

  std::string what_;
  std::string problem_;
  Json root_;
};

// The number that is exactly these digits; -1 if they are none.
int digits_at(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return -1;
  int value = 0;
  char const* const begin = text.data() + at;
  auto const [stop, problem] = std::from_chars(begin, begin + count, value);
  return problem == std::errc{} && stop == begin + count ? value : -1;
}

// "Z", "+01:00" or "-05:30".
std::optional<std::chrono::minutes> parse_offset(std::string_view text) {
  if (text == "Z") return std::chrono::minutes{0};
  int const hours = digits_at(text, 1, 2);
  int const minutes = digits_at(text, 4, 2);
  bool const valid = text.size() == 6 && (text[0] == '+' || text[0] == '-') && text[3] == ':' &&
                     hours >= 0 && minutes >= 0;
  if (!valid) return std::nullopt;
  std::chrono::minutes const offset = std::chrono::hours{hours} + std::chrono::minutes{minutes};
  return text[0] == '-' ? -offset : offset;
}

// RFC 3339 as metav1.Time and MicroTime write it: 2026-11-23T14:05:01Z, perhaps with a fraction or
// an offset.
std::optional<std::chrono::sys_seconds> parse_time(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':') {
    return std::nullopt;
  }
  int const year = digits_at(text, 0, 4);
  int const month = digits_at(text, 5, 2);
  int const day = digits_at(text, 8, 2);
  int const hour = digits_at(text, 11, 2);
  int const minute = digits_at(text, 14, 2);
  int const second = digits_at(text, 17, 2);
  bool const numbers = std::min({year, month, day, hour, minute, second}) >= 0;
  if (!numbers || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  std::chrono::year_month_day const date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  text.remove_prefix(19);
  if (text.front() == '.')
    text.remove_prefix(std::min(text.find_first_not_of("0123456789", 1), text.size()));
  auto const offset = parse_offset(text);
  if (!date.ok() || !offset) return std::nullopt;
  return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         std::chrono::seconds{second} - *offset;
}

std::chrono::sys_seconds Reader::time(Json const& parent, char const* key) {
  std::string const value = text(parent, key);
  if (value.empty()) return {};
  auto const parsed = parse_time(value);
  if (!parsed) fail(fmt::format("\"{}\" is not a time", key));
  return parsed.value_or(std::chrono::sys_seconds{});
}

// Names go into paths of requests and lines of output, so they are held to what the API allows.
std::string read_name(Reader& reader, Json const& metadata) {
  std::string name = reader.text(metadata, "name");
  bool const fine =
      !name.empty() && name.size() <= kMaxObjectName && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
      });
  if (!fine) reader.fail("\"name\" is not the name of an object");
  return name;
}

Protocol read_protocol(Reader& reader, Json const& port) {
  std::string const word = reader.text(port, "protocol");
  if (word.empty() || word == "TCP") return Protocol::tcp;
  return word == "UDP" ? Protocol::udp : Protocol::other;
}

PodPhase to_phase(std::string_view word) {
  for (PodPhase const phase :
       {PodPhase::pending, PodPhase::running, PodPhase::succeeded, PodPhase::failed}) {
    if (word == to_word(phase)) return phase;
  }
  return PodPhase::unknown;
}

void read_container_ports(Reader& reader, Json const& spec, char const* key, Pod& pod) {
  reader.each(spec, key, [&](Json const& container) {
    reader.each(container, "ports", [&](Json const& port) {
      pod.ports.push_back({reader.text(port, "name"), reader.port(port, "containerPort"),
                           read_protocol(reader, port)});
    });
  });
}

Pod read_pod(Reader& reader, Json const& json) {
  Pod pod;
  Json const& metadata = reader.object(json, "metadata");
  pod.name = read_name(reader, metadata);
  pod.namespace_ = reader.text(metadata, "namespace");
  pod.uid = reader.text(metadata, "uid");
  pod.resource_version = reader.text(metadata, "resourceVersion");
  pod.labels = reader.labels(metadata, "labels");
  pod.created = reader.time(metadata, "creationTimestamp");
  pod.deleting = !reader.text(metadata, "deletionTimestamp").empty();
  Json const& spec = reader.object(json, "spec");
  pod.node = reader.text(spec, "nodeName");
  read_container_ports(reader, spec, "containers", pod);
  read_container_ports(reader, spec, "initContainers", pod);
  Json const& status = reader.object(json, "status");
  pod.phase = to_phase(reader.text(status, "phase"));
  reader.each(status, "conditions", [&](Json const& condition) {
    bool const is_true = reader.text(condition, "status") == "True";
    if (reader.text(condition, "type") == "Ready") pod.ready = is_true;
  });
  for (char const* const key : {"containerStatuses", "initContainerStatuses"}) {
    reader.each(status, key, [&](Json const& container) {
      auto const count = reader.integer(container, "restartCount", 0, INT32_MAX);
      pod.restarts += static_cast<std::uint64_t>(count.value_or(0));
    });
  }
  return pod;
}

ServicePort read_service_port(Reader& reader, Json const& json) {
  ServicePort port;
  port.name = reader.text(json, "name");
  port.port = reader.port(json, "port");
  port.protocol = read_protocol(reader, json);
  Json const* const target = Reader::member(json, "targetPort");
  if (target != nullptr && target->is_string()) {
    port.target_name = reader.text(json, "targetPort");
  } else if (target != nullptr) {
    auto const number = reader.integer(json, "targetPort", 0, 65'535);
    port.target_number = static_cast<std::uint16_t>(number.value_or(0));
  }
  return port;
}

Service read_service(Reader& reader, Json const& json) {
  Service service;
  Json const& metadata = reader.object(json, "metadata");
  service.name = read_name(reader, metadata);
  service.namespace_ = reader.text(metadata, "namespace");
  service.resource_version = reader.text(metadata, "resourceVersion");
  Json const& spec = reader.object(json, "spec");
  service.selector = reader.labels(spec, "selector");
  service.type = reader.text(spec, "type");
  service.cluster_ip = reader.text(spec, "clusterIP");
  service.external_name = reader.text(spec, "externalName");
  reader.each(spec, "ports",
              [&](Json const& port) { service.ports.push_back(read_service_port(reader, port)); });
  return service;
}

Requirement read_expression(Reader& reader, Json const& json) {
  static constexpr std::pair<std::string_view, SelectorOperator> kOperators[] = {
      {"In", SelectorOperator::in},
      {"NotIn", SelectorOperator::not_in},
      {"Exists", SelectorOperator::exists},
      {"DoesNotExist", SelectorOperator::does_not_exist}};
  Requirement requirement;
  requirement.key = reader.text(json, "key");
  std::string const word = reader.text(json, "operator");
  auto const* const found =
      std::ranges::find(kOperators, word, [](auto const& entry) { return entry.first; });
  if (found == std::end(kOperators)) {
    reader.fail("\"operator\" of a selector is not In, NotIn, Exists or DoesNotExist");
    return requirement;
  }
  requirement.op = found->second;
  Json const* const values = Reader::member(json, "values");
  if (values == nullptr) return requirement;
  if (!values->is_array()) reader.fail("\"values\" is not an array");
  for (Json const& value : *values) {
    if (value.is_string()) {
      requirement.values.push_back(value.get_ref<std::string const&>());
    } else {
      reader.fail("\"values\" holds what is not a string");
    }
  }
  return requirement;
}

// A replication controller has a plain map of labels where the others have matchLabels and
// matchExpressions.
Selector read_selector(Reader& reader, Json const& spec) {
  if (Reader::member(spec, "selector") == nullptr) return Selector::nothing();
  Json const& json = reader.object(spec, "selector");
  auto const is_text = [](Json const& value) { return value.is_string(); };
  if (!json.empty() && std::ranges::all_of(json, is_text)) {
    return Selector::of_labels(reader.labels(spec, "selector"));
  }
  Selector selector = Selector::of_labels(reader.labels(json, "matchLabels"));
  reader.each(json, "matchExpressions", [&](Json const& expression) {
    auto const added = selector.require(read_expression(reader, expression));
    if (!added) reader.fail(added.error().text);
  });
  return selector;
}

// Jobs alone have these; the conditions of other workloads have other types.
std::string read_rest(Reader& reader, Json const& spec, Json const& status) {
  std::string rest;
  Json const* const suspend = Reader::member(spec, "suspend");
  if (suspend != nullptr && *suspend == Json(true)) rest = "is suspended";
  reader.each(status, "conditions", [&](Json const& condition) {
    if (reader.text(condition, "status") != "True") return;
    std::string const type = reader.text(condition, "type");
    if (type == "Complete") rest = "has completed";
    if (type == "Failed") rest = "has failed";
  });
  return rest;
}

Status read_status(Reader& reader, Json const& json) {
  Status status;
  status.code = static_cast<int>(reader.integer(json, "code", INT32_MIN, INT32_MAX).value_or(0));
  status.reason = reader.prose(json, "reason");
  status.message = reader.prose(json, "message");
  Json const& details = reader.object(json, "details");
  auto const wait = reader.integer(details, "retryAfterSeconds", INT32_MIN, INT32_MAX).value_or(0);
  status.retry_after =
      std::clamp(std::chrono::seconds{wait}, std::chrono::seconds{0}, kMaxRetryAfter);
  return status;
}

std::optional<WatchType> to_watch_type(std::string_view word) {
  if (word == "ADDED") return WatchType::added;
  if (word == "MODIFIED") return WatchType::modified;
  if (word == "DELETED") return WatchType::deleted;
  if (word == "BOOKMARK") return WatchType::bookmark;
  if (word == "ERROR") return WatchType::error;
  return std::nullopt;
}

template <class Object, class Read>
Result<ObjectEvent<Object>> read_event(Reader reader, Read const& read) {
  ObjectEvent<Object> event;
  auto const type = to_watch_type(reader.text(reader.root(), "type"));
  if (!type) reader.fail("\"type\" is not one of a watch event");
  if (Reader::member(reader.root(), "object") == nullptr) reader.fail("it has no \"object\"");
  Json const& object = reader.object(reader.root(), "object");
  if (reader.failed()) return reader.error();
  event.type = *type;
  if (event.type == WatchType::error) {
    event.status = read_status(reader, object);
  } else {
    Json const& metadata = reader.object(object, "metadata");
    event.resource_version = reader.text(metadata, "resourceVersion");
    if (event.type != WatchType::bookmark) event.object = read(reader, object);
  }
  if (reader.failed()) return reader.error();
  return event;
}

template <class Read>
auto read_one(Reader reader, Read const& read) -> Result<decltype(read(reader, reader.root()))> {
  auto object = read(reader, reader.root());
  if (reader.failed()) return reader.error();
  return object;
}

}  // namespace

constinit JsonRule const kPodRule = kPod;
constinit JsonRule const kPodListRule = kPodList;
constinit JsonRule const kPodEventRule = kPodEvent;
constinit JsonRule const kServiceRule = kService;
constinit JsonRule const kServiceListRule = kServiceList;
constinit JsonRule const kServiceEventRule = kServiceEvent;
constinit JsonRule const kWorkloadRule = kWorkload;

std::string_view to_word(PodPhase phase) {
  switch (phase) {
    case PodPhase::pending:
      return "Pending";
    case PodPhase::running:
      return "Running";
    case PodPhase::succeeded:
      return "Succeeded";
    case PodPhase::failed:
      return "Failed";
    case PodPhase::unknown:
      break;
  }
  return "Unknown";
}

Result<Pod> parse_pod(std::string_view json) {
  return read_one(Reader("pod", json, kPod), read_pod);
}

Result<Service> parse_service(std::string_view json) {
  return read_one(Reader("service", json, kService), read_service);
}

Result<Workload> parse_workload(std::string_view json) {
  return read_one(Reader("workload", json, kWorkload), [](Reader& reader, Json const& root) {
    Json const& metadata = reader.object(root, "metadata");
    Json const& spec = reader.object(root, "spec");
    return Workload{reader.text(metadata, "namespace"), read_name(reader, metadata),
                    read_selector(reader, spec),
                    reader.integer(spec, "replicas", INT32_MIN, INT32_MAX),
                    read_rest(reader, spec, reader.object(root, "status"))};
  });
}

Result<Status> parse_status(std::string_view json) {
  return read_one(Reader("status", json, kPod), [](Reader& reader, Json const& root) {
    if (reader.text(root, "kind") != "Status") reader.fail("\"kind\" is not Status");
    return read_status(reader, root);
  });
}

Result<ListHead> parse_list_head(std::string_view json) {
  return read_one(Reader("list", json, kPodList), [](Reader& reader, Json const& root) {
    if (!root.contains("items")) reader.fail("it has no \"items\"");
    reader.each(root, "items", [](Json const&) {});
    Json const& metadata = reader.object(root, "metadata");
    return ListHead{reader.text(metadata, "resourceVersion"), reader.text(metadata, "continue")};
  });
}

Result<PodEvent> parse_pod_event(std::string_view json) {
  return read_event<Pod>(Reader("watch event", json, kPodEvent), read_pod);
}

Result<ServiceEvent> parse_service_event(std::string_view json) {
  return read_event<Service>(Reader("watch event", json, kServiceEvent), read_service);
}

}  // namespace kportal::k8s
