// SPDX-License-Identifier: MIT
#include "config/watcher.h"

#include <fcntl.h>
#include <functional>
#include <optional>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "tests/config/support.h"
#include "tests/support/few_descriptors.h"
#include "tests/support/loop_fixture.h"

namespace kportal::config {
namespace {

namespace fs = std::filesystem;

class WatcherTest : public test::LoopFixture {
 protected:
  WatcherTest() : file_(dir_ / "forwards.yaml") { write_file(file_, "one"); }

  // Does something, and returns how long the watcher took to report it.
  Duration time_to_report(Watcher& watcher, std::function<void()> const& edit) {
    reported_ = false;
    TimePoint const start = Clock::now();
    spawn(await_report(&watcher));
    poll();  // it waits now
    edit();
    run();
    EXPECT_TRUE(reported_);
    return Clock::now() - start;
  }
  awaitable<void> await_report(Watcher* watcher) {
    co_await watcher->changed();
    reported_ = true;
  }
  // True if the watcher reports nothing for a while that is long enough for it.
  bool is_silent(Watcher& watcher, std::function<void()> const& edit) {
    reported_ = false;
    spawn(await_report(&watcher));
    poll();
    edit();
    loop_.restart();
    loop_.run_for(Watcher::kPoll + 2 * Watcher::kQuiet);
    cancel_tasks();
    run();
    return !reported_;
  }

