// SPDX-License-Identifier: MIT
#include "events/text.h"

#include <cstdlib>
#include <ctime>
#include <memory>

#include <gtest/gtest.h>

namespace kportal::events {
namespace {

using namespace std::chrono_literals;

class TextTest : public ::testing::Test {
 protected:
  TextTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }

  static ForwardRef api() { return {"api:8080", "staging", "shop", "service/api", 8080}; }
  static Event event_of(Fact fact) {
    using namespace std::chrono;
    return {12, sys_days(2026y / November / 23) + 14h + 5min + 1s + 123ms, std::move(fact)};
  }
  static std::string line(Fact fact) { return to_text(event_of(std::move(fact))); }
};

TEST_F(TextTest, TheExampleOfTheContract) {
  EXPECT_EQ(line(HealthStatusChanged{api(), false, Status::starting, Status::active, Reason::none,
                                     "", "api-7d9f-x2x"}),
            "14:05:01.123  api:8080  Starting -> Active  pod api-7d9f-x2x");
}

TEST_F(TextTest, AFirstStatusIsJustTheStatus) {
  EXPECT_EQ(line(HealthStatusChanged{api(), true, {}, Status::starting, Reason::none, "", ""}),
            "14:05:01.123  api:8080  Starting");
}

TEST_F(TextTest, ReasonAndMessageStandAtTheEnd) {
  EXPECT_EQ(line(HealthStatusChanged{api(), false, Status::active, Status::reconnecting,
                                     Reason::network, "read: connection reset", "api-1"}),
            "14:05:01.123  api:8080  Active -> Reconnecting  pod api-1  "
            "network: read: connection reset");
  EXPECT_EQ(line(HealthStatusChanged{api(), false, Status::active, Status::error, Reason::refused,
                                     "", ""}),
            "14:05:01.123  api:8080  Active -> Error  refused");
  EXPECT_EQ(line(HealthStatusChanged{api(), false, Status::error, Status::active, Reason::none,
                                     "still on a pod that is not ready", ""}),
            "14:05:01.123  api:8080  Error -> Active  still on a pod that is not ready");
}

TEST_F(TextTest, ForwardEvents) {
  EXPECT_EQ(line(ForwardStarting{api()}), "14:05:01.123  api:8080  starting");
  EXPECT_EQ(line(ForwardConnected{api(), "api-1", "websocket", 87ms, false}),
            "14:05:01.123  api:8080  connected  pod api-1  websocket in 87 ms");
  ForwardConnected free_port{api(), "api-1", "websocket", 87ms, false};
  free_port.forward.id = "api:auto";
  EXPECT_EQ(line(free_port),
            "14:05:01.123  api:auto  connected  pod api-1  websocket in 87 ms  local port 8080");
  EXPECT_EQ(line(ForwardConnected{api(), "api-1", "spdy", 1234ms, true}),
            "14:05:01.123  api:8080  refreshed  pod api-1  spdy in 1.2 s");
  EXPECT_EQ(line(ForwardDisconnected{api(), Reason::timeout, "no answer to a ping", "api-1"}),
            "14:05:01.123  api:8080  disconnected  pod api-1  timeout: no answer to a ping");
  EXPECT_EQ(line(ForwardReconnecting{api(), Reason::network, "refused", 1, 0ms}),
            "14:05:01.123  api:8080  reconnecting  attempt 1 now  network: refused");
  EXPECT_EQ(line(ForwardReconnecting{api(), Reason::none, "", 2, 513ms}),
            "14:05:01.123  api:8080  reconnecting  attempt 2 in 513 ms");
  EXPECT_EQ(line(ForwardStopped{api()}), "14:05:01.123  api:8080  stopped");
  EXPECT_EQ(line(ForwardFailed{api(), Reason::tls, "certificate has expired"}),
            "14:05:01.123  api:8080  attempt failed  tls: certificate has expired");
}

TEST_F(TextTest, HealthConnectionAndWatchdogEvents) {
  EXPECT_EQ(line(HealthStale{api(), "no proof of life for 10m"}),
            "14:05:01.123  api:8080  stale  no proof of life for 10m");
  EXPECT_EQ(line(ConnectionFailed{api(), Reason::refused, "nothing listens on 80", "api-1"}),
            "14:05:01.123  api:8080  connection failed  pod api-1  refused: nothing listens on 80");
  EXPECT_EQ(line(WatchdogHung{api(), "dialling for 61s", {}}),
            "14:05:01.123  api:8080  hung  dialling for 61s");
  EXPECT_EQ(line(WatchdogHung{{}, "stood still for 2 s", {}}),
            "14:05:01.123  kportal-cpp  hung  stood still for 2 s");
}

TEST_F(TextTest, ConfigEvents) {
  EXPECT_EQ(line(ConfigReloaded{{"a:1", "b:2"}, {"c:3"}, {"d:4"}, {"e:5", "f:6"}}),
            "14:05:01.123  config  reloaded  added a:1, b:2  removed c:3  changed d:4  "
            "2 unchanged");
  EXPECT_EQ(line(ConfigReloaded{{}, {}, {}, {"e:5"}}),
            "14:05:01.123  config  reloaded  1 unchanged");
  EXPECT_EQ(line(ConfigRejected{{"f.yaml:3:5: unknown key", "f.yaml:4:1: no port"}}),
            "14:05:01.123  config  rejected  f.yaml:3:5: unknown key; f.yaml:4:1: no port");
}

TEST_F(TextTest, DroppedIsTold) {
  EXPECT_EQ(to_text(Dropped(12)), "events: 12 were lost here");
  EXPECT_EQ(to_text(Delivery(Dropped(1))), "events: 1 was lost here");
}

TEST_F(TextTest, ADeliveryIsItsEvent) {
  Event const event = event_of(ForwardStopped{api()});
  EXPECT_EQ(to_text(Delivery(std::make_shared<Event const>(event))), to_text(event));
}

TEST_F(TextTest, WhatComesFromOutsideIsHarmless) {
  EXPECT_EQ(line(ConnectionFailed{api(), Reason::reset, "a\n\x1b[2J\xFF", "p\rq"}),
            "14:05:01.123  api:8080  connection failed  pod p\\rq  reset: a\\n\\x1b[2J\uFFFD");
}

TEST_F(TextTest, ColourOnlyWhenAskedFor) {
  Event const event = event_of(HealthStatusChanged{api(), false, Status::starting, Status::active,
                                                   Reason::none, "\x1b[31m", "api-1"});
  EXPECT_EQ(to_text(event, Color::yes),
            "\x1b[2m14:05:01.123\x1b[0m  api:8080  "
            "\x1b[33mStarting\x1b[0m -> \x1b[32mActive\x1b[0m  pod api-1  \\x1b[31m");
  EXPECT_EQ(to_text(event), "14:05:01.123  api:8080  Starting -> Active  pod api-1  \\x1b[31m");
  EXPECT_EQ(to_text(Dropped(2), Color::yes), "\x1b[33mevents\x1b[0m: 2 were lost here");
}

}  // namespace
}  // namespace kportal::events
