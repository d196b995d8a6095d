// SPDX-License-Identifier: MIT
// Clusters and their pool against the lab.
#include <functional>
#include <optional>
#include <string>

#include <gmock/gmock.h>

#include "k8s/access_review.h"
#include "k8s/cluster_pool.h"
#include "k8s/objects.h"
#include "tests/lab/lab_fixture.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;

class ClusterPoolTest : public lab::LabFixture {
 public:
  Environment environment() {
    Environment environment;
    environment.variable = [](std::string const&) { return std::optional<std::string>(); };
    environment.read_file = [this](std::string const&, std::size_t) {
      ++reads_;
      return boost::system::result<std::string>(kubeconfig_);
    };
    environment.working_directory = "/";
    return environment;
  }
  void SetUp() override {
    LabFixture::SetUp();
    lab::KubeconfigOptions nobody;
    nobody.context = "nobody";
    nobody.no_credentials = true;
    lab::KubeconfigOptions limited;
    limited.context = "limited";
    limited.token = "limited-token";
    server_.access().add_user("limited", limited.token);
    lab::AccessRule forward;
    forward.verbs = {"create"};
    forward.resources = {"pods/portforward"};
    forward.namespaces = {"default"};
    server_.access().allow("limited", forward);
    kubeconfig_ = server_.kubeconfig({lab::KubeconfigOptions(), nobody, limited});
  }

  std::string kubeconfig_;
  int reads_ = 0;
  net::Resolver resolver_{executor()};
  ClusterPool pool_{executor(), resolver_, environment()};
};

awaitable<void> release(ClusterPoolTest& t) {
  auto kept = t.pool_.find("/config", "lab");
  auto unused = t.pool_.find("/config", "nobody");
  EXPECT_TRUE(kept.has_value() && unused.has_value());
  auto* const cluster = kept->cluster.get();
  static_cast<void>(cluster->pods("default"));
  static_cast<void>(unused->cluster->pods("default"));
  unused->cluster.reset();
  co_await t.pool_.release_unused();
  auto const again = t.pool_.find("/config", "lab");
  EXPECT_EQ(again->cluster.get(), cluster);  // one holder is enough
  kept->cluster.reset();
}

awaitable<void> release_and_stop(ClusterPoolTest& t) {
  co_await release(t);
  co_await t.pool_.release_unused();
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolTest, KeepsWhatAnybodyHoldsAndEndsWhatNobodyDoes) {
  play(release_and_stop(*this));
}

awaitable<void> release_between(ClusterPoolTest& t) {
  {
    auto const subscription = t.pool_.subscribe("/config", "lab", [] {});
    std::weak_ptr<Cluster> const cluster = t.pool_.find("/config", "lab")->cluster;
    co_await t.pool_.release_unused();
    EXPECT_FALSE(cluster.expired());
    // What nobody's words mean any more goes.
    std::weak_ptr<Cluster> const other = t.pool_.find("/config", "nobody")->cluster;
    co_await t.pool_.release_unused();
    EXPECT_TRUE(other.expired());
  }
  co_await t.pool_.stop();
}

// A forward that a reload changed asks for its cluster a moment after its predecessor has left it.
TEST_F(ClusterPoolTest, KeepsWhatASubscriberMayAskForNext) {
  play(release_between(*this));
}

awaitable<void> find_many(ClusterPoolTest& t) {
  for (int i = 0; i < 500; ++i) {
    auto const found = t.pool_.find("/config", i % 2 == 0 ? "lab" : "nobody");
    EXPECT_TRUE(found.has_value());
  }
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolTest, ManyForwardsThatStartTogetherReadTheKubeconfigOnce) {
  play(find_many(*this));
  EXPECT_LE(reads_, 2);  // a slow machine may need more than kFresh
}

awaitable<void> dial_refused(ClusterPoolTest& t, std::optional<Error>& error) {
  auto const found = t.pool_.find("/config", "nobody");
  EXPECT_TRUE(found.has_value());
  auto const dialled = co_await found->cluster->dial("default", "web", DialOptions(), 5s);
  if (dialled.has_error()) error = dialled.error();
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolTest, ADialWithoutCredentialsIsUnauthorized) {
  std::optional<Error> error;
  play(dial_refused(*this, error));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, Errc::unauthorized) << error->text;
}

