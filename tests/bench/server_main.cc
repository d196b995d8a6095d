// SPDX-License-Identifier: MIT
// bench_server [SERVICES]: the lab as a process of its own, so that its CPU is nobody else's, and
// the plain ports beside it. It prints one line of JSON: where everything is. Each connection to
// the port `counts` is told, as one line of JSON, what the API server was asked so far. Ends with
// its parent.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/prctl.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lab/certificates.h"
#include "tests/bench/place.h"
#include "tests/bench/plain_ports.h"
#include "tests/bench/server.h"
#include "tests/e2e/lab_thread.h"

namespace {

using namespace kportal;
using namespace kportal::bench;
using lab::RequestKind;
using test::Lab;

constexpr char const* kToken = "bench";

void fill(Lab& lab, int services) {
  lab::PodSpec pod;
  pod.name = "solo";
  lab.cluster.add_pod(pod);
  for (int i = 0; i < services; ++i) {
    lab::ServiceSpec service;
    service.name = fmt::format("s{}", i);
    service.selector = {{"app", service.name}};
    lab::ServicePort port;
    port.name = "http";
    port.port = 80;
    port.target = "8080";
    service.ports = {port};
    lab.cluster.add_deployment("default", service.name);
    lab.cluster.add_service(service);
  }
  lab.server.access().add_user("bench", kToken, {"system:masters"});
}

TlsServer plain_tls() {
  auto authority = lab::CertificateAuthority::make("bench");
  if (!authority) throw CannotMeasure(authority.error().text);
  auto const made = authority->issue_server({"localhost", "127.0.0.1"});
  if (!made) throw CannotMeasure(made.error().text);
  return TlsServer(made->certificate_pem, made->key_pem);
}

nlohmann::json by_pod_port(PortMap const& ports) {
  nlohmann::json all = nlohmann::json::object();
  for (auto const& [pod_port, port] : ports) all[std::to_string(pod_port)] = port;
  return all;
}

std::string counts_of(Lab& lab) {
  auto const upgrades = lab.server.requests(RequestKind::upgrade_websocket) +
                        lab.server.requests(RequestKind::upgrade_spdy);
  nlohmann::json const counts = {
      {"upgrades", upgrades},
      {"others", lab.server.requests(RequestKind::any) - upgrades},
      {"pings", lab.server.pings()},
      {"tunnels", lab.server.open_tunnels()},
  };
  return counts.dump() + "\n";
}

void run(int services) {
  test::LabThread lab;
  lab.call([services](Lab& l) { fill(l, services); });
  Listening const counts;
  nlohmann::json const where = {
      {"api", lab.call([](Lab& l) { return l.server.port(); })},
      {"kubeconfig", lab.kubeconfig()},
      {"token", kToken},
      {"counts", counts.port()},
      {"tcp", by_pod_port(serve_tcp())},
      {"tls", by_pod_port(serve_tls(plain_tls()))},
  };
  std::printf("%s\n", where.dump().c_str());
  std::fflush(stdout);
  for (;;) {
    Socket const asked = counts.accept();
    std::string const text = lab.call(&counts_of);
    asked.write_all(as_bytes(text));
  }
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    run(argc == 2 ? std::atoi(argv[1]) : 0);
  } catch (CannotMeasure const& cannot) {
    std::fprintf(stderr, "%s\n", cannot.what());
    return 1;
  }
}
