// SPDX-License-Identifier: MIT
#include "k8s/target.h"

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

using config::TargetKind;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A Running and Ready pod, `age` seconds younger than the epoch of the tests: greater is newer.
Pod make_pod(std::string name, int born, Labels labels = {{"app", "api"}}) {
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = std::move(name);
  pod.uid = "uid-" + pod.name;
  pod.labels = std::move(labels);
  pod.phase = PodPhase::running;
  pod.ready = true;
  pod.created = std::chrono::sys_seconds(std::chrono::seconds(1'000'000 + born));
  return pod;
}

ContainerPort tcp(std::string name, std::uint16_t number) {
  return {std::move(name), number, Protocol::tcp};
}
ContainerPort udp(std::string name, std::uint16_t number) {
  return {std::move(name), number, Protocol::udp};
}

// What one forward wants, and what its namespace holds.
struct Scene {
  TargetQuery query{{TargetKind::pod, "web", ""}, "8080", false, "shop"};
  PodMap pods;
  std::optional<Service> service;
  std::optional<Workload> workload;
  TargetMemory memory;

  Pod& add(Pod pod) {
    std::string const name = pod.name;
    return pods[name] = std::move(pod);
  }

  Result<Choices> choose() {
    return choose_pods(
        query, {pods, service ? &*service : nullptr, workload ? &*workload : nullptr}, memory);
  }

  // "POD:PORT" of the best choice, or the error's text.
  std::string best() {
    auto const choices = choose();
    if (!choices) return choices.error().text;
    return choices->front().pod + ":" + std::to_string(choices->front().port);
  }
  Choice first() {
    auto const choices = choose();
    EXPECT_TRUE(choices) << choices.error().text;
    return choices ? choices->front() : Choice();
  }
  std::vector<std::string> all() {
    std::vector<std::string> names;
    auto const choices = choose();
    EXPECT_TRUE(choices) << choices.error().text;
    if (!choices) return names;
    for (Choice const& choice : *choices) names.push_back(choice.pod);
    return names;
  }
  std::string failure(Errc code) {
    auto const choices = choose();
    EXPECT_FALSE(choices);
    if (choices) return choices->front().pod;
    EXPECT_EQ(choices.error().code, code) << choices.error().text;
    return choices.error().text;
  }
};

Scene pod_scene(std::string name, std::string port = "8080") {
  Scene scene;
  scene.query.target.name = std::move(name);
  scene.query.port = std::move(port);
  return scene;
}

Scene selector_scene(std::string selector) {
  Scene scene;
  scene.query.target = {TargetKind::pod, "", std::move(selector)};
  return scene;
}

Scene workload_scene(TargetKind kind = TargetKind::deployment) {
  Scene scene;
  scene.query.target = {kind, "api", ""};
  scene.workload = Workload{"shop", "api", Selector::of_labels({{"app", "api"}}), 3, ""};
  return scene;
}

Scene service_scene(std::string port, std::vector<ServicePort> ports) {
  Scene scene;
  scene.query.target = {TargetKind::service, "api", ""};
  scene.query.port = std::move(port);
  Service service;
  service.namespace_ = "shop";
  service.name = "api";
  service.type = "ClusterIP";
  service.cluster_ip = "10.96.0.9";
  service.selector = {{"app", "api"}};
  service.ports = std::move(ports);
  scene.service = std::move(service);
  return scene;
}

ServicePort port_to(std::string name, std::uint16_t port, std::uint16_t target) {
  return {std::move(name), port, Protocol::tcp, target, ""};
}
ServicePort port_to(std::string name, std::uint16_t port, std::string target) {
  return {std::move(name), port, Protocol::tcp, 0, std::move(target)};
}

// ---- which pods are eligible

TEST(TargetTest, OnlyRunningReadyPodsThatAreNotBeingDeletedAreEligible) {
  Scene scene = workload_scene();
  scene.add(make_pod("api-good", 1));
  scene.add(make_pod("api-unready", 9)).ready = false;
  scene.add(make_pod("api-deleting", 9)).deleting = true;
  scene.add(make_pod("api-pending", 9)).phase = PodPhase::pending;
  scene.add(make_pod("api-done", 9)).phase = PodPhase::succeeded;
  scene.add(make_pod("api-failed", 9)).phase = PodPhase::failed;
  scene.add(make_pod("api-lost", 9)).phase = PodPhase::unknown;
  EXPECT_THAT(scene.all(), ElementsAre("api-good"));
}

