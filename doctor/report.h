// SPDX-License-Identifier: MIT
// What the doctor found: the hops of each cluster and of each forward, in order, with verdicts; the
// first that failed, why, and what to do; the outcome of it all. Values and what follows from them,
// no I/O; doctor/render shows them, doctor/doctor makes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace kportal::doctor {

// In the order in which they are gone. All up to `login` are of a cluster, `local_port` is of this
// machine and needs none of the others.
enum class HopName {
  config,
  kubeconfig,
  resolve,
  tcp,
  proxy,
  tls,
  login,
  rights,
  target,
  pod,
  port,
  local_port,
  tunnel,
  reply,
};
inline constexpr HopName kLastOfCluster = HopName::login;
std::string_view to_word(HopName name);

enum class Verdict { ok, warning, failed, skipped };
std::string_view to_word(Verdict verdict);

struct Hop {
  HopName name{};
  Verdict verdict = Verdict::skipped;
  std::chrono::microseconds took{0};
  std::string detail;   // what was found, in a few words
  std::string message;  // of a warning or a failure: the cause
  std::string cure;     // of a failure: what to do
  Errc code{};          // of a failure
};

// The hops from `first` to `last`, built one by one. After a failure all that follow are skipped,
// `local_port` apart.
class Hops {
 public:
  Hops(HopName first, HopName last);

  void ok(HopName name, std::chrono::microseconds took, std::string detail);
  void warn(HopName name, std::chrono::microseconds took, std::string detail, std::string message);
  // The cure follows from the error's code and the hop, or from the one that is to blame.
  void fail(HopName name, std::chrono::microseconds took, Error const& error);
  void fail(HopName name, std::chrono::microseconds took, Error const& error, HopName to_blame);
  // There is nothing to try: no proxy, no TLS.
  void skip(HopName name, std::string detail);

  std::vector<Hop> const& all() const { return hops_; }
  Hop const* first_failed() const;
  // Whether one before `name` failed.
  bool failed_before(HopName name) const;

 private:
  Hop& at(HopName name);
  std::vector<Hop> hops_;
};

// One context of one kubeconfig: what its forwards share.
struct ClusterReport {
  std::string context;  // as the kubeconfig calls it; empty = in-cluster, or not known
  std::string server;   // "https://host:port"; empty = not known
  Hops hops{HopName::kubeconfig, kLastOfCluster};
};

struct ForwardReport {
  std::string id;
  std::string context;
  std::string namespace_;
  std::string resource;
  std::uint16_t local_port = 0;  // 0 = auto
  std::size_t cluster = 0;       // its index
  bool disabled = false;
  Hops hops{HopName::rights, HopName::reply};
};

struct Report {
  Hops config{HopName::config, HopName::config};
  std::vector<ClusterReport> clusters;
  std::vector<ForwardReport> forwards;  // in the order of the configuration

  // Of its cluster or of its own.
  Hop const* first_failed(ForwardReport const& forward) const;
  // Whether nothing failed, and yet its way was not gone to the end: somebody interrupted.
  bool unfinished(ForwardReport const& forward) const;
};

// What the exit code says. Of several failures the first of these counts: configuration (also an
// unknown context), login or rights, any other.
enum class Outcome { ok, configuration, access, failed };
Outcome outcome_of(Report const& report);

}  // namespace kportal::doctor
