// SPDX-License-Identifier: MIT
#include <algorithm>
#include <thread>

#include "tests/bench/ground.h"
#include "tests/e2e/lab_thread.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::bench {
namespace {

using namespace std::chrono_literals;
using lab::ObjectName;
using lab::PodName;
using test::Lab;

constexpr Duration kWebReadyAfter = 2s;
constexpr Duration kThreeReadyAfter = 500ms;
// How long the API server takes no connections before it ends, and how long it is away.
constexpr Duration kClosing = 2s;
constexpr Duration kAway = 2s;
constexpr std::uint16_t kEchoPort = 7000;

void add_workload(Lab& lab, std::string const& name, int replicas, Duration ready_after) {
  lab::WorkloadSpec workload;
  workload.name = name;
  workload.replicas = replicas;
  workload.ready_after = ready_after;
  lab.cluster.add_workload(workload);
}

class LabGround final : public Ground {
 public:
  LabGround() {
    lab_.call([](Lab& lab) {
      add_workload(lab, "web", 1, kWebReadyAfter);
      add_workload(lab, "three", 3, kThreeReadyAfter);
      lab::PodSpec pod;
      pod.name = "solo";
      lab.cluster.add_pod(pod);
    });
    dir_.write("kubeconfig", lab_.kubeconfig());
  }

  std::string_view name() const override { return "lab"; }
  std::string kubeconfig() const override { return dir_.file("kubeconfig"); }
  std::string name_space() const override { return "default"; }

  Replaced replace_pod() override {
    auto const old = pods("web");
    lab_.call([&](Lab& lab) { lab.cluster.delete_pod(old.at(0)); });
    Replaced result;
    result.old = old.at(0).name;
    result.ready = wait_for_ready("web", 1, old);
    return result;
  }

  void roll_out() override {
    auto const old = pods("three");
    lab_.call([](Lab& lab) {
      lab.cluster.roll_out(ObjectName("default", "three"), lab::Rollout::surge);
    });
    wait_for_ready("three", 3, old);
  }

  std::size_t reset_tunnels(test::Program const&) override {
    return lab_.call([](Lab& lab) { return lab.server.drop_tunnels(); });
  }
  std::string_view how_tunnels_are_reset() const override { return {}; }

  std::unique_ptr<Wire> make_wire() override { return std::make_unique<LabWire>(lab_); }
  std::string_view how_wire_is_cut() const override {
    return "the lab's server freezes: TCP still acknowledges, nothing is read or written";
  }

  void refuse_port(bool refuse) override {
    lab_.call([refuse](Lab& lab) {
      PodName const solo("default", "solo");
      if (refuse) lab.cluster.unlisten(solo, kEchoPort);
      if (!refuse) lab.cluster.listen(solo, kEchoPort, lab::PortBehaviour::echo);
    });
  }

  TimePoint end_api_server() override {
    lab_.call([](Lab& lab) {
      lab.server.refuse_connections(true);
      lab.server.cut_watches(true);
    });
    std::this_thread::sleep_for(kClosing);
    TimePoint const at = Clock::now();
    lab_.stop_server();
    return at;
  }
  TimePoint start_api_server() override {
    std::this_thread::sleep_for(kAway);
    lab_.call([](Lab& lab) { lab.server.refuse_connections(false); });
    TimePoint const at = Clock::now();
    lab_.start_server();
    return at;
  }
  std::string_view how_api_server_ends() const override {
    return "2 s without watches and new connections, then all connections end; 2 s away";
  }

  int pod_connections() override {
    return lab_.call([](Lab& lab) {
      std::size_t open = 0;
      for (auto const& [name, pod] : lab.cluster.pods()) {
        open += lab.server.open_pod_connections(name);
      }
      return static_cast<int>(open);
    });
  }

 private:
  class LabWire final : public Wire {
   public:
    explicit LabWire(test::LabThread& lab) : lab_(lab) {}
    ~LabWire() override { heal(); }
    void cut() override {
      lab_.call([](Lab& lab) { lab.server.freeze(); });
    }
    void heal() override {
      lab_.call([](Lab& lab) { lab.server.thaw(); });
    }

   private:
    test::LabThread& lab_;
  };

  std::vector<PodName> pods(std::string const& workload) {
    return lab_.call(
        [&](Lab& lab) { return lab.cluster.pods_of(ObjectName("default", workload)); });
  }
  // When it had that many pods, none of them of `old`, and all were Ready: as the loop sees it.
  TimePoint wait_for_ready(std::string const& workload, std::size_t wanted,
                           std::vector<PodName> const& old) {
    TimePoint at;
    bool const ready = lab_.wait_for([&](Lab& lab) {
      auto const names = lab.cluster.pods_of(ObjectName("default", workload));
      at = Clock::now();
      return names.size() == wanted && std::ranges::all_of(names, [&](PodName const& name) {
               return lab.cluster.find_pod(name)->spec.ready &&
                      std::ranges::find(old, name) == old.end();
             });
    });
    if (!ready) throw CannotMeasure("the lab's pods of " + workload + " are not Ready");
    return at;
  }

  test::LabThread lab_;
  test::TempDir dir_;
};

}  // namespace

std::unique_ptr<Ground> make_lab_ground() {
  return std::make_unique<LabGround>();
}

}  // namespace kportal::bench
