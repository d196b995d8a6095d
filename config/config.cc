// SPDX-License-Identifier: MIT
#include "config/config.h"

#include <fmt/format.h>

namespace kportal::config {

std::string_view to_word(ProbeMethod method) {
  switch (method) {
    case ProbeMethod::data_transfer:
      return "data-transfer";
    case ProbeMethod::tcp_dial:
      return "tcp-dial";
    case ProbeMethod::none:
      return "none";
  }
  return "";
}

std::string_view to_word(Balance balance) {
  switch (balance) {
    case Balance::pin:
      return "pin";
    case Balance::round_robin:
      return "round-robin";
  }
  return "";
}

std::string_view to_word(HalfClose half_close) {
  switch (half_close) {
    case HalfClose::pass:
      return "pass";
    case HalfClose::hold:
      return "hold";
  }
  return "";
}

std::string_view to_word(TargetKind kind) {
  switch (kind) {
    case TargetKind::pod:
      return "pod";
    case TargetKind::service:
      return "service";
    case TargetKind::deployment:
      return "deployment";
    case TargetKind::statefulset:
      return "statefulset";
    case TargetKind::daemonset:
      return "daemonset";
    case TargetKind::replicaset:
      return "replicaset";
    case TargetKind::job:
      return "job";
    case TargetKind::replication_controller:
      return "replicationcontroller";
  }
  return "";
}

std::string ForwardSpec::id() const {
  std::string const port_word = local_port == 0 ? "auto" : fmt::format("{}", local_port);
  if (!alias.empty()) return fmt::format("{}:{}", alias, port_word);
  std::string_view const where = context.empty() ? std::string_view("current") : context;
  return fmt::format("{}/{}/{}:{}", where, namespace_, resource, port_word);
}

}  // namespace kportal::config
