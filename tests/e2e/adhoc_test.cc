// SPDX-License-Identifier: MIT
// `up TARGET PORT...`: forwards without a file.
#include <csignal>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

class AdHocTest : public E2eTest {
 protected:
  // Started where no file can be found, with events as JSON.
  Program up_ad_hoc(std::vector<std::string> const& words) {
    std::vector<std::string> arguments{"up", "--log-format", "json", "--kubeconfig",
                                       dir_.file("kubeconfig")};
    arguments.insert(arguments.end(), words.begin(), words.end());
    return Program(std::move(arguments), elsewhere());
  }

  ProgramOptions elsewhere() {
    ProgramOptions options;
    options.directory = empty_.path();
    options.environment = {"HOME=" + empty_.path(), "XDG_CONFIG_HOME=" + empty_.path()};
    return options;
  }

  // Expects exit 2, nothing on standard output, and `part` on standard error.
  void expect_usage(std::vector<std::string> const& words, std::string const& part,
                    ProgramOptions options) {
    std::vector<std::string> arguments{"up"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    Program program(std::move(arguments), std::move(options));
    EXPECT_EQ(program.wait(), 2) << part;
    EXPECT_NE(program.errors().find(part), std::string::npos) << program.errors();
    EXPECT_TRUE(program.lines().empty()) << part;
  }

  TempDir empty_;
};

TEST_F(AdHocTest, ForwardsWithoutAFile) {
  add_pod("solo", {{"app", "solo"}});
  lab_.call([](Lab& lab) {
    lab::ServiceSpec service;
    service.name = "front";
    service.selector = {{"app", "solo"}};
    service.ports = {{"line", 80, "9003"}};
    lab.cluster.add_service(service);
  });
  std::uint16_t const port = free_port();
  Program program = up_ad_hoc({"svc/front", std::to_string(port) + ":80", ":line"});
  std::string const first = "lab/default/svc/front:" + std::to_string(port);
  EXPECT_EQ(active_port(program, first), port);
  EXPECT_EQ(Client(port).read(12), "READY solo\r\n");
  EXPECT_EQ(Client(port, "::1").read(12), "READY solo\r\n");
  std::uint16_t const free = active_port(program, "lab/default/svc/front:auto");
  EXPECT_EQ(Client(free).read(12), "READY solo\r\n");
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(AdHocTest, TheContextGivesTheNamespaceAndABareNameIsAPod) {
  lab_.call([](Lab& lab) {
    lab::PodSpec pod;
    pod.namespace_ = "team";
    pod.name = "solo";
    lab.cluster.add_pod(pod);
  });
  lab::KubeconfigOptions options;
  options.namespace_ = "team";
  dir_.write("kubeconfig", lab_.kubeconfig(options));
  Program program = up_ad_hoc({"solo", ":9003", "--address", "127.0.0.1"});
  std::uint16_t const port = active_port(program, "lab/team/pod/solo:auto");
  EXPECT_EQ(Client(port).read(12), "READY solo\r\n");
  EXPECT_EQ(Client(port, "::1").end(), End::refused);
  program.signal(SIGHUP);
  EXPECT_TRUE(program.wait_for_error_text("nothing to reload"));
  EXPECT_EQ(Client(port).read(12), "READY solo\r\n");
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(AdHocTest, AnUnknownContextIsAnErrorOfTheForward) {
  Program program = up_ad_hoc({"solo", ":80", "--context", "none", "-n", "shop"});
  auto const* const change = program.wait_for_status("none/shop/pod/solo:auto", Status::error);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->reason, Reason::no_such_context);
}

TEST_F(AdHocTest, MistakesAreToldWithTheirPlace) {
  expect_usage({"svc/db", "0"}, "argument 2: the port must be", elsewhere());
  expect_usage({"svc/db", "80", "70000:80"}, "argument 3: the local port must be", elsewhere());
  expect_usage({"svc/db", "80", "80:81"}, "argument 3: local port 80 is already used by argument 2",
               elsewhere());
  expect_usage({"foo/db", "80"}, "argument 1: \"foo\" is no kind", elsewhere());
  expect_usage({"svc/db", "80", "--address", "home"}, "--address: must be localhost or an IP",
               elsewhere());
  expect_usage({"svc/db", "80", "-n", "Shop"}, "--namespace: must be", elsewhere());
  expect_usage({"svc/db"}, "svc/db: a port is missing", elsewhere());
  expect_usage({"-n", "shop"}, "--namespace goes with TARGET PORT", elsewhere());
}

TEST_F(AdHocTest, NamesOfAFileAreNotTakenForATarget) {
  add_pod("solo");
  ProgramOptions options;
  options.directory = dir_.path();
  dir_.write("forwards.yaml",
             forwards({"resource: pod/solo, port: 8080, localPort: auto",
                       "resource: pod/none, port: 8080, localPort: auto, alias: web"}));
  Program program({"up", "--log-format", "json", "pod/solo"}, options);
  EXPECT_NE(active_port(program, "lab/default/pod/solo:auto"), 0);
  expect_usage({"pod/solo", "web"}, "names of forwards in a file, and a target", options);
  expect_usage({"pod/other"}, "pod/other: a port is missing", options);
}

}  // namespace
}  // namespace kportal::test
