// SPDX-License-Identifier: MIT
// The kubeconfig and the files it names change while the program runs: whom it concerns gets a new
// tunnel before the old one is left, all others notice nothing, and what was wrong is cured at
// once.
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

namespace kportal::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// A permanent error is tried again each 10 s: what comes sooner came by the edit.
constexpr Duration kSooner = 8s;

class KubeconfigEditTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    add_pod("solo");
    for (LabThread* const lab : {&lab_, &other_}) {
      lab->call([](Lab& it) {
        for (char const* const user : {"anna", "bob"}) {
          it.server.access().allow(user, {{"*"}, {"*"}});
        }
        it.server.access().add_user("anna", "token-of-anna");
        it.server.access().add_user("bob", "token-of-bob");
      });
    }
    other_.call([](Lab& lab) {
      for (char const* const name : {"other", "solo"}) {  // so that solo has another uid there
        lab::PodSpec pod;
        pod.name = name;
        lab.cluster.add_pod(pod);
      }
    });
  }

  // A context with a token at one of the two servers.
  static lab::KubeconfigOptions context(std::string name, std::string token) {
    lab::KubeconfigOptions options;
    options.context = std::move(name);
    options.token = std::move(token);
    return options;
  }
  std::string contexts(std::vector<lab::KubeconfigOptions> const& list) {
    return lab_.call([&](Lab& lab) { return lab.server.kubeconfig(list); });
  }

  struct Line {
    std::string context;  // "current" names none
    std::string alias;
    std::string kubeconfig = "kubeconfig";
  };
  // Forwards to solo's page.
  Program up_in(std::vector<Line> const& lines) {
    std::string text = std::string(kOneTunnel) + "contexts:\n";
    for (Line const& line : lines) {
      text += "  - name: " + line.context + "\n    kubeconfig: " + line.kubeconfig +
              "\n    namespaces:\n      - name: default\n        forwards:\n"
              "          - { resource: pod/solo, port: 8080, localPort: auto, alias: " +
              line.alias + " }\n";
    }
    dir_.write("forwards.yaml", text);
    return Program(up_arguments());
  }

  static bool connected_anew(Program& program, std::string_view forward, std::size_t from) {
    auto const event = program.wait_for_event("forward.connected", forward, from);
    return event && std::get<events::ForwardConnected>(event->fact).refresh;
  }
  static bool heard_nothing(Program& program, std::string_view forward, std::size_t from) {
    for (OutputLine const& line : program.lines(from)) {
      auto const event = line.event();
      auto const* const ref = event ? events::forward_of(event->fact) : nullptr;
      if (ref != nullptr && ref->id == forward) return false;
    }
    return true;
  }
  static Reason failed_with(Program& program, std::string_view forward) {
    auto const* const change = program.wait_for_status(forward, Status::error);
    return change == nullptr ? Reason::none : change->reason;
  }

  LabThread other_;
};

TEST_F(KubeconfigEditTest, OnlyForwardsWhoseAccessChangedGetANewTunnelAndNothingIsCut) {
  auto const b = context("b", "token-of-bob");
  dir_.write("kubeconfig", contexts({context("a", "token-of-anna"), b}));
  Program program = up_in({{"a", "moving"}, {"b", "resting"}});
  auto const port = active_port(program, "moving:auto");
  ASSERT_NE(active_port(program, "resting:auto"), 0);
  Client download(port);
  download.send("GET /bytes?n=4000000 HTTP/1.1\r\n\r\n");
  ASSERT_EQ(download.skip(100'000), 100'000u);

  std::size_t const mark = program.mark();
  auto const elsewhere = context("a", "token-of-bob");
  dir_.replace("kubeconfig", other_.kubeconfig(elsewhere));
  EXPECT_TRUE(connected_anew(program, "moving:auto", mark)) << program.errors();
  EXPECT_TRUE(other_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 1; }));
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_GE(other_.call([](Lab& lab) { return lab.server.streams(); }), 2u);
  // The old tunnel lives for the connection that is on it, and no longer.
  EXPECT_GT(download.skip(3'900'000), 3'890'000u);
  EXPECT_NE(download.end(), End::reset);
  download.close();
  EXPECT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 1; }));
  EXPECT_FALSE(program.wait_for_event("forward.disconnected", "moving:auto", mark, 0s));
  // Its context is gone from the file; it goes on, and the log says so.
  EXPECT_TRUE(program.wait_for_error_text(dir_.file("kubeconfig") + ": no context"));
  EXPECT_TRUE(heard_nothing(program, "resting:auto", mark));
}

TEST_F(KubeconfigEditTest, TheCurrentContextIsFollowedOnlyByThoseWhoNameNone) {
  auto const a = context("a", "token-of-anna");
  auto const b = context("b", "token-of-bob");
  dir_.write("kubeconfig", contexts({a, b}));
  Program program = up_in({{"current", "following"}, {"a", "named"}});
  ASSERT_NE(active_port(program, "following:auto"), 0);
  ASSERT_NE(active_port(program, "named:auto"), 0);
  std::size_t const mark = program.mark();
  dir_.write("kubeconfig", contexts({b, a}));
  EXPECT_TRUE(connected_anew(program, "following:auto", mark));
  auto const event = program.wait_for_event("forward.connected", "following:auto", mark);
  ASSERT_TRUE(event);
  EXPECT_EQ(events::forward_of(event->fact)->context, "b");
  EXPECT_TRUE(lab_.wait_for([](Lab& lab) { return lab.server.open_tunnels() == 2; }));
  EXPECT_TRUE(heard_nothing(program, "named:auto", mark));
}

