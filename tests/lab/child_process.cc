// SPDX-License-Identifier: MIT
#include "tests/lab/child_process.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace kportal::test {
namespace {

constexpr std::size_t kMaxOutput = 4 * 1024 * 1024;

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (auto& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

}  // namespace

ChildProcess::ChildProcess(asio::any_io_executor executor, std::vector<std::string> argv,
                           std::vector<std::string> env)
    : pipe_(std::move(executor)) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  auto const arguments = pointers(argv);
  auto const environment = pointers(env);
  pid_t pid = -1;
  if (::posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environment.data()) ==
      0) {
    pid_ = pid;
  }
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  pipe_.assign(ends[0]);
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

awaitable<bool> ChildProcess::read_more() {
  std::array<char, 4096> buffer{};
  auto const [error, n] =
      co_await pipe_.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
  output_.append(buffer.data(), n);
  co_return !error && output_.size() < kMaxOutput;
}

awaitable<bool> ChildProcess::read_until(std::string_view text) {
  while (output_.find(text) == std::string::npos) {
    auto const more = co_await read_more();
    if (!more) co_return false;
  }
  co_return true;
}

awaitable<int> ChildProcess::wait() {
  for (bool more = true; more;) {
    more = co_await read_more();
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  co_return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void ChildProcess::terminate() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

}  // namespace kportal::test
