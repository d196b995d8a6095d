// SPDX-License-Identifier: MIT
#include "k8s/objects.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char const* kPodJson = R"({
  "kind": "Pod",
  "apiVersion": "v1",
  "metadata": {
    "name": "api-7d9f4c6b5-x2xkq",
    "generateName": "api-7d9f4c6b5-",
    "namespace": "shop",
    "uid": "0b1c9a52-4f8e-4b8e-9a53-6d7d2f1f0a11",
    "resourceVersion": "48121",
    "creationTimestamp": "2026-11-23T14:05:01Z",
    "labels": {"app": "api", "pod-template-hash": "7d9f4c6b5"},
    "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-20T08:00:00+01:00"},
    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api-7d9f4c6b5",
      "uid": "a3f0", "controller": true, "blockOwnerDeletion": true}],
    "managedFields": [{"manager": "kube-controller-manager", "operation": "Update",
      "apiVersion": "v1", "time": "2026-11-23T14:05:01Z", "fieldsType": "FieldsV1",
      "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {}}}]
  },
  "spec": {
    "volumes": [{"name": "kube-api-access-vwz8j", "projected": {"defaultMode": 420}}],
    "initContainers": [
      {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always",
       "ports": [{"name": "admin", "containerPort": 15000, "protocol": "TCP"}]}],
    "containers": [
      {"name": "api", "image": "registry.example/api:1.4.2",
       "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                 {"containerPort": 9000}],
       "env": [{"name": "PORT", "value": "8080"}],
       "resources": {"limits": {"cpu": "1", "memory": "256Mi"}},
       "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}}},
      {"name": "dns", "image": "dns:1",
       "ports": [{"name": "dns", "hostPort": 5353, "containerPort": 53, "protocol": "UDP"}]}],
    "restartPolicy": "Always", "nodeName": "node-2", "priority": 0, "hostNetwork": false
  },
  "status": {
    "phase": "Running",
    "conditions": [
      {"type": "Initialized", "status": "True", "lastProbeTime": null},
      {"type": "Ready", "status": "True", "lastProbeTime": null,
       "lastTransitionTime": "2026-11-23T14:05:04Z"},
      {"type": "ContainersReady", "status": "True"},
      {"type": "PodScheduled", "status": "True"}],
    "hostIP": "10.0.0.12", "podIP": "10.244.1.17", "podIPs": [{"ip": "10.244.1.17"}],
    "startTime": "2026-11-23T14:05:01Z",
    "initContainerStatuses": [{"name": "mesh", "restartCount": 1, "ready": true}],
    "containerStatuses": [
      {"name": "api", "state": {"running": {"startedAt": "2026-11-23T14:05:03Z"}},
       "lastState": {}, "ready": true, "restartCount": 2, "image": "x", "imageID": "y"},
      {"name": "dns", "ready": true, "restartCount": 0}],
    "qosClass": "Burstable"
  }
})";

constexpr char const* kServiceJson = R"({
  "kind": "Service", "apiVersion": "v1",
  "metadata": {"name": "api", "namespace": "shop", "resourceVersion": "77",
               "creationTimestamp": "2026-11-01T00:00:00Z"},
  "spec": {
    "ports": [
      {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30080},
      {"name": "metrics", "protocol": "TCP", "port": 9000, "targetPort": 9100},
      {"name": "dns", "protocol": "UDP", "port": 53},
      {"name": "sctp", "protocol": "SCTP", "port": 99, "targetPort": 0}],
    "selector": {"app": "api"}, "clusterIP": "10.96.4.7", "clusterIPs": ["10.96.4.7"],
    "type": "ClusterIP", "sessionAffinity": "None"
  },
  "status": {"loadBalancer": {}}
})";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  auto const at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

template <class T>
std::string error_of(Result<T> const& result) {
  if (result) return "no error";
  EXPECT_EQ(result.error().code, Errc::server);
  return result.error().text;
}

TEST(ObjectsTest, ReadsAPod) {
  auto const pod = parse_pod(kPodJson);
  ASSERT_TRUE(pod) << error_of(pod);
  EXPECT_EQ(pod->namespace_, "shop");
  EXPECT_EQ(pod->name, "api-7d9f4c6b5-x2xkq");
  EXPECT_EQ(pod->uid, "0b1c9a52-4f8e-4b8e-9a53-6d7d2f1f0a11");
  EXPECT_EQ(pod->resource_version, "48121");
  EXPECT_EQ(pod->labels, (Labels{{"app", "api"}, {"pod-template-hash", "7d9f4c6b5"}}));
  EXPECT_EQ(pod->phase, PodPhase::running);
  EXPECT_TRUE(pod->ready);
  EXPECT_FALSE(pod->deleting);
  EXPECT_EQ(pod->node, "node-2");
  EXPECT_EQ(pod->created.time_since_epoch().count(), 1795442701);
  EXPECT_THAT(pod->ports, ElementsAre(ContainerPort{"http", 8080, Protocol::tcp},
                                      ContainerPort{"", 9000, Protocol::tcp},
                                      ContainerPort{"dns", 53, Protocol::udp},
                                      ContainerPort{"admin", 15000, Protocol::tcp}));
  EXPECT_EQ(pod->restarts, 3U);
}

