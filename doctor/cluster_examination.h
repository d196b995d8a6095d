// SPDX-License-Identifier: MIT
// ClusterExamination: goes the way to one API server, hop by hop with the product's own code: name,
// TCP to each address, proxy, TLS, and who the server takes us for. It asks for nothing that a
// forward does not, and decides nothing about one. Owned by the Doctor.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/task_group.h"
#include "doctor/report.h"
#include "doctor/stopwatch.h"
#include "k8s/cluster.h"
#include "k8s/route.h"
#include "net/resolver.h"

namespace kportal::doctor {

class ClusterExamination {
 public:
  // Fills `hops` from `resolve` to `login`. All must outlive it.
  ClusterExamination(k8s::Cluster& cluster, net::Resolver& resolver, Hops& hops);

  // Once; may be cancelled.
  awaitable<void> run();
  // Ends what a cancelled run() left behind. Before destruction.
  awaitable<void> stop();

 private:
  struct Attempt {
    asio::ip::address address;
    std::optional<Error> error;
    explicit Attempt(asio::ip::address a) : address(std::move(a)) {}
  };

  awaitable<void> resolve();
  void fail_to_reach(HopName name, std::chrono::microseconds took, Error const& error);
  awaitable<void> connect();
  awaitable<void> try_address(Attempt& attempt, TimePoint deadline);
  void judge_attempts(Stopwatch const& watch);
  awaitable<void> go_through_proxy();
  awaitable<void> secure();
  awaitable<void> log_in();
  void judge_login(Result<std::string> const& answer, k8s::Identity const& identity,
                   std::chrono::microseconds took);
  bool stopped() const { return hops_.first_failed() != nullptr; }
  std::string const& certificate_of(k8s::Identity const& identity) const;
  std::string method(k8s::Identity const& identity) const;

  k8s::Cluster& cluster_;
  net::Resolver& resolver_;
  Hops& hops_;
  k8s::ClusterAccess const& access_;
  std::string const host_;  // where TCP goes
  std::uint16_t const port_;
  k8s::Route route_;
  std::vector<Attempt> attempts_;
  std::optional<k8s::Route::Connection> connection_;
  TaskGroup tasks_;  // attempts
};

}  // namespace kportal::doctor
