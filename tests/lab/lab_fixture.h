// SPDX-License-Identifier: MIT
// LabFixture: a test with a loop, a Cluster and an ApiServer on it. play() runs one coroutine
// against them and then stops the lab, so that a test proves that everything ends.
#pragma once

#include "base/task_group.h"
#include "lab/api_server.h"
#include "lab/cluster.h"
#include "tests/support/loop_fixture.h"

namespace kportal::lab {

class LabFixture : public test::LoopFixture {
 public:  // scenes are lambdas that get the fixture
  using LoopFixture::executor;

  void SetUp() override {
    auto const started = server_.start();
    ASSERT_TRUE(started) << started.error().text;
  }
  void TearDown() override {
    if (!stopped_) run(stop());
  }

  void play(awaitable<void> scene) { run(play_and_stop(std::move(scene))); }

  awaitable<void> play_and_stop(awaitable<void> scene) {
    co_await std::move(scene);
    co_await stop();
  }
  awaitable<void> stop() {
    stopped_ = true;
    co_await server_.stop();
    co_await cluster_.stop();
  }

  Cluster cluster_{executor()};
  ApiServer server_{executor(), cluster_};
  bool stopped_ = false;
};

}  // namespace kportal::lab