TEST(TargetTest, AllowUnreadyRelaxesReadyAndNothingElse) {
  Scene scene = workload_scene();
  scene.query.allow_unready = true;
  scene.add(make_pod("api-good", 1));
  scene.add(make_pod("api-unready", 2)).ready = false;
  scene.add(make_pod("api-deleting", 9)).deleting = true;
  scene.add(make_pod("api-pending", 9)).phase = PodPhase::pending;
  EXPECT_THAT(scene.all(), ElementsAre("api-unready", "api-good"));
  EXPECT_EQ(scene.first().message, "pod api-unready is not Ready");
}

TEST(TargetTest, AnExactPodNeedsOnlyRunning) {
  Scene scene = pod_scene("web");
  Pod& pod = scene.add(make_pod("web", 1));
  EXPECT_EQ(scene.best(), "web:8080");
  EXPECT_EQ(scene.first().message, "");
  pod.ready = false;
  EXPECT_EQ(scene.best(), "web:8080");
  EXPECT_EQ(scene.first().message, "pod web is not Ready");
  pod.phase = PodPhase::pending;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod), "pod/web: no pod is running: web is Pending");
}

TEST(TargetTest, AnExactPodThatIsDeletedOrEndedIsNotUsed) {
  Scene scene = pod_scene("web");
  Pod& pod = scene.add(make_pod("web", 1));
  scene.memory.in_use = {pod.uid};
  pod.deleting = true;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod), "pod/web: no pod is running: web is being deleted");
  pod.deleting = false;
  pod.phase = PodPhase::failed;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod), "pod/web: no pod is running: web is Failed");
}

TEST(TargetTest, AUsedPodThatTurnsUnreadyStaysUntilAnotherIsReady) {
  Scene scene = workload_scene();
  Pod& used = scene.add(make_pod("api-1", 1));
  Pod& other = scene.add(make_pod("api-2", 2));
  other.ready = false;
  scene.memory.in_use = {used.uid};
  used.ready = false;
  EXPECT_THAT(scene.all(), ElementsAre("api-1"));
  EXPECT_EQ(scene.first().message, "pod api-1 is not Ready, it stays in use until another is");
  other.ready = true;
  EXPECT_THAT(scene.all(), ElementsAre("api-2"));
  EXPECT_EQ(scene.first().message, "");
}

TEST(TargetTest, AUsedPodThatIsUnreadyAndGoingIsLeft) {
  Scene scene = workload_scene();
  Pod& used = scene.add(make_pod("api-1", 1));
  used.ready = false;
  scene.memory.in_use = {used.uid};
  used.deleting = true;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "deployment/api: no pod is Ready: api-1 is being deleted");
  used.deleting = false;
  used.phase = PodPhase::succeeded;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "deployment/api: no pod is Ready: api-1 is Succeeded");
}

TEST(TargetTest, AnUnreadyPodThatWasNotUsedIsNotTaken) {
  Scene scene = workload_scene();
  scene.add(make_pod("api-1", 1)).ready = false;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "deployment/api: no pod is Ready: api-1 is not Ready");
  scene.memory.in_use = {"uid-of-a-former-api-1"};
  scene.failure(Errc::no_ready_pod);
}

TEST(TargetTest, APodInUseIsKnownByItsUid) {
  Scene scene = pod_scene("db");
  scene.query.target = {TargetKind::statefulset, "db", ""};
  scene.workload = Workload{"shop", "db", Selector::of_labels({{"app", "db"}}), 1, ""};
  Pod& pod = scene.add(make_pod("db-0", 1, {{"app", "db"}}));
  scene.memory.in_use = {"uid-before"};
  pod.ready = false;
  scene.failure(Errc::no_ready_pod);
}

TEST(TargetTest, APodWithoutAUidIsNotTheOneInUse) {
  Scene scene = workload_scene();
  Pod& pod = scene.add(make_pod("api-1", 1));
  pod.uid = "";
  pod.ready = false;
  scene.failure(Errc::no_ready_pod);
}