TEST(ObjectsTest, APodNeedsNothingButItsName) {
  auto const pod = parse_pod(R"({"metadata":{"name":"x"}})");
  ASSERT_TRUE(pod) << error_of(pod);
  Pod expected;
  expected.name = "x";
  EXPECT_EQ(*pod, expected);
}

TEST(ObjectsTest, NullIsAbsent) {
  auto const pod = parse_pod(R"({"metadata":{"name":"x","labels":null,"creationTimestamp":null,
      "deletionTimestamp":null},"spec":{"containers":null,"nodeName":null},"status":null})");
  ASSERT_TRUE(pod) << error_of(pod);
  EXPECT_FALSE(pod->deleting);
}

TEST(ObjectsTest, ReadsWhatAPodIsGoingThrough) {
  auto const deleting =
      parse_pod(R"({"metadata":{"name":"x","deletionTimestamp":"2026-11-23T14:05:31Z"}})");
  ASSERT_TRUE(deleting);
  EXPECT_TRUE(deleting->deleting);
  std::pair<char const*, PodPhase> const phases[] = {
      {"Pending", PodPhase::pending},     {"Running", PodPhase::running},
      {"Succeeded", PodPhase::succeeded}, {"Failed", PodPhase::failed},
      {"Unknown", PodPhase::unknown},     {"Dreaming", PodPhase::unknown}};
  for (auto const& [word, phase] : phases) {
    auto const pod = parse_pod(replaced(kPodJson, "\"Running\"", "\"" + std::string(word) + "\""));
    ASSERT_TRUE(pod);
    EXPECT_EQ(pod->phase, phase) << word;
  }
  for (char const* word : {"False", "Unknown", "true", ""}) {
    auto const pod = parse_pod(replaced(kPodJson, R"("Ready", "status": "True")",
                                        R"("Ready", "status": ")" + std::string(word) + "\""));
    ASSERT_TRUE(pod);
    EXPECT_FALSE(pod->ready) << word;
  }
}

TEST(ObjectsTest, ReadsTimes) {
  std::pair<char const*, std::int64_t> const rows[] = {{"1970-01-01T00:00:00Z", 0},
                                                       {"2024-02-29T23:59:59Z", 1709251199},
                                                       {"2026-11-23T14:05:01.123456Z", 1795442701},
                                                       {"2026-11-23T15:05:01+01:00", 1795442701},
                                                       {"2026-11-23T08:35:01-05:30", 1795442701},
                                                       {"", 0}};
  for (auto const& [text, seconds] : rows) {
    auto const pod = parse_pod(replaced(kPodJson, "2026-11-23T14:05:01Z", text));
    ASSERT_TRUE(pod) << text << error_of(pod);
    EXPECT_EQ(pod->created.time_since_epoch().count(), seconds) << text;
  }
  for (char const* text :
       {"yesterday", "2026-11-23", "2026-11-23T14:05:01", "2026-13-23T14:05:01Z",
        "2026-02-29T14:05:01Z", "2026-11-23T24:05:01Z", "2026-11-23T14:60:01Z",
        "2026-11-23T14:05:61Z", "2026-11-23 14:05:01Z", "2026-11-23T14:05:01+01",
        "20a6-11-23T14:05:01Z", "2026-11-23T14:05:01+0100", "2026-11-23T14:05:01+ab:cd",
        "2026-11-23T14:05:01ZZ", "-026-11-23T14:05:01Z", "2026-11-23T14:05:01."}) {
    auto const pod = parse_pod(replaced(kPodJson, "2026-11-23T14:05:01Z", text));
    EXPECT_EQ(error_of(pod), "the server sent a pod: \"creationTimestamp\" is not a time") << text;
  }
}

