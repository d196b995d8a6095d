// SPDX-License-Identifier: MIT
// WorkerMachineTest: a worker's machine, its time, and the actions of the last event.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "forward/worker_machine.h"

namespace kportal::forward {

using namespace std::chrono_literals;
using events::Reason;

class WorkerMachineTest : public testing::Test {
 protected:
  explicit WorkerMachineTest(Duration hold = 10s) : machine_(hold, 7, events::is_permanent) {}

  static Result<k8s::Choice> pod(std::string const& name, std::uint16_t port = 8080) {
    k8s::Choice choice;
    choice.pod = name;
    choice.uid = "uid-" + name;
    choice.port = port;
    return choice;
  }

  void take() { actions_ = machine_.take_actions(); }
  void start() { machine_.start(now_), take(); }
  void resolve(Result<k8s::Choice> choice, bool gone = false) {
    std::vector<TunnelId> leaving;
    if (gone) leaving.push_back(machine_.pool().primary().value());
    Result<k8s::Choices> choices = k8s::Choices();
    if (choice) {
      choices->push_back(*choice);
    } else {
      choices = choice.error();
    }
    machine_.resolved(std::move(choices), leaving, now_);
    take();
  }
  void tick(Duration by) {
    now_ += by;
    machine_.tick(now_);
    take();
  }
  void dialled(TunnelId id) { machine_.dialled(id, now_), take(); }
  void dial_failed(TunnelId id, Errc code) {
    machine_.dial_failed(id, Error(code, "no way"), now_);
    take();
  }
  void closed(TunnelId id, bool lived = true) {
    machine_.tunnel_closed(id, Error(Errc::network, "cut"), lived, now_);
    take();
  }
  void accept(ConnectionId id) { machine_.accepted(id, now_), take(); }
  void ended(ConnectionId id, TunnelId tunnel, Errc code, bool movable) {
    ConnectionEnd end;
    end.movable = movable;
    end.error = Error(code, "why");
    machine_.connection_ended(id, tunnel, now_, end, now_);
    take();
  }
  // The machine with a tunnel up to pod `name`; returns the tunnel.
  TunnelId serving(std::string const& name = "a") {
    start();
    resolve(pod(name));
    TunnelId const id = only<Dial>().tunnel;
    dialled(id);
    return id;
  }

  template <class T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (Action const& action : actions_) {
      if (auto const* const it = std::get_if<T>(&action)) found.push_back(*it);
    }
    return found;
  }
  template <class T>
  T only() const {
    auto const found = all<T>();
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? T() : found.front();
  }

  WorkerMachine machine_;
  TimePoint now_ = TimePoint() + 1h;
  Actions actions_;
};

}  // namespace kportal::forward
