// SPDX-License-Identifier: MIT
#include "tests/bench/tool.h"

#include <charconv>

#include <fmt/format.h>

#include "tests/bench/peer.h"
#include "tests/bench/up.h"
#include "tests/lab/kubectl.h"

namespace kportal::bench {
namespace {

using namespace std::chrono_literals;

class Ours final : public Running {
 public:
  Ours(Place const& place, std::vector<Forward> const& forwards, test::ProgramOptions options)
      : ports_(forwards.size()), up_(place, lines(forwards), {}, std::move(options)) {}

  std::optional<std::uint16_t> port_now(std::size_t forward) override {
    for (test::OutputLine const& line : up_.program().lines(seen_)) {
      ++seen_;
      auto const event = line.event();
      auto const* const of = event ? events::forward_of(event->fact) : nullptr;
      if (of != nullptr && of->local_port != 0) ports_.at(number(of->id)) = of->local_port;
    }
    return ports_.at(forward);
  }
  std::uint16_t ready_port(std::size_t forward) override {
    return up_.active_port(fmt::format("f{}:auto", forward));
  }
  Pids pids() const override { return {up_.pid()}; }

 private:
  static std::vector<std::string> lines(std::vector<Forward> const& forwards) {
    std::vector<std::string> result;
    for (Forward const& each : forwards) {
      result.push_back(fmt::format("resource: {}, port: {}, localPort: auto, alias: f{}",
                                   each.resource, each.port, result.size()));
    }
    return result;
  }
  // Of "f12:auto".
  static std::size_t number(std::string const& id) {
    std::size_t result = 0;
    std::from_chars(id.data() + 1, id.data() + id.size(), result);
    return result;
  }

  std::vector<std::optional<std::uint16_t>> ports_;
  std::size_t seen_ = 0;  // lines of the program
  Up up_;
};

class OurTool final : public Tool {
 public:
  OurTool(std::string name, test::ProgramOptions options)
      : Tool(std::move(name)), options_(std::move(options)) {}
  bool is_build() const override { return true; }
  std::unique_ptr<Running> start(Place const& place,
                                 std::vector<Forward> const& forwards) const override {
    return std::make_unique<Ours>(place, forwards, options_);
  }

 private:
  test::ProgramOptions const options_;
};

// The P of "Forwarding from 127.0.0.1:P -> 80".
std::optional<std::uint16_t> forwarding_port(std::string_view line) {
  std::string_view const mark = "Forwarding from 127.0.0.1:";
  std::uint16_t port = 0;
  if (!line.starts_with(mark)) return std::nullopt;
  std::from_chars(line.data() + mark.size(), line.data() + line.size(), port);
  return port;
}

// Programs that speak as kubectl does. Each of the programs has an equal share of the forwards, in
// their order.
class Speaking final : public Running {
 public:
  Speaking(std::vector<std::unique_ptr<test::Program>> programs, std::size_t forwards, double scale)
      : programs_(std::move(programs)), each_(forwards / programs_.size()), scale_(scale) {}

  std::optional<std::uint16_t> port_now(std::size_t forward) override {
    std::size_t skip = forward % each_;
    for (test::OutputLine const& line : programs_[forward / each_]->lines()) {
      auto const port = forwarding_port(line.text);
      if (port && skip-- == 0) return port;
    }
    return std::nullopt;
  }
  std::uint16_t ready_port(std::size_t forward) override {
    std::size_t skip = forward % each_;
    test::Program const& program = *programs_[forward / each_];
    auto const line = program.wait_for(
        [&](test::OutputLine const& each) { return forwarding_port(each.text) && skip-- == 0; }, 0,
        60s);
    if (!line) throw CannotMeasure("it does not forward: " + program.errors());
    return *forwarding_port(line->text);
  }
  Pids pids() const override {
    Pids all;
    for (auto const& each : programs_) all.push_back(each->pid());
    return all;
  }
  double scale() const override { return scale_; }