// Each field of a wrong type, with the error's end.
TEST(ObjectsTest, WrongTypesInAPodAreErrors) {
  struct Row {
    char const* from;
    char const* to;
    char const* error;
  };
  Row const rows[] = {
      {R"("name": "api-7d9f4c6b5-x2xkq")", R"("name": 7)", "\"name\" is not a string"},
      {R"("name": "api-7d9f4c6b5-x2xkq")", R"("name": {"a":1})", "\"name\" is not a string"},
      {R"("name": "api-7d9f4c6b5-x2xkq")", R"("name": "")",
       "\"name\" is not the name of an object"},
      {R"("name": "api-7d9f4c6b5-x2xkq")", R"("name": null)",
       "\"name\" is not the name of an object"},
      {R"("name": "api-7d9f4c6b5-x2xkq")", R"("name": "../../secrets/x")",
       "\"name\" is not the name of an object"},
      {R"("name": "api-7d9f4c6b5-x2xkq")", R"("name": "A\u001b[31m")",
       "\"name\" has control characters"},
      {R"("namespace": "shop")", R"("namespace": [])", "\"namespace\" is not a string"},
      {R"("uid": "0b1c9a52-4f8e-4b8e-9a53-6d7d2f1f0a11")", R"("uid": true)",
       "\"uid\" is not a string"},
      {R"("resourceVersion": "48121")", R"("resourceVersion": 48121)",
       "\"resourceVersion\" is not a string"},
      {R"("creationTimestamp": "2026-11-23T14:05:01Z")", R"("creationTimestamp": 1795442701)",
       "\"creationTimestamp\" is not a string"},
      {R"("creationTimestamp": "2026-11-23T14:05:01Z")", R"("deletionTimestamp": 1795442701)",
       "\"deletionTimestamp\" is not a string"},
      {R"({"app": "api", "pod-template-hash": "7d9f4c6b5"})", R"("app")",
       "\"labels\" is not an object"},
      {R"({"app": "api", "pod-template-hash": "7d9f4c6b5"})", R"(["app"])",
       "\"labels\" is not an object"},
      {R"("app": "api")", R"("app": 1)", "\"labels\" holds what is not a string"},
      {R"("app": "api")", R"("app": {"a": {"b": []}})", "\"labels\" holds what is not a string"},
      {R"("app": "api")", R"("app": null)", "\"labels\" holds what is not a string"},
      {R"("containerPort": 8080)", R"("containerPort": "8080")",
       "\"containerPort\" is not an integer"},
      {R"("containerPort": 8080)", R"("containerPort": 8080.5)",
       "\"containerPort\" is not an integer"},
      {R"("containerPort": 8080)", R"("containerPort": 0)", "\"containerPort\" is out of range"},
      {R"("containerPort": 8080)", R"("containerPort": 65536)",
       "\"containerPort\" is out of range"},
      {R"("containerPort": 8080)", R"("containerPort": -1)", "\"containerPort\" is out of range"},
      {R"("containerPort": 8080)", R"("containerPort": 18446744073709551615)",
       "\"containerPort\" is out of range"},
      {R"("containerPort": 8080)", R"("x": 1)", "\"containerPort\" is missing"},
      {R"("name": "http")", R"("name": 1)", "\"name\" is not a string"},
      {R"("protocol": "TCP"})", R"("protocol": 6})", "\"protocol\" is not a string"},
      {R"({"name": "http", "containerPort": 8080, "protocol": "TCP"})", "8080",
       "\"ports\" holds what is not an object"},
      {R"([{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                 {"containerPort": 9000}])",
       R"({"http": 8080})", "\"ports\" is not an array"},
      {R"("nodeName": "node-2")", R"("nodeName": 2)", "\"nodeName\" is not a string"},
      {R"("phase": "Running")", R"("phase": ["Running"])", "\"phase\" is not a string"},
      {R"({"type": "Initialized", "status": "True", "lastProbeTime": null})", "null",
       "\"conditions\" holds what is not an object"},
      {R"("type": "Initialized")", R"("type": 1)", "\"type\" is not a string"},
      {R"("Ready", "status": "True")", R"("Ready", "status": true)", "\"status\" is not a string"},
      {R"("restartCount": 2)", R"("restartCount": "2")", "\"restartCount\" is not an integer"},
      {R"("restartCount": 2)", R"("restartCount": -2)", "\"restartCount\" is out of range"},
      {R"("restartCount": 2)", R"("restartCount": 1e99)", "\"restartCount\" is not an integer"},
      {R"("restartCount": 1)", R"("restartCount": [])", "\"restartCount\" is not an integer"},
  };
  for (Row const& row : rows) {
    EXPECT_EQ(error_of(parse_pod(replaced(kPodJson, row.from, row.to))),
              std::string("the server sent a pod: ") + row.error)
        << row.to;
  }
}

TEST(ObjectsTest, WholePartsOfWrongTypeAreErrors) {
  for (char const* key : {"metadata", "spec", "status"}) {
    for (char const* value : {"1", "\"x\"", "[]", "[{}]", "true", "1.5"}) {
      std::string const json =
          R"({"metadata":{"name":"x"},")" + std::string(key) + "\":" + value + "}";
      EXPECT_THAT(error_of(parse_pod(json)), HasSubstr("is not an object")) << json;
    }
  }
  for (char const* key : {"containers", "initContainers"}) {
    for (char const* value : {"1", "\"x\"", "{}", "[1]", "[[]]", "[{},null]", "[{\"ports\":{}}]"}) {
      std::string const json =
          R"({"metadata":{"name":"x"},"spec":{")" + std::string(key) + "\":" + value + "}}";
      EXPECT_NE(error_of(parse_pod(json)), "no error") << json;
    }
  }
}

