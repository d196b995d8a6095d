// SPDX-License-Identifier: MIT
#include "tests/e2e/program.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "events/ndjson.h"

namespace kportal::test {
namespace {

constexpr std::size_t kShownAfterFailure = 6000;

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (auto& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment_of(ProgramOptions const& options) {
  std::vector<std::string> variables = options.environment;
  for (char const* const name : {"PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
    bool const given = std::any_of(
        variables.begin(), variables.end(),
        [&](std::string const& each) { return each.starts_with(std::string(name) + "="); });
    char const* const value = std::getenv(name);
    if (value != nullptr && !given) variables.push_back(std::string(name) + "=" + value);
  }
  return variables;
}

std::string tail(std::string const& text) {
  if (text.size() <= kShownAfterFailure) return text;
  return "[...] " + text.substr(text.size() - kShownAfterFailure);
}

}  // namespace

events::SharedEvent OutputLine::event() const {
  auto const* const shared = delivery ? std::get_if<events::SharedEvent>(&*delivery) : nullptr;
  return shared == nullptr ? nullptr : *shared;
}

// Both ends of the three pipes; the child's ends are closed once it runs.
struct Program::Streams {
  int input[2] = {-1, -1};
  int output[2] = {-1, -1};
  int errors[2] = {-1, -1};
};

Program::Program(std::vector<std::string> arguments, ProgramOptions options) {
  Streams streams;
  EXPECT_EQ(::pipe2(streams.input, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(streams.output, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(streams.errors, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(stop_, O_CLOEXEC), 0);
  std::vector<std::string> words = options.wrapper;
  char const* const other = std::getenv("KPORTAL_PROGRAM");
  words.emplace_back(!options.program.empty() ? options.program.c_str()
                     : other != nullptr       ? other
                                              : KPORTAL_PROGRAM);
  words.insert(words.end(), arguments.begin(), arguments.end());
  spawn(std::move(words), options, streams);
  for (int const fd : {streams.input[0], streams.output[1], streams.errors[1]}) ::close(fd);
  if (options.input) {
    // A pipe takes 64 KiB; tests' inputs are shorter.
    auto const size = static_cast<ssize_t>(options.input->size());
    EXPECT_EQ(::write(streams.input[1], options.input->data(), options.input->size()), size);
  }
  ::close(streams.input[1]);
  if (!options.read_output) {
    unread_ = std::exchange(streams.output[0], -1);
    ::fcntl(unread_, F_SETPIPE_SZ, 4096);
  }
  reader_ = std::thread([this, streams] { read_all(streams.output[0], streams.errors[0]); });
}

Program::~Program() {
  if (pid_ > 0 && !code_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(stop_[1]);
  reader_.join();
  ::close(stop_[0]);
  if (unread_ >= 0) ::close(unread_);
  if (!testing::Test::HasFailure()) return;
  std::string output;
  for (OutputLine const& line : lines_) output += line.text + "\n";
  std::printf("--- the program's output:\n%s--- its errors:\n%s---\n", tail(output).c_str(),
              tail(errors_).c_str());
}

void Program::spawn(std::vector<std::string> words, ProgramOptions const& options,
                    Streams const& streams) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, streams.input[0], 0);
  posix_spawn_file_actions_adddup2(&actions, streams.output[1], 1);
  posix_spawn_file_actions_adddup2(&actions, streams.errors[1], 2);
  // The lab's sockets are not the program's: one that listens would go on listening there.
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (!options.directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  }
  auto variables = environment_of(options);
  auto const argv = pointers(words);
  auto const env = pointers(variables);
  int const failed = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), env.data());
  EXPECT_EQ(failed, 0) << words.front();
  if (failed != 0) pid_ = -1;
  posix_spawn_file_actions_destroy(&actions);
}

// Until both streams end. A write end that the child's children keep open does not hold it up:
// stop_.
void Program::read_all(int output, int errors) {
  std::vector<char> buffer(64 * 1024);
  while (output >= 0 || errors >= 0) {
    std::array<pollfd, 3> waiting{{{output, POLLIN, 0}, {errors, POLLIN, 0}, {stop_[0], 0, 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    bool const to_stop = waiting[2].revents != 0;
    bool idle = true;
    for (int* const from : {&output, &errors}) {
      if (*from < 0 || waiting[from == &output ? 0 : 1].revents == 0) continue;
      idle = false;
      ssize_t const n = ::read(*from, buffer.data(), buffer.size());
      std::lock_guard const lock(mutex_);
      if (n <= 0) {
        ::close(*from);
        *from = -1;
      } else if (from == &output) {
        take_output(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
      } else {
        errors_.append(buffer.data(), static_cast<std::size_t>(n));
      }
      changed_.notify_all();
    }
    if (to_stop && idle) break;
  }
  for (int const fd : {output, errors}) {
    if (fd >= 0) ::close(fd);
  }
  std::lock_guard const lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void Program::take_output(std::string_view text) {
  rest_.append(text);
  for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n')) {
    OutputLine line;
    line.text = rest_.substr(0, end);
    line.at = Clock::now();
    rest_.erase(0, end + 1);
    if (line.text.starts_with('{')) {
      auto parsed = events::parse_ndjson(line.text);
      if (parsed) line.delivery = std::move(*parsed);
    }
    lines_.push_back(std::move(line));
  }
}

bool Program::wait_until(TimePoint deadline, std::function<bool()> const& holds) const {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [&] { return holds() || ended_; });
  return holds();
}

std::size_t Program::mark() const {
  std::lock_guard const lock(mutex_);
  return lines_.size();
}

std::vector<OutputLine> Program::lines(std::size_t from) const {
  std::lock_guard const lock(mutex_);
  auto const begin = lines_.begin() + static_cast<std::ptrdiff_t>(std::min(from, lines_.size()));
  return {begin, lines_.end()};
}

std::optional<OutputLine> Program::wait_for(Wanted const& wanted, std::size_t from,
                                            Duration within) const {
  std::optional<OutputLine> found;
  wait_until(Clock::now() + within, [&] {
    for (; from < lines_.size() && !found; ++from) {
      if (wanted(lines_[from])) found = lines_[from];
    }
    return found.has_value();
  });
  return found;
}

std::optional<OutputLine> Program::wait_for_line(std::string_view part, std::size_t from,
                                                 Duration within) const {
  return wait_for([&](OutputLine const& line) { return line.text.find(part) != std::string::npos; },
                  from, within);
}

events::SharedEvent Program::wait_for_event(std::string_view type, std::string_view forward,
                                            std::size_t from, Duration within) const {
  auto const found = wait_for(
      [&](OutputLine const& line) {
        auto const event = line.event();
        if (!event || events::type_of(event->fact) != type) return false;
        auto const* const ref = events::forward_of(event->fact);
        return forward.empty() || (ref != nullptr && ref->id == forward);
      },
      from, within);
  return found ? found->event() : nullptr;
}

events::HealthStatusChanged const* Program::wait_for_status(std::string_view forward,
                                                            events::Status status,
                                                            Duration within) {
  events::HealthStatusChanged const* result = nullptr;
  wait_until(Clock::now() + within, [&] {
    result = nullptr;
    for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
      auto const event = line->event();
      if (!event) continue;
      auto const* const change = std::get_if<events::HealthStatusChanged>(&event->fact);
      if (change == nullptr || change->forward.id != forward) continue;
      if (change->status != status) return false;
      status_ = event;
      result = change;
      return true;
    }
    return false;
  });
  return result;
}

std::string Program::errors() const {
  std::lock_guard const lock(mutex_);
  return errors_;
}

bool Program::wait_for_error_text(std::string_view part, Duration within) const {
  return wait_until(Clock::now() + within, [&] { return errors_.find(part) != std::string::npos; });
}

void Program::signal(int number) const {
  if (pid_ > 0 && !code_) ::kill(pid_, number);
}

std::optional<int> Program::wait(Duration within) {
  if (code_ || pid_ <= 0) return code_;
  // Its end shows as the end of its error stream, which nobody else has.
  TimePoint const deadline = Clock::now() + within;
  wait_until(deadline, [&] { return ended_; });
  for (;;) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      return code_;
    }
    if (Clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

std::size_t Program::memory_kib(std::string_view line) const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/status");
  for (std::string text; std::getline(file, text);) {
    if (!text.starts_with(line)) continue;
    std::size_t value = 0;
    auto const digits = text.find_first_of("0123456789");
    if (digits != std::string::npos) {
      std::from_chars(text.data() + digits, text.data() + text.size(), value);
    }
    return value;
  }
  return 0;
}

Duration Program::cpu_time() const {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return {};
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

std::size_t Program::unread() const {
  int bytes = 0;
  ::ioctl(unread_, FIONREAD, &bytes);
  return static_cast<std::size_t>(bytes);
}

std::size_t Program::open_files() const {
  std::error_code ignored;
  auto const all =
      std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd", ignored);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace kportal::test
