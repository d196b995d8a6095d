// SPDX-License-Identifier: MIT
#include "k8s/exec_plugin.h"

#include <algorithm>
#include <cassert>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <utility>

#include "base/log.h"
#include "k8s/run_until.h"
#include "net/tls_context.h"

namespace kportal::k8s {
namespace {

ExecPluginMachine::Now now() {
  return {Clock::now(), std::chrono::system_clock::now()};
}

std::optional<std::string> variable(std::vector<std::string> const& variables,
                                    std::string_view name) {
  for (std::string const& each : variables) {
    if (each.size() > name.size() && each.starts_with(name) && each[name.size()] == '=') {
      return each.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

void set_variable(std::vector<std::string>& variables, std::string const& name,
                  std::string const& value) {
  std::erase_if(variables, [&](std::string const& each) { return each.starts_with(name + "="); });
  variables.push_back(name + "=" + value);
}

bool is_interactive_mode(ExecConfig const& config, std::string_view mode) {
  // Only v1beta1 may leave it out.
  return config.interactive_mode == mode ||
         (config.interactive_mode.empty() && mode == "IfAvailable");
}

// The first program of that name in the folders of a PATH; else why not. An empty folder would be
// the working directory, which may be anybody's.
struct Search {
  std::string program;
  error_code why = make_error_code(boost::system::errc::no_such_file_or_directory);
};
Search search(std::string const& command, std::string_view path) {
  Search result;
  while (!path.empty()) {
    std::string_view const folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(folder.size() + 1, path.size()));
    if (!folder.starts_with('/')) continue;
    std::string candidate = std::string(folder) + "/" + command;
    struct stat about {};
    if (::stat(candidate.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) continue;
    if (::access(candidate.c_str(), X_OK) == 0) {
      result.program = std::move(candidate);
      return result;
    }
    result.why = make_error_code(boost::system::errc::permission_denied);
  }
  return result;
}

std::optional<Error> certificate_problem(PluginCredential const& credential) {
  if (credential.cert_pem.empty()) return std::nullopt;
  net::TlsConfig config;
  config.insecure = true;  // only the certificate is tried, without loading roots
  config.cert_pem = credential.cert_pem;
  config.key_pem = credential.key_pem;
  auto const made = net::TlsContext::for_client(config);
  if (made.has_error()) return made.error();
  return std::nullopt;
}

// A plugin that is ended while it asks for a password leaves the terminal without echo.
class TerminalState {
 public:
  TerminalState() : known_(::tcgetattr(STDIN_FILENO, &state_) == 0) {}
  ~TerminalState() {
    bool const may = known_ && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
    if (may) ::tcsetattr(STDIN_FILENO, TCSANOW, &state_);
  }
  TerminalState(TerminalState const&) = delete;
  TerminalState& operator=(TerminalState const&) = delete;

 private:
  termios state_{};
  bool known_;
};

// Whether it echoes, reads by lines and so on; nothing where there is none.
std::optional<unsigned> terminal_modes() {
  termios state{};
  if (::tcgetattr(STDIN_FILENO, &state) != 0) return std::nullopt;
  return static_cast<unsigned>(state.c_lflag);
}

// Only the foreground group of a terminal may read it.
bool stdin_is_a_terminal() {
  return ::isatty(STDIN_FILENO) == 1 && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
}

}  // namespace

// ---- ExecPlugin

ExecPlugin::ExecPlugin(ExecPlugins& plugins, ExecConfig config,
                       std::optional<ExecClusterInfo> cluster)
    : plugins_(plugins),
      config_(std::move(config)),
      cluster_(std::move(cluster)),
      machine_(!is_interactive_mode(config_, "Always")),
      wake_(plugins.executor_),
      tasks_(plugins.executor_),
      doubted_(plugins.executor_),
      slow_(plugins.executor_) {}

void ExecPlugin::retry() {
  machine_.retry();
  doubted_.set();
}

awaitable<Result<SharedLogin>> ExecPlugin::login(std::uint64_t refused) {
  struct Waiting {
    Waiting(std::list<Wakeup*>& l, asio::any_io_executor const& executor)
        : wakeup(executor), list(l), at(list.insert(list.end(), &wakeup)) {}
    ~Waiting() { list.erase(at); }
    Wakeup wakeup;
    std::list<Wakeup*>& list;
    std::list<Wakeup*>::iterator at;
  };
  if (auto known = machine_.ask(refused, now())) co_return std::move(*known);
  Waiting waiting(waiting_, plugins_.executor_);
  for (;;) {
    wake_.set();
    co_await waiting.wakeup.wait();
    if (auto answer = machine_.ask(refused, now())) co_return std::move(*answer);
  }
}

awaitable<void> ExecPlugin::live() {
  for (;;) {
    auto const step = machine_.next(now());
    if (!step.run) {
      co_await wake_.wait_until(step.until);
      continue;
    }
    Outcome outcome;
    Duration took{};
    bool const by_itself = co_await run_until(run_into(outcome, took), hangs());
    slow_.cancel();
    if (!outcome) {
      assert(!by_itself);
      log::info("login plugin {} hangs since before the network changed: it is run anew", name());
      machine_.given_up();
      co_await sleep_until(Clock::now() + Spawner::kGrace);  // at the latest then it was killed
      continue;
    }
    if (outcome->has_error()) log::debug("{}", outcome->error().text);
    machine_.finished(std::move(*outcome), took, now());
    for (Wakeup* const each : waiting_) each->set();
  }
}

awaitable<void> ExecPlugin::run_into(Outcome& outcome, Duration& took) {
  auto result = co_await run_once(took);
  outcome.emplace(std::move(result));
}

awaitable<void> ExecPlugin::hangs() {
  for (;;) {
    TimePoint due = machine_.give_up_at();
    if (Clock::now() >= due) {
      if (!seems_to_ask()) co_return;
      due = kNever;
    }
    co_await doubted_.wait_until(due);
  }
}

// It has said something, which may be where to log in and a code to type there, or it made the
// terminal hide what is typed.
bool ExecPlugin::seems_to_ask() const {
  return !said_.empty() || (terminal_modes_ && terminal_modes() != terminal_modes_);
}

awaitable<Result<PluginCredential>> ExecPlugin::run_once(Duration& took) {
  bool const available = plugins_.has_terminal();
  bool const always = is_interactive_mode(config_, "Always");
  bool const interactive = always || (available && is_interactive_mode(config_, "IfAvailable"));
  if (always && !available) {
    co_return Error(Errc::auth_plugin,
                    fmt::format("login plugin {} must ask somebody (interactiveMode: Always), but "
                                "standard input {}",
                                name(),
                                plugins_.options_.input_in_use
                                    ? "holds the configuration (-f -): give it as a file"
                                    : "is no terminal: run this in the foreground of one"));
  }
  std::optional<DialGate::Pass> turn;
  std::optional<TerminalState> terminal;
  if (interactive) {
    auto pass = co_await plugins_.terminal_.enter();
    turn.emplace(std::move(pass));
    terminal.emplace();
  }
  auto const found = co_await plugins_.find(config_.command);
  if (found.program.empty()) co_return plugin_not_started(config_, found.why, found.searched);
  ChildCommand command;
  command.program = found.program;
  command.arguments = config_.args;
  command.environment = plugins_.options_.variables;
  if (!found.path.empty()) set_variable(command.environment, "PATH", found.path);
  for (auto const& [key, value] : config_.env) set_variable(command.environment, key, value);
  set_variable(command.environment, "KUBERNETES_EXEC_INFO",
               exec_info(config_, cluster_, interactive));
  command.on_terminal = interactive;
  command.descriptor_limit = plugins_.options_.descriptor_limit;
  terminal_modes_ = interactive ? terminal_modes() : std::nullopt;
  machine_.began(always ? kNever : Clock::now() + plugins_.options_.hang);
  Duration const limit = plugins_.options_.time_limit;
  auto const end = co_await run_child(std::move(command), Clock::now() + limit);
  if (end.has_error()) {
    std::vector<std::string> const nowhere;
    co_return plugin_not_started(config_, end.error(), nowhere);
  }
  took = end->took;
  auto credential = read_plugin_answer(config_, *end, limit, std::chrono::system_clock::now());
  if (credential.has_error()) co_return credential;
  if (auto error = certificate_problem(*credential)) {
    co_return Error(Errc::auth_plugin,
                    fmt::format("login plugin {} gave a client certificate that is of no use: {}",
                                name(), error->text));
  }
  co_return credential;
}

awaitable<boost::system::result<ChildEnd>> ExecPlugin::run_child(ChildCommand command,
                                                                 TimePoint deadline) {
  said_.clear();
  command.on_errors = [this](std::string_view bytes) {
    said_ += bytes;
    if (said_.size() > Spawner::kKeptErrors) said_.erase(0, said_.size() - Spawner::kKeptErrors);
  };
  slow_.spawn(tell_if_slow());
  auto end = co_await plugins_.spawner_.run(std::move(command), deadline);
  slow_.cancel();
  co_return end;
}

// Where to log in, and a code to type there, are no use in the message of a run that is over.
awaitable<void> ExecPlugin::tell_if_slow() {
  Duration const slow = plugins_.options_.slow;
  co_await sleep_until(Clock::now() + slow);
  log::warn("{}", plugin_is_slow(config_, slow, plugins_.options_.time_limit, said_));
}

// ---- ExecPlugins

ExecPlugins::ExecPlugins(asio::any_io_executor executor, ExecOptions options)
    : executor_(executor),
      options_(std::move(options)),
      spawner_(executor),
      terminal_(executor, 1),
      tasks_(executor) {}

ExecPlugins::~ExecPlugins() = default;

std::unique_ptr<ExecPlugins::Use> ExecPlugins::use(ExecConfig const& config,
                                                   std::optional<ExecClusterInfo> const& cluster) {
  auto const known = std::find_if(plugins_.begin(), plugins_.end(), [&](auto const& plugin) {
    return plugin->config_ == config && plugin->cluster_ == cluster;
  });
  if (known != plugins_.end()) return std::make_unique<Use>(*this, **known);
  auto& plugin = *plugins_.emplace_back(std::make_unique<ExecPlugin>(*this, config, cluster));
  plugin.tasks_.spawn(plugin.live());
  return std::make_unique<Use>(*this, plugin);
}

void ExecPlugins::release(ExecPlugin& plugin) {
  if (--plugin.users_ > 0) return;
  auto const at = std::find_if(plugins_.begin(), plugins_.end(),
                               [&](auto const& each) { return each.get() == &plugin; });
  plugin.tasks_.cancel();
  tasks_.spawn(bury(std::move(*at)));
  plugins_.erase(at);
}

awaitable<void> ExecPlugins::bury(std::unique_ptr<ExecPlugin> plugin) {
  co_await plugin->tasks_.join();
  plugin->slow_.cancel();
  co_await plugin->slow_.join();
}

awaitable<void> ExecPlugins::stop() {
  co_await tasks_.join();
  co_await spawner_.stop();
}

bool ExecPlugins::has_terminal() const {
  if (options_.input_in_use) return false;
  return options_.has_terminal ? options_.has_terminal() : stdin_is_a_terminal();
}

awaitable<ExecPlugins::Found> ExecPlugins::find(std::string command) {
  Found found;
  if (command.find('/') != std::string::npos) {
    found.program = std::move(command);
    co_return found;
  }
  std::string const own = variable(options_.variables, "PATH").value_or("");
  found.searched.push_back(own);
  auto first = search(command, own);
  found.why = first.why;
  found.program = std::move(first.program);
  if (!found.program.empty() || !may_ask_shell()) co_return found;
  std::string const shells = co_await login_shell_path();
  if (shells.empty() || shells == own) co_return found;
  found.searched.push_back(shells);
  auto second = search(command, shells);
  if (second.program.empty()) co_return found;
  found.program = std::move(second.program);
  found.path = shells;
  co_return found;
}

// Who started this program: a service manager or a desktop has another PATH than the user's
// terminals, where the plugin was installed and tried.
bool ExecPlugins::may_ask_shell() const {
  return variable(options_.variables, "INVOCATION_ID").has_value() || !stdin_is_a_terminal();
}

// Asked once. Profiles may write what they like before it.
awaitable<std::string> ExecPlugins::login_shell_path() {
  if (shell_path_) co_return *shell_path_;
  std::string const mark = "kportal-cpp PATH=";
  std::string path;
  std::string const shell = variable(options_.variables, "SHELL").value_or("");
  if (shell.starts_with('/')) {
    ChildCommand command;
    command.program = shell;
    command.arguments = {"-lc", "printf '\\n" + mark + "%s\\n' \"$PATH\""};
    command.environment = options_.variables;
    command.descriptor_limit = options_.descriptor_limit;
    auto const end = co_await spawner_.run(std::move(command), Clock::now() + kShellTime);
    if (end.has_error()) co_return path;  // it may start the next time
    std::string const& said = end->output;
    std::size_t const at = said.rfind("\n" + mark);
    if (at != std::string::npos) {
      path = said.substr(at + 1 + mark.size());
      path.erase(std::min(path.find('\n'), path.size()));
    }
    log::debug("{} as a login shell has PATH {}", shell, path.empty() ? "none" : path);
  }
  shell_path_ = path;
  co_return path;
}

}  // namespace kportal::k8s