TEST(ObjectsTest, WhatIsNotNeededMayBeAnything) {
  for (char const* value : {"1", "[[[1]]]", R"({"name":5,"ports":"x"})", "null"}) {
    std::string const any = value;
    auto const pod = parse_pod(R"({"extra":)" + any + R"(,"metadata":{"managedFields":)" + any +
                               R"(,"name":"x"},"spec":{"volumes":)" + any +
                               R"(,"containers":[{"env":)" + any + R"(,"name":)" + any + "}]}}");
    ASSERT_TRUE(pod) << error_of(pod);
    EXPECT_EQ(pod->name, "x");
    EXPECT_THAT(pod->ports, IsEmpty());
  }
}

TEST(ObjectsTest, TheLastOfTwoEqualKeysCounts) {
  auto const pod = parse_pod(
      R"({"metadata":{"name":"a","labels":{"x":"1"}},"metadata":{"name":"b","name":"c"}})");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->name, "c");
  EXPECT_THAT(pod->labels, IsEmpty());
  EXPECT_FALSE(parse_pod(R"({"metadata":{"name":"a"},"metadata":7})"));
}

template <class Parse>
void expect_truncation_refused(std::string const& text, Parse const& parse) {
  for (std::size_t n = 0; n < text.size(); ++n) {
    ASSERT_THAT(error_of(parse(std::string_view(text).substr(0, n))),
                HasSubstr("broken JSON at byte"))
        << n;
  }
}

TEST(ObjectsTest, TruncationAnywhereIsAnError) {
  std::string const service = kServiceJson;
  expect_truncation_refused(kPodJson, parse_pod);
  expect_truncation_refused(service, parse_service);
  expect_truncation_refused(service, parse_workload);
  expect_truncation_refused(R"({"metadata":{},"items":[]})", parse_list_head);
  expect_truncation_refused(R"({"type":"ADDED","object":)" + service + "}", parse_service_event);
}

TEST(ObjectsTest, AnyByteMayBeWrong) {
  std::string const good = kPodJson;
  for (std::size_t i = 0; i < good.size(); i += 5) {
    for (char const c : {'\0', '"', '{', ']', '9', '\xFF', '\\', 'e'}) {
      std::string bad = good;
      bad[i] = c;
      auto const pod = parse_pod(bad);
      if (!pod) {
        ASSERT_EQ(pod.error().code, Errc::server);
      }
    }
  }
}

TEST(ObjectsTest, GarbageIsAnError) {
  for (std::string const& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("7"),
        std::string("\"pod\""), std::string("{}{}"), std::string("{} x"), std::string("{,}"),
        std::string("{\"a\"}"), std::string("{'a':1}"), std::string("\xff\xfe"),
        std::string("{\"metadata\":{\"name\":\"\xff\"}}"), std::string("{\"a\":1e999}"),
        std::string("\0", 1), std::string("<html>busy</html>")}) {
    EXPECT_NE(error_of(parse_pod(text)), "no error") << text;
    EXPECT_NE(error_of(parse_list_head(text)), "no error") << text;
    EXPECT_NE(error_of(parse_service_event(text)), "no error") << text;
  }
}

