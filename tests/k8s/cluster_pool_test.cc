// SPDX-License-Identifier: MIT
// ClusterPool and edits of the files behind it, against the lab.
#include "k8s/cluster_pool.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "k8s/objects.h"
#include "tests/lab/lab_fixture.h"

namespace kportal::k8s {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Real files, for the pool watches them.
class ClusterPoolEditTest : public lab::LabFixture {
 public:
  void SetUp() override {
    LabFixture::SetUp();
    std::string pattern = fs::temp_directory_path() / "kportal-pool-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    write("token", "first");
    write("ca.crt", server_.ca_pem());
    write("config", kubeconfig("a", ""));
  }
  void TearDown() override {
    LabFixture::TearDown();
    fs::remove_all(folder_);
  }

  // Five contexts a to e, users with tokens of their name; `more` is for user a.
  std::string kubeconfig(std::string const& current, std::string const& more) const {
    std::string text = "current-context: " + current +
                       "\nclusters: [{name: k, cluster: {server: '" + server_.url() +
                       "', certificate-authority: ca.crt}}]\n";
    std::string users = "users:\n- {name: file, user: {tokenFile: token}}\n";
    std::string contexts = "contexts:\n- {name: file, context: {cluster: k, user: file}}\n";
    for (char const name : {'a', 'b', 'c', 'd', 'e'}) {
      users += fmt::format("- {{name: {0}, user: {{token: of-{0}{1}}}}}\n", name,
                           name == 'a' ? more : "");
      contexts += fmt::format("- {{name: {0}, context: {{cluster: k, user: {0}}}}}\n", name);
    }
    return text + users + contexts;
  }
  // As editors do it.
  void write(std::string const& name, std::string const& text) const {
    std::ofstream(folder_ / "next") << text << std::flush;
    fs::rename(folder_ / "next", folder_ / name);
  }

  Environment environment() {
    Environment environment = system_environment();
    environment.variable = [](std::string const&) { return std::optional<std::string>(); };
    environment.read_file = [this, real = environment.read_file](std::string const& path,
                                                                 std::size_t limit) {
      ++reads_[fs::path(path).filename()];
      return real(path, limit);
    };
    return environment;
  }
  std::string config() const { return folder_ / "config"; }

  // Counts what it is told of one context.
  struct Listener {
    Listener(ClusterPoolEditTest& test, std::string name)
        : context(std::move(name)), news(test.executor()) {
      subscription = test.pool_.subscribe(test.config(), context, [this] {
        ++told;
        news.set();
      });
      found = test.pool_.find(test.config(), context)->cluster;
    }
    std::string context;
    int told = 0;
    Wakeup news;
    std::shared_ptr<Cluster> found;
    Subscription subscription;
  };

