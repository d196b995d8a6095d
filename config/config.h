// SPDX-License-Identifier: MIT
// The configuration as values: what a file says after parsing, defaults filled in. Comparable, so
// that a reload can tell what changed. Where each value stood in the file is not kept here.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kportal::config {

using std::chrono::milliseconds;

enum class ProbeMethod { data_transfer, tcp_dial, none };
enum class Balance { pin, round_robin };
enum class HalfClose { pass, hold };

// The words of these enums in a file.
std::string_view to_word(ProbeMethod method);
std::string_view to_word(Balance balance);
std::string_view to_word(HalfClose half_close);

struct HealthCheck {
  milliseconds interval{3'000};
  milliseconds timeout{2'000};
  ProbeMethod method = ProbeMethod::data_transfer;
  milliseconds pod_probe{60'000};  // 0 = only when there is a reason
  milliseconds startup_grace{10'000};
  milliseconds max_connection_age{1'500'000};  // 0 = never
  milliseconds max_idle_time{600'000};         // 0 = never
  bool operator==(HealthCheck const&) const = default;
};

struct Reliability {
  milliseconds tcp_keepalive{30'000};  // 0 = off
  milliseconds dial_timeout{30'000};
  bool retry_on_stale = true;
  milliseconds watchdog_period{30'000};
  milliseconds hold{10'000};  // 0 = a connection without a tunnel is reset at once
  milliseconds auth_timeout{60'000};
  int max_tunnels = 8;
  milliseconds ping_interval{5'000};
  milliseconds ping_timeout{3'000};
  bool operator==(Reliability const&) const = default;
};

// What a forward leads to. Kinds as the API names them, short names already resolved.
enum class TargetKind {
  pod,
  service,
  deployment,
  statefulset,
  daemonset,
  replicaset,
  job,
  replication_controller,
};
std::string_view to_word(TargetKind kind);

struct Target {
  TargetKind kind = TargetKind::pod;
  std::string name;      // empty: `pod` with a selector
  std::string selector;  // only with kind pod and no name
  bool operator==(Target const&) const = default;
};

struct ForwardSpec {
  std::string kubeconfig;  // absolute path; empty = the default loading rules
  std::string context;     // empty = the current context
  std::string namespace_;
  Target target;
  std::string resource;          // as written in the file: "service/api", "pod"
  std::string port;              // decimal number or port name
  std::uint16_t local_port = 0;  // 0 = auto
  std::string alias;
  // "localhost" or IP addresses, never empty, no two overlap. "0.0.0.0" is every IPv4 address, "::"
  // every IPv6 address and no IPv4 one.
  std::vector<std::string> addresses;
  std::vector<std::string> tags;
  Balance balance = Balance::pin;
  bool allow_unready = false;
  bool lazy = false;
  bool disabled = false;
  HalfClose half_close = HalfClose::pass;
  HealthCheck health;  // the file's block with this forward's overrides

  // alias:localPort, or context/namespace/resource:localPort; `auto` stands for local port 0,
  // `current` for the empty context.
  std::string id() const;
  bool operator==(ForwardSpec const&) const = default;
};

struct Config {
  Reliability reliability;
  std::vector<ForwardSpec> forwards;  // in the order of the file(s); ids are unique
  bool operator==(Config const&) const = default;
};

}  // namespace kportal::config