// ---- which of them

TEST(TargetTest, TheNewestIsTaken) {
  Scene scene = workload_scene();
  scene.add(make_pod("api-a", 1));
  scene.add(make_pod("api-c", 3));
  scene.add(make_pod("api-b", 2));
  EXPECT_THAT(scene.all(), ElementsAre("api-c", "api-b", "api-a"));
}

TEST(TargetTest, OfTheSameAgeTheFirstByNameIsTaken) {
  Scene scene = workload_scene();
  for (char const* name : {"api-c", "api-a", "api-b"}) scene.add(make_pod(name, 1));
  EXPECT_THAT(scene.all(), ElementsAre("api-a", "api-b", "api-c"));
}

TEST(TargetTest, ThePodInUseStaysFirstWhileEligible) {
  Scene scene = workload_scene();
  scene.add(make_pod("api-1", 1));
  scene.add(make_pod("api-2", 2));
  scene.add(make_pod("api-3", 3));
  scene.memory.in_use = {"uid-api-1"};
  EXPECT_THAT(scene.all(), ElementsAre("api-1", "api-3", "api-2"));
  scene.pods.erase("api-1");
  EXPECT_THAT(scene.all(), ElementsAre("api-3", "api-2"));
}

TEST(TargetTest, WithAllowUnreadyAnUnreadyPodInUseStays) {
  Scene scene = workload_scene();
  scene.query.allow_unready = true;
  scene.add(make_pod("api-1", 1)).ready = false;
  scene.add(make_pod("api-2", 2));
  scene.memory.in_use = {"uid-api-1"};
  EXPECT_THAT(scene.all(), ElementsAre("api-1", "api-2"));
}

TEST(TargetTest, TheExactNameComesFirst) {
  Scene scene = pod_scene("web");
  scene.add(make_pod("web-7d9f-new", 9));
  scene.add(make_pod("web", 1));
  EXPECT_THAT(scene.all(), ElementsAre("web"));
}

TEST(TargetTest, APrefixFallsBackToTheNewestAndSaysWhich) {
  Scene scene = pod_scene("web");
  scene.add(make_pod("web-7d9f-a", 1));
  scene.add(make_pod("web-7d9f-b", 2));
  scene.add(make_pod("web-8888-c", 3)).ready = false;
  EXPECT_THAT(scene.all(), ElementsAre("web-7d9f-b", "web-7d9f-a"));
  EXPECT_EQ(scene.first().message, "there is no pod named web: using web-7d9f-b");
  EXPECT_EQ(scene.first().uid, "uid-web-7d9f-b");
}

TEST(TargetTest, APrefixEndsAtAHyphenOnly) {
  Scene scene = pod_scene("db-1");
  scene.add(make_pod("db-10", 9));
  scene.add(make_pod("db-1x", 9));
  scene.add(make_pod("db-1-", 9));
  scene.add(make_pod("xdb-1-a", 9));
  EXPECT_EQ(scene.failure(Errc::not_found),
            "pod/db-1: namespace shop has no pod of this name, nor one named db-1-...");
  scene.add(make_pod("db-1-abc", 1));
  EXPECT_EQ(scene.best(), "db-1-abc:8080");
}

TEST(TargetTest, AnExactNameSeenOnceNeverFallsBack) {
  Scene scene = pod_scene("db");
  scene.add(make_pod("db", 1)).phase = PodPhase::pending;
  scene.add(make_pod("db-backup", 2));
  scene.failure(Errc::no_ready_pod);
  EXPECT_TRUE(scene.memory.seen_exact);
  scene.pods.erase("db");
  EXPECT_EQ(scene.failure(Errc::not_found),
            "pod/db: namespace shop has no pod of this name any more");
}

TEST(TargetTest, AnExactNameThatAppearsReplacesTheFallback) {
  Scene scene = pod_scene("web");
  scene.add(make_pod("web-a", 1));
  scene.memory.in_use = {scene.first().uid};
  EXPECT_FALSE(scene.memory.seen_exact);
  scene.add(make_pod("web", 2));
  EXPECT_THAT(scene.all(), ElementsAre("web"));
}

