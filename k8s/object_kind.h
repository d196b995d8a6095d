// SPDX-License-Identifier: MIT
// ObjectKind: what a cache or a poll must know of a kind of watched object: its place in the API,
// which parts of the answers are kept, and how they are parsed. For Pod and Service.
#pragma once

#include <string_view>

#include "k8s/objects.h"

namespace kportal::k8s {

template <class Object>
struct ObjectKind;

template <>
struct ObjectKind<Pod> {
  static constexpr std::string_view kPath = "pods";
  static constexpr JsonRule const& kRule = kPodRule;
  static constexpr JsonRule const& kListRule = kPodListRule;
  static constexpr JsonRule const& kEventRule = kPodEventRule;
  static Result<Pod> parse(std::string_view json) { return parse_pod(json); }
  static Result<PodEvent> parse_event(std::string_view json) { return parse_pod_event(json); }
};

template <>
struct ObjectKind<Service> {
  static constexpr std::string_view kPath = "services";
  static constexpr JsonRule const& kRule = kServiceRule;
  static constexpr JsonRule const& kListRule = kServiceListRule;
  static constexpr JsonRule const& kEventRule = kServiceEventRule;
  static Result<Service> parse(std::string_view json) { return parse_service(json); }
  static Result<ServiceEvent> parse_event(std::string_view json) {
    return parse_service_event(json);
  }
};

}  // namespace kportal::k8s