TEST(ObjectsTest, DepthIsBounded) {
  auto const nested = [](std::string const& before, std::size_t depth, std::string const& after) {
    return before + std::string(depth, '[') + std::string(depth, ']') + after;
  };
  std::string const before = R"({"metadata":{"name":"x","extra":)";
  EXPECT_TRUE(parse_pod(nested(before, kMaxJsonDepth - 2, "}}")));
  EXPECT_EQ(error_of(parse_pod(nested(before, kMaxJsonDepth - 1, "}}"))),
            "the server sent a pod: JSON nested deeper than 128 levels");
  EXPECT_FALSE(parse_pod(nested(before, 1'000'000, "}}")));
  EXPECT_FALSE(parse_pod(nested(R"({"metadata":{"labels":)", 1'000'000, "}}")));
  EXPECT_FALSE(parse_pod(std::string(1'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(parse_pod(objects));
}

TEST(ObjectsTest, TextsAreBounded) {
  std::string const json = R"({"metadata":{"name":"x"},"spec":{"nodeName":"@"}})";
  EXPECT_TRUE(parse_pod(replaced(json, "@", std::string(8192, 'n'))));
  EXPECT_EQ(error_of(parse_pod(replaced(json, "@", std::string(8193, 'n')))),
            "the server sent a pod: \"nodeName\" is longer than 8192 bytes");
  std::string const named = R"({"metadata":{"name":"@"}})";
  EXPECT_TRUE(parse_pod(replaced(named, "@", std::string(253, 'n'))));
  EXPECT_FALSE(parse_pod(replaced(named, "@", std::string(254, 'n'))));
}

TEST(ObjectsTest, AHugePodIsReadForItsFewFields) {
  std::string fields;
  while (fields.size() < 10 * 1024 * 1024) {
    fields +=
        R"({"manager":"m","fieldsV1":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{}}}}},)";
  }
  std::string const json =
      replaced(kPodJson, R"("managedFields": [)", R"("managedFields": [)" + fields);
  auto const pod = parse_pod(json);
  ASSERT_TRUE(pod) << error_of(pod);
  EXPECT_EQ(*pod, *parse_pod(kPodJson));
}

TEST(ObjectsTest, ReadsAService) {
  auto const service = parse_service(kServiceJson);
  ASSERT_TRUE(service) << error_of(service);
  EXPECT_EQ(service->namespace_, "shop");
  EXPECT_EQ(service->name, "api");
  EXPECT_EQ(service->resource_version, "77");
  EXPECT_EQ(service->selector, (Labels{{"app", "api"}}));
  EXPECT_THAT(service->ports, ElementsAre(ServicePort{"http", 80, Protocol::tcp, 0, "http"},
                                          ServicePort{"metrics", 9000, Protocol::tcp, 9100, ""},
                                          ServicePort{"dns", 53, Protocol::udp, 0, ""},
                                          ServicePort{"sctp", 99, Protocol::other, 0, ""}));
  EXPECT_EQ(service->type, "ClusterIP");
  EXPECT_EQ(service->cluster_ip, "10.96.4.7");
}

TEST(ObjectsTest, ReadsServicesOfOtherKinds) {
  auto const external = parse_service(
      R"({"metadata":{"name":"db"},"spec":{"type":"ExternalName","externalName":"db.example"}})");
  ASSERT_TRUE(external);
  EXPECT_EQ(external->external_name, "db.example");
  EXPECT_THAT(external->selector, IsEmpty());
  auto const headless =
      parse_service(R"({"metadata":{"name":"db"},"spec":{"type":"ClusterIP","clusterIP":"None"}})");
  ASSERT_TRUE(headless);
  EXPECT_EQ(headless->cluster_ip, "None");
}

TEST(ObjectsTest, WrongTypesInAServiceAreErrors) {
  std::pair<char const*, char const*> const rows[] = {
      {R"("targetPort": "http")", R"("targetPort": true)"},
      {R"("targetPort": "http")", R"("targetPort": 1.5)"},
      {R"("targetPort": "http")", R"("targetPort": {})"},
      {R"("targetPort": "http")", R"("targetPort": [80])"},
      {R"("targetPort": 9100)", R"("targetPort": 70000)"},
      {R"("targetPort": 9100)", R"("targetPort": -1)"},
      {R"("port": 80)", R"("port": "80")"},
      {R"("port": 80)", R"("port": 0)"},
      {R"("port": 80)", R"("port": null)"},
      {R"("name": "http")", R"("name": {})"},
      {R"({"app": "api"})", R"("app=api")"},
      {R"({"app": "api"})", R"({"app": 1})"},
      {R"("clusterIP": "10.96.4.7")", R"("clusterIP": 10)"},
      {R"("type": "ClusterIP")", R"("type": [])"},
      {R"("type": "ClusterIP")", R"("externalName": 5)"},
      {R"("name": "api")", R"("name": 1)"},
      {R"("namespace": "shop")", R"("namespace": 1)"},
      {R"("resourceVersion": "77")", R"("resourceVersion": 77)"},
  };
  for (auto const& [from, to] : rows) {
    EXPECT_NE(error_of(parse_service(replaced(kServiceJson, from, to))), "no error") << to;
  }
}

Result<Workload> workload_with(std::string const& selector) {
  return parse_workload(R"({"kind":"Deployment","metadata":{"name":"api","namespace":"shop"},
      "spec":{"replicas":3,"selector":)" +
                        selector + R"(,"template":{"metadata":{"labels":{}}}}})");
}

TEST(ObjectsTest, ReadsAWorkloadsSelector) {
  std::pair<char const*, char const*> const rows[] = {
      {R"({"matchLabels":{"app":"api"}})", "app=api"},
      {R"({"matchLabels":{"b":"2","a":"1"},"matchExpressions":[
          {"key":"tier","operator":"In","values":["web","api"]},
          {"key":"env","operator":"NotIn","values":["dev"]},
          {"key":"x","operator":"Exists"},
          {"key":"y","operator":"DoesNotExist","values":null}]})",
       "a=1,b=2,env notin (dev),tier in (api,web),x,!y"},
      {R"({"app":"api","tier":"web"})", "app=api,tier=web"},
      {R"({"matchLabels":"rc"})", "matchLabels=rc"},
  };
  for (auto const& [json, query] : rows) {
    auto const workload = workload_with(json);
    ASSERT_TRUE(workload) << error_of(workload);
    EXPECT_EQ(workload->selector.to_query(), query);
    EXPECT_EQ(workload->name, "api");
    EXPECT_EQ(workload->namespace_, "shop");
    EXPECT_EQ(workload->replicas, 3);
  }
}

