// SPDX-License-Identifier: MIT
#include "k8s/access_review.h"

#include <gtest/gtest.h>

#include "tests/k8s/http_server.h"

namespace kportal::k8s {
namespace {

TEST(AccessReviewTest, AsksForOneDeed) {
  EXPECT_EQ(access_review_json(Deed("create", "", "pods", "portforward", "shop", "web-0")),
            R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",)"
            R"("spec":{"resourceAttributes":{"name":"web-0","namespace":"shop",)"
            R"("resource":"pods","subresource":"portforward","verb":"create"}}})");
  EXPECT_EQ(
      access_review_json(Deed("get", "apps", "deployments", "", "a\"b\xff")),
      R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",)"
      "\"spec\":{\"resourceAttributes\":{\"group\":\"apps\",\"namespace\":\"a\\\"b\xef\xbf\xbd\","
      R"("resource":"deployments","verb":"get"}}})");
}

TEST(AccessReviewTest, ReadsTheVerdict) {
  EXPECT_TRUE(*parse_access_review(
      R"({"kind":"SelfSubjectAccessReview","spec":{"status":{"allowed":false}},)"
      R"("status":{"allowed":true,"reason":"RBAC: allowed by \"x\""}})"));
  EXPECT_FALSE(*parse_access_review(R"({"status":{"allowed":false,"denied":true}})"));
}

TEST(AccessReviewTest, WhatIsNoVerdictIsAnError) {
  for (char const* json : {"", "{}", "[]", "x", R"({"status":{}})", R"({"status":true})",
                           R"({"status":{"allowed":"true"}})", R"({"status":{"allowed":1}})",
                           R"({"status":{"allowed":tru)", R"({"status":{"allowed":tru}})"}) {
    auto const verdict = parse_access_review(json);
    EXPECT_TRUE(verdict.has_error()) << json;
  }
}

TEST(AccessReviewTest, OnlyARefusalGetsARule) {
  Error const refused(Errc::forbidden, "no");
  EXPECT_EQ(with_rule(refused, "get", "deployments.apps", "shop").text,
            "no; a role that allows it, to be bound to this user: kubectl create role "
            "port-forward -n shop --verb=get --resource=deployments.apps");
  Error const busy(Errc::server, "busy");
  EXPECT_EQ(with_rule(busy, "get", "pods", "shop"), busy);
}

class MayTest : public RestFixture {};

TEST_F(MayTest, PostsTheQuestion) {
  server_.script([](ServedRequest const& request) {
    bool const asked = request.body.find("\"verb\":\"list\"") != std::string::npos;
    return reply(201, asked ? R"({"status":{"allowed":true}})" : "{}");
  });
  RestClient client(*curl_, resolver_, config());
  auto const allowed = run(may(client, Deed("list", "", "pods", "", "shop"), soon()));
  ASSERT_TRUE(allowed.has_value()) << allowed.error().text;
  EXPECT_TRUE(*allowed);
  EXPECT_EQ(server_.requests().front().method, "POST");
  EXPECT_EQ(server_.requests().front().target,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
  auto const broken = run(may(client, Deed("get", "", "pods", "", "shop"), soon()));
  ASSERT_TRUE(broken.has_error());
  EXPECT_TRUE(broken.error().text.starts_with(client.server())) << broken.error().text;
}

}  // namespace
}  // namespace kportal::k8s
