// SPDX-License-Identifier: MIT
// Tool: what forwards ports and is measured: our program, kubectl, and the bare things that they
// are compared with. Running is one start of it: its local ports, and the processes whose CPU and
// memory are its. Who measures is elsewhere (load, speed_rows).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/place.h"
#include "tests/bench/process.h"
#include "tests/bench/server.h"

namespace kportal::bench {

inline constexpr char const* kOurs = "kportal-cpp";
inline constexpr char const* kKubectl = "kubectl";
inline constexpr char const* kRelay = "relay";
inline constexpr char const* kDiscarder = "discard";
inline constexpr char const* kLoopback = "loopback";

// "pod/solo", "service/web", as kubectl and our configuration name it, and the port of that.
struct Forward {
  std::string resource;
  std::uint16_t port = 0;
  Forward(std::string r, std::uint16_t p) : resource(std::move(r)), port(p) {}
};

// Ends its processes.
class Running {
 public:
  virtual ~Running() = default;

  // The local port of that forward, if it is told already.
  virtual std::optional<std::uint16_t> port_now(std::size_t forward) = 0;
  // Returns once the tool says that the forward works. Throws CannotMeasure if that does not come.
  virtual std::uint16_t ready_port(std::size_t forward) = 0;
  // None: it has no CPU time and no memory of its own.
  virtual Pids pids() const = 0;
  // How many of the pod's bytes one byte of the local port stands for.
  virtual double scale() const { return 1; }
};

class Tool {
 public:
  explicit Tool(std::string name) : name_(std::move(name)) {}
  virtual ~Tool() = default;

  std::string const& name() const { return name_; }
  // Some build of our program.
  virtual bool is_build() const { return false; }
  // Not measured, but told: what exactly it is.
  virtual std::string version() const { return {}; }
  virtual std::unique_ptr<Running> start(Place const& place,
                                         std::vector<Forward> const& forwards) const = 0;

 private:
  std::string const name_;
};

// Ours. `program` empty: the one that was built with the bench. `environment` as ProgramOptions'.
std::unique_ptr<Tool> make_ours(std::string name, std::string program,
                                std::vector<std::string> environment = {});
// One process a forward, as it is made for.
std::unique_ptr<Tool> make_kubectl(std::string program);
// TLS to the server's plain ports, nothing else. Of a forward only the port counts, in these three.
std::unique_ptr<Tool> make_relay(BenchServer const& server);
// One tunnel by WebSocket whose bytes are decrypted, unframed and dropped: for the source only.
std::unique_ptr<Tool> make_discarder(BenchServer const& server);
// No tool at all.
std::unique_ptr<Tool> make_loopback(BenchServer const& server);

}  // namespace kportal::bench