TEST(ObjectsTest, ReadsWhyAJobRests) {
  auto const rest = [](std::string const& fields) {
    auto const job = parse_workload(R"({"metadata":{"name":"a"},)" + fields + "}");
    EXPECT_TRUE(job) << job.error().text;
    return job ? job->rest : "error";
  };
  EXPECT_EQ(rest(R"("spec":{"suspend":false},"status":{})"), "");
  EXPECT_EQ(rest(R"("spec":{"suspend":true})"), "is suspended");
  EXPECT_EQ(rest(R"("status":{"conditions":[{"type":"SuccessCriteriaMet","status":"True"},
                                            {"type":"Complete","status":"True"}]})"),
            "has completed");
  EXPECT_EQ(rest(R"("status":{"conditions":[{"type":"Failed","status":"True"}]})"), "has failed");
  EXPECT_EQ(rest(R"("status":{"conditions":[{"type":"Complete","status":"False"}]})"), "");
  EXPECT_EQ(rest(R"("status":{"conditions":[{"type":"Available","status":"True"}]})"), "");
}

TEST(ObjectsTest, AnEmptySelectorIsEverythingAndNoneIsNothing) {
  EXPECT_TRUE(workload_with("{}")->selector.matches_everything());
  EXPECT_TRUE(workload_with("null")->selector.matches_nothing());
  auto const bare = parse_workload(R"({"metadata":{"name":"x"}})");
  ASSERT_TRUE(bare);
  EXPECT_TRUE(bare->selector.matches_nothing());
  EXPECT_EQ(bare->replicas, std::nullopt);
}

TEST(ObjectsTest, WrongTypesInAWorkloadAreErrors) {
  for (char const* selector :
       {"7", "[]", "\"app=api\"", R"({"matchLabels":[]})", R"({"matchLabels":{"a":1}})",
        R"({"matchExpressions":{}})", R"({"matchExpressions":[1]})",
        R"({"matchExpressions":[{"key":"a","operator":"Like","values":["b"]}]})",
        R"({"matchExpressions":[{"key":"a","operator":"In"}]})",
        R"({"matchExpressions":[{"key":"a","operator":"In","values":"b"}]})",
        R"({"matchExpressions":[{"key":"a","operator":"In","values":[1]}]})",
        R"({"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]})",
        R"({"matchExpressions":[{"key":"a b","operator":"Exists"}]})",
        R"({"matchExpressions":[{"key":1,"operator":"Exists"}]})",
        R"({"matchExpressions":[{"operator":"Exists"}]})"}) {
    EXPECT_NE(error_of(workload_with(selector)), "no error") << selector;
  }
  EXPECT_FALSE(parse_workload(R"({"metadata":{"name":"x"},"spec":{"replicas":"3"}})"));
}