  TempDirectory dir_;
  std::string file_;
  bool reported_ = false;
};

#ifdef KPORTAL_POSIX_NOTIFIER
constexpr auto kPromptly = std::chrono::seconds(10);
#else
constexpr auto kPromptly = Watcher::kPoll;  // sooner: so it was an event and not the poll
#endif

TEST_F(WatcherTest, ReportsAnInPlaceWrite) {
  Watcher watcher(executor(), {file_});
  Duration const took = time_to_report(watcher, [&] { write_file(file_, "two"); });
  EXPECT_GE(took, Watcher::kQuiet);
  EXPECT_LT(took, kPromptly);
}

TEST_F(WatcherTest, ReportsARenameOver) {
  Watcher watcher(executor(), {file_});
  EXPECT_LT(time_to_report(watcher,
                           [&] {
                             write_file(dir_ / ".tmp", "two");
                             fs::rename(dir_ / ".tmp", file_);
                           }),
            kPromptly);
  // And of the file that is there now.
  EXPECT_LT(time_to_report(watcher, [&] { write_file(file_, "three"); }), kPromptly);
}

TEST_F(WatcherTest, ReportsAgainWhatCouldNotBeRead) {
  Watcher watcher(executor(), {file_});
  std::optional<test::FewDescriptors> shortage;
  time_to_report(watcher, [&] {
    write_file(file_, "two");
    shortage.emplace(0);
  });
  // Nothing about the file itself changes any more.
  EXPECT_LT(time_to_report(watcher, [&] { shortage.reset(); }), std::chrono::seconds(10));
}

TEST_F(WatcherTest, ReportsDeleteAndCreate) {
  Watcher watcher(executor(), {file_});
  EXPECT_LT(time_to_report(watcher, [&] { fs::remove(file_); }), kPromptly);
  EXPECT_LT(time_to_report(watcher, [&] { write_file(file_, "one"); }), kPromptly);
}

TEST_F(WatcherTest, ReportsAFileThatDidNotExist) {
  Watcher watcher(executor(), {dir_ / "a/b/new.yaml"});
  EXPECT_LT(time_to_report(watcher,
                           [&] {
                             fs::create_directories(dir_ / "a/b");
                             write_file(dir_ / "a/b/new.yaml", "x");
                           }),
            kPromptly);
}

TEST_F(WatcherTest, ReportsAConfigMapSwap) {
  fs::create_directory(dir_ / "..1");
  fs::create_directory(dir_ / "..2");
  write_file(dir_ / "..1/f.yaml", "one");
  write_file(dir_ / "..2/f.yaml", "two");
  fs::create_symlink("..1", dir_ / "..data");
  fs::create_symlink("..data/f.yaml", dir_ / "f.yaml");
  Watcher watcher(executor(), {dir_ / "f.yaml"});
  auto const swap = [&](char const* target) {
    fs::create_symlink(target, dir_ / "..data_tmp");
    fs::rename(dir_ / "..data_tmp", dir_ / "..data");
  };
  EXPECT_LT(time_to_report(watcher, [&] { swap("..2"); }), kPromptly);
  EXPECT_LT(time_to_report(watcher, [&] { swap("..1"); }), kPromptly);
  EXPECT_LT(time_to_report(watcher, [&] { write_file(dir_ / "..1/f.yaml", "three"); }), kPromptly);
}

TEST_F(WatcherTest, ReportsAWriteBehindASymlink) {
  fs::create_directory(dir_ / "dotfiles");
  write_file(dir_ / "dotfiles/real.yaml", "one");
  fs::create_symlink("dotfiles/real.yaml", dir_ / "link.yaml");
  Watcher watcher(executor(), {dir_ / "link.yaml"});
  EXPECT_LT(time_to_report(watcher, [&] { write_file(dir_ / "dotfiles/real.yaml", "two"); }),
            kPromptly);
}

TEST_F(WatcherTest, ReportsWhenTheDirectoryIsReplaced) {
  fs::create_directory(dir_ / "d");
  write_file(dir_ / "d/f.yaml", "one");
  Watcher watcher(executor(), {dir_ / "d/f.yaml"});
  EXPECT_LT(time_to_report(watcher, [&] { fs::rename(dir_ / "d", dir_ / "old"); }), kPromptly);
  EXPECT_LT(time_to_report(watcher,
                           [&] {
                             fs::create_directory(dir_ / "new");
                             write_file(dir_ / "new/f.yaml", "two");
                             fs::rename(dir_ / "new", dir_ / "d");
                           }),
            kPromptly);
  EXPECT_LT(time_to_report(watcher, [&] { write_file(dir_ / "d/f.yaml", "three"); }), kPromptly);
}

// Above the directories that are watched; only the poll can see this.
TEST_F(WatcherTest, ReportsWhenAParentDirectoryIsReplaced) {
  fs::create_directories(dir_ / "p/q/d");
  fs::create_directories(dir_ / "other/q/d");
  write_file(dir_ / "p/q/d/f.yaml", "one");
  write_file(dir_ / "other/q/d/f.yaml", "two");
  Watcher watcher(executor(), {dir_ / "p/q/d/f.yaml"});
  time_to_report(watcher, [&] {
    fs::rename(dir_ / "p", dir_ / "old");
    fs::rename(dir_ / "other", dir_ / "p");
  });
  EXPECT_LT(time_to_report(watcher, [&] { write_file(dir_ / "p/q/d/f.yaml", "three"); }),
            kPromptly);
}

TEST_F(WatcherTest, WatchesSeveralFiles) {
  fs::create_directory(dir_ / "d");
  Watcher watcher(executor(), {file_, "-", "", dir_ / "d/second.yaml"});
  EXPECT_LT(time_to_report(watcher, [&] { write_file(dir_ / "d/second.yaml", "x"); }), kPromptly);
  EXPECT_LT(time_to_report(watcher, [&] { write_file(file_, "x"); }), kPromptly);
}

TEST_F(WatcherTest, RemembersAChangeBetweenTwoCalls) {
  Watcher watcher(executor(), {file_});
  write_file(file_, "two");
  EXPECT_LT(time_to_report(watcher, [] {}), kPromptly);
  write_file(file_, "three");
  EXPECT_LT(time_to_report(watcher, [] {}), kPromptly);
}

TEST_F(WatcherTest, IsSilentAboutOtherFiles) {
  Watcher watcher(executor(), {file_});
  EXPECT_TRUE(is_silent(watcher, [&] {
    write_file(dir_ / "other.yaml", "x");
    fs::rename(dir_ / "other.yaml", dir_ / "another.yaml");
    fs::remove(dir_ / "another.yaml");
  }));
}

TEST_F(WatcherTest, IsSilentWhenTheFileIsOnlyRead) {
  Watcher watcher(executor(), {file_});
  EXPECT_TRUE(is_silent(watcher, [&] {
    std::ifstream in(file_);
    std::string text;
    in >> text;
  }));
}

// It was away for a moment and is the very same again.
TEST_F(WatcherTest, IsSilentWhenALinkIsSwappedBack) {
  fs::create_symlink("forwards.yaml", dir_ / "link.yaml");
  write_file(dir_ / "other.yaml", "x");
  Watcher watcher(executor(), {dir_ / "link.yaml"});
  EXPECT_TRUE(is_silent(watcher, [&] {
    for (char const* target : {"other.yaml", "forwards.yaml"}) {
      fs::create_symlink(target, dir_ / "tmp");
      fs::rename(dir_ / "tmp", dir_ / "link.yaml");
    }
  }));
}

// Writes to a file each time a pause shorter than kQuiet has passed.
class Writer {
 public:
  explicit Writer(asio::any_io_executor executor) : timer_(std::move(executor)) {}

