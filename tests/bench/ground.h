// SPDX-License-Identifier: MIT
// Ground: where the faults happen, and what makes them happen there: the lab or the real cluster.
// Both have the same targets: Deployments `web` (one pod) and `three` (three pods, rolled out with
// one more than wanted and none missing), and a pod `solo`; their ports are the lab's. What a
// ground tells of pods and servers it knows from there, never from the program that is measured.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "tests/bench/place.h"
#include "tests/e2e/program.h"

namespace kportal::bench {

class Ground : public Place {
 public:
  struct Replaced {
    std::string old;
    TimePoint ready;  // when the replacement was
  };
  // Deletes the one pod of `web` and returns once its replacement is Ready.
  virtual Replaced replace_pod() = 0;
  // Replaces the pods of `three` one by one, and returns when all of them are new.
  virtual void roll_out() = 0;

  // The server resets the tunnels of this program; how many there were. Elsewhere, what else it
  // resets with them.
  virtual std::size_t reset_tunnels(test::Program const& program) = 0;
  virtual std::string_view how_tunnels_are_reset() const = 0;

  // The calling thread and what it starts reach the server by a way that can be made a black hole,
  // until the object goes.
  class Wire {
   public:
    virtual ~Wire() = default;
    virtual void cut() = 0;  // swallows all, closes nothing
    virtual void heal() = 0;
  };
  virtual std::unique_ptr<Wire> make_wire() = 0;
  virtual std::string_view how_wire_is_cut() const = 0;

  // Port 7000 of `solo` takes no new connections; those that are open go on.
  virtual void refuse_port(bool refuse) = 0;

  // Ends the API server and returns when its connections ended: one that ended earlier was ended
  // by the program.
  virtual TimePoint end_api_server() = 0;
  // Returns when it was back.
  virtual TimePoint start_api_server() = 0;
  virtual std::string_view how_api_server_ends() const = 0;

  // Connections that are open in the pods, counted there.
  virtual int pod_connections() = 0;
};

std::unique_ptr<Ground> make_lab_ground();
// Needs the cluster to be up, and root. Its targets are in a namespace of its own, which goes with
// the object.
std::unique_ptr<Ground> make_cluster_ground();

}  // namespace kportal::bench
