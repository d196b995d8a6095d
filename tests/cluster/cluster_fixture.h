// SPDX-License-Identifier: MIT
// What the tests against the real cluster share: where it is, its own kubectl, and the program on
// forwards to it. Starts no cluster; a test fails when there is none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/program.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::test {

std::string cluster_dir();

// What kubectl prints as the admin, without the newline at the end.
std::string kubectl(std::string const& arguments);

class ClusterTest : public testing::Test {
 protected:
  void SetUp() override;

  // The program on forwards (flow mappings without braces), as the user of that kubeconfig; without
  // one it looks for itself.
  std::unique_ptr<Program> up(std::vector<std::string> const& forwards,
                              std::string const& kubeconfig = "kubeconfig",
                              ProgramOptions options = {});

  // The local port once the forward is Active; 0 if that does not happen.
  static std::uint16_t active_port(Program& program, std::string const& id);
  static std::string transport_of(Program& program, std::string const& id);

  TempDir dir_;
};

}  // namespace kportal::test
