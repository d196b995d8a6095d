// SPDX-License-Identifier: MIT
// Users with few rights against a real API server (1.35 or later): what works, and what the message
// says where nothing does.
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/cluster/cluster_fixture.h"

namespace kportal::test {
namespace {

using events::Reason;
using events::Status;
using testing::HasSubstr;

// One forward of one user: a transport, or a reason and what the message says.
struct Row {
  std::string user;
  std::string target;
  std::string transport = {};
  Reason reason = Reason::none;
  std::vector<std::string> says = {};

  std::string id() const {
    std::string const kind = target.substr(0, target.find('/'));
    bool const named = target.find("port: http") != std::string::npos;
    return user + "-" + kind + (named ? "-named" : "");
  }
};

std::vector<Row> rows() {
  std::string const pod = "pod/solo, port: 8080";
  std::string const named = "pod/solo, port: http";
  std::string const service = "service/web, port: 80";
  std::string const deployment = "deployment/web, port: 8080";
  std::string const role = "kubectl create role port-forward -n kportal-e2e --verb=";
  std::string const tunnel = role + "get,create --resource=pods/portforward";
  std::string const no_create =
      "cannot create resource \"pods/portforward\" in API group \"\" in "
      "the namespace \"kportal-e2e\"";
  std::string const no_deployment =
      "cannot get resource \"deployments\" in API group \"apps\" in the namespace \"kportal-e2e\"";
  std::string const get_deployment = role + "get --resource=deployments.apps";
  return {
      {"limited", pod, "websocket"},
      {"limited", service, "websocket"},
      {"limited", deployment, "websocket"},
      {"createonly", pod, "spdy"},
      {"createonly", named, "spdy"},
      {"createonly", service, "spdy"},
      {"createonly", deployment, "", Reason::forbidden, {no_deployment, get_deployment}},
      {"getonly", pod, "", Reason::forbidden, {no_create, tunnel}},
      {"getonly", service, "", Reason::forbidden, {no_create, tunnel}},
      {"viewer", pod, "", Reason::forbidden, {no_create, "nor get it", tunnel}},
      {"viewer", deployment, "", Reason::forbidden, {no_create, "nor get it", tunnel}},
      {"nobody", pod, "", Reason::forbidden, {no_create, "nor get it", tunnel}},
      {"nobody",
       named,
       "",
       Reason::forbidden,
       {"cannot get resource \"pods\"", "port's number", role + "get --resource=pods"}},
      {"nobody",
       service,
       "",
       Reason::forbidden,
       {"cannot list resource \"pods\"", role + "get,list,watch --resource=pods"}},
      {"bad", pod, "", Reason::unauthorized, {"Unauthorized (HTTP 401)", "log in again"}},
      {"bad", deployment, "", Reason::unauthorized, {"Unauthorized (HTTP 401)", "log in again"}},
  };
}

TEST_F(ClusterTest, NarrowRightsWorkOrSayWhatIsMissing) {
  std::string text = "healthCheck: { method: tcp-dial }\ncontexts:\n";
  std::string last;
  for (Row const& row : rows()) {
    std::string const file = row.user == "bad" ? "kubeconfig-badtoken" : "kubeconfig-all";
    if (row.user != last) {
      text += "  - name: " + row.user + "\n    kubeconfig: " + cluster_dir() + "/" + file +
              "\n    namespaces:\n      - name: kportal-e2e\n        forwards:\n";
    }
    last = row.user;
    text +=
        "          - { resource: " + row.target + ", localPort: auto, alias: " + row.id() + " }\n";
  }
  dir_.write("forwards.yaml", text);
  Program program({"up", "-f", dir_.file("forwards.yaml"), "--log-format", "json"});
  for (Row const& row : rows()) {
    std::string const id = row.id() + ":auto";
    bool const works = !row.transport.empty();
    auto const* const change = program.wait_for_status(id, works ? Status::active : Status::error);
    ASSERT_NE(change, nullptr) << id;
    if (works) {
      EXPECT_EQ(transport_of(program, id), row.transport) << id;
      continue;
    }
    EXPECT_EQ(change->reason, row.reason) << id << ": " << change->message;
    for (auto const& part : row.says) EXPECT_THAT(change->message, HasSubstr(part)) << id;
  }
}

}  // namespace
}  // namespace kportal::test