TEST(TargetTest, ASelectorTakesTheNewestThatMatches) {
  Scene scene = selector_scene("app=web,tier!=db");
  scene.add(make_pod("a", 1, {{"app", "web"}}));
  scene.add(make_pod("b", 2, {{"app", "web"}, {"tier", "fe"}}));
  scene.add(make_pod("c", 3, {{"app", "web"}, {"tier", "db"}}));
  scene.add(make_pod("d", 4, {}));
  EXPECT_THAT(scene.all(), ElementsAre("b", "a"));
}

TEST(TargetTest, ABrokenSelectorSaysSo) {
  EXPECT_THAT(selector_scene("app in web").failure(Errc::local),
              HasSubstr("selector \"app in web\""));
}

// ---- nothing there

TEST(TargetTest, ANameThatNothingBearsIsNotFound) {
  EXPECT_EQ(pod_scene("web").failure(Errc::not_found),
            "pod/web: namespace shop has no pod of this name, nor one named web-...");
  Scene scene = workload_scene();
  scene.workload.reset();
  EXPECT_EQ(scene.failure(Errc::not_found),
            "deployment/api: namespace shop has no deployment of this name");
  Scene service = service_scene("80", {port_to("", 80, 0)});
  service.service.reset();
  EXPECT_EQ(service.failure(Errc::not_found),
            "service/api: namespace shop has no service of this name");
}

TEST(TargetTest, PodsThatAreAllIneligibleAreListed) {
  Scene scene = pod_scene("web");
  scene.add(make_pod("web-a", 4)).ready = false;
  scene.add(make_pod("web-b", 3)).deleting = true;
  scene.add(make_pod("web-c", 2)).phase = PodPhase::pending;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "pod/web: no pod is Ready: web-a is not Ready, web-b is being deleted, web-c is "
            "Pending");
  scene.add(make_pod("web-d", 1)).phase = PodPhase::failed;
  scene.add(make_pod("web-e", 0)).phase = PodPhase::failed;
  scene.add(make_pod("web-f", -1)).phase = PodPhase::failed;
  EXPECT_THAT(scene.failure(Errc::no_ready_pod),
              AllOf(HasSubstr("web-d is Failed and 2 more"), Not(HasSubstr("web-e"))));
}

TEST(TargetTest, AWorkloadWithoutPodsHasNoReadyPod) {
  for (TargetKind const kind :
       {TargetKind::deployment, TargetKind::statefulset, TargetKind::daemonset,
        TargetKind::replicaset, TargetKind::job, TargetKind::replication_controller}) {
    Scene scene = workload_scene(kind);
    scene.add(make_pod("other", 1, {{"app", "other"}}));
    EXPECT_THAT(scene.failure(Errc::no_ready_pod), HasSubstr("there are none in namespace shop"));
    scene.add(make_pod("mine", 1));
    EXPECT_EQ(scene.best(), "mine:8080");
  }
  Scene scene = workload_scene();
  scene.workload->replicas = 0;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "pods of deployment/api: there are none in namespace shop; it is scaled to 0 replicas");
  scene.add(make_pod("api-1", 1)).deleting = true;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "deployment/api: no pod is Ready: api-1 is being deleted; it is scaled to 0 replicas");
}

TEST(TargetTest, AJobThatIsOverSaysSo) {
  Scene scene = workload_scene(TargetKind::job);
  scene.workload->replicas.reset();
  scene.workload->rest = "has completed";
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "pods of job/api: there are none in namespace shop; it has completed");
  scene.add(make_pod("api-1", 1)).phase = PodPhase::succeeded;
  EXPECT_EQ(scene.failure(Errc::no_ready_pod),
            "job/api: no pod is Ready: api-1 is Succeeded; it has completed");
}

TEST(TargetTest, PodsInUseThatAllTurnedUnreadyAllStay) {
  Scene scene = workload_scene();
  for (int i = 1; i <= 3; ++i) scene.add(make_pod("api-" + std::to_string(i), i)).ready = false;
  scene.memory.in_use = {"uid-api-1", "uid-api-3"};
  EXPECT_THAT(scene.all(), ElementsAre("api-3", "api-1"));
  scene.pods["api-2"].ready = true;
  EXPECT_THAT(scene.all(), ElementsAre("api-2"));
}

