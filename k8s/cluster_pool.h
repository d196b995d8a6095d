// SPDX-License-Identifier: MIT
// ClusterPool: from the words of a forward (kubeconfig, context) to the Cluster it shares with the
// others that mean the same server and user, now and after edits of the files behind the words. It
// reads and watches those files; it opens no connection. Owned by the program, and outlives all
// forwards.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/sleep_detector.h"
#include "base/task_group.h"
#include "base/wakeup.h"
#include "config/watcher.h"
#include "k8s/cluster.h"
#include "k8s/exec_plugin.h"
#include "k8s/subscription.h"

namespace kportal::k8s {

class ClusterPool {
 public:
  // How old the answer of a find() may be.
  static constexpr Duration kFresh = std::chrono::milliseconds(250);
  // How often clusters and caches that nobody uses are looked for.
  static constexpr Duration kSweep = std::chrono::seconds(30);
  // Warnings, and losses, that are remembered, so as not to be said again.
  static constexpr std::size_t kMaxWarned = 200;

  ClusterPool(asio::any_io_executor executor, net::Resolver& resolver, Environment environment);
  ~ClusterPool();

  struct Found {
    std::shared_ptr<Cluster> cluster;
    std::string context;     // the name that "" stood for
    std::string namespace_;  // the context's own
    std::string file;        // that defined the context; empty = in-cluster
    std::string user;        // as the kubeconfig calls it; empty = none is named
  };
  // Reads the kubeconfig anew, so that an edit counts at the next try; but many forwards that start
  // together read it once. What the kubeconfig warns of is logged once a text.
  Result<Found> find(std::string const& kubeconfig, std::string const& context);

  // As long as the subscription lives, the kubeconfig files and the certificate, key and token
  // files that the context names are watched; `changed` is called when find() of these words would
  // give something else than before, or when the token file holds another token. It must only take
  // note. Where there was a cluster and an edit left none, that is logged with the place.
  [[nodiscard]] Subscription subscribe(std::string const& kubeconfig, std::string const& context,
                                       std::function<void()> changed);

  // Stops the clusters that nobody but the pool holds, and that no subscriber's words mean.
  awaitable<void> release_unused();
  // To be called now and then, at least each few seconds: whether the machine slept. Then what is
  // open to all clusters is doubted.
  void look_for_sleep();
  // Who runs the login plugins of all; their options may be changed at any time.
  ExecPlugins& plugins() { return plugins_; }

  // Stops all. Before destruction; nothing may be asked of it after.
  awaitable<void> stop();

 private:
  using Words = std::pair<std::string, std::string>;  // kubeconfig, context

  struct Loaded {
    TimePoint at;
    Result<Kubeconfig> kubeconfig;
  };
  // A file's text, and what it says: parsing takes a millisecond each 5 KiB.
  struct Parsed {
    std::string text;
    Result<Kubeconfig> kubeconfig;
  };
  // What somebody asked for, and what it meant at the last look.
  struct Asked {
    TimePoint at{};
    std::optional<Result<ResolvedContext>> resolved;
    std::vector<std::string> files;
    Subscribers subscribers;

    bool means(Cluster const& cluster) const;
  };

  Result<std::shared_ptr<Cluster>> cluster_of(ClusterAccess const& access);
  Loaded const& load(std::string const& path);
  Result<Kubeconfig> const& parse(std::string const& text, std::string const& path);
  Asked& look(Words const& words);
  static bool mean_the_same(Result<ResolvedContext> const& a, Result<ResolvedContext> const& b);
  void tell_of_loss(Words const& words, Error const& error);
  void forget_unasked();
  void look_at_all();
  void look_at_tokens();
  void warn_once(std::vector<std::string> const& warnings);
  std::vector<std::string> files_in_use() const;
  awaitable<void> watch_what_is_used();
  awaitable<void> watch();
  awaitable<void> sweep();
  awaitable<void> watch_routes();
  awaitable<void> release_all_unused();

  asio::any_io_executor executor_;
  net::Resolver& resolver_;
  Environment environment_;
  ExecPlugins plugins_;
  std::map<std::string, Loaded> loaded_;  // by path; what is older than kFresh goes
  std::map<std::string, Parsed> parsed_;  // by file
  std::map<Words, Asked> asked_;          // those with subscribers, and the others for kFresh
  std::vector<std::shared_ptr<Cluster>> clusters_;
  std::vector<std::string> warned_;
  std::set<std::string> losses_;  // told since the last time that something was well again
  std::vector<std::string> watched_;
  std::optional<config::Watcher> watcher_;
  SleepDetector sleep_;
  Wakeup use_changed_;
  TaskGroup tasks_;      // begun by the first subscriber
  TaskGroup watching_;   // watch()
  TaskGroup releasing_;  // never cancelled: a cluster that is being stopped must be
};

}  // namespace kportal::k8s