// Dials that hear nothing, and others behind them that wait for a place.
awaitable<void> give_up_dials(ClusterPoolTest& t, bool& dialled) {
  auto const found = t.pool_.find("/config", "lab");
  EXPECT_TRUE(found.has_value());
  t.server_.freeze();
  TaskGroup dials(t.executor());
  struct Dial {
    Cluster& cluster;
    awaitable<void> run() {
      auto const tunnel = co_await cluster.dial("default", "web", DialOptions(), 60s);
      static_cast<void>(tunnel);
    }
  } dial{*found->cluster};
  for (std::size_t i = 0; i < Cluster::kMaxDials + 5; ++i) dials.spawn(dial.run());
  std::function<bool()> const all_in = [&t] {
    return t.server_.connections() >= Cluster::kMaxDials;
  };
  bool const begun = co_await t.server_.wait_for(all_in);
  EXPECT_TRUE(begun);
  dials.cancel();
  co_await dials.join();
  EXPECT_EQ(t.server_.connections(), Cluster::kMaxDials);
  t.server_.thaw();
  auto const tunnel = co_await found->cluster->dial("default", "web", DialOptions(), 20s);
  dialled = tunnel.has_value() || tunnel.error().code == Errc::not_found;
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolTest, DialsThatAreGivenUpLeaveTheirPlaces) {
  bool dialled = false;
  play(give_up_dials(*this, dialled));
  EXPECT_TRUE(dialled);
}

// Those that hang make it dark: then only the scout asks, until it is heard.
awaitable<void> wait_in_the_dark(ClusterPoolTest& t, int& answered) {
  auto const found = t.pool_.find("/config", "lab");
  EXPECT_TRUE(found.has_value());
  t.server_.freeze();
  TaskGroup dials(t.executor());
  struct Dial {
    Cluster& cluster;
    int& answered;
    awaitable<void> run() {
      auto const tunnel = co_await cluster.dial("default", "none", DialOptions(), 60s);
      if (!tunnel.has_error()) co_return;
      EXPECT_EQ(tunnel.error().code, Errc::not_found) << tunnel.error().text;
      ++answered;
    }
  } dial{*found->cluster, answered};
  for (int i = 0; i < 10; ++i) dials.spawn(dial.run());
  // Ten dials that hang, and two of the scout's.
  std::function<bool()> const scouted = [&t] { return t.server_.connections() >= 12; };
  bool const dark = co_await t.server_.wait_for(scouted);
  EXPECT_TRUE(dark);
  EXPECT_EQ(t.server_.connections(), 12u);
  t.server_.thaw();
  co_await dials.join();
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolTest, ADarkClusterIsAskedByOneAndThenDialledByAll) {
  int answered = 0;
  play(wait_in_the_dark(*this, answered));
  EXPECT_EQ(answered, 10);
}

awaitable<void> ask_rights(ClusterPoolTest& t) {
  auto const found = t.pool_.find("/config", "limited");
  EXPECT_TRUE(found.has_value());
  std::vector<std::pair<Deed, bool>> const rows = {
      {Deed("create", "", "pods", "portforward", "default"), true},
      {Deed("create", "", "pods", "portforward", "default", "web-0"), true},
      {Deed("get", "", "pods", "portforward", "default"), false},
      {Deed("create", "", "pods", "portforward", "other"), false},
      {Deed("create", "", "pods", "", "default"), false},
      {Deed("get", "apps", "deployments", "", "default"), false}};
  for (auto const& [deed, allowed] : rows) {
    auto const verdict = co_await may(found->cluster->rest(), deed, Clock::now() + 20s);
    EXPECT_TRUE(verdict.has_value() && *verdict == allowed) << access_review_json(deed);
  }
  auto const stranger = t.pool_.find("/config", "nobody");
  Deed const any("get", "", "pods", "", "default");
  auto const refused = co_await may(stranger->cluster->rest(), any, Clock::now() + 20s);
  EXPECT_TRUE(refused.has_error() && refused.error().code == Errc::unauthorized);
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolTest, AsksWhatItMayDo) {
  play(ask_rights(*this));
}

}  // namespace
}  // namespace kportal::k8s
