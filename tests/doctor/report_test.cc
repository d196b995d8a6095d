// SPDX-License-Identifier: MIT
#include "doctor/report.h"

#include <gtest/gtest.h>

namespace kportal::doctor {
namespace {

using namespace std::chrono_literals;

// One forward, whose way is good up to `name`, which fails with `code`.
Report failing(HopName name, Errc code) {
  Report report;
  report.clusters.resize(1);
  report.forwards.resize(1);
  for (int i = 0; i <= static_cast<int>(HopName::reply); ++i) {
    auto const at = static_cast<HopName>(i);
    Hops& hops = at == HopName::config  ? report.config
                 : at <= kLastOfCluster ? report.clusters[0].hops
                                        : report.forwards[0].hops;
    if (at < name) hops.ok(at, 1ms, "");
    if (at == name) hops.fail(at, 1ms, Error(code, "why"));
  }
  return report;
}

TEST(HopsTest, StartAllSkipped) {
  Hops const hops(HopName::tls, HopName::target);
  ASSERT_EQ(hops.all().size(), 4u);
  EXPECT_EQ(to_word(hops.all()[0].name), "tls");
  EXPECT_EQ(to_word(hops.all()[3].name), "target");
  for (Hop const& hop : hops.all()) EXPECT_EQ(to_word(hop.verdict), "skipped");
  EXPECT_EQ(hops.first_failed(), nullptr);
}

TEST(HopsTest, TheFirstThatFailedInOrderNotInTime) {
  Hops hops(HopName::rights, HopName::reply);
  hops.fail(HopName::local_port, 1ms, Error(Errc::local, "b"));
  hops.fail(HopName::target, 1ms, Error(Errc::not_found, "a"));
  hops.warn(HopName::rights, 1ms, "", "little");
  EXPECT_EQ(hops.first_failed()->message, "a");
}

TEST(ReportTest, EveryHopHasItsOutcome) {
  struct Case {
    HopName name;
    Errc code;
    Outcome expected;
  };
  for (Case const& c : {
           Case{HopName::config, Errc::local, Outcome::configuration},
           Case{HopName::kubeconfig, Errc::no_such_context, Outcome::configuration},
           Case{HopName::kubeconfig, Errc::kubeconfig, Outcome::configuration},
           Case{HopName::resolve, Errc::network, Outcome::failed},
           Case{HopName::tcp, Errc::network, Outcome::failed},
           Case{HopName::tls, Errc::tls, Outcome::failed},
           Case{HopName::login, Errc::unauthorized, Outcome::access},
           Case{HopName::login, Errc::auth_plugin, Outcome::access},
           Case{HopName::login, Errc::server, Outcome::failed},
           Case{HopName::rights, Errc::forbidden, Outcome::access},
           Case{HopName::target, Errc::not_found, Outcome::failed},
           Case{HopName::target, Errc::forbidden, Outcome::access},
           Case{HopName::pod, Errc::no_ready_pod, Outcome::failed},
           Case{HopName::tunnel, Errc::forbidden, Outcome::access},
           Case{HopName::reply, Errc::pod_refused, Outcome::failed},
       }) {
    Report const report = failing(c.name, c.code);
    EXPECT_EQ(outcome_of(report), c.expected) << to_word(c.name);
    EXPECT_EQ(report.first_failed(report.forwards[0]) == nullptr, c.name == HopName::config);
  }
}

TEST(ReportTest, ConfigurationCountsBeforeAccessBeforeTheRest) {
  Report report = failing(HopName::reply, Errc::pod_refused);
  EXPECT_EQ(outcome_of(report), Outcome::failed);
  report.forwards.push_back(failing(HopName::rights, Errc::forbidden).forwards[0]);
  EXPECT_EQ(outcome_of(report), Outcome::access);
  report.forwards.push_back(report.forwards[0]);
  report.forwards.back().cluster = 1;
  report.clusters.push_back(failing(HopName::kubeconfig, Errc::no_such_context).clusters[0]);
  EXPECT_EQ(outcome_of(report), Outcome::configuration);
}

TEST(ReportTest, WarningsAndDisabledForwardsAreNoFailure) {
  Report report;
  report.clusters.resize(1);
  report.forwards.resize(2);
  report.forwards[0].hops.warn(HopName::rights, 1ms, "", "little");
  report.forwards[1].disabled = true;
  report.forwards[1].cluster = 7;  // it has none
  EXPECT_EQ(outcome_of(report), Outcome::ok);
}

TEST(ReportTest, EveryFailureHasACureUnlessItsTextHas) {
  for (int i = static_cast<int>(HopName::resolve); i <= static_cast<int>(HopName::reply); ++i) {
    auto const name = static_cast<HopName>(i);
    Hops hops(name, name);
    Errc const code = name == HopName::reply    ? Errc::pod_refused
                      : name == HopName::rights ? Errc::forbidden
                      : name == HopName::pod    ? Errc::no_ready_pod
                      : name == HopName::target ? Errc::not_found
                      : name == HopName::login  ? Errc::unauthorized
                                                : Errc::network;
    hops.fail(name, 1ms, Error(code, "why"));
    EXPECT_EQ(hops.all()[0].cure.empty(), name == HopName::port) << to_word(name);
  }
}

}  // namespace
}  // namespace kportal::doctor
