// SPDX-License-Identifier: MIT
// Users with few rights, before and since Kubernetes 1.35 (which asks for `create` where a
// WebSocket's GET had needed `get` only), and API servers that are in trouble.
#include <map>
#include <vector>

#include <gmock/gmock.h>

#include "k8s/cluster.h"
#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

using Words = std::vector<std::string>;

lab::AccessRule rule(Words verbs, Words resources) {
  lab::AccessRule rule;
  rule.verbs = std::move(verbs);
  rule.resources = std::move(resources);
  return rule;
}

class RightsTest : public E2eTest {
 protected:
  // A service in front of a pod, in a lab.
  static void furnish(LabThread& lab) {
    lab.call([](Lab& l) {
      lab::WorkloadSpec workload;
      workload.name = "web";
      l.cluster.add_workload(workload);
      lab::ServiceSpec service;
      service.name = "web";
      service.selector = {{"app", "web"}};
      service.ports.push_back({"http", 80, "http"});
      l.cluster.add_service(service);
      lab::PodSpec pod;
      pod.name = "solo";
      l.cluster.add_pod(pod);
    });
  }
};

// What a user may do, what it wants, and what comes of it: a transport, or what the message says.
struct Case {
  std::string name;
  std::vector<lab::AccessRule> rules;
  std::string forward;
  Words before;
  Words since;
  events::Reason reason = events::Reason::forbidden;
};

std::vector<Case> cases() {
  auto const see = rule({"get", "list", "watch"}, {"pods", "services"});
  auto const see_pods = rule({"list", "watch"}, {"pods"});
  auto const get_pods = rule({"get"}, {"pods"});
  auto const both = rule({"get", "create"}, {"pods/portforward"});
  auto const create = rule({"create"}, {"pods/portforward"});
  auto const get = rule({"get"}, {"pods/portforward"});
  std::string const pod = "resource: pod/solo, port: 8080";
  std::string const named = "resource: pod/solo, port: http";
  std::string const service = "resource: service/web, port: 80";
  std::string const deployment = "resource: deployment/web, port: 8080";
  Words const ws = {"websocket"};
  Words const spdy = {"spdy"};
  std::string const command = "kubectl create role port-forward -n default --verb=";
  Words const no_create = {
      "cannot create resource \"pods/portforward\" in API group \"\" in the "
      "namespace \"default\"",
      command + "get,create --resource=pods/portforward"};
  Words neither = no_create;
  neither.emplace_back("nor get it");
  return {
      {"all", {see, both}, service, ws, ws},
      {"create", {see_pods, create}, pod, spdy, spdy},
      {"get", {see_pods, get}, pod, ws, no_create},
      {"view", {see}, pod, neither, neither},
      {"poll-spdy", {get_pods, create}, named, spdy, spdy},
      {"poll", {get_pods, both}, named, ws, ws},
      {"unseen", {both}, pod, ws, ws},
      {"unseen-name",
       {both},
       named,
       {"port's number", "cannot get resource \"pods\"", command + "get --resource=pods"},
       {"port's number", "cannot get resource \"pods\"", command + "get --resource=pods"}},
      {"no-watch", {rule({"list"}, {"pods", "services"}), both}, service, ws, ws},
      {"no-service",
       {see_pods, both},
       service,
       {"cannot get resource \"services\"", command + "get --resource=services"},
       {"cannot get resource \"services\"", command + "get --resource=services"}},
      {"get-service", {see_pods, rule({"get"}, {"services"}), both}, service, ws, ws},
      {"no-deploy",
       {see_pods, both},
       deployment,
       {"cannot get resource \"deployments\" in API group \"apps\"",
        command + "get --resource=deployments.apps"},
       {"cannot get resource \"deployments\" in API group \"apps\"",
        command + "get --resource=deployments.apps"}},
      {"prefix",
       {get_pods, both},
       "resource: pod/so, port: 8080",
       {"pods \"so\" not found", "only the exact name"},
       {"pods \"so\" not found", "only the exact name"},
       events::Reason::not_found},
      {"no-pods",
       {get_pods, both},
       service,
       {"cannot list resource \"pods\"", command + "get,list,watch --resource=pods"},
       {"cannot list resource \"pods\"", command + "get,list,watch --resource=pods"}},
      {"nothing", {}, pod, neither, neither},
  };
}