TEST(TargetTest, AServiceOrSelectorWithoutPodsHasNoReadyPod) {
  EXPECT_EQ(service_scene("80", {port_to("http", 80, 8080)}).failure(Errc::no_ready_pod),
            "pods of service/api: there are none in namespace shop");
  EXPECT_EQ(selector_scene("app=x").failure(Errc::no_ready_pod),
            "pods with app=x: there are none in namespace shop");
}

TEST(TargetTest, AWorkloadWithoutASelectorHasNoPods) {
  Scene scene = workload_scene();
  scene.workload->selector = Selector::nothing();
  scene.add(make_pod("api-1", 1));
  scene.failure(Errc::no_ready_pod);
}

// ---- ports of pods

TEST(TargetTest, APortNumberNeedsNoDeclaration) {
  Scene scene = workload_scene();
  scene.query.port = "5432";
  scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.best(), "api-1:5432");
}

TEST(TargetTest, APortNameIsLookedUpInThePod) {
  Scene scene = workload_scene();
  scene.query.port = "http";
  scene.add(make_pod("api-1", 1)).ports = {udp("http", 1), tcp("admin", 9000), tcp("http", 8081)};
  EXPECT_EQ(scene.best(), "api-1:8081");
}

TEST(TargetTest, APodWithoutTheNamedPortIsPassedOver) {
  Scene scene = workload_scene();
  scene.query.port = "http";
  scene.add(make_pod("api-new", 2)).ports = {tcp("web", 80)};
  scene.add(make_pod("api-old", 1)).ports = {tcp("http", 8080)};
  EXPECT_THAT(scene.all(), ElementsAre("api-old"));
}

TEST(TargetTest, ANamedPortThatNoPodHasIsNoSuchPort) {
  Scene scene = workload_scene();
  scene.query.port = "http";
  Pod& pod = scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.failure(Errc::no_such_port),
            "pod/api-1 has no port named http; it declares no TCP port; a number works too");
  pod.ports = {tcp("web", 80), tcp("", 81), udp("dns", 53)};
  EXPECT_EQ(scene.failure(Errc::no_such_port),
            "pod/api-1 has no port named http; it has 80 (web), 81; a number works too");
  pod.ready = false;
  scene.failure(Errc::no_such_port);
}

TEST(TargetTest, ALongListOfPortsIsCut) {
  Scene scene = workload_scene();
  scene.query.port = "http";
  Pod& pod = scene.add(make_pod("api-1", 1));
  for (std::uint16_t number = 1; number <= 9; ++number) pod.ports.push_back(tcp("", number));
  EXPECT_THAT(scene.failure(Errc::no_such_port), HasSubstr("it has 1, 2, 3, 4 and 5 more;"));
}

TEST(TargetTest, APortDeclaredForUdpOnlyIsUnsupported) {
  Scene scene = workload_scene();
  scene.query.port = "53";
  Pod& pod = scene.add(make_pod("api-1", 1));
  pod.ports = {udp("dns", 53)};
  EXPECT_EQ(scene.failure(Errc::unsupported),
            "pod/api-1: port 53 is not TCP, and only TCP can be forwarded");
  scene.query.port = "dns";
  scene.failure(Errc::unsupported);
  pod.ports.push_back(tcp("dns-tcp", 53));
  scene.query.port = "53";
  EXPECT_EQ(scene.best(), "api-1:53");
}

TEST(TargetTest, ANumberThatIsNoPortIsNoSuchPort) {
  for (char const* port : {"0", "00", "65536", "99999999999999999999"}) {
    Scene scene = workload_scene();
    scene.query.port = port;
    scene.add(make_pod("api-1", 1));
    EXPECT_EQ(scene.failure(Errc::no_such_port),
              "deployment/api: " + std::string(port) + " is not a port: ports are 1 to 65535");
  }
  Scene scene = workload_scene();
  scene.query.port = "65535";
  scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.best(), "api-1:65535");
}

// ---- ports of services

