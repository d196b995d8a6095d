// SPDX-License-Identifier: MIT
#include "events/ndjson.h"

#include <memory>

#include <gtest/gtest.h>

namespace kportal::events {
namespace {

using namespace std::chrono_literals;

ForwardRef api() {
  return {"api:8080", "staging", "shop", "service/api", 8080};
}

Event event_of(Fact fact) {
  using namespace std::chrono;
  return {12, sys_days(2026y / November / 23) + 14h + 5min + 1s + 123ms, std::move(fact)};
}

std::string const kHead = R"({"seq":12,"time":"2026-11-23T14:05:01.123Z","type":")";
std::string const kForward = R"(","forward":"api:8080","context":"staging","namespace":"shop",)"
                             R"("resource":"service/api","localPort":8080)";

// Written as expected, and read back as what it was.
void expect_line(Fact const& fact, std::string const& expected) {
  Event const event = event_of(fact);
  std::string const line = to_ndjson(event);
  EXPECT_EQ(line, expected);
  auto const back = parse_ndjson(line);
  ASSERT_TRUE(back.has_value()) << back.error().text;
  auto const* const shared = std::get_if<SharedEvent>(&*back);
  ASSERT_NE(shared, nullptr);
  EXPECT_EQ((*shared)->seq, 12u);
  EXPECT_EQ((*shared)->time, event.time);
  EXPECT_EQ((*shared)->fact, fact);
}

TEST(NdjsonTest, TheExampleOfTheContract) {
  HealthStatusChanged const fact{api(),        false, Status::starting, Status::active,
                                 Reason::none, "",    "api-7d9f-x2x"};
  expect_line(fact,
              R"({"seq":12,"time":"2026-11-23T14:05:01.123Z","type":"health.status_changed",)"
              R"("forward":"api:8080","context":"staging","namespace":"shop",)"
              R"("resource":"service/api","localPort":8080,"old":"Starting","status":"Active",)"
              R"("reason":"","message":"","pod":"api-7d9f-x2x"})");
}

TEST(NdjsonTest, TheFirstStatusHasAnEmptyOld) {
  expect_line(HealthStatusChanged{api(), true, {}, Status::idle, Reason::none, "", ""},
              kHead + "health.status_changed" + kForward +
                  R"(,"old":"","status":"Idle","reason":"","message":"","pod":""})");
}

TEST(NdjsonTest, ForwardEvents) {
  expect_line(ForwardStarting{api()}, kHead + "forward.starting" + kForward + "}");
  expect_line(ForwardConnected{api(), "api-1", "websocket", 87ms, false},
              kHead + "forward.connected" + kForward +
                  R"(,"pod":"api-1","transport":"websocket","dialMillis":87})");
  expect_line(ForwardConnected{api(), "api-1", "spdy", 0ms, true},
              kHead + "forward.connected" + kForward +
                  R"(,"pod":"api-1","transport":"spdy","dialMillis":0,"refresh":true})");
  expect_line(ForwardDisconnected{api(), Reason::network, "read: reset", "api-1"},
              kHead + "forward.disconnected" + kForward +
                  R"(,"reason":"network","message":"read: reset","pod":"api-1"})");
  expect_line(ForwardReconnecting{api(), Reason::no_ready_pod, "none of 2", 3, 1900ms},
              kHead + "forward.reconnecting" + kForward +
                  R"(,"reason":"no-ready-pod","message":"none of 2","attempt":3,)"
                  R"("delayMillis":1900})");
  expect_line(ForwardStopped{api()}, kHead + "forward.stopped" + kForward + "}");
  expect_line(ForwardFailed{api(), Reason::forbidden, "create pods/portforward"},
              kHead + "forward.error" + kForward +
                  R"(,"reason":"forbidden","message":"create pods/portforward"})");
}

TEST(NdjsonTest, HealthConnectionAndWatchdogEvents) {
  expect_line(HealthStale{api(), "25m old, idle for 10m"},
              kHead + "health.stale" + kForward + R"(,"message":"25m old, idle for 10m"})");
  expect_line(ConnectionFailed{api(), Reason::half_close_cut, "cut", "api-1"},
              kHead + "connection.failed" + kForward +
                  R"(,"reason":"half-close-cut","message":"cut","pod":"api-1"})");
  expect_line(WatchdogHung{api(), "resolving for 61s", {}},
              kHead + "watchdog.worker_hung" + kForward + R"(,"message":"resolving for 61s"})");
}

