// SPDX-License-Identifier: MIT
#include "cmd/app.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <new>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "base/printable.h"
#include "cmd/output_news.h"
#include "cmd/selection.h"
#include "config/diff.h"
#include "config/file.h"
#include "config/locate.h"

namespace kportal::cmd {
namespace {

constexpr std::array kEndSignals{SIGINT, SIGTERM};
constexpr std::array kWishSignals{SIGHUP, SIGUSR1};

void obey(asio::signal_set& set, std::array<int, 2> const& numbers) {
  for (int const number : numbers) set.add(number);
}

// Without the set a late signal would end the process as its default action does.
void ignore(asio::signal_set& set, std::array<int, 2> const& numbers) {
  for (int const number : numbers) {
    error_code ignored;
    set.remove(number, ignored);
    std::signal(number, SIG_IGN);
  }
}

// The terminal that this process was started from, and that signals it. Where no descriptor is left
// to find out, it is taken to be there still.
bool has_terminal() {
  int const terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) return lacks_descriptors({errno, boost::system::system_category()});
  close(terminal);
  return true;
}

// nohup asks for that.
bool ignores_hangup() {
  struct sigaction now {};
  return sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

bool is_pipe(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

std::string read_stdin() {
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t const n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n <= 0 || text.size() > config::kMaxFileBytes) return text;
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace

Result<std::vector<std::string>> find_files(std::vector<std::string> given) {
  if (!given.empty()) return given;
  auto const exists = [](std::string const& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
  };
  std::error_code ignored;
  auto const found = config::locate(std::filesystem::current_path(ignored).string(),
                                    config::process_environment(), exists);
  if (found.has_error()) return found.error();
  return std::vector<std::string>{*found};
}

std::string read_stdin_if_asked(std::vector<std::string> const& files) {
  bool const asked = std::find(files.begin(), files.end(), "-") != files.end();
  return asked ? read_stdin() : std::string();
}

App::App(asio::io_context& loop, CommonOptions options, std::vector<std::string> names)
    : loop_(loop),
      options_(std::move(options)),
      names_(std::move(names)),
      bus_(loop.get_executor()),
      lines_(bus_, writer_, options_),
      resolver_(loop.get_executor()),
      clusters_(loop.get_executor(), resolver_, k8s::system_environment()),
      checker_(loop.get_executor(), bus_),
      shared_(loop.get_executor(), bus_, checker_, clusters_),
      manager_(shared_),
      watchdog_(bus_, config::Reliability().watchdog_period),
      end_signals_(loop),
      wish_signals_(loop),
      stop_(loop.get_executor()),
      tasks_(loop.get_executor()) {}

App::~App() {
  log::reset_output();
}

bool App::open_log() {
  if (options_.verbose) log::set_level(log::Level::debug);
  if (options_.quiet) log::set_level(log::Level::error);
  if (options_.log_format == LogFormat::json) log::set_format(log::Format::json);
  errors_ = writer_.add(STDERR_FILENO);
  writer_.on_news([this](Writer::Target output, Writer::News news, int error) {
    asio::post(loop_, [this, output, news, error] { tell_of_output(output, news, error); });
  });
  if (options_.log_file.empty()) {
    log::set_output(writer_, errors_);
    return true;
  }
  auto const file = writer_.open_file(options_.log_file);
  if (file.has_error()) {
    log::error("{}", file.error().text);
    return false;
  }
  log::set_output(writer_, *file);
  return true;
}

// A reader that went away wanted no more: as `head` ends what is before it in a pipeline. A file, a
// terminal or the journal may come back or not; the forwards are not theirs.
void App::tell_of_output(Writer::Target output, Writer::News news, int error) {
  bool const is_events = output == lines_.target();
  std::string_view name = options_.log_file;
  if (is_events) name = "standard output";
  if (output == errors_) name = "standard error";
  std::string const text = output_news(name, news, error);
  if (news == Writer::News::recovered) {
    log::info("{}", text);
  } else {
    log::error("{}", text);
  }
  if (!options_.log_file.empty() && output != errors_) {
    writer_.write(errors_, fmt::format("kportal-cpp: {}", printable(text)));
  }
  if (!is_events || news != Writer::News::dead || !is_pipe(STDOUT_FILENO)) return;
  code_ = ExitCode::failure;
  stop();
}

// Why it does not start: whoever starts it looks there, and not into the log's file.
void App::tell_why_not(std::string const& why) {
  log::error("{}", why);
  if (!options_.log_file.empty()) {
    writer_.write(errors_, fmt::format("kportal-cpp: {}", printable(why)));
  }
}

bool App::find_configuration() {
  if (given_) return true;
  auto files = find_files(options_.files);
  if (files.has_error()) {
    tell_why_not(files.error().text);
    return false;
  }
  options_.files = std::move(*files);
  stdin_text_ = read_stdin_if_asked(options_.files);
  // Made before the first load, so that no edit falls between the two.
  watcher_.emplace(loop_.get_executor(), options_.files);
  return true;
}

ExitCode App::run() {
  if (!open_log()) return ExitCode::failure;
  if (!find_configuration()) return ExitCode::configuration;
  std::vector<std::string> problems;
  auto config = load(problems);
  if (!config) {
    for (std::string const& problem : problems) tell_why_not(problem);
    return ExitCode::configuration;
  }
  k8s::ExecOptions& logins = clusters_.plugins().options();
  logins.descriptor_limit = raise_descriptor_limit();
  auto const& files = options_.files;
  logins.input_in_use = std::find(files.begin(), files.end(), "-") != files.end();
  ends_with_terminal_ = has_terminal() && !ignores_hangup();
  obey(end_signals_, kEndSignals);
  obey(wish_signals_, kWishSignals);
  asio::co_spawn(loop_, live(std::move(*config)), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  run_loop();
  ignore(end_signals_, kEndSignals);
  ignore(wish_signals_, kWishSignals);
  return code_;
}

// A tunnel for which there is no memory ends by itself. Where even small things have none, nothing
// can be promised any more; who supervises this starts it again.
void App::run_loop() {
  try {
    loop_.run();
  } catch (std::bad_alloc const&) {
    std::string_view const last = "kportal-cpp: no memory is left; ending\n";
    [[maybe_unused]] ssize_t const told = write(STDERR_FILENO, last.data(), last.size());
    std::_Exit(static_cast<int>(ExitCode::failure));
  }
}

void App::stop() {
  stopping_ = true;
  watchdog_.end_by(Clock::now() + kEnd, static_cast<int>(ExitCode::failure));
  stop_.set();
}

std::optional<config::Config> App::load(std::vector<std::string>& problems) {
  auto outcome =
      given_ ? *given_ : config::load(options_.files, config::process_environment(), stdin_text_);
  for (auto const& warning : outcome.warnings) log::warn("{}", config::to_text(warning));
  for (auto const& problem : outcome.problems) problems.push_back(config::to_text(problem));
  if (!outcome.config) return std::nullopt;
  config::Config config = std::move(*outcome.config);
  for (config::ForwardSpec& spec : config.forwards) {
    if (spec.kubeconfig.empty()) spec.kubeconfig = options_.kubeconfig;
  }
  select_named(config, names_, problems);
  if (!problems.empty()) return std::nullopt;
  return config;
}

void App::reload() {
  if (stopping_) return;
  if (given_) {
    log::warn("there is nothing to reload: the forwards are of the command line, not of a file");
    return;
  }
  std::vector<std::string> problems;
  auto wanted = load(problems);
  if (!wanted) {
    for (std::string const& problem : problems) log::error("{}", problem);
    log::error("the configuration is not applied; what ran goes on");
    events::ConfigRejected rejected;
    rejected.problems = std::move(problems);
    bus_.publish(std::move(rejected));
    return;
  }
  config::Diff const diff = config::diff(manager_.config(), *wanted);
  clusters_.plugins().options().time_limit = wanted->reliability.auth_timeout;
  manager_.apply(std::move(*wanted));
  watchdog_.set_period(manager_.config().reliability.watchdog_period);
  events::ConfigReloaded reloaded;
  reloaded.added = diff.added;
  reloaded.removed = diff.removed;
  reloaded.changed = diff.changed;
  reloaded.unchanged = diff.unchanged;
  bus_.publish(std::move(reloaded));
}

awaitable<void> App::live(config::Config config) {
  tasks_.spawn(lines_.run());
  tasks_.spawn(checker_.run());
  watchdog_.on_beat([this] {
    clusters_.look_for_sleep();
    manager_.look_for_overruns(Clock::now());
  });
  tasks_.spawn(watchdog_.run());
  if (watcher_) tasks_.spawn(follow_files());
  tasks_.spawn(obey_end_signals());
  tasks_.spawn(obey_wish_signals());
  clusters_.plugins().options().time_limit = config.reliability.auth_timeout;
  manager_.apply(std::move(config));
  watchdog_.set_period(manager_.config().reliability.watchdog_period);
  if (manager_.config().forwards.empty()) log::warn("there are no forwards; waiting for edits");
  while (!stopping_) co_await stop_.wait();

  checker_.stop();
  co_await manager_.stop(Clock::now() + kDrain);
  co_await clusters_.stop();
  if (at_end_) co_await at_end_();
  tasks_.cancel();
  co_await tasks_.join();
}

awaitable<void> App::follow_files() {
  for (;;) {
    co_await watcher_->changed();
    reload();
  }
}

awaitable<void> App::obey_end_signals() {
  for (;;) {
    auto const [error, number] =
        co_await end_signals_.async_wait(asio::as_tuple(asio::use_awaitable));
    static_cast<void>(number);
    if (error) continue;  // cancelled: the next await ends it
    // The second one does not wait for anything.
    if (stopping_) std::_Exit(static_cast<int>(code_));
    stop();
  }
}

awaitable<void> App::obey_wish_signals() {
  for (;;) {
    auto const [error, number] =
        co_await wish_signals_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error) continue;
    if (number == SIGHUP) hang_up_or_reload();
    if (number == SIGUSR1) log_state();
  }
}

// The terminal's end sends the same signal as who wants a reload.
void App::hang_up_or_reload() {
  if (!ends_with_terminal_ || has_terminal()) {
    reload();
    return;
  }
  log::info("the terminal that this was started from is gone: ending");
  stop();
}

void App::log_state() const {
  using Millis = std::chrono::duration<double, std::milli>;
  log::info("state: longest turn {:.1f} ms", Millis(watchdog_.longest_turn()).count());
  for (config::ForwardSpec const& spec : manager_.config().forwards) {
    auto const health = checker_.status(spec.id());
    if (!health) continue;
    log::info("state: {} {} pod={} reason={} {}", spec.id(), events::to_word(health->status),
              health->pod, events::to_word(health->reason), health->message);
  }
}

}  // namespace kportal::cmd