TEST(TargetTest, AServicePortIsMappedToItsTargetPort) {
  struct Row {
    char const* port;
    std::uint16_t expected;
  };
  Row const rows[] = {{"80", 8080}, {"http", 8080}, {"443", 443}, {"tls", 443}, {"9000", 9100}};
  for (Row const& row : rows) {
    Scene scene = service_scene(row.port, {port_to("http", 80, 8080), port_to("tls", 443, 0),
                                           port_to("metrics", 9000, "prom")});
    scene.add(make_pod("api-1", 1)).ports = {tcp("prom", 9100)};
    EXPECT_EQ(scene.best(), "api-1:" + std::to_string(row.expected));
    EXPECT_EQ(scene.first().warning, "");
  }
}

TEST(TargetTest, ANamedTargetPortIsLookedUpPerPod) {
  Scene scene = service_scene("80", {port_to("", 80, "http")});
  scene.add(make_pod("api-1", 1)).ports = {tcp("http", 8080)};
  scene.add(make_pod("api-2", 2)).ports = {tcp("http", 9090)};
  scene.add(make_pod("api-3", 3)).ports = {tcp("web", 9090)};
  auto const choices = scene.choose();
  ASSERT_TRUE(choices);
  ASSERT_EQ(choices->size(), 2U);
  EXPECT_EQ((*choices)[0].port, 9090);
  EXPECT_EQ((*choices)[1].port, 8080);
}

TEST(TargetTest, ANamedTargetPortThatNoPodHasIsNoSuchPort) {
  Scene scene = service_scene("80", {port_to("", 80, "http")});
  scene.add(make_pod("api-1", 1)).ports = {tcp("web", 8080), udp("http", 1)};
  EXPECT_EQ(scene.failure(Errc::no_such_port),
            "service/api port 80 leads to the container port named http, which pod/api-1 has not; "
            "it has 8080 (web)");
}

TEST(TargetTest, AServicePortWinsOverATargetPortOfThatNumber) {
  Scene scene = service_scene("8080", {port_to("a", 80, 8080), port_to("b", 8080, 9090)});
  scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.best(), "api-1:9090");
  EXPECT_EQ(scene.first().warning, "");
}

TEST(TargetTest, ATargetPortOfThatNumberIsUsedWithAWarning) {
  Scene scene = service_scene("8080", {port_to("http", 80, 8080)});
  scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.best(), "api-1:8080");
  EXPECT_EQ(scene.first().warning,
            "service/api has no port 8080, which is the targetPort of its port 80 (http): write "
            "port 80");
  EXPECT_EQ(scene.first().message, "");
}

TEST(TargetTest, ANamedTargetPortOfThatNumberIsUsedWithAWarning) {
  Scene scene = service_scene("8080", {port_to("", 80, "http")});
  scene.add(make_pod("api-1", 1)).ports = {tcp("http", 8080)};
  EXPECT_EQ(scene.best(), "api-1:8080");
  EXPECT_THAT(scene.first().warning, HasSubstr("targetPort of its port 80: write port 80"));
}

TEST(TargetTest, AContainerPortOfThatNumberIsUsedWithAWarning) {
  Scene scene = service_scene("9999", {port_to("http", 80, 8080)});
  scene.add(make_pod("api-1", 1)).ports = {tcp("debug", 9999)};
  scene.add(make_pod("api-2", 2)).ports = {udp("debug", 9999)};
  EXPECT_EQ(scene.best(), "api-1:9999");
  EXPECT_EQ(scene.first().warning,
            "service/api has no port 9999, but its pods have and that is used; it has 80 (http)");
}

TEST(TargetTest, ATargetPortOfAUdpPortIsNone) {
  Scene scene = service_scene("5353", {{"dns", 53, Protocol::udp, 5353, ""}});
  scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.failure(Errc::no_such_port),
            "service/api has no port 5353; it declares no TCP port");
}

TEST(TargetTest, APortThatNeitherServiceNorPodsHaveIsNoSuchPort) {
  Scene scene = service_scene("8443", {port_to("http", 80, 8080), port_to("metrics", 9000, 0)});
  scene.add(make_pod("api-1", 1)).ports = {tcp("http", 8080)};
  EXPECT_EQ(scene.failure(Errc::no_such_port),
            "service/api has no port 8443; it has 80 (http), 9000 (metrics)");
  scene.pods.at("api-1").ready = false;
  scene.failure(Errc::no_such_port);
}

