// SPDX-License-Identifier: MIT
// App: the running program behind `up` and `demo`: builds the objects, runs the loop, obeys
// signals, reloads, and ends in two phases (drain, then cut). It knows no protocol and parses no
// flags. Owned by the command.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/task_group.h"
#include "base/wakeup.h"
#include "base/writer.h"
#include "cmd/event_lines.h"
#include "cmd/exit_code.h"
#include "cmd/options.h"
#include "config/parse.h"
#include "config/watcher.h"
#include "events/bus.h"
#include "forward/manager.h"
#include "forward/watchdog.h"
#include "healthcheck/checker.h"
#include "k8s/cluster_pool.h"
#include "net/resolver.h"

namespace kportal::cmd {

// The files to read: those given, or the one found by the search order.
Result<std::vector<std::string>> find_files(std::vector<std::string> given);
// The text of standard input if one of the files is "-".
std::string read_stdin_if_asked(std::vector<std::string> const& files);

class App {
 public:
  // Open connections may go on this long after the first signal; with what the output needs to be
  // written, the end comes within 3 s.
  static constexpr Duration kDrain = std::chrono::milliseconds(2400);
  // An end that takes longer hangs by a fault of ours, and is cut short.
  static constexpr Duration kEnd = std::chrono::seconds(10);

  // `names`: only these forwards (alias, id or resource); empty = all.
  App(asio::io_context& loop, CommonOptions options, std::vector<std::string> names);
  ~App();

  // In place of files: what this says, for good; there is nothing to reload. Before run().
  void use(config::ParseOutcome given) { given_ = std::move(given); }
  // Reads the files, runs until a signal or stop(), and returns the exit code.
  ExitCode run();
  // Ends it as a signal would. On the loop.
  void stop();
  // What else is to end when the forwards have.
  void at_end(std::function<awaitable<void>()> hook) { at_end_ = std::move(hook); }
  // A line on standard output, between the events.
  void print(std::string line) { lines_.print(std::move(line)); }
  events::Bus& bus() { return bus_; }

 private:
  bool open_log();
  void tell_why_not(std::string const& why);
  void tell_of_output(Writer::Target output, Writer::News news, int error);
  bool find_configuration();
  void run_loop();
  std::optional<config::Config> load(std::vector<std::string>& problems);
  void reload();
  awaitable<void> live(config::Config config);
  awaitable<void> follow_files();
  awaitable<void> obey_end_signals();
  awaitable<void> obey_wish_signals();
  void hang_up_or_reload();
  void log_state() const;

  asio::io_context& loop_;
  CommonOptions options_;
  std::vector<std::string> names_;
  std::string stdin_text_;
  std::optional<config::ParseOutcome> given_;
  Writer writer_;
  events::Bus bus_;
  EventLines lines_;
  net::Resolver resolver_;
  k8s::ClusterPool clusters_;
  healthcheck::Checker checker_;
  forward::Shared shared_;
  forward::Manager manager_;
  forward::Watchdog watchdog_;
  asio::signal_set end_signals_;  // SIGINT, SIGTERM
  asio::signal_set
      wish_signals_;  // SIGHUP, SIGUSR1; apart, for a set gives the lowest number first
  std::optional<config::Watcher> watcher_;
  Writer::Target errors_{};  // standard error
  ExitCode code_ = ExitCode::ok;
  bool ends_with_terminal_ = false;
  Wakeup stop_;
  bool stopping_ = false;
  std::function<awaitable<void>()> at_end_;
  TaskGroup tasks_;
};

}  // namespace kportal::cmd
