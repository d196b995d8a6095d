// SPDX-License-Identifier: MIT
#include "lab/rest.h"

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/access.h"
#include "lab/faults.h"

namespace kportal::lab {
namespace {

using testing::HasSubstr;
using testing::Not;

class LabRestTest : public testing::Test {
 protected:
  void SetUp() override {
    for (auto const* const name : {"a", "b", "c"}) {
      PodSpec pod;
      pod.name = name;
      pod.labels = {{"app", name == std::string("c") ? "db" : "web"}};
      cluster_.add_pod(pod);
    }
  }
  static ResourcePath path(std::string const& text) { return parse_resource_path(text).value(); }
  RestAnswer list(std::string const& query) {
    return answer_list(cluster_, path("/api/v1/namespaces/default/pods"), Query::parse(query));
  }
  // The token in a list's metadata.
  static std::string token(RestAnswer const& answer) {
    std::string const mark = "\"continue\":\"";
    auto const at = answer.body.find(mark);
    if (at == std::string::npos) return "";
    auto const begin = at + mark.size();
    return answer.body.substr(begin, answer.body.find('"', begin) - begin);
  }

  boost::asio::io_context loop_;
  Cluster cluster_{loop_.get_executor()};
};

TEST(LabRestPathTest, NamesObjectsCollectionsAndSubresources) {
  auto const pod = parse_resource_path("/api/v1/namespaces/shop/pods/web-1/portforward");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->namespace_, "shop");
  EXPECT_EQ(pod->resource_and_subresource(), "pods/portforward");
  EXPECT_EQ(pod->name, "web-1");
  auto const all = parse_resource_path("/apis/apps/v1/deployments");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->group, "apps");
  EXPECT_EQ(all->namespace_, "");
  auto const ns = parse_resource_path("/api/v1/namespaces/shop");
  ASSERT_TRUE(ns);
  EXPECT_EQ(ns->resource, "namespaces");
  EXPECT_EQ(ns->name, "shop");
  for (auto const* const no :
       {"/", "/api", "/api/v1", "/apis/apps/v1", "/version", "", "/api/v1/"}) {
    EXPECT_FALSE(parse_resource_path(no)) << no;
  }
}

TEST(LabRestPathTest, DecodesQueries) {
  auto const query = Query::parse("labelSelector=a%3Db%2Cc+in+%28x%29&watch=1&empty&limit=");
  EXPECT_EQ(query.get("labelSelector"), "a=b,c in (x)");
  EXPECT_TRUE(query.is_true("watch"));
  EXPECT_EQ(query.get("empty"), "");
  EXPECT_FALSE(query.is_true("limit"));
}

TEST_F(LabRestTest, ShowsAPodAsKubernetesDoes) {
  auto const answer = answer_get(cluster_, path("/api/v1/namespaces/default/pods/a"));
  EXPECT_EQ(answer.code, 200);
  for (auto const* const part :
       {R"("kind":"Pod")", R"("apiVersion":"v1")", R"("phase":"Running")",
        R"("type":"Ready","status":"True")", R"({"name":"http","containerPort":8080,)",
        R"("labels":{"app":"web"})"}) {
    EXPECT_THAT(answer.body, HasSubstr(part));
  }
}