TEST(TargetTest, ANameThatIsNoServicePortIsNoSuchPort) {
  Scene scene = service_scene("debug", {port_to("http", 80, 8080)});
  EXPECT_EQ(scene.failure(Errc::no_such_port), "service/api has no port debug; it has 80 (http)");
  scene.add(make_pod("api-1", 1)).ports = {tcp("debug", 9999)};
  scene.failure(Errc::no_such_port);
}

TEST(TargetTest, AServiceOfUdpIsUnsupported) {
  Scene scene = service_scene("53", {{"dns", 53, Protocol::udp, 0, ""}});
  scene.add(make_pod("api-1", 1)).ports = {tcp("dns", 53)};
  EXPECT_EQ(scene.failure(Errc::unsupported),
            "service/api: port 53 is not TCP, and only TCP can be forwarded");
  scene.query.port = "dns";
  scene.failure(Errc::unsupported);
  scene.service->ports.push_back(port_to("dns-tcp", 53, 5353));
  scene.query.port = "53";
  EXPECT_EQ(scene.best(), "api-1:5353");
}

TEST(TargetTest, AServiceWithoutASelectorIsUnsupported) {
  Scene scene = service_scene("80", {port_to("", 80, 0)});
  scene.service->selector.clear();
  scene.add(make_pod("api-1", 1));
  EXPECT_EQ(scene.failure(Errc::unsupported),
            "service/api has no selector, so no pods are known to be behind it: name a pod or a "
            "workload");
}

TEST(TargetTest, AServiceOfTypeExternalNameIsUnsupported) {
  Scene scene = service_scene("80", {port_to("", 80, 0)});
  scene.service->type = "ExternalName";
  scene.service->external_name = "db.example";
  EXPECT_EQ(scene.failure(Errc::unsupported),
            "service/api is of type ExternalName and has no pods: connect to db.example directly");
}

TEST(TargetTest, AHeadlessServiceMapsItsPortsToo) {
  Scene scene = service_scene("80", {port_to("", 80, "http")});
  scene.service->cluster_ip = "None";
  scene.add(make_pod("api-1", 1)).ports = {tcp("http", 8080)};
  EXPECT_EQ(scene.best(), "api-1:8080");
  scene.query.port = "81";
  scene.failure(Errc::no_such_port);
}

TEST(TargetTest, AHeadlessServiceWithoutPortsTakesTheNumberItself) {
  Scene scene = service_scene("5432", {});
  scene.add(make_pod("api-1", 1));
  scene.failure(Errc::no_such_port);
  scene.service->cluster_ip = "None";
  EXPECT_EQ(scene.best(), "api-1:5432");
  EXPECT_EQ(scene.first().warning, "");
}

TEST(TargetTest, AServicesPodsAreThoseOfItsSelector) {
  Scene scene = service_scene("80", {port_to("", 80, 0)});
  scene.service->selector = {{"app", "api"}, {"tier", "web"}};
  scene.add(make_pod("api-1", 9));
  scene.add(make_pod("api-2", 1, {{"app", "api"}, {"tier", "web"}, {"x", "y"}}));
  EXPECT_THAT(scene.all(), ElementsAre("api-2"));
}

// ---- without the right to look

TEST(TargetTest, WithoutRightsAPodAndAPortNumberAreTakenAtTheirWord) {
  auto const choice = choose_unseen({{TargetKind::pod, "web", ""}, "8080", false, "shop"});
  ASSERT_TRUE(choice);
  EXPECT_EQ(*choice, (Choice{"web", "", 8080, "", ""}));
}

TEST(TargetTest, WithoutRightsAllElseIsForbidden) {
  TargetQuery const queries[] = {{{TargetKind::pod, "", "app=x"}, "80", false, "shop"},
                                 {{TargetKind::service, "web", ""}, "80", false, "shop"},
                                 {{TargetKind::pod, "web", ""}, "http", false, "shop"}};
  for (TargetQuery const& query : queries) {
    auto const choice = choose_unseen(query);
    ASSERT_FALSE(choice);
    EXPECT_EQ(choice.error().code, Errc::forbidden);
    EXPECT_THAT(choice.error().text, HasSubstr("namespace shop"));
  }
  auto const choice = choose_unseen({{TargetKind::pod, "web", ""}, "0", false, "shop"});
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code, Errc::no_such_port);
}

}  // namespace
}  // namespace kportal::k8s