  fs::path folder_;
  std::map<std::string, int> reads_;
  net::Resolver resolver_{executor()};
  ClusterPool pool_{executor(), resolver_, environment()};
};

awaitable<void> tell_whom_it_concerns(ClusterPoolEditTest& t) {
  {
    ClusterPoolEditTest::Listener a(t, "a");
    ClusterPoolEditTest::Listener b(t, "b");
    ClusterPoolEditTest::Listener current(t, "");
    EXPECT_EQ(a.found, current.found);
    t.write("config", t.kubeconfig("a", "-renewed"));
    co_await a.news.wait();
    co_await current.news.wait();
    EXPECT_EQ(b.told, 0);
    auto const renewed = t.pool_.find(t.config(), "a");
    EXPECT_NE(renewed->cluster, a.found);
    EXPECT_EQ(renewed->cluster->access().auth.token, "of-a-renewed");
    EXPECT_EQ(t.pool_.find(t.config(), "b")->cluster, b.found);

    // Only the one that names none follows.
    t.write("config", t.kubeconfig("b", "-renewed"));
    co_await current.news.wait();
    EXPECT_EQ(t.pool_.find(t.config(), "")->cluster, b.found);
    EXPECT_EQ(a.told, 1);

    // A file that the kubeconfig names.
    auto const other = lab::CertificateAuthority::make("another CA");
    t.write("ca.crt", other->pem());
    co_await b.news.wait();
    EXPECT_NE(t.pool_.find(t.config(), "b")->cluster, b.found);
  }
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolEditTest, AnEditIsToldToWhomItConcerns) {
  play(tell_whom_it_concerns(*this));
}

awaitable<void> rotate_the_token(ClusterPoolEditTest& t) {
  {
    ClusterPoolEditTest::Listener file(t, "file");
    ClusterPoolEditTest::Listener a(t, "a");
    auto const before =
        co_await file.found->rest().get_part("/version", kJsonEverything, Clock::now() + 10s);
    EXPECT_EQ(before.error().code, Errc::unauthorized);
    t.server_.access().add_user("anna", "second");
    t.write("token", "second");
    co_await file.news.wait();
    EXPECT_EQ(t.pool_.find(t.config(), "file")->cluster, file.found);
    auto const after =
        co_await file.found->rest().get_part("/version", kJsonEverything, Clock::now() + 10s);
    EXPECT_TRUE(after.has_value());
    EXPECT_EQ(a.told, 0);
  }
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolEditTest, ATokenFileIsReadAnewInTheSameCluster) {
  play(rotate_the_token(*this));
}

awaitable<void> break_and_mend(ClusterPoolEditTest& t) {
  {
    ClusterPoolEditTest::Listener a(t, "a");
    std::string const good = t.kubeconfig("a", "");
    for (std::string const& bad : {good.substr(0, good.size() - 3), std::string("clusters: [\n")}) {
      t.write("config", bad);
      co_await a.news.wait();
      EXPECT_FALSE(t.pool_.find(t.config(), "a").has_value());
      t.write("config", good);
      co_await a.news.wait();
      EXPECT_EQ(t.pool_.find(t.config(), "a")->cluster, a.found);
    }
    fs::remove(t.folder_ / "config");
    co_await a.news.wait();
    EXPECT_EQ(t.pool_.find(t.config(), "a").error().code, Errc::kubeconfig);
  }
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolEditTest, ABrokenFileIsAnErrorForThoseWhoAskAndNoMore) {
  play(break_and_mend(*this));
}

awaitable<void> find_many(ClusterPoolEditTest& t, TimePoint& begun, TimePoint& done) {
  begun = Clock::now();
  for (int i = 0; i < 500; ++i) {
    std::string const context(1, "abcde"[i % 5]);
    auto const found = t.pool_.find(t.config(), context);
    EXPECT_TRUE(found.has_value());
  }
  done = Clock::now();
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolEditTest, ManyForwardsOverFiveContextsReadTheFilesOnce) {
  TimePoint begun;
  TimePoint done;
  play(find_many(*this, begun, done));
  // Once, and once more for each time that a slow machine needed longer than kFresh.
  int const times = 1 + static_cast<int>((done - begun) / ClusterPool::kFresh);
  EXPECT_LE(reads_["config"], times);
  EXPECT_LE(reads_["ca.crt"], 5 * times);
  std::printf("500 finds: %.1f ms\n",
              std::chrono::duration<double, std::milli>(done - begun).count());
}

awaitable<void> use_namespaces(ClusterPoolEditTest& t) {
  t.server_.access().add_user("a", "of-a");
  t.server_.access().allow("a", {{"*"}, {"*"}});
  auto const found = t.pool_.find(t.config(), "a");
  auto& cluster = *found->cluster;
  auto const two_open = [&t] { return t.server_.open_watches() == 2; };
  auto const one_open = [&t] { return t.server_.open_watches() == 1; };
  {
    auto const kept = cluster.pods("kept").subscribe([](std::string_view) {});
    static_cast<void>(cluster.pods("left"));
    auto const both = co_await t.server_.wait_for(two_open);
    EXPECT_TRUE(both);
    co_await cluster.release_unused_caches();
    EXPECT_EQ(t.server_.open_watches(), 2u);  // who just left may come back
    static_cast<void>(cluster.pods("left"));
    co_await cluster.release_unused_caches();
    EXPECT_EQ(t.server_.open_watches(), 2u);
    co_await cluster.release_unused_caches();
    auto const one = co_await t.server_.wait_for(one_open);
    EXPECT_TRUE(one);
    EXPECT_TRUE(cluster.pods("kept").synced());
    EXPECT_FALSE(cluster.pods("left").synced());
  }
  co_await t.pool_.stop();
}

TEST_F(ClusterPoolEditTest, ACacheEndsSomeTimeAfterItsLastUser) {
  play(use_namespaces(*this));
}

}  // namespace
}  // namespace kportal::k8s
