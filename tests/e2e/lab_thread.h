// SPDX-License-Identifier: MIT
// LabThread: the lab's cluster and API server on a loop of their own in a thread of their own, for
// tests that block. All that touches them runs on that loop, by call(). It ends when the object
// goes.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "lab/api_server.h"
#include "lab/cluster.h"
#include "tests/e2e/client.h"

namespace kportal::test {

// What a function that runs on the loop gets.
struct Lab {
  lab::Cluster& cluster;
  lab::ApiServer& server;
};

class LabThread {
 public:
  explicit LabThread(lab::ApiServerOptions options = {});
  ~LabThread();
  LabThread(LabThread const&) = delete;
  LabThread& operator=(LabThread const&) = delete;

  // Runs fn(Lab&) on the loop and returns what it returns.
  template <class Fn>
  std::invoke_result_t<Fn&, Lab&> call(Fn fn) {
    std::packaged_task<std::invoke_result_t<Fn&, Lab&>(Lab&)> task(std::ref(fn));
    auto result = task.get_future();
    post([&task](Lab& lab) { task(lab); });
    return result.get();
  }

  // True as soon as `condition`, asked on the loop at each change, holds; false after `within`.
  bool wait_for(std::function<bool(Lab&)> condition, Duration within = kPatience);

  // Ends the API server, so that its port refuses; start_server() listens on the same one again.
  void stop_server();
  void start_server();

  std::string kubeconfig(lab::KubeconfigOptions const& options = {});
  // Tunnels that are open now.
  std::size_t open_tunnels();

 private:
  class Impl;
  void post(std::function<void(Lab&)> fn);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kportal::test