TEST(NdjsonTest, ConfigEventsAreOfNoForward) {
  expect_line(ConfigReloaded{{"a:1", "b:2"}, {}, {"c:3"}, {"d:4"}},
              kHead + "config.reloaded" +
                  R"(","added":["a:1","b:2"],"removed":[],"changed":["c:3"],)"
                  R"("unchanged":["d:4"]})");
  expect_line(ConfigRejected{{"f.yaml:3:5: unknown key \"prot\""}},
              kHead + "config.rejected" + R"(","problems":["f.yaml:3:5: unknown key \"prot\""]})");
}

TEST(NdjsonTest, DroppedHasNoSeq) {
  EXPECT_EQ(to_ndjson(Dropped(12)), R"({"type":"events.dropped","count":12})");
  EXPECT_EQ(to_ndjson(Delivery(Dropped(1))), R"({"type":"events.dropped","count":1})");
  auto const back = parse_ndjson(R"({"type":"events.dropped","count":12})");
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(std::get<Dropped>(*back).count, 12u);
}

TEST(NdjsonTest, ADeliveryIsItsEvent) {
  Event const event = event_of(ForwardStarting{api()});
  EXPECT_EQ(to_ndjson(Delivery(std::make_shared<Event const>(event))), to_ndjson(event));
}

TEST(NdjsonTest, WhatComesFromOutsideStaysInItsString) {
  HealthStale const fact{api(), "a\"b\\c\nd\x1b[2Je\xFF\x7F"};
  EXPECT_EQ(to_ndjson(event_of(fact)),
            kHead + "health.stale" + kForward +
                ",\"message\":\"a\\\"b\\\\c\\nd\\u001b[2Je\uFFFD\\u007f\"}");
}

TEST(NdjsonTest, ALaterProgramMaySayMore) {
  auto const back = parse_ndjson(kHead + "forward.stopped" + kForward + R"(,"new":{"a":[1]}})");
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(std::get<SharedEvent>(*back)->fact, Fact(ForwardStopped{api()}));
}

TEST(NdjsonTest, AnUnknownTypeIsTold) {
  auto const back = parse_ndjson(kHead + "forward.danced" + kForward + "}");
  ASSERT_TRUE(back.has_error());
  EXPECT_EQ(back.error(), Error(Errc::unsupported, "unknown type forward.danced"));
}

TEST(NdjsonTest, WhatIsNoEventIsRefused) {
  std::vector<std::string> const lines = {
      "",
      "{",
      "[]",
      "12",
      std::string(100000, '['),
      std::string(2 * 1024 * 1024, ' '),
      R"({"type":"events.dropped"})",
      R"({"type":"events.dropped","count":-1})",
      R"({"seq":0,"time":"2026-11-23T14:05:01.123Z","type":"forward.stopped"})",
      R"({"seq":-1,"time":"2026-11-23T14:05:01.123Z","type":"forward.stopped"})",
      R"({"seq":1,"time":"1013-11-23T14:05:01.123Z","type":"forward.stopped"})",
      R"({"seq":1,"time":"9999-11-23T14:05:01.123Z","type":"forward.stopped"})",
      R"({"seq":1,"time":"2026-13-23T14:05:01.123Z","type":"forward.stopped"})",
      R"({"seq":1,"time":"2026-11-23T24:05:01.123Z","type":"forward.stopped"})",
      R"({"seq":1,"time":"2026-11-23T14:05:01.123+","type":"forward.stopped"})",
      R"({"seq":1,"time":"2026-11-23","type":"forward.stopped"})",
      R"({"seq":1,"type":"forward.stopped"})",
      kHead + "forward.stopped" + R"(","forward":5})",
      kHead + "forward.stopped" + R"(","localPort":65536})",
      kHead + "health.stale" + R"(","message":"\ud800"})",
      kHead + "health.status_changed" + R"(","status":"active"})",
      kHead + "config.rejected" + R"(","problems":[1]})",
  };
  for (auto const& line : lines) {
    auto const back = parse_ndjson(line);
    ASSERT_TRUE(back.has_error()) << line.substr(0, 100);
    EXPECT_EQ(back.error().code, Errc::protocol) << line.substr(0, 100);
  }
}

}  // namespace
}  // namespace kportal::events
