// SPDX-License-Identifier: MIT
// E2eTest: a lab, a directory with its kubeconfig, and the program started on files there: what
// nearly every test of the program begins with.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/lab_thread.h"
#include "tests/e2e/program.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::test {

inline constexpr bool kSanitized = KPORTAL_SANITIZED != 0;
inline constexpr bool kRelease = KPORTAL_RELEASE != 0;

class E2eTest : public testing::Test {
 protected:
  using Status = events::Status;
  using Reason = events::Reason;

  void SetUp() override;

  // Active after 300 ms, whatever listens, and otherwise as the defaults.
  static constexpr char const* kQuick = "healthCheck: { method: tcp-dial }\n";
  // The same, and all connections of a forward share one tunnel.
  static constexpr char const* kOneTunnel =
      "healthCheck: { method: tcp-dial }\nreliability: { maxTunnels: 1 }\n";

  // A file with these forwards (flow mappings without braces: "resource: pod/a, port: 80, ...") in
  // context lab, namespace default; `head` comes before `contexts:`.
  static std::string forwards(std::vector<std::string> const& lines,
                              std::string const& head = kQuick);
  // Writes it as forwards.yaml and starts `up` on it, with JSON lines.
  std::vector<std::string> up_arguments(std::vector<std::string> const& more = {}) const;
  Program up(std::vector<std::string> const& lines, std::string const& head = kQuick);

  void add_pod(std::string const& name, lab::Labels labels = {});
  void add_deployment(std::string const& name, int replicas = 1, Duration ready_after = {});
  std::vector<std::string> pods_of(std::string const& workload);
  std::size_t pod_connections(std::string const& pod);

  // Waits for Active; the local port, or 0 after a failure.
  static std::uint16_t active_port(Program& program, std::string_view forward,
                                   Duration within = kPatience);
  // The name in "pod=NAME ..." of the lab's pages.
  static std::string pod_of(HttpAnswer const& answer);

  LabThread lab_;
  TempDir dir_;
};

}  // namespace kportal::test
