// SPDX-License-Identifier: MIT
// ExecPlugins: runs the login plugins that kubeconfigs name. One ExecPlugin for each configuration,
// whoever uses it, with one run at a time; those that may talk to the user take turns at the
// terminal. It knows no server. When to run is ExecPluginMachine's, what the words mean
// exec_plugin_format's. Owned by ClusterPool, which outlives all that asks.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/spawn.h"
#include "base/task_group.h"
#include "base/wakeup.h"
#include "k8s/dial_gate.h"
#include "k8s/exec_plugin_machine.h"
#include "k8s/kubeconfig.h"

namespace kportal::k8s {

struct ExecOptions {
  Duration time_limit = std::chrono::seconds(60);  // of one run; reliability.authTimeout
  std::vector<std::string> variables;              // NAME=value: the environment of plugins
  Duration slow = std::chrono::seconds(5);         // a run that is longer is told of in the log
  // A run that began before the network changed is given this long, from its beginning, to end in
  // spite of that.
  Duration hang = std::chrono::seconds(2);
  // Of plugins; nothing = that of this process.
  std::optional<std::uint64_t> descriptor_limit;
  // Standard input is read by this program itself (`-f -`), so no plugin may have it.
  bool input_in_use = false;
  // Whether a plugin that has standard input could ask somebody there. For tests.
  std::function<bool()> has_terminal;

  ExecOptions() = default;
};

class ExecPlugins;

class ExecPlugin {
 public:
  ExecPlugin(ExecPlugins& plugins, ExecConfig config, std::optional<ExecClusterInfo> cluster);

  // A credential that has not expired, and is not of the generation `refused` (the one that a
  // server answered 401 to; 0 = any will do). Runs the plugin if need be, together with all who
  // ask meanwhile. Errc::auth_plugin, Errc::local (plugin_not_started), or see
  // ExecPluginMachine::ask().
  awaitable<Result<SharedLogin>> login(std::uint64_t refused);
  // A failure of before is not the answer any more, and a run that hangs is ended and begun anew,
  // unless it seems to ask somebody.
  void retry();
  // As messages call it.
  std::string name() const { return plugin_name(config_); }
  // Somebody waits for a run, or for its turn at the terminal.
  bool awaited() const { return !waiting_.empty(); }

 private:
  friend class ExecPlugins;

  using Outcome = std::optional<Result<PluginCredential>>;

  awaitable<void> live();
  awaitable<void> run_into(Outcome& outcome, Duration& took);
  awaitable<Result<PluginCredential>> run_once(Duration& took);
  awaitable<boost::system::result<ChildEnd>> run_child(ChildCommand command, TimePoint deadline);
  awaitable<void> tell_if_slow();
  // Returns when the run in progress is to be given up.
  awaitable<void> hangs();
  bool seems_to_ask() const;

  ExecPlugins& plugins_;
  ExecConfig config_;
  std::optional<ExecClusterInfo> cluster_;
  std::size_t users_ = 0;
  ExecPluginMachine machine_;
  Wakeup wake_;                             // live() has something to do
  std::list<Wakeup*> waiting_;              // in login()
  TaskGroup tasks_;                         // live()
  std::string said_;                        // by the run in progress, on standard error
  std::optional<unsigned> terminal_modes_;  // of the terminal that it has, before it
  Wakeup doubted_;                          // of hangs()
  TaskGroup slow_;                          // tell_if_slow()
};

class ExecPlugins {
 public:
  // For the question what PATH a login shell has.
  static constexpr Duration kShellTime = std::chrono::seconds(5);

  ExecPlugins(asio::any_io_executor executor, ExecOptions options);
  ~ExecPlugins();

  // Being one of the users of a plugin. When the last goes, a run in progress is ended.
  class Use {
   public:
    Use(ExecPlugins& plugins, ExecPlugin& plugin) : plugins_(&plugins), plugin_(&plugin) {
      ++plugin.users_;
    }
    ~Use() { plugins_->release(*plugin_); }
    Use(Use const&) = delete;
    Use& operator=(Use const&) = delete;
    ExecPlugin* operator->() const { return plugin_; }

   private:
    ExecPlugins* plugins_;
    ExecPlugin* plugin_;
  };
  std::unique_ptr<Use> use(ExecConfig const& config, std::optional<ExecClusterInfo> const& cluster);

  // For runs from now on.
  ExecOptions& options() { return options_; }
  // Plugins, and shells, that run now.
  std::size_t running() const { return spawner_.size(); }
  // Ends and reaps all. Before destruction, when nobody is in login().
  awaitable<void> stop();

 private:
  friend class ExecPlugin;

  // Where the command is, and the PATH that it was found by if that is not our own.
  struct Found {
    std::string program;  // empty = nowhere
    std::string path;
    error_code why;
    std::vector<std::string> searched;
    Found() = default;
  };

  void release(ExecPlugin& plugin);
  static awaitable<void> bury(std::unique_ptr<ExecPlugin> plugin);
  awaitable<Found> find(std::string command);
  awaitable<std::string> login_shell_path();
  bool may_ask_shell() const;
  bool has_terminal() const;

  asio::any_io_executor executor_;
  ExecOptions options_;
  Spawner spawner_;
  DialGate terminal_;
  std::optional<std::string> shell_path_;
  std::list<std::unique_ptr<ExecPlugin>> plugins_;
  TaskGroup tasks_;  // bury(); never cancelled
};

}  // namespace kportal::k8s
