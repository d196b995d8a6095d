// SPDX-License-Identifier: MIT
#include "tests/bench/server.h"

#include <string_view>

#include <nlohmann/json.hpp>

namespace kportal::bench {
namespace {

test::ProgramOptions server_program() {
  test::ProgramOptions options;
  options.program = KPORTAL_BENCH_SERVER;
  return options;
}

PortMap ports_of(nlohmann::json const& by_pod_port) {
  PortMap ports;
  for (auto const& [pod_port, port] : by_pod_port.items()) {
    ports[static_cast<std::uint16_t>(std::stoi(pod_port))] = port.get<std::uint16_t>();
  }
  return ports;
}

}  // namespace

BenchServer::BenchServer(std::size_t services)
    : program_({std::to_string(services)}, server_program()) {
  auto const line = program_.wait_for_line("{");
  if (!line) throw CannotMeasure("bench_server does not start: " + program_.errors());
  auto const where = nlohmann::json::parse(line->text);
  api_port_ = where.at("api").get<std::uint16_t>();
  counts_port_ = where.at("counts").get<std::uint16_t>();
  token_ = where.at("token").get<std::string>();
  tcp_ = ports_of(where.at("tcp"));
  tls_ = ports_of(where.at("tls"));
  dir_.write("kubeconfig", where.at("kubeconfig").get<std::string>());
}

Counts BenchServer::counts() const {
  test::Client client(counts_port_);
  auto const said = nlohmann::json::parse(client.read_to_end(), nullptr, false);
  if (said.is_discarded()) throw CannotMeasure("bench_server does not say its counts");
  Counts counts;
  counts.upgrades = said.at("upgrades").get<std::uint64_t>();
  counts.others = said.at("others").get<std::uint64_t>();
  counts.pings = said.at("pings").get<std::uint64_t>();
  counts.tunnels = said.at("tunnels").get<std::uint64_t>();
  return counts;
}

}  // namespace kportal::bench
