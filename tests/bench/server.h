// SPDX-License-Identifier: MIT
// BenchServer: the program bench_server as a Place, with what else it serves and counts. In its
// lab: a pod `solo`, and so many Services s0, s1, ... (80 -> http of a Deployment with one pod
// each), all in `default`. The thread that makes it must outlive it.
#pragma once

#include <cstdint>
#include <string>

#include "tests/bench/counted_place.h"
#include "tests/bench/plain_ports.h"
#include "tests/e2e/program.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::bench {

class BenchServer final : public CountedPlace {
 public:
  explicit BenchServer(std::size_t services);

  std::string_view name() const override { return "lab"; }
  std::string kubeconfig() const override { return dir_.file("kubeconfig"); }
  std::string name_space() const override { return "default"; }

  std::uint16_t api_port() const { return api_port_; }
  std::string const& token() const { return token_; }  // of one who may do everything
  PortMap const& tcp() const { return tcp_; }
  PortMap const& tls() const { return tls_; }
  Counts counts() const override;
  pid_t pid() const { return program_.pid(); }

 private:
  test::TempDir dir_;
  test::Program program_;
  std::uint16_t api_port_ = 0;
  std::uint16_t counts_port_ = 0;
  std::string token_;
  PortMap tcp_;
  PortMap tls_;
};

}  // namespace kportal::bench