TEST_F(RightsTest, EachSetOfRightsBeforeAndSince135) {
  lab::ApiServerOptions options;
  options.websocket_needs_create = false;
  LabThread old_lab(options);
  std::map<std::string, LabThread*> const labs = {{"before", &old_lab}, {"since", &lab_}};
  std::string text = "healthCheck: { method: tcp-dial }\ncontexts:\n";
  for (auto const& [version, lab] : labs) {
    furnish(*lab);
    std::vector<lab::KubeconfigOptions> contexts;
    for (Case const& each : cases()) {
      lab::KubeconfigOptions context;
      context.context = each.name;
      context.token = "token-" + each.name;
      contexts.push_back(context);
      lab->call([&](Lab& l) {
        l.server.access().add_user(each.name, context.token);
        for (auto const& allowed : each.rules) l.server.access().allow(each.name, allowed);
      });
      text += "  - name: " + each.name + "\n    kubeconfig: " + version +
              "\n    namespaces: [{ name: default, forwards: [{ " + each.forward +
              ", localPort: auto, alias: " + each.name + "-" + version + " }] }]\n";
    }
    dir_.write(version, lab->call([&](Lab& l) { return l.server.kubeconfig(contexts); }));
  }
  dir_.write("forwards.yaml", text);
  Program program(up_arguments());
  for (Case const& each : cases()) {
    for (auto const& [version, wanted] :
         {std::pair("before", each.before), {"since", each.since}}) {
      std::string const id = each.name + "-" + version + ":auto";
      bool const works = wanted.front() == "websocket" || wanted.front() == "spdy";
      auto const* const change =
          program.wait_for_status(id, works ? Status::active : Status::error);
      ASSERT_NE(change, nullptr) << id;
      if (works) {
        auto const event = program.wait_for_event("forward.connected", id);
        ASSERT_NE(event, nullptr);
        auto const& connected = std::get<events::ForwardConnected>(event->fact);
        EXPECT_EQ(connected.transport, wanted.front()) << id;
        continue;
      }
      EXPECT_NE(change->message, "") << id;
      for (std::string const& part : wanted) EXPECT_THAT(change->message, HasSubstr(part)) << id;
      EXPECT_EQ(change->reason, each.reason) << id << ": " << change->message;
      if (each.reason != Reason::forbidden) continue;
      EXPECT_THAT(change->message, HasSubstr("User \"" + each.name + "\"")) << id;
    }
  }
}

// Nothing tells of a new right, so what was refused is asked again every 10 s.
TEST_F(RightsTest, RightsGrantedLaterAreNoticed) {
  furnish(lab_);
  std::vector<lab::KubeconfigOptions> contexts;
  std::string text = "healthCheck: { method: tcp-dial }\ncontexts:\n";
  for (std::string const name : {"blind", "no-tunnel"}) {
    lab::KubeconfigOptions context;
    context.context = name;
    context.token = "token-" + name;
    contexts.push_back(context);
    lab_.call([&](Lab& l) { l.server.access().add_user(name, context.token); });
    text +=
        "  - name: " + name +
        "\n    kubeconfig: kubeconfig\n    namespaces: [{ name: default, forwards: [{ resource: "
        "service/web, port: 80, localPort: auto, alias: " +
        name + " }] }]\n";
  }
  auto const see = rule({"list", "watch"}, {"pods", "services"});
  auto const both = rule({"get", "create"}, {"pods/portforward"});
  dir_.write("kubeconfig", lab_.call([&](Lab& l) {
    l.server.access().allow("blind", both);
    l.server.access().allow("no-tunnel", see);
    return l.server.kubeconfig(contexts);
  }));
  dir_.write("forwards.yaml", text);
  Program program(up_arguments());
  ASSERT_TRUE(program.wait_for_status("blind:auto", Status::error));
  ASSERT_TRUE(program.wait_for_status("no-tunnel:auto", Status::error));
  lab_.call([&](Lab& l) {
    l.server.access().allow("blind", see);
    l.server.access().allow("no-tunnel", both);
  });
  TimePoint const granted = Clock::now();
  EXPECT_TRUE(program.wait_for_status("blind:auto", Status::active));
  EXPECT_TRUE(program.wait_for_status("no-tunnel:auto", Status::active));
  EXPECT_LT(Clock::now() - granted, 15s);
}

// Without `list` it is not known any more which pods a prefix means, but nothing says either that
// the one in use is gone.
TEST_F(RightsTest, LostRightsTakeNoTunnelAway) {
  furnish(lab_);
  lab::KubeconfigOptions context;
  context.token = "token-loser";
  dir_.write("kubeconfig", lab_.call([&](Lab& l) {
    l.server.access().add_user("loser", context.token);
    l.server.access().allow("loser", rule({"*"}, {"*"}));
    return l.server.kubeconfig(context);
  }));
  Program program = up({"resource: pod/web, port: 8080, localPort: auto, alias: prefix",
                        "resource: pod/solo, port: 8080, localPort: auto, alias: name"});
  std::uint16_t const port = active_port(program, "prefix:auto");
  active_port(program, "name:auto");
  lab_.call([&](Lab& l) {
    l.server.access().forbid_all("loser");
    l.server.access().allow("loser", rule({"get"}, {"pods"}));
    l.server.access().allow("loser", rule({"get", "create"}, {"pods/portforward"}));
    l.server.cut_watches();
  });
  // Each asks for its pod by name then.
  auto const asked = [](Lab& l) { return l.server.requests(lab::RequestKind::get) >= 2; };
  ASSERT_TRUE(lab_.wait_for(asked));
  EXPECT_EQ(program.wait_for_event("forward.disconnected", {}, 0, 500ms), nullptr);
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_EQ(lab_.call([](Lab& l) { return l.server.tunnels(); }), 2U);
}

