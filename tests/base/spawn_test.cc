// SPDX-License-Identifier: MIT
#include "base/spawn.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "base/wakeup.h"
#include "tests/support/few_descriptors.h"
#include "tests/support/loop_fixture.h"

namespace kportal {
namespace {

using namespace std::chrono_literals;
using How = ChildEnd::How;
using testing::HasSubstr;

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

// Whether this process has a child, running or dead.
bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

// Children that were waited for have left their page faults in this count.
long faults_of_children() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  return usage.ru_minflt;
}

class SpawnTest : public test::LoopFixture {
 protected:
  void SetUp() override {
    EXPECT_FALSE(has_children());
    char name[] = "/tmp/spawn_test.XXXXXX";
    directory_ = ::mkdtemp(name);
    descriptors_ = open_descriptors();
  }
  void TearDown() override {
    EXPECT_EQ(spawner_.size(), 0U);
    EXPECT_FALSE(has_children());
    EXPECT_EQ(open_descriptors(), descriptors_);
    std::filesystem::remove_all(directory_);
  }

  static ChildCommand shell(std::string script) {
    ChildCommand command;
    command.program = "/bin/sh";
    command.arguments = {"-c", std::move(script)};
    command.environment = {"PATH=/usr/bin:/bin", "WORD=a b"};
    return command;
  }
  awaitable<void> run_to(std::optional<boost::system::result<ChildEnd>>& end, ChildCommand command,
                         Duration within) {
    end = co_await spawner_.run(std::move(command), Clock::now() + within);
  }
  boost::system::result<ChildEnd> result_of(ChildCommand command, Duration within = 20s) {
    std::optional<boost::system::result<ChildEnd>> end;
    run(run_to(end, std::move(command), within));
    if (!end) return error_code(Errc::closed);
    return std::move(*end);
  }
  ChildEnd end_of(std::string script, Duration within = 20s) {
    auto end = result_of(shell(std::move(script)), within);
    EXPECT_TRUE(end) << end.error().message();
    return end ? *end : ChildEnd();
  }
  std::string output_of(std::string program, std::vector<std::string> arguments) {
    ChildCommand command;
    command.program = std::move(program);
    command.arguments = std::move(arguments);
    auto end = result_of(std::move(command));
    EXPECT_TRUE(end) << end.error().message();
    return end ? std::move(end->output) : std::string();
  }
  std::string path(std::string const& name) const { return directory_ + "/" + name; }
  std::string read_file(std::string const& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Runs the loop until the child has written that file.
  void run_until_written(std::string const& name) {
    TimePoint const deadline = Clock::now() + kDeadline;
    while (read_file(name).empty() && Clock::now() < deadline) {
      loop_.restart();
      loop_.run_for(5ms);
    }
    EXPECT_NE(read_file(name), "");
  }
  // A process that is no child of ours: until the kernel has ended it.
  static bool ends(pid_t pid) {
    TimePoint const deadline = Clock::now() + kDeadline;
    while (Clock::now() < deadline) {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string const text{std::istreambuf_iterator<char>(stat), {}};
      std::size_t const state = text.rfind(") ");
      if (state == std::string::npos || text[state + 2] == 'Z') return true;
      ::usleep(1000);
    }
    return false;
  }

  Spawner spawner_{executor()};
  std::string directory_;
  std::size_t descriptors_ = 0;
};

TEST_F(SpawnTest, GivesOutputErrorsAndExitCode) {
  auto const end = end_of("printf %s \"$WORD\"; echo oh >&2; exit 3");
  EXPECT_EQ(end.how, How::exited);
  EXPECT_EQ(end.number, 3);
  EXPECT_EQ(end.output, "a b");
  EXPECT_EQ(end.errors, "oh\n");
  EXPECT_GT(end.took, 0s);
}

TEST_F(SpawnTest, ArgumentsAreNotAShells) {
  ChildCommand command;
  command.program = "/usr/bin/printf";
  command.arguments = {"[%s]", "$(id)", "a b", "", ";"};
  auto const end = result_of(std::move(command));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->output, "[$(id)][a b][][;]");
}

TEST_F(SpawnTest, TellsTheSignalThatEndedIt) {
  auto const end = end_of("kill -9 $$");
  EXPECT_EQ(end.how, How::signalled);
  EXPECT_EQ(end.number, SIGKILL);
}

TEST_F(SpawnTest, TellsWhyNothingStarted) {
  ChildCommand command;
  command.program = path("none");
  EXPECT_EQ(result_of(command).error(), boost::system::errc::no_such_file_or_directory);
  std::ofstream(command.program) << "echo\n";
  EXPECT_EQ(result_of(command).error(), boost::system::errc::permission_denied);
  std::filesystem::permissions(command.program, std::filesystem::perms::owner_all);
  EXPECT_EQ(result_of(command).error(), boost::system::errc::executable_format_error);
}

// Not even for a moment: it may use up what is good for one time.
TEST_F(SpawnTest, WithoutDescriptorsNothingIsStarted) {
  int count = 0;
  for (; count < 20; ++count) {
    long const before = faults_of_children();
    test::FewDescriptors const few(count);
    auto const end = result_of(shell("exit 0"));
    if (end) break;
    EXPECT_EQ(end.error(), boost::system::errc::too_many_files_open);
    EXPECT_EQ(faults_of_children(), before) << count << " descriptors: a child was started";
  }
  EXPECT_EQ(count, 5);  // two pipes and what tells of its end
}

TEST_F(SpawnTest, TheChildHasThreeDescriptorsDefaultSignalsAndAnEmptyMask) {
  int inheritable[2];
  ASSERT_EQ(::pipe(inheritable), 0);
  auto const before = std::signal(SIGPIPE, SIG_IGN);
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  // Not by a shell, which has more open and blocks signals now and then.
  std::string const descriptors = output_of("/bin/ls", {"/proc/self/fd"});
  std::string const input = output_of("/bin/readlink", {"/proc/self/fd/0"});
  std::string const signals =
      output_of("/bin/sed", {"-En", "s/^(SigBlk|SigIgn).*(.{7})$/\\1 \\2/p", "/proc/self/status"});
  std::string const group = output_of(
      "/bin/sed", {"-E", "s/^([0-9]+) .sed. . [0-9]+ (\\1) .*/its own/", "/proc/self/stat"});
  ::pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
  std::signal(SIGPIPE, before);
  ::close(inheritable[0]);
  ::close(inheritable[1]);
  EXPECT_EQ(descriptors, "0\n1\n2\n3\n");  // the last is what ls reads
  EXPECT_EQ(input, "/dev/null\n");
  // Of signals 1 to 28; glibc has the child ignore 32 and 33, its own.
  EXPECT_EQ(signals, "SigBlk 0000000\nSigIgn 0000000\n");
  EXPECT_EQ(group, "its own\n");
}

TEST_F(SpawnTest, SetsTheDescriptorLimit) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  ChildCommand command = shell("sleep 0.05; ulimit -S -n; ulimit -H -n");
  command.descriptor_limit = 64;
  auto const end = result_of(std::move(command));
  ASSERT_TRUE(end);
  std::string const hard =
      limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max);
  EXPECT_EQ(end->output, "64\n" + hard + "\n");
}