TEST_F(KubeconfigEditTest, ABrokenFileChangesNothingAndIsWarnedOfOnce) {
  std::string const good = contexts({context("a", "token-of-anna")});
  dir_.write("kubeconfig", good);
  Program program = up_in({{"a", "page"}, {"current", "too"}});
  auto const port = active_port(program, "page:auto");
  ASSERT_NE(active_port(program, "too:auto"), 0);
  std::size_t const mark = program.mark();
  dir_.write("kubeconfig", "clusters: [\n");
  EXPECT_TRUE(program.wait_for_error_text("broken YAML"));
  EXPECT_EQ(http_get(port).status, 200);
  // Even a lost tunnel comes back by what it has.
  lab_.call([](Lab& lab) { lab.server.drop_tunnels(); });
  EXPECT_TRUE(program.wait_for_event("forward.connected", "page:auto", mark));
  EXPECT_EQ(http_get(port).status, 200);
  std::size_t const healed = program.mark();
  dir_.write("kubeconfig", contexts({context("a", "token-of-bob")}));
  EXPECT_TRUE(connected_anew(program, "page:auto", healed));
  std::string const errors = program.errors();
  EXPECT_EQ(errors.find("broken YAML"), errors.rfind("broken YAML")) << errors;
}

TEST_F(KubeconfigEditTest, AnEditThatLeadsNowhereIsToldOfWhileTheTunnelOfBeforeServes) {
  dir_.write("kubeconfig", contexts({context("a", "token-of-anna")}));
  Program program = up_in({{"a", "page"}});
  auto const port = active_port(program, "page:auto");
  ASSERT_NE(port, 0);
  std::size_t const mark = program.mark();
  dir_.write("kubeconfig", contexts({context("a", "token-of-nobody")}));
  EXPECT_TRUE(program.wait_for_error_text("page:auto: by what the kubeconfig says now"));
  EXPECT_NE(program.errors().find("401"), std::string::npos) << program.errors();
  EXPECT_EQ(http_get(port).status, 200);
  EXPECT_TRUE(heard_nothing(program, "page:auto", mark));
}

TEST_F(KubeconfigEditTest, WhatWasWrongIsCuredAtOnceByTheEdit) {
  std::string const good = contexts({context("a", "token-of-anna")});
  dir_.write("broken", "clusters: [\n");
  dir_.write("other-names", contexts({context("b", "token-of-bob")}));
  dir_.write("stale-token", contexts({context("a", "expired")}));
  Program program = up_in({{"a", "broken", "broken"},
                           {"a", "unnamed", "other-names"},
                           {"a", "stale", "stale-token"},
                           {"a", "missing", "missing"}});
  EXPECT_EQ(failed_with(program, "broken:auto"), Reason::kubeconfig);
  EXPECT_EQ(failed_with(program, "unnamed:auto"), Reason::no_such_context);
  EXPECT_EQ(failed_with(program, "stale:auto"), Reason::unauthorized);
  EXPECT_EQ(failed_with(program, "missing:auto"), Reason::kubeconfig);
  TimePoint const edited = Clock::now();
  for (char const* const name : {"broken", "other-names", "stale-token", "missing"}) {
    dir_.replace(name, good);
  }
  for (char const* const alias : {"broken", "unnamed", "stale", "missing"}) {
    EXPECT_NE(active_port(program, std::string(alias) + ":auto"), 0) << alias;
  }
  EXPECT_LT(Clock::now() - edited, kSooner);
}

// As Kubernetes mounts secrets: the files are symlinks through ..data, which is swapped by a
// rename.
TEST_F(KubeconfigEditTest, MountedFilesThatTheKubeconfigNamesAreFollowed) {
  auto const mount = [&](std::string const& name, std::string const& user) {
    fs::create_directories(dir_.file(name));
    auto const pair = lab_.call(
        [&](Lab& lab) { return lab.server.client_certificate(user, {"system:masters"}); });
    ASSERT_TRUE(pair);
    dir_.write(name + "/tls.crt", pair->certificate_pem);
    dir_.write(name + "/tls.key", pair->key_pem);
    dir_.write(name + "/token", "token-of-" + user + "\n");
    fs::create_directory_symlink(name, dir_.file("next"));
    fs::rename(dir_.file("next"), dir_.file("..data"));
  };
  mount("..one", "carol");  // no token of hers is known
  for (char const* const name : {"tls.crt", "tls.key", "token"}) {
    fs::create_symlink(std::string("..data/") + name, dir_.file(name));
  }
  auto const cluster = "    server: " + lab_.call([](Lab& lab) { return lab.server.url(); }) +
                       "\n    certificate-authority: ca.crt\n";
  dir_.write("ca.crt", lab_.call([](Lab& lab) { return lab.server.ca_pem(); }));
  dir_.write(
      "kubeconfig",
      "clusters:\n- name: k\n  cluster:\n" + cluster +
          "users:\n- name: cert\n  user: {client-certificate: tls.crt, client-key: tls.key}\n"
          "- name: token\n  user: {tokenFile: token}\n"
          "contexts:\n- name: cert\n  context: {cluster: k, user: cert}\n"
          "- name: token\n  context: {cluster: k, user: token}\n");
  Program program = up_in({{"cert", "cert"}, {"token", "token"}});
  ASSERT_NE(active_port(program, "cert:auto"), 0);
  EXPECT_EQ(failed_with(program, "token:auto"), Reason::unauthorized);
  std::size_t const mark = program.mark();
  TimePoint const edited = Clock::now();
  mount("..two", "anna");
  EXPECT_TRUE(connected_anew(program, "cert:auto", mark)) << program.errors();
  EXPECT_NE(active_port(program, "token:auto"), 0);
  EXPECT_LT(Clock::now() - edited, kSooner);
}

}  // namespace
}  // namespace kportal::test