class TroubleTest : public E2eTest {
 protected:
  static std::uint64_t upgrades(LabThread& lab) {
    return lab.call([](Lab& l) {
      return l.server.requests(lab::RequestKind::upgrade_websocket) +
             l.server.requests(lab::RequestKind::upgrade_spdy);
    });
  }
  // The attempts that were told, from `mark` on.
  static std::vector<int> attempts(Program const& program, std::size_t mark) {
    std::vector<int> found;
    for (auto const& line : program.lines(mark)) {
      auto const event = line.event();
      auto const* const fact =
          event ? std::get_if<events::ForwardReconnecting>(&event->fact) : nullptr;
      if (fact != nullptr) found.push_back(fact->attempt);
    }
    return found;
  }
};

// A starting API server says 401, 403 and 404 to everybody, and 503 before that.
TEST_F(TroubleTest, WhatAStartingServerSaysIsNotFinal) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: solo"});
  ASSERT_NE(active_port(program, "solo:auto"), 0);
  for (int const code : {401, 403, 404, 503}) {
    std::size_t const mark = program.mark();
    lab_.call([&](Lab& l) {
      auto const refuse = [&](lab::RequestKind kind) {
        l.server.faults().fail(kind, lab::Failure(code));
      };
      refuse(lab::RequestKind::list);
      refuse(lab::RequestKind::watch);
      refuse(lab::RequestKind::upgrade_websocket);
      refuse(lab::RequestKind::upgrade_spdy);
      l.server.cut_connections();
    });
    ASSERT_TRUE(program.wait_for_status("solo:auto", Status::reconnecting)) << code;
    // Two attempts were refused: the second comes half a second after the first.
    ASSERT_TRUE(program.wait_for(
        [](OutputLine const& line) {
          auto const event = line.event();
          auto const* const fact =
              event ? std::get_if<events::ForwardReconnecting>(&event->fact) : nullptr;
          return fact != nullptr && fact->attempt >= 2;
        },
        mark))
        << code;
    lab_.call([](Lab& l) { l.server.faults().clear(); });
    ASSERT_TRUE(program.wait_for_status("solo:auto", Status::active)) << code;
    EXPECT_FALSE(program.wait_for_line("\"status\":\"Error\"", mark, 0s)) << code;
  }
}

// Each attempt is told, with its number, however the server is away.
TEST_F(TroubleTest, EachAttemptToAServerThatIsAwayIsTold) {
  add_pod("solo");
  Program program = up({"resource: pod/solo, port: 8080, localPort: auto, alias: solo"});
  ASSERT_NE(active_port(program, "solo:auto"), 0);
  for (bool const listens : {true, false}) {
    std::size_t const mark = program.mark();
    if (listens) {
      lab_.call([](Lab& l) {
        l.server.refuse_connections(true);
        l.server.cut_connections();
      });
    } else {
      lab_.stop_server();
    }
    EXPECT_TRUE(program.wait_for(
        [](OutputLine const& line) {
          auto const event = line.event();
          auto const* const fact =
              event ? std::get_if<events::ForwardReconnecting>(&event->fact) : nullptr;
          return fact != nullptr && fact->attempt == 4;
        },
        mark));
    std::vector<int> told = attempts(program, mark);
    told.resize(std::min<std::size_t>(told.size(), 4));
    EXPECT_EQ(told, (std::vector<int>{1, 2, 3, 4})) << listens;
    if (listens) {
      lab_.call([](Lab& l) { l.server.refuse_connections(false); });
    } else {
      lab_.start_server();
    }
    ASSERT_TRUE(program.wait_for_status("solo:auto", Status::active));
  }
}

// Forwards that are told to wait obey, and what one was told the next ones need not ask.
TEST_F(TroubleTest, ManyForwardsObeyRetryAfter) {
  static constexpr int kForwards = 60;
  add_pod("solo");
  std::vector<std::string> lines;
  for (int i = 0; i < kForwards; ++i) {
    lines.push_back("resource: pod/solo, port: 8080, localPort: auto, alias: f" +
                    std::to_string(i));
  }
  lab_.call([](Lab& l) {
    l.server.faults().fail(lab::RequestKind::upgrade_websocket,
                           lab::Failure(429, "slow down", lab::Failure::Body::plain_text, 3));
  });
  TimePoint const began = Clock::now();
  Program program = up(lines);
  for (int i = 0; i < kForwards; ++i) {
    ASSERT_TRUE(program.wait_for_event("forward.error", "f" + std::to_string(i) + ":auto"));
  }
  std::uint64_t const asked = upgrades(lab_);
  if (Clock::now() - began < 3s) {
    // Those that were under way when the first answer came, at the most.
    EXPECT_LE(asked, k8s::Cluster::kMaxDials);
  }
  lab_.call([](Lab& l) { l.server.faults().clear(); });
  for (int i = 0; i < kForwards; ++i) {
    ASSERT_NE(active_port(program, "f" + std::to_string(i) + ":auto"), 0);
  }
  EXPECT_GE(Clock::now() - began, 3s);
}

}  // namespace
}  // namespace kportal::test
