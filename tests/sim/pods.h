// SPDX-License-Identifier: MIT
// Pods: the pods of one forward's target as they are, and as the watch has shown them so far: what
// k8s/target_watch is in the product, on a simulated cluster. It chooses by the product's own
// k8s/target. It forwards nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "k8s/cluster.h"
#include "k8s/target.h"
#include "tests/sim/stage.h"
#include "tests/sim/weather.h"

namespace kportal::sim {

// What listens on the pod's port.
enum class Port { accepts, refuses, mute, resets };

struct Sandbox {
  std::string uid;
  Port port = Port::accepts;
  bool closed = false;
  // Told once when the sandbox closes or its containers restart.
  std::vector<std::function<void()>> at_end;

  void end_connections();
};

class Pods {
 public:
  static constexpr std::uint16_t kPort = 8080;
  static constexpr std::size_t kCount = 3;
  static constexpr Duration kRelist = std::chrono::seconds(10);
  static constexpr Duration kRequestTimeout = k8s::Cluster::kRequestTimeout;

  Pods(Stage& stage, Weather const& weather, config::Target target, std::string port,
       bool allow_unready);

  // Faults and repairs. `which` is taken modulo what there is.
  void remove(std::size_t which, Duration grace, std::optional<Duration> back_after);
  void set_ready(std::size_t which, bool ready);
  void set_port(std::size_t which, Port port);
  void restart(std::size_t which);
  void set_service_port(bool there);
  void set_supported(bool supported);
  // All there, Ready, accepting; the watch shows it.
  void heal();

  // As the product's TargetWatch.
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
  // The cluster answered a request of that time, or did not.
  void on_list(std::function<void(bool answered, TimePoint asked)> listed) {
    listed_ = std::move(listed);
  }
  std::optional<Result<k8s::Choices>> choose(std::vector<std::string> in_use);
  bool gone(std::string const& pod, std::string const& uid) const;
  std::uint64_t unrest(std::string const& pod, std::string const& uid) const;
  bool vouches_for(std::string const& pod) const;
  void refresh();
  // Forgets what was seen, as another cluster would.
  void start_over();

  // The truth.
  Sandbox* sandbox(std::string const& uid);
  bool exists(std::string const& name) const { return truth_.contains(name); }
  std::string uid_of(std::string const& name) const;
  // All three are Ready, accept, and the watch has shown it.
  bool all_well() const;

 private:
  void add(std::string const& name, bool ready);
  void drop(std::string const& name, std::optional<Duration> back_after);
  void changed();
  void show();
  void relist(TimePoint asked);
  void list_arrives(std::uint64_t list, std::size_t resent);
  k8s::Pod* pick(std::size_t which);
  // As the watch has shown it; by its name alone without a uid.
  k8s::Pod const* find(std::string const& pod, std::string const& uid) const;
  std::string fresh_name();

  Stage& stage_;
  Weather const& weather_;
  k8s::TargetQuery query_;
  k8s::TargetMemory memory_;
  k8s::Service service_;
  k8s::PodMap truth_;
  k8s::PodMap seen_;
  bool synced_ = false;
  bool relisting_ = false;
  TimePoint asked_{};
  std::uint64_t lists_ = 0;
  std::optional<Error> list_error_;
  std::map<std::string, std::unique_ptr<Sandbox>> sandboxes_;  // by uid, kept for ever
  std::uint64_t last_number_ = 0;
  std::function<void()> changed_ = [] {};
  std::function<void(bool, TimePoint)> listed_ = [](bool, TimePoint) {};
};

}  // namespace kportal::sim