 private:
  std::vector<std::unique_ptr<test::Program>> programs_;
  std::size_t const each_;
  double const scale_;
};

class Kubectl final : public Tool {
 public:
  explicit Kubectl(std::string program) : Tool(kKubectl) {
    options_.program = std::move(program);
    // Where it keeps what it has discovered; the first start of it fills that.
    options_.environment = {"HOME=" + home_.path()};
  }
  std::string version() const override {
    return fmt::format("1.{}", test::kubectl_minor_version(options_.program));
  }
  std::unique_ptr<Running> start(Place const& place,
                                 std::vector<Forward> const& forwards) const override {
    std::vector<std::unique_ptr<test::Program>> programs;
    for (Forward const& each : forwards) {
      std::vector<std::string> const arguments = {
          "--kubeconfig",     place.kubeconfig(), "--namespace",
          place.name_space(), "port-forward",     "--address",
          "127.0.0.1",        each.resource,      fmt::format(":{}", each.port)};
      programs.push_back(std::make_unique<test::Program>(arguments, options_));
    }
    return std::make_unique<Speaking>(std::move(programs), forwards.size(), 1);
  }

 private:
  test::TempDir home_;
  test::ProgramOptions options_;
};

// bench_peer in one of its modes, one process for all forwards.
class Peer final : public Tool {
 public:
  Peer(std::string name, BenchServer const& server) : Tool(std::move(name)), server_(server) {
    options_.program = KPORTAL_BENCH_PEER;
  }
  std::unique_ptr<Running> start(Place const&,
                                 std::vector<Forward> const& forwards) const override {
    std::vector<std::string> arguments = {name()};
    if (name() == kDiscarder) {
      arguments.push_back(std::to_string(server_.api_port()));
      arguments.push_back(server_.token());
      arguments.push_back("/api/v1/namespaces/" + server_.name_space() + "/pods/solo/portforward");
    }
    for (Forward const& each : forwards) {
      auto const port = name() == kRelay ? server_.tls().at(each.port) : each.port;
      arguments.push_back(std::to_string(port));
    }
    std::vector<std::unique_ptr<test::Program>> programs;
    programs.push_back(std::make_unique<test::Program>(arguments, options_));
    double const scale = name() == kDiscarder ? kBytesPerByte : 1;
    return std::make_unique<Speaking>(std::move(programs), forwards.size(), scale);
  }

 private:
  BenchServer const& server_;
  test::ProgramOptions options_;
};

class NoTool final : public Running {
 public:
  explicit NoTool(std::vector<std::uint16_t> ports) : ports_(std::move(ports)) {}
  std::optional<std::uint16_t> port_now(std::size_t forward) override { return ports_[forward]; }
  std::uint16_t ready_port(std::size_t forward) override { return ports_[forward]; }
  Pids pids() const override { return {}; }

 private:
  std::vector<std::uint16_t> const ports_;
};

class Loopback final : public Tool {
 public:
  explicit Loopback(BenchServer const& server) : Tool(kLoopback), server_(server) {}
  std::unique_ptr<Running> start(Place const&,
                                 std::vector<Forward> const& forwards) const override {
    std::vector<std::uint16_t> ports;
    for (Forward const& each : forwards) ports.push_back(server_.tcp().at(each.port));
    return std::make_unique<NoTool>(std::move(ports));
  }

 private:
  BenchServer const& server_;
};

}  // namespace

std::unique_ptr<Tool> make_ours(std::string name, std::string program,
                                std::vector<std::string> environment) {
  test::ProgramOptions options;
  options.program = std::move(program);
  options.environment = std::move(environment);
  return std::make_unique<OurTool>(std::move(name), std::move(options));
}

std::unique_ptr<Tool> make_kubectl(std::string program) {
  return std::make_unique<Kubectl>(std::move(program));
}

std::unique_ptr<Tool> make_relay(BenchServer const& server) {
  return std::make_unique<Peer>(kRelay, server);
}

std::unique_ptr<Tool> make_discarder(BenchServer const& server) {
  return std::make_unique<Peer>(kDiscarder, server);
}

std::unique_ptr<Tool> make_loopback(BenchServer const& server) {
  return std::make_unique<Loopback>(server);
}

}  // namespace kportal::bench
