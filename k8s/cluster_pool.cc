// SPDX-License-Identifier: MIT
#include "k8s/cluster_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "k8s/kubeconfig_yaml.h"
#include "net/route_watch.h"

namespace kportal::k8s {
namespace {

ExecOptions exec_options(Environment const& environment) {
  ExecOptions options;
  options.variables = environment.variables;
  return options;
}

}  // namespace

ClusterPool::ClusterPool(asio::any_io_executor executor, net::Resolver& resolver,
                         Environment environment)
    : executor_(executor),
      resolver_(resolver),
      environment_(std::move(environment)),
      plugins_(executor, exec_options(environment_)),
      use_changed_(executor),
      tasks_(executor),
      watching_(executor),
      releasing_(executor) {}

ClusterPool::~ClusterPool() = default;

Result<ClusterPool::Found> ClusterPool::find(std::string const& kubeconfig,
                                             std::string const& context) {
  auto const& resolved = *look(Words(kubeconfig, context)).resolved;
  if (resolved.has_error()) return resolved.error();
  auto cluster = cluster_of(resolved->access);
  if (cluster.has_error()) return cluster.error();
  Found found;
  found.cluster = std::move(*cluster);
  found.context = resolved->context;
  found.namespace_ = resolved->namespace_;
  found.file = resolved->context_file;
  found.user = resolved->user.name;
  return found;
}

Result<std::shared_ptr<Cluster>> ClusterPool::cluster_of(ClusterAccess const& access) {
  auto const known = std::find_if(clusters_.begin(), clusters_.end(),
                                  [&](auto const& cluster) { return cluster->access() == access; });
  if (known != clusters_.end()) return *known;
  auto created = Cluster::create(executor_, resolver_, plugins_, access);
  if (created.has_error()) return created.error();
  clusters_.push_back(std::move(*created));
  return clusters_.back();
}

Subscription ClusterPool::subscribe(std::string const& kubeconfig, std::string const& context,
                                    std::function<void()> changed) {
  if (tasks_.empty()) {
    tasks_.spawn(watch_what_is_used());
    tasks_.spawn(sweep());
    tasks_.spawn(watch_routes());
  }
  use_changed_.set();
  auto& asked = asked_[Words(kubeconfig, context)];
  return asked.subscribers.add([tell = std::move(changed)](std::string_view) { tell(); });
}

// ---- what the words mean

ClusterPool::Loaded const& ClusterPool::load(std::string const& path) {
  TimePoint const now = Clock::now();
  std::erase_if(loaded_, [&](auto const& entry) { return now - entry.second.at > kFresh; });
  auto const known = loaded_.find(path);
  if (known != loaded_.end()) return known->second;
  auto const remember = [this](std::string const& text, std::string const& file) {
    return parse(text, file);
  };
  Loaded loaded{now, load_kubeconfig(path, environment_, remember)};
  return loaded_.emplace(path, std::move(loaded)).first->second;
}

Result<Kubeconfig> const& ClusterPool::parse(std::string const& text, std::string const& path) {
  auto const known = parsed_.find(path);
  if (known != parsed_.end() && known->second.text == text) return known->second.kubeconfig;
  auto parsed = parse_kubeconfig(text, path);
  return parsed_.insert_or_assign(path, Parsed{text, std::move(parsed)}).first->second.kubeconfig;
}

ClusterPool::Asked& ClusterPool::look(Words const& words) {
  forget_unasked();
  auto& asked = asked_[words];
  if (asked.resolved && Clock::now() - asked.at <= kFresh) return asked;
  auto const& [at, kubeconfig] = load(words.first);
  std::vector<std::string> files = kubeconfig_files(words.first, environment_);
  auto const resolve = [&]() -> Result<ResolvedContext> {
    if (kubeconfig.has_error()) return kubeconfig.error();
    warn_once(kubeconfig->warnings);
    auto const named = files_of_context(*kubeconfig, words.second);
    files.insert(files.end(), named.begin(), named.end());
    auto resolved = resolve_context(*kubeconfig, words.second, environment_);
    if (resolved.has_error()) return resolved;
    warn_once(resolved->warnings);
    // Whether its certificates can be used is part of the verdict.
    auto const cluster = cluster_of(resolved->access);
    if (cluster.has_error()) return cluster.error();
    return resolved;
  };
  auto resolved = resolve();
  asked.at = at;
  if (std::exchange(asked.files, files) != files) use_changed_.set();
  bool const news = asked.resolved && !mean_the_same(*asked.resolved, resolved);
  bool const lost = news && asked.resolved->has_value() && resolved.has_error();
  if (lost && !asked.subscribers.empty()) tell_of_loss(words, resolved.error());
  if (news && resolved.has_value()) losses_.clear();
  asked.resolved.emplace(std::move(resolved));
  if (news) asked.subscribers.notify({});
  return asked;
}

// The namespace is not compared: a forward has its own.
bool ClusterPool::mean_the_same(Result<ResolvedContext> const& a,
                                Result<ResolvedContext> const& b) {
  if (a.has_error() || b.has_error()) {
    return a.has_error() && b.has_error() && a.error() == b.error();
  }
  return a->context == b->context && a->access == b->access;
}

// Once for all contexts of a broken file.
void ClusterPool::tell_of_loss(Words const& words, Error const& error) {
  std::string text = error.text;
  if (error.code == Errc::no_such_context) {  // all others name the place
    text =
        fmt::format("{}: {}", fmt::join(kubeconfig_files(words.first, environment_), ", "), text);
  }
  if (losses_.size() >= kMaxWarned) losses_.clear();
  if (!losses_.insert(text).second) return;
  log::warn("{}; the forwards that run go on with what they have", text);
}

void ClusterPool::forget_unasked() {
  TimePoint const now = Clock::now();
  std::erase_if(asked_, [&](auto const& entry) {
    return entry.second.subscribers.empty() && now - entry.second.at > kFresh;
  });
}

void ClusterPool::warn_once(std::vector<std::string> const& warnings) {
  for (std::string const& warning : warnings) {
    if (std::find(warned_.begin(), warned_.end(), warning) != warned_.end()) continue;
    if (warned_.size() >= kMaxWarned) warned_.erase(warned_.begin());
    warned_.push_back(warning);
    log::warn("{}", warning);
  }
}

bool ClusterPool::Asked::means(Cluster const& cluster) const {
  return resolved && resolved->has_value() && (*resolved)->access == cluster.access();
}

// ---- edits

void ClusterPool::look_at_all() {
  loaded_.clear();
  std::vector<Words> all;
  for (auto const& [words, asked] : asked_) {
    if (!asked.subscribers.empty() && asked.resolved) all.push_back(words);
  }
  for (Words const& words : all) {
    asked_[words].at = TimePoint();
    look(words);
  }
  look_at_tokens();
}

// A token file is no part of what a cluster is: it may say something else at any time.
void ClusterPool::look_at_tokens() {
  for (auto const& cluster : clusters_) {
    if (!cluster->reread_token()) continue;
    for (auto& [words, asked] : asked_) {
      if (asked.means(*cluster)) asked.subscribers.notify({});
    }
  }
}

std::vector<std::string> ClusterPool::files_in_use() const {
  std::vector<std::string> files;
  for (auto const& [words, asked] : asked_) {
    if (asked.subscribers.empty()) continue;
    files.insert(files.end(), asked.files.begin(), asked.files.end());
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

// By the notifier of the configuration file, which knows symlinks, editors and mounted directories
// and looks every 2 s where the system tells nothing. What it reads are small files.
awaitable<void> ClusterPool::watch_what_is_used() {
  for (;;) {
    co_await use_changed_.wait();
    auto files = files_in_use();
    if (files == watched_) continue;
    watching_.cancel();
    co_await watching_.join();
    watched_ = std::move(files);
    watcher_.emplace(executor_, watched_);
    look_at_all();  // for what happened before it watched
    watching_.spawn(watch());
  }
}

awaitable<void> ClusterPool::watch() {
  for (;;) {
    co_await watcher_->changed();
    look_at_all();
  }
}

// ---- the network

// Each cluster looks at the route toward its own server.
awaitable<void> ClusterPool::watch_routes() {
  auto const watch = net::RouteWatch::open(executor_);
  if (watch.has_error()) {
    log::debug("changes of the network show by silence only: {}", watch.error().text);
    co_return;
  }
  for (;;) {
    error_code const error = co_await (*watch)->changed();
    if (error) {
      log::debug("changes of the network show by silence only from now on: {}", error.message());
      co_return;
    }
    for (auto const& cluster : clusters_) cluster->routes_changed();
  }
}

void ClusterPool::look_for_sleep() {
  auto const slept = sleep_.look(time_since_boot(), time_awake());
  if (!slept) return;
  log::info("the machine slept for {} s; connections are asked whether they are still alive",
            std::chrono::duration_cast<std::chrono::seconds>(*slept).count());
  for (auto const& cluster : clusters_) cluster->woke_up();
}

// ---- ends

awaitable<void> ClusterPool::sweep() {
  for (;;) {
    co_await sleep_until(Clock::now() + kSweep);
    forget_unasked();
    auto const files = files_in_use();
    std::erase_if(parsed_, [&](auto const& entry) {
      return !std::binary_search(files.begin(), files.end(), entry.first);
    });
    use_changed_.set();
    releasing_.spawn(release_all_unused());
  }
}

awaitable<void> ClusterPool::release_all_unused() {
  co_await release_unused();
  std::vector<std::shared_ptr<Cluster>> const kept = clusters_;
  for (auto const& cluster : kept) co_await cluster->release_unused_caches();
}

awaitable<void> ClusterPool::release_unused() {
  // Whoever is subscribed may be about to ask for it; a login should not begin anew for that.
  auto const wanted = [this](Cluster const& cluster) {
    return std::ranges::any_of(asked_, [&](auto const& entry) {
      return !entry.second.subscribers.empty() && entry.second.means(cluster);
    });
  };
  auto const used = [&](auto const& cluster) {
    return cluster.use_count() > 1 || wanted(*cluster);
  };
  auto const first = std::stable_partition(clusters_.begin(), clusters_.end(), used);
  std::vector<std::shared_ptr<Cluster>> const unused(std::make_move_iterator(first),
                                                     std::make_move_iterator(clusters_.end()));
  clusters_.erase(first, clusters_.end());
  for (auto const& cluster : unused) co_await cluster->stop();
}

awaitable<void> ClusterPool::stop() {
  tasks_.cancel();
  co_await tasks_.join();
  watching_.cancel();
  co_await watching_.join();
  co_await releasing_.join();
  for (auto const& cluster : clusters_) co_await cluster->stop();
  clusters_.clear();
  co_await plugins_.stop();
}

}  // namespace kportal::k8s