TEST_F(LabRestTest, NamesWhatIsNotThere) {
  auto const pod = answer_get(cluster_, path("/api/v1/namespaces/default/pods/x"));
  EXPECT_EQ(pod.code, 404);
  EXPECT_THAT(pod.body, HasSubstr(R"("message":"pods \"x\" not found","reason":"NotFound")"));
  auto const apps = answer_get(cluster_, path("/apis/apps/v1/namespaces/default/deployments/x"));
  EXPECT_THAT(apps.body, HasSubstr(R"(deployments.apps \"x\" not found)"));
  EXPECT_EQ(answer_get(cluster_, path("/api/v1/namespaces/default/cabbages/x")).code, 404);
}

TEST_F(LabRestTest, ListsBySelectorAndByName) {
  auto const web = list("labelSelector=app%3Dweb");
  EXPECT_THAT(web.body, HasSubstr(R"("name":"a")"));
  EXPECT_THAT(web.body, Not(HasSubstr(R"("name":"c")")));
  auto const one = list("fieldSelector=metadata.name%3Dc");
  EXPECT_THAT(one.body, HasSubstr(R"("name":"c")"));
  EXPECT_THAT(one.body, Not(HasSubstr(R"("name":"a")")));
  EXPECT_EQ(list("labelSelector=a+b").code, 400);
  EXPECT_EQ(list("fieldSelector=spec.x%3Dy").code, 400);
}

TEST_F(LabRestTest, PagesAndForgetsOldTokens) {
  auto const first = list("limit=2");
  EXPECT_THAT(first.body, HasSubstr(R"("name":"b")"));
  EXPECT_THAT(first.body, Not(HasSubstr(R"("name":"c")")));
  auto const next = token(first);
  ASSERT_NE(next, "");
  auto const second = list("limit=2&continue=" + next);
  EXPECT_THAT(second.body, HasSubstr(R"("name":"c")"));
  EXPECT_THAT(second.body, Not(HasSubstr(R"("name":"b")")));
  EXPECT_EQ(token(second), "");
  EXPECT_EQ(list("continue=zz").code, 400);
  cluster_.set_ready(PodName("default", "a"), false);
  cluster_.compact();
  auto const late = list("limit=2&continue=" + next);
  EXPECT_EQ(late.code, 410);
  EXPECT_THAT(late.body, HasSubstr(R"("reason":"Expired")"));
}

TEST_F(LabRestTest, TurnsChangesIntoTheEventsOfAWatch) {
  auto const filter = WatchFilter::make(path("/api/v1/namespaces/default/pods"),
                                        Query::parse("labelSelector=app%3Dweb"));
  ASSERT_TRUE(filter);
  auto const from = cluster_.cursor_after(cluster_.version()).value();
  PodName const a("default", "a");
  PodName const c("default", "c");
  cluster_.set_ready(a, false);
  cluster_.set_ready(c, false);              // not of this watch
  cluster_.set_labels(c, {{"app", "web"}});  // begins to match
  cluster_.set_labels(a, {{"app", "db"}});   // stops matching
  cluster_.delete_pod(c, Duration::zero());
  std::vector<std::string> types;
  for (auto at = from; cluster_.change_at(at) != nullptr; ++at) {
    if (auto const line = filter->event(*cluster_.change_at(at))) {
      types.push_back(line->substr(0, line->find(',')));
    }
  }
  EXPECT_THAT(types, testing::ElementsAre(R"({"type":"MODIFIED")", R"({"type":"ADDED")",
                                          R"({"type":"DELETED")", R"({"type":"MODIFIED")",
                                          R"({"type":"DELETED")"));
}

TEST_F(LabRestTest, ShowsServicesAndTheirSlices) {
  ServiceSpec spec;
  spec.name = "web";
  spec.selector = {{"app", "web"}};
  spec.ports = {{"http", 80, "http", "TCP"}, {"", 7000, "", "TCP"}};
  cluster_.add_service(spec);
  auto const service = answer_get(cluster_, path("/api/v1/namespaces/default/services/web"));
  EXPECT_THAT(service.body,
              HasSubstr(R"({"name":"http","protocol":"TCP","port":80,"targetPort":"http"})"));
  EXPECT_THAT(service.body, HasSubstr(R"({"protocol":"TCP","port":7000,"targetPort":7000})"));
  auto const slices =
      answer_list(cluster_, path("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"),
                  Query::parse("labelSelector=kubernetes.io%2Fservice-name%3Dweb"));
  EXPECT_THAT(slices.body, HasSubstr(R"("kind":"Pod","namespace":"default","name":"a")"));
  EXPECT_THAT(slices.body, HasSubstr(R"({"name":"http","protocol":"TCP","port":8080})"));
  EXPECT_THAT(slices.body, Not(HasSubstr(R"("name":"c")")));
  spec.name = "headless";
  spec.headless = true;
  cluster_.add_service(spec);
  EXPECT_THAT(answer_get(cluster_, path("/api/v1/namespaces/default/services/headless")).body,
              HasSubstr(R"("clusterIP":"None")"));
}

TEST_F(LabRestTest, ShowsWorkloadsWithTheirSelectors) {
  WorkloadSpec spec;
  spec.kind = WorkloadKind::stateful_set;
  spec.name = "db";
  spec.replicas = 2;
  cluster_.add_workload(spec);
  auto const set = answer_get(cluster_, path("/apis/apps/v1/namespaces/default/statefulsets/db"));
  EXPECT_THAT(set.body, HasSubstr(R"("selector":{"matchLabels":{"app":"db"}})"));
  EXPECT_THAT(set.body, HasSubstr(R"("readyReplicas":2)"));
  EXPECT_NE(cluster_.find_pod(PodName("default", "db-1")), nullptr);
}

TEST(LabAccessTest, SaysWhatIsForbiddenInTheWordsOfTheRealOne) {
  Access access;
  access.add_user("eve", "t");
  AccessRule rule;
  rule.verbs = {"get"};
  rule.resources = {"pods"};
  rule.namespaces = {"shop"};
  access.allow("eve", rule);
  auto const eve = access.user_of_token("t").value();
  EXPECT_FALSE(access.refusal(eve, AccessRequest{"get", "", "pods", "shop", "a"}));
  EXPECT_EQ(access.refusal(eve, AccessRequest{"create", "", "pods/portforward", "shop", "a"}),
            "pods \"a\" is forbidden: User \"eve\" cannot create resource \"pods/portforward\" in "
            "API group \"\" in the namespace \"shop\"");
  EXPECT_EQ(access.refusal(eve, AccessRequest{"list", "apps", "deployments", "", ""}),
            "deployments.apps is forbidden: User \"eve\" cannot list resource \"deployments\" in "
            "API group \"apps\" at the cluster scope");
  EXPECT_FALSE(access.refusal(User{"root", {"system:masters"}},
                              AccessRequest{"list", "apps", "deployments", "", ""}));
  access.revoke_token("t");
  EXPECT_FALSE(access.user_of_token("t"));
}

TEST(LabFaultsTest, PlaysFailuresInOrderAndCountsThem) {
  Faults faults;
  faults.fail(RequestKind::list, Failure(500), 2);
  faults.fail(RequestKind::any, Failure(429, "", Failure::Body::status, 1), 1);
  EXPECT_EQ(faults.next_failure(RequestKind::list)->code, 500);
  EXPECT_EQ(faults.next_failure(RequestKind::get)->code, 429);
  EXPECT_FALSE(faults.next_failure(RequestKind::get));
  EXPECT_EQ(faults.next_failure(RequestKind::list)->code, 500);
  EXPECT_FALSE(faults.next_failure(RequestKind::list));
  faults.fail(RequestKind::watch, Failure(403));
  EXPECT_TRUE(faults.next_failure(RequestKind::watch));
  EXPECT_TRUE(faults.next_failure(RequestKind::watch));
  faults.clear(RequestKind::watch);
  EXPECT_FALSE(faults.next_failure(RequestKind::watch));
}

}  // namespace
}  // namespace kportal::lab