TEST_F(SpawnTest, EndsTheWholeGroupWhenTimeIsUp) {
  auto const end = end_of("echo before >&2; sh -c 'trap \"\" TERM; echo $$ > " + path("pid") +
                              "; while :; do sleep 60; done' & while :; do sleep 60; done",
                          300ms);
  EXPECT_EQ(end.how, How::timed_out);
  EXPECT_EQ(end.errors, "before\n");
  if (read_file("pid").empty()) GTEST_SKIP() << "the machine was too busy to start it in time";
  EXPECT_TRUE(ends(std::stoi(read_file("pid"))));
}

TEST_F(SpawnTest, SigtermComesBeforeSigkill) {
  auto const end = end_of("trap 'echo cleaned > " + path("note") + "; exit 0' TERM; echo > " +
                              path("note") + "; while :; do sleep 0.01; done",
                          500ms);
  EXPECT_EQ(end.how, How::timed_out);
  EXPECT_EQ(read_file("note"), "cleaned\n");
}

TEST_F(SpawnTest, WhatItLeavesRunningIsNotWaitedFor) {
  auto const end = end_of("sleep 600 & echo $! > " + path("pid") + "; echo done");
  EXPECT_EQ(end.how, How::exited);
  EXPECT_EQ(end.output, "done\n");
  EXPECT_LT(end.took, 15s);
  pid_t const left = std::stoi(read_file("pid"));
  EXPECT_EQ(::kill(left, 0), 0);  // it is not ours to end
  ::kill(left, SIGKILL);
}

TEST_F(SpawnTest, TakesAllOutputUpToTheBound) {
  auto const end = end_of("head -c 1048576 /dev/zero");
  EXPECT_EQ(end.how, How::exited);
  EXPECT_EQ(end.output.size(), Spawner::kMaxOutput);
}

TEST_F(SpawnTest, TooMuchOutputEndsIt) {
  EXPECT_EQ(end_of("head -c 1048577 /dev/zero").how, How::too_much_output);
  EXPECT_EQ(end_of("exec cat /dev/zero").how, How::too_much_output);
  EXPECT_EQ(end_of("exec cat /dev/zero >&2").how, How::too_much_output);
}

TEST_F(SpawnTest, TellsOfStandardErrorAsItComes) {
  ChildCommand command =
      shell("echo one >&2; while ! [ -e " + path("go") + " ]; do sleep 0.01; done");
  std::string told;
  command.on_errors = [&](std::string_view bytes) {
    told += bytes;
    std::ofstream(path("go")) << "\n";
  };
  auto const end = result_of(std::move(command));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->how, How::exited);
  EXPECT_EQ(told, "one\n");
}

TEST_F(SpawnTest, KeepsTheEndOfStandardError) {
  auto const end = end_of("head -c 100000 /dev/zero >&2; echo last words >&2");
  EXPECT_EQ(end.how, How::exited);
  EXPECT_EQ(end.errors.size(), Spawner::kKeptErrors);
  EXPECT_TRUE(end.errors.ends_with("last words\n"));
}

TEST_F(SpawnTest, CancellingEndsAndReapsIt) {
  std::optional<boost::system::result<ChildEnd>> end;
  spawn(run_to(end, shell("echo $$ > " + path("pid") + "; trap '' TERM; while :; do sleep 1; done"),
               60s));
  run_until_written("pid");
  EXPECT_EQ(spawner_.size(), 1U);
  cancel_tasks();
  spawn(spawner_.stop());
  run();
  EXPECT_FALSE(end);
  EXPECT_TRUE(ends(std::stoi(read_file("pid"))));
}

TEST_F(SpawnTest, ManyAtOnce) {
  std::vector<std::optional<boost::system::result<ChildEnd>>> ends(20);
  for (auto& end : ends) spawn(run_to(end, shell("head -c 200000 /dev/zero; echo >&2"), 20s));
  run();
  for (auto const& end : ends) {
    ASSERT_TRUE(end && *end);
    EXPECT_EQ((*end)->output.size(), 200000U);
  }
}

}  // namespace
}  // namespace kportal
