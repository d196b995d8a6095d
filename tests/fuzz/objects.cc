// SPDX-License-Identifier: MIT
// Fuzzer of the API objects: an answer as it is, and the same as the splitter leaves it, must be
// read alike; what nlohmann's parser does not take is never taken.
#include "k8s/objects.h"

#include <nlohmann/json.hpp>

#include "k8s/access_review.h"
#include "k8s/json_splitter.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using fuzz::require;

void check(Pod const& pod) {
  require(!pod.name.empty() && pod.name.size() <= 253 && fuzz::is_one_clean_line(pod.name));
  require(fuzz::is_one_clean_line(pod.namespace_ + pod.uid + pod.resource_version + pod.node));
  for (auto const& port : pod.ports) require(port.number != 0);
}
void check(Service const& service) {
  require(!service.name.empty() && fuzz::is_one_clean_line(service.name + service.cluster_ip));
  for (auto const& port : service.ports) require(port.port != 0);
}
void check(Workload const& workload) {
  require(!workload.name.empty() && fuzz::is_one_clean_line(workload.name));
  if (workload.selector.matches_nothing()) return;
  (void)workload.selector.matches({});
}
void check(Status const& status) {
  require(fuzz::is_one_clean_line(status.reason + status.message));
  require(status.message.size() <= 1100 && status.retry_after.count() >= 0);
}
void check(ListHead const& head) {
  require(fuzz::is_one_clean_line(head.resource_version + head.continue_token));
}
template <class Object>
void check(ObjectEvent<Object> const& event) {
  check(event.status);
  require(fuzz::is_one_clean_line(event.resource_version));
  bool const has_object = event.type != WatchType::error && event.type != WatchType::bookmark;
  if (has_object) check(event.object);
}

template <class Object>
bool equal(ObjectEvent<Object> const& a, ObjectEvent<Object> const& b) {
  return a.type == b.type && a.object == b.object && a.resource_version == b.resource_version &&
         a.status == b.status;
}
bool equal(ListHead const& a, ListHead const& b) {
  return a.resource_version == b.resource_version && a.continue_token == b.continue_token;
}
template <class Object>
bool equal(Object const& a, Object const& b) {
  return a == b;
}

// What the splitter keeps of a text that is one document.
std::optional<std::string> kept(std::string const& text, JsonRule const& rule) {
  JsonSplitter splitter(rule);
  splitter.append(text);
  auto piece = splitter.next();
  if (!piece || !*piece) return std::nullopt;
  return (*piece)->text;
}

template <class Parse>
void check_parser(std::string const& text, Parse const& parse, JsonRule const& rule) {
  auto const object = parse(text);
  if (object) {
    check(*object);
  } else {
    require(object.error().code == Errc::server && object.error().text.size() < 8192);
  }
  if (!nlohmann::json::accept(text)) {
    require(object.has_error());
    return;
  }
  // Names with escapes are left out by the splitter.
  if (text.find('\\') != std::string::npos) return;
  auto const part = kept(text, rule);
  if (!part) return require(object.has_error());
  auto const again = parse(*part);
  require(again.has_value() == object.has_value());
  if (again) require(equal(*again, *object));
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal::k8s;
  kportal::fuzz::Budget const budget;
  kportal::fuzz::Input input(data, size);
  std::uint8_t const choice = input.byte();
  std::string const text(input.rest());
  if (choice % 8 == 0) check_parser(text, parse_pod, kPodRule);
  if (choice % 8 == 1) check_parser(text, parse_service, kServiceRule);
  if (choice % 8 == 2) check_parser(text, parse_workload, kWorkloadRule);
  if (choice % 8 == 3) check_parser(text, parse_status, kPodRule);
  if (choice % 8 == 4) check_parser(text, parse_list_head, kPodListRule);
  if (choice % 8 == 5) check_parser(text, parse_pod_event, kPodEventRule);
  if (choice % 8 == 6) check_parser(text, parse_service_event, kServiceEventRule);
  if (choice % 8 == 7) (void)parse_access_review(text);
  return 0;
}