TEST(ObjectsTest, ReadsAStatus) {
  auto const status = parse_status(R"({"kind":"Status","apiVersion":"v1","metadata":{},
      "status":"Failure","message":"Too many requests, please try again later.",
      "reason":"TooManyRequests","details":{"retryAfterSeconds":7,"name":"x"},"code":429})");
  ASSERT_TRUE(status) << error_of(status);
  EXPECT_EQ(*status, (Status{429, "TooManyRequests", "Too many requests, please try again later.",
                             std::chrono::seconds(7)}));
}

TEST(ObjectsTest, AStatusTextIsMadePrintableAndShort) {
  auto const status = parse_status(R"({"kind":"Status","message":"a\nb\u001b[31m\u007fc"})");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->message, "a b [31m c");
  std::string text = "x";
  for (int i = 0; i < 5000; ++i) text += "\xC3\xA9";
  auto const longer = parse_status(R"({"kind":"Status","message":")" + text + "\"}");
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->message, text.substr(0, 1023) + "...");
}

TEST(ObjectsTest, AStatusIsBounded) {
  std::pair<char const*, int> const rows[] = {
      {"-5", 0}, {"0", 0}, {"3600", 3600}, {"3601", 3600}, {"2147483647", 3600}};
  for (auto const& [wait, seconds] : rows) {
    auto const status = parse_status(R"({"kind":"Status","details":{"retryAfterSeconds":)" +
                                     std::string(wait) + "}}");
    ASSERT_TRUE(status);
    EXPECT_EQ(status->retry_after.count(), seconds);
  }
  for (char const* bad :
       {R"("code":"404")", R"("code":4.5)", R"("code":99999999999)", R"("reason":1)",
        R"("message":{})", R"("details":[])", R"("details":{"retryAfterSeconds":"1"})"}) {
    EXPECT_NE(error_of(parse_status(R"({"kind":"Status",)" + std::string(bad) + "}")), "no error")
        << bad;
  }
  EXPECT_NE(error_of(parse_status(R"({"kind":"Pod"})")), "no error");
  EXPECT_NE(error_of(parse_status("{}")), "no error");
}

template <class Object>
struct Listed {
  ListHead head;
  std::vector<Object> items;
};

// A page of a list as it is read from a server: cut into items and what is around them.
template <class Object>
Result<Listed<Object>> read_list(std::string const& json, JsonRule const& rule,
                                 Result<Object> (*parse)(std::string_view)) {
  JsonSplitter splitter(rule, "items");
  splitter.append(json);
  Listed<Object> listed;
  for (;;) {
    auto const piece = splitter.next();
    if (!piece) return piece.error();
    if (!*piece) return Error(Errc::server, "it has no end");
    if (!(*piece)->element) {
      auto const head = parse_list_head((*piece)->text);
      if (!head) return head.error();
      listed.head = *head;
      return listed;
    }
    auto const item = parse((*piece)->text);
    if (!item) return item.error();
    listed.items.push_back(*item);
  }
}
Result<Listed<Pod>> read_pods(std::string const& json) {
  return read_list<Pod>(json, kPodListRule, parse_pod);
}
Result<Listed<Service>> read_services(std::string const& json) {
  return read_list<Service>(json, kServiceListRule, parse_service);
}

TEST(ObjectsTest, ReadsAPageOfAList) {
  std::string const head = R"("metadata":{"resourceVersion":"1000","continue":"eyJ2IjoibWV0YS",
      "remainingItemCount":12})";
  std::string const items =
      R"("items":[)" + std::string(kPodJson) + R"(, {"metadata":{"name":"b"}} ])";
  std::string const kind = R"("kind":"PodList","apiVersion":"v1")";
  for (std::string const& json :
       {kind + "," + head + "," + items, items + " , " + head + "," + kind, head + "," + items}) {
    auto const list = read_pods("{" + json + "}");
    ASSERT_TRUE(list) << error_of(list);
    EXPECT_EQ(list->head.resource_version, "1000");
    EXPECT_EQ(list->head.continue_token, "eyJ2IjoibWV0YS");
    ASSERT_EQ(list->items.size(), 2U);
    EXPECT_EQ(list->items[0], *parse_pod(kPodJson));
    EXPECT_EQ(list->items[1].name, "b");
  }
}

TEST(ObjectsTest, ReadsAnEmptyList) {
  for (char const* items : {"[]", "null"}) {
    auto const list =
        read_services(R"({"kind":"ServiceList","metadata":{"resourceVersion":"5"},"items":)" +
                      std::string(items) + "}");
    ASSERT_TRUE(list) << error_of(list);
    EXPECT_THAT(list->items, IsEmpty());
    EXPECT_EQ(list->head.resource_version, "5");
    EXPECT_EQ(list->head.continue_token, "");
  }
}

