// SPDX-License-Identifier: MIT
// The program in a pod's place: no kubeconfig, but a service account's token, CA and namespace
// where a kubelet mounts them, and the variables of a pod. Needs root, for a mount namespace.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/cluster/cluster_fixture.h"

namespace kportal::test {
namespace {

class ServiceAccountTest : public ClusterTest {
 protected:
  static constexpr char const* kName = "kportal-e2e-in-pod";

  void SetUp() override {
    ClusterTest::SetUp();
    if (std::system("unshare -m true >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "no mount namespace can be made here";
    }
    remove();
    kubectl(fmt::format("-n kportal-e2e create serviceaccount {}", kName));
    kubectl(
        fmt::format("-n kportal-e2e create role {0} --verb=get,list,watch,create "
                    "--resource=pods,pods/portforward",
                    kName));
    kubectl(fmt::format(
        "-n kportal-e2e create rolebinding {0} --role={0} --serviceaccount=kportal-e2e:{0}",
        kName));
    dir_.write("token", kubectl(fmt::format("-n kportal-e2e create token {}", kName)));
    dir_.write("namespace", "kportal-e2e");
    dir_.write("ca.crt", kubectl("config view --raw -o "
                                 "'jsonpath={.clusters[0].cluster.certificate-authority-data}' | "
                                 "base64 -d"));
  }
  void TearDown() override { remove(); }

  static void remove() {
    kubectl(
        fmt::format("-n kportal-e2e delete serviceaccount,role,rolebinding {} "
                    "--ignore-not-found --wait=false",
                    kName));
  }

  // What a pod's environment is, with the account's files at their place.
  ProgramOptions in_pod() const {
    std::string const server = kubectl("config view -o 'jsonpath={.clusters[0].cluster.server}'");
    std::string const address = server.substr(server.rfind('/') + 1);
    std::size_t const colon = address.rfind(':');
    ProgramOptions options;
    options.environment = {"HOME=/nonexistent",
                           "KUBERNETES_SERVICE_HOST=" + address.substr(0, colon),
                           "KUBERNETES_SERVICE_PORT=" + address.substr(colon + 1)};
    options.wrapper = {"unshare",
                       "-m",
                       "sh",
                       "-c",
                       "set -e; d=/run/secrets/kubernetes.io/serviceaccount; "
                       "mount -t tmpfs tmpfs /run; mkdir -p $d; cp " +
                           dir_.path() + "/token " + dir_.path() + "/namespace " + dir_.path() +
                           "/ca.crt $d; exec \"$@\"",
                       "sh"};
    return options;
  }
};

TEST_F(ServiceAccountTest, ForwardsWithTheAccountOfAPod) {
  auto const program = up({"resource: deployment/pair, port: http, localPort: auto, alias: pair",
                           "resource: pod/solo, port: 8080, localPort: auto, alias: solo"},
                          "", in_pod());
  // Deployments are not in the account's rights, pods are.
  EXPECT_THAT(http_get(active_port(*program, "solo:auto")).body, testing::HasSubstr("pod=solo "));
  auto const* const refused = program->wait_for_status("pair:auto", events::Status::error);
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->reason, events::Reason::forbidden);
  EXPECT_THAT(refused->message,
              testing::HasSubstr("system:serviceaccount:kportal-e2e:kportal-e2e-in-pod"));
}

}  // namespace
}  // namespace kportal::test
