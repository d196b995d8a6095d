// SPDX-License-Identifier: MIT
#include "forward/manager_rules.h"

#include <gtest/gtest.h>

namespace kportal::forward {
namespace {

using events::Reason;
using events::Status;

std::optional<std::string> refreshed_by(Status status, Reason reason) {
  events::HealthStatusChanged change;
  change.forward.id = "api:8080";
  change.status = status;
  change.reason = reason;
  return forward_to_refresh(change, config::Reliability());
}

TEST(ManagerRulesTest, RefreshesTheStaleUnlessToldNotTo) {
  events::HealthStale stale;
  stale.forward.id = "api:8080";
  config::Reliability reliability;
  EXPECT_EQ(forward_to_refresh(stale, reliability), "api:8080");
  reliability.retry_on_stale = false;
  EXPECT_EQ(forward_to_refresh(stale, reliability), std::nullopt);
}

TEST(ManagerRulesTest, RefreshesWhereAVerdictSpeaksAgainstTheTunnel) {
  for (Reason const reason : {Reason::timeout, Reason::network, Reason::probe_failed}) {
    EXPECT_EQ(refreshed_by(Status::reconnecting, reason), "api:8080");
    EXPECT_EQ(refreshed_by(Status::error, reason), "api:8080");
  }
}

TEST(ManagerRulesTest, LeavesWhatANewTunnelWouldNotMend) {
  EXPECT_EQ(refreshed_by(Status::error, Reason::refused), std::nullopt);
  EXPECT_EQ(refreshed_by(Status::error, Reason::forbidden), std::nullopt);
  EXPECT_EQ(refreshed_by(Status::starting, Reason::probe_failed), std::nullopt);
  EXPECT_EQ(refreshed_by(Status::active, Reason::none), std::nullopt);
  EXPECT_EQ(forward_to_refresh(events::ForwardDisconnected(), config::Reliability()), std::nullopt);
}

}  // namespace
}  // namespace kportal::forward