TEST(ObjectsTest, ReadsAListOfServices) {
  auto const list = read_services(R"({"metadata":{},"items":[)" + std::string(kServiceJson) + "]}");
  ASSERT_TRUE(list) << error_of(list);
  EXPECT_THAT(list->items, ElementsAre(*parse_service(kServiceJson)));
}

TEST(ObjectsTest, WhatIsNoListIsAnError) {
  for (char const* json :
       {"{}", R"({"kind":"Status","metadata":{},"status":"Failure"})", R"({"items":{}})",
        R"({"items":"x"})", R"({"items":[null]})", R"({"items":[[]]})", R"({"items":[{}]})",
        R"({"items":[{"metadata":{"name":"a"}},{"metadata":{"name":1}}]})",
        R"({"items":[],"metadata":1})", R"({"items":[],"metadata":{"continue":1}})",
        R"({"items":[],"metadata":{"resourceVersion":{}}})"}) {
    EXPECT_NE(error_of(read_pods(json)), "no error") << json;
    EXPECT_NE(error_of(read_services(json)), "no error") << json;
  }
}

TEST(ObjectsTest, ReadsWatchEvents) {
  std::pair<char const*, WatchType> const rows[] = {{"ADDED", WatchType::added},
                                                    {"MODIFIED", WatchType::modified},
                                                    {"DELETED", WatchType::deleted}};
  for (auto const& [word, type] : rows) {
    auto const event =
        parse_pod_event(R"({"type":")" + std::string(word) + R"(","object":)" + kPodJson + "}\n");
    ASSERT_TRUE(event) << error_of(event);
    EXPECT_EQ(event->type, type);
    EXPECT_EQ(event->object, *parse_pod(kPodJson));
    EXPECT_EQ(event->resource_version, "48121");
  }
  auto const service =
      parse_service_event(R"({"object":)" + std::string(kServiceJson) + R"(,"type":"ADDED"})");
  ASSERT_TRUE(service) << error_of(service);
  EXPECT_EQ(service->object, *parse_service(kServiceJson));
}

TEST(ObjectsTest, ReadsBookmarks) {
  auto const event = parse_pod_event(R"({"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1",
      "metadata":{"resourceVersion":"12746","creationTimestamp":null},
      "spec":{"containers":null},"status":{}}})");
  ASSERT_TRUE(event) << error_of(event);
  EXPECT_EQ(event->type, WatchType::bookmark);
  EXPECT_EQ(event->resource_version, "12746");
}

TEST(ObjectsTest, ReadsErrorsOfAWatch) {
  std::string const json = R"json({"type":"ERROR","object":{"kind":"Status","apiVersion":"v1",
      "metadata":{},"status":"Failure","message":"too old resource version: 1 (5)",
      "reason":"Expired","code":410}})json";
  auto const pod = parse_pod_event(json);
  ASSERT_TRUE(pod) << error_of(pod);
  EXPECT_EQ(pod->type, WatchType::error);
  EXPECT_EQ(pod->status, (Status{410, "Expired", "too old resource version: 1 (5)", {}}));
  auto const service = parse_service_event(json);
  ASSERT_TRUE(service) << error_of(service);
  EXPECT_EQ(service->status.code, 410);
}

TEST(ObjectsTest, WhatIsNoWatchEventIsAnError) {
  for (char const* json : {"{}", R"({"type":"ADDED"})", R"({"type":"ADDED","object":null})",
                           R"({"type":"ADDED","object":[]})", R"({"type":"ADDED","object":{}})",
                           R"({"type":"added","object":{"metadata":{"name":"x"}}})",
                           R"({"type":1,"object":{"metadata":{"name":"x"}}})",
                           R"({"object":{"metadata":{"name":"x"}}})",
                           R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":1}}})",
                           R"({"type":"ERROR","object":{"code":"410"}})",
                           R"({"type":"MODIFIED","object":{"metadata":{"name":"x"},"spec":1}})"}) {
    EXPECT_NE(error_of(parse_pod_event(json)), "no error") << json;
    EXPECT_NE(error_of(parse_service_event(json)), "no error") << json;
  }
}

TEST(ObjectsTest, ErrorsDoNotQuoteTheDocument) {
  auto const event = parse_pod_event(R"({"type":"ADDED","object":{"data":"s3cret" x}})");
  EXPECT_THAT(error_of(event), Not(HasSubstr("s3cret")));
  EXPECT_THAT(error_of(event), HasSubstr("broken JSON at byte"));
}

}  // namespace
}  // namespace kportal::k8s