  awaitable<void> write(std::string file, int times) {
    for (int i = 0; i < times; ++i) {
      std::ofstream(file, std::ios::app) << "x";
      last_ = Clock::now();
      timer_.expires_after(Watcher::kQuiet / 4);
      auto const [ignored] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      static_cast<void>(ignored);
    }
  }
  TimePoint last() const { return last_; }

 private:
  asio::steady_timer timer_;
  TimePoint last_;
};

TEST_F(WatcherTest, WaitsUntilASlowWriterIsDone) {
  Watcher watcher(executor(), {file_});
  Writer writer(executor());
  time_to_report(watcher, [&] { spawn(writer.write(file_, 12)); });
  EXPECT_GE(Clock::now() - writer.last(), Watcher::kQuiet);
}

TEST_F(WatcherTest, ReportsAWriterThatNeverPauses) {
  Watcher watcher(executor(), {file_});
  Writer writer(executor());
  reported_ = false;
  spawn(await_report(&watcher));
  spawn(writer.write(file_, 1'000));
  TimePoint const start = Clock::now();
  loop_.restart();
  while (!reported_ && Clock::now() - start < kDeadline) loop_.run_one_for(std::chrono::seconds(1));
  EXPECT_TRUE(reported_);
  EXPECT_LT(writer.last() - start, Watcher::kMaxDelay + Watcher::kPoll + std::chrono::seconds(3));
  cancel_tasks();
  run();
}

#ifndef KPORTAL_POSIX_NOTIFIER
// More events than the kernel keeps: those about the file are among the lost ones.
TEST_F(WatcherTest, TakesALostEventForOne) {
  std::ifstream limit_file("/proc/sys/fs/inotify/max_queued_events");
  int limit = 0;
  limit_file >> limit;
  if (limit <= 0 || limit > 100'000) GTEST_SKIP() << "no limit that is easily reached";
  Watcher watcher(executor(), {file_});
  EXPECT_LT(time_to_report(watcher,
                           [&] {
                             for (int i = 0; i < limit / 2 + 1; ++i) {
                               std::string const name = dir_ / ("noise" + std::to_string(i));
                               ::close(::open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
                               ::unlink(name.c_str());
                             }
                             write_file(file_, "two");
                           }),
            std::chrono::seconds(15));
}
#endif

TEST_F(WatcherTest, EndsWhenCancelled) {
  Watcher watcher(executor(), {file_});
  spawn(await_report(&watcher));
  poll();
  cancel_tasks();
  run();
  EXPECT_FALSE(reported_);
}

TEST_F(WatcherTest, EndsWhenCancelledWhileItSettles) {
  Watcher watcher(executor(), {file_});
  write_file(file_, "two");
  spawn(await_report(&watcher));
  poll();
  cancel_tasks();
  run();
  EXPECT_FALSE(reported_);
}

}  // namespace
}  // namespace kportal::config
