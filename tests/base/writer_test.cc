// SPDX-License-Identifier: MIT
#include "base/writer.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <fcntl.h>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <poll.h>
#include <random>
#include <sstream>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kportal {
namespace {

using namespace std::chrono_literals;

TimePoint soon() {
  return Clock::now() + 50ms;
}
TimePoint surely() {
  return Clock::now() + 20s;
}

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct Pipe {
  Fd reading;
  Fd writing;
  Pipe() : Pipe(ends()) {}

 private:
  explicit Pipe(std::pair<int, int> fds) : reading(fds.first), writing(fds.second) {}
  static std::pair<int, int> ends() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) std::abort();
    return {fds[0], fds[1]};
  }
};

// What can be read now, or within `patience` when there is nothing.
std::string read_some(int fd, std::chrono::milliseconds patience = 0ms) {
  std::string all;
  pollfd ready{fd, POLLIN, 0};
  while (::poll(&ready, 1, static_cast<int>(all.empty() ? patience.count() : 0)) == 1) {
    char bytes[8192];
    ssize_t const size = ::read(fd, bytes, sizeof bytes);
    if (size <= 0) break;
    all.append(bytes, static_cast<std::size_t>(size));
  }
  return all;
}

// Reads until all the writer has for this target has come.
std::string read_all(Writer& writer, int fd) {
  std::string all;
  while (!writer.drain(soon())) all += read_some(fd);
  return all + read_some(fd);
}

std::vector<std::string> lines_of(std::string const& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string file_content(std::string const& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class TempDir {
 public:
  TempDir() {
    if (::mkdtemp(path_) == nullptr) std::abort();
  }
  ~TempDir() {
    std::string const file = path("log");
    ::unlink(file.c_str());
    ::unlink(path("log.1").c_str());
    ::unlink(path("link").c_str());
    ::rmdir(path_);
  }
  std::string path(std::string const& name) const { return std::string(path_) + "/" + name; }
  std::string path() const { return path_; }

 private:
  char path_[32] = "/tmp/writer_test.XXXXXX";
};

// "kportal-cpp: 12 lines were lost here" -> 12; 0 = another line
std::uint64_t lost_in(std::string const& line) {
  constexpr std::string_view kBefore = "kportal-cpp: ";
  if (line.rfind(kBefore, 0) != 0) return 0;
  std::uint64_t count = 0;
  std::from_chars(line.data() + kBefore.size(), line.data() + line.size(), count);
  return count;
}

TEST(WriterTest, WritesLinesInOrderWithTheirNewlines) {
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get());
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(writer.write(target, "line " + std::to_string(i)));
    expected += "line " + std::to_string(i) + "\n";
  }
  EXPECT_EQ(read_all(writer, pipe.reading.get()), expected);
  EXPECT_EQ(writer.dropped(target), 0u);
  EXPECT_FALSE(writer.dead(target));
}

TEST(WriterTest, AnEmptyLineIsALine) {
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get());
  writer.write(target, "");
  writer.write(target, "two\nin one");
  EXPECT_EQ(read_all(writer, pipe.reading.get()), "\ntwo\nin one\n");
}

TEST(WriterTest, APipeThatNobodyReadsDelaysNobody) {
  Pipe stuck;
  Pipe other;
  Writer writer;
  auto const to_stuck = writer.add(stuck.writing.get());
  auto const to_other = writer.add(other.writing.get());
  for (int i = 0; i < 3000; ++i) writer.write(to_stuck, std::string(1000, 'x'));
  writer.write(to_other, "still here");

  EXPECT_EQ(read_some(other.reading.get(), 20s), "still here\n");
  EXPECT_FALSE(writer.drain(soon()));
  // What was not dropped is in the queue (1 MiB) and in the pipe (64 KiB).
  EXPECT_GT(writer.dropped(to_stuck), 3000u - 1200u);
  EXPECT_EQ(writer.dropped(to_other), 0u);
  EXPECT_FALSE(writer.dead(to_stuck));
}

TEST(WriterTest, DrainGivesUpAtItsDeadline) {
  Pipe stuck;
  Writer writer;
  auto const target = writer.add(stuck.writing.get());
  for (int i = 0; i < 100; ++i) writer.write(target, std::string(1000, 'x'));
  auto const deadline = soon();
  EXPECT_FALSE(writer.drain(deadline));
  EXPECT_GE(Clock::now(), deadline);
  EXPECT_LT(Clock::now(), deadline + 5s);
}

TEST(WriterTest, TheReaderIsToldWhereLinesAreMissing) {
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get(), 4000);
  for (int i = 0; i < 10000; ++i) writer.write(target, "line " + std::to_string(i));
  std::uint64_t const dropped = writer.dropped(target);
  ASSERT_GT(dropped, 0u);

  auto const lines = lines_of(read_all(writer, pipe.reading.get()));
  std::uint64_t next = 0;
  std::uint64_t lost = 0;
  for (auto const& line : lines) {
    if (std::uint64_t const count = lost_in(line)) {
      lost += count;
      next += count;
    } else {
      EXPECT_EQ(line, "line " + std::to_string(next++));
    }
  }
  EXPECT_EQ(next, 10000u);
  EXPECT_EQ(lost, dropped);

  EXPECT_TRUE(writer.write(target, "afterwards"));
  EXPECT_EQ(read_all(writer, pipe.reading.get()), "afterwards\n");
}

TEST(WriterTest, TheLossLineIsTheTargetsOwn) {
  EXPECT_EQ(Writer::default_loss_line(1), "kportal-cpp: 1 line was lost here");
  EXPECT_EQ(Writer::default_loss_line(12), "kportal-cpp: 12 lines were lost here");
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get(), 10, [](std::uint64_t count) {
    return R"({"type":"lost","count":)" + std::to_string(count) + "}";
  });
  EXPECT_FALSE(writer.write(target, "longer than ten\nand two lines"));
  EXPECT_EQ(read_all(writer, pipe.reading.get()), R"({"type":"lost","count":2})"
                                                  "\n");
  EXPECT_EQ(writer.dropped(target), 2u);
}

TEST(WriterTest, LinesStayWholeWhateverTheirSize) {
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get(), 64 * 1024);
  std::minstd_rand random(5);
  std::string read;
  std::uint64_t accepted = 0;
  for (int i = 0; i < 3000; ++i) {
    std::size_t const size = random() % (i % 10 == 0 ? 20000 : 200);
    std::string const line(size, static_cast<char>('a' + i % 26));
    accepted += writer.write(target, std::to_string(size) + ":" + line) ? 1 : 0;
    if (random() % 50 == 0) read += read_some(pipe.reading.get());
  }
  read += read_all(writer, pipe.reading.get());

  std::uint64_t whole = 0;
  std::uint64_t lost = 0;
  for (auto const& line : lines_of(read)) {
    if (std::uint64_t const count = lost_in(line)) {
      lost += count;
      continue;
    }
    std::size_t size = 0;
    auto const [end, error] = std::from_chars(line.data(), line.data() + line.size(), size);
    ASSERT_EQ(error, std::errc());
    std::string const text(end, line.data() + line.size());
    ASSERT_EQ(text.size(), size + 1);
    ASSERT_EQ(text.find_first_not_of(text.back(), 1), std::string::npos);
    ++whole;
  }
  EXPECT_EQ(whole, accepted);
  EXPECT_EQ(lost, writer.dropped(target));
  EXPECT_EQ(whole + lost, 3000u);
  EXPECT_GT(lost, 0u);
}

TEST(WriterTest, AClosedPipeIsDeadAndTheOthersGoOn) {
  Pipe closed;
  Pipe other;
  Writer writer;
  auto const to_closed = writer.add(closed.writing.get());
  auto const to_other = writer.add(other.writing.get());
  closed.reading.close();
  writer.write(to_closed, "nobody");  // taken, unless its end was noticed before
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_TRUE(writer.dead(to_closed));
  EXPECT_EQ(writer.dropped(to_closed), 1u);
  EXPECT_FALSE(writer.write(to_closed, "nobody"));
  EXPECT_EQ(writer.dropped(to_closed), 2u);

  writer.write(to_other, "still here");
  EXPECT_EQ(read_all(writer, other.reading.get()), "still here\n");
  EXPECT_FALSE(writer.dead(to_other));
}

TEST(WriterTest, AReaderThatLeavesBehindAFullPipeLeavesADeadTarget) {
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get());
  for (int i = 0; i < 200; ++i) writer.write(target, std::string(1000, 'x'));
  EXPECT_FALSE(writer.drain(soon()));
  pipe.reading.close();
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_TRUE(writer.dead(target));
}

TEST(WriterTest, ADescriptorThatIsClosedMeanwhileIsDead) {
  Fd file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Writer writer;
  auto const target = writer.add(file.get());
  file.close();
  writer.write(target, "nobody");
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_TRUE(writer.dead(target));
}

TEST(WriterTest, TheFlagsThatOthersShareStayAsTheyAre) {
  Pipe pipe;
  int const before = ::fcntl(pipe.writing.get(), F_GETFL);
  Writer writer;
  auto const target = writer.add(pipe.writing.get());
  for (int i = 0; i < 200; ++i) writer.write(target, std::string(1000, 'x'));
  EXPECT_FALSE(writer.drain(soon()));
  EXPECT_EQ(::fcntl(pipe.writing.get(), F_GETFL), before);
  EXPECT_EQ(before & O_NONBLOCK, 0);
}

TEST(WriterTest, ASocketThatNobodyReadsDelaysNobody) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  Fd const here(ends[0]);
  Fd there(ends[1]);
  Pipe other;
  Writer writer;
  auto const to_socket = writer.add(here.get());
  auto const to_other = writer.add(other.writing.get());
  for (int i = 0; i < 900; ++i) writer.write(to_socket, std::string(1000, 'x'));
  writer.write(to_other, "still here");
  EXPECT_EQ(read_some(other.reading.get(), 20s), "still here\n");
  EXPECT_FALSE(writer.drain(soon()));
  there.close();
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_TRUE(writer.dead(to_socket));
}

class TerminalTest : public ::testing::Test {
 protected:
  TerminalTest() : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    char name[64];
    if (master_.get() < 0 || ::grantpt(master_.get()) != 0 || ::unlockpt(master_.get()) != 0 ||
        ::ptsname_r(master_.get(), name, sizeof name) != 0) {
      return;
    }
    terminal_ = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  }
  ~TerminalTest() override { ::close(terminal_); }

  Fd master_;
  int terminal_ = -1;
};

TEST_F(TerminalTest, AStoppedTerminalDelaysNobodyAndGoesOnLater) {
  ASSERT_GE(terminal_, 0);
  Pipe other;
  Writer writer;
  auto const to_terminal = writer.add(terminal_);
  auto const to_other = writer.add(other.writing.get());
  ASSERT_EQ(::tcflow(terminal_, TCOOFF), 0);
  writer.write(to_terminal, "later");
  writer.write(to_other, "now");
  EXPECT_EQ(read_some(other.reading.get(), 20s), "now\n");
  EXPECT_FALSE(writer.drain(soon()));
  ASSERT_EQ(::tcflow(terminal_, TCOON), 0);
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_EQ(read_some(master_.get(), 20s), "later\r\n");
}

TEST_F(TerminalTest, ATerminalThatTakesNothingMoreDelaysNobody) {
  ASSERT_GE(terminal_, 0);
  Pipe other;
  Writer writer;
  auto const to_terminal = writer.add(terminal_);
  auto const to_other = writer.add(other.writing.get());
  for (int i = 0; i < 500; ++i) writer.write(to_terminal, std::string(999, 'x'));
  EXPECT_FALSE(writer.drain(soon()));
  writer.write(to_other, "still here");
  EXPECT_EQ(read_some(other.reading.get(), 20s), "still here\n");
  EXPECT_EQ(read_all(writer, master_.get()).size(), 500u * 1001u);
}

TEST(WriterTest, FilesAreForTheOwnerOnlyAndAreAppendedTo) {
  TempDir const dir;
  auto const mask = ::umask(0);
  {
    Writer writer;
    auto const target = writer.open_file(dir.path("log"));
    ASSERT_TRUE(target.has_value());
    writer.write(*target, "first");
  }
  ::umask(mask);
  struct stat status {};
  ASSERT_EQ(::stat(dir.path("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  {
    Writer writer;
    auto const target = writer.open_file(dir.path("log"));
    ASSERT_TRUE(target.has_value());
    writer.write(*target, "second");
  }
  EXPECT_EQ(file_content(dir.path("log")), "first\nsecond\n");
}

TEST(WriterTest, SymlinksToFilesAreFollowed) {
  TempDir const dir;
  ASSERT_EQ(::symlink("log", dir.path("link").c_str()), 0);
  {
    Writer writer;
    auto const target = writer.open_file(dir.path("link"));
    ASSERT_TRUE(target.has_value());
    writer.write(*target, "through");
  }
  EXPECT_EQ(file_content(dir.path("log")), "through\n");
}

TEST(WriterTest, AFileThatCannotBeOpenedIsAnError) {
  TempDir const dir;
  Writer writer;
  auto const target = writer.open_file(dir.path());
  ASSERT_TRUE(target.has_error());
  EXPECT_EQ(target.error(),
            Error(Errc::local, dir.path() + ": cannot open it for writing: Is a directory"));
}

TEST(WriterTest, AFifoWithoutAReaderIsAnErrorNotAWait) {
  TempDir const dir;
  ASSERT_EQ(::mkfifo(dir.path("log").c_str(), 0600), 0);
  Writer writer;
  EXPECT_TRUE(writer.open_file(dir.path("log")).has_error());
}

TEST(WriterTest, AFullDiskCostsLinesButNoTimeAndNoTarget) {
  Writer writer;
  auto const full = writer.open_file("/dev/full", 4000);
  ASSERT_TRUE(full.has_value());
  for (int i = 0; i < 1000; ++i) writer.write(*full, "no room for this");
  rusage before{};
  ::getrusage(RUSAGE_SELF, &before);
  EXPECT_FALSE(writer.drain(Clock::now() + 200ms));
  rusage after{};
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw, 100);
  EXPECT_GT(writer.dropped(*full), 700u);
  EXPECT_FALSE(writer.dead(*full));
}

// What the writer's thread writes, with the answers a test wants; shared with that thread.
struct Disk {
  std::mutex mutex;
  std::string content;
  int calls = 0;
  std::function<ssize_t(int call, std::string_view bytes)> answer;

  static Writer::WriteCall call_of(std::shared_ptr<Disk> disk) {
    return [disk](int, std::string_view bytes) {
      std::lock_guard const lock(disk->mutex);
      ssize_t const taken = disk->answer(disk->calls++, bytes);
      if (taken > 0) disk->content += bytes.substr(0, static_cast<std::size_t>(taken));
      return taken;
    };
  }
};

TEST(WriterTest, GoesOnInTheMiddleOfALineWhenTheDiskHasRoomAgain) {
  auto const disk = std::make_shared<Disk>();
  disk->answer = [](int call, std::string_view bytes) -> ssize_t {
    if (call == 0) return 3;
    if (call == 1) errno = ENOSPC;
    return call == 1 ? -1 : static_cast<ssize_t>(bytes.size());
  };
  Fd const file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Writer writer(Disk::call_of(disk));
  auto const target = writer.add(file.get());
  auto const begin = Clock::now();
  writer.write(target, "a whole line");
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_GE(Clock::now() - begin, Writer::kRetry);
  std::lock_guard const lock(disk->mutex);
  EXPECT_EQ(disk->content, "a whole line\n");
  EXPECT_EQ(disk->calls, 3);
}

// What a Writer tells, for a test to wait for. It outlives the Writer.
class Told {
 public:
  void listen_to(Writer& writer) {
    writer.on_news([this](Writer::Target, Writer::News news, int error) {
      std::lock_guard const lock(mutex_);
      all_.emplace_back(news, error);
      changed_.notify_all();
    });
  }
  std::vector<std::pair<Writer::News, int>> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, surely(), [&] { return all_.size() >= count; });
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<Writer::News, int>> all_;
};
using testing::ElementsAre;
using testing::Pair;
using News = Writer::News;

TEST(WriterTest, TellsOnceThatADiskIsFullAndOnceThatItHasRoomAgain) {
  auto const disk = std::make_shared<Disk>();
  disk->answer = [](int call, std::string_view bytes) -> ssize_t {
    errno = ENOSPC;
    return call == 1 || call == 2 ? -1 : static_cast<ssize_t>(bytes.size());
  };
  Fd const file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Told told;
  Writer writer(Disk::call_of(disk));
  told.listen_to(writer);
  auto const target = writer.add(file.get());
  for (int i = 0; i < 3; ++i) {
    writer.write(target, "a line");
    EXPECT_TRUE(writer.drain(surely()));
  }
  EXPECT_THAT(told.wait_for(2), ElementsAre(Pair(News::failing, ENOSPC), Pair(News::recovered, 0)));
}

TEST(WriterTest, NoticesTheEndOfAPipeWithoutWriting) {
  Pipe pipe;
  Told told;
  Writer writer;
  told.listen_to(writer);
  auto const target = writer.add(pipe.writing.get());
  pipe.reading.close();
  EXPECT_THAT(told.wait_for(1), ElementsAre(Pair(News::dead, EPIPE)));
  EXPECT_TRUE(writer.dead(target));
}

TEST(WriterTest, AFileThatWasMovedAwayIsOpenedAnew) {
  TempDir const dir;
  Writer writer;
  auto const target = writer.open_file(dir.path("log"));
  writer.write(*target, "one");
  EXPECT_TRUE(writer.drain(surely()));
  ASSERT_EQ(::rename(dir.path("log").c_str(), dir.path("log.1").c_str()), 0);
  writer.write(*target, "two");
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_EQ(file_content(dir.path("log.1")), "one\n");
  EXPECT_EQ(file_content(dir.path("log")), "two\n");
  ::unlink(dir.path("log").c_str());
  writer.write(*target, "three");
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_EQ(file_content(dir.path("log")), "three\n");
}

TEST(WriterTest, AFileThatCannotBeOpenedAnewGoesOnWhereItIs) {
  TempDir const dir;
  Told told;
  Writer writer;
  told.listen_to(writer);
  auto const target = writer.open_file(dir.path("log"));
  ASSERT_EQ(::rename(dir.path("log").c_str(), dir.path("log.1").c_str()), 0);
  ASSERT_EQ(::symlink(dir.path().c_str(), dir.path("log").c_str()), 0);  // a directory
  writer.write(*target, "one");
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_EQ(file_content(dir.path("log.1")), "one\n");
  EXPECT_THAT(told.wait_for(1), ElementsAre(Pair(News::displaced, EISDIR)));
  ::unlink(dir.path("log").c_str());
  for (int i = 0; file_content(dir.path("log")).empty() && i < 200; ++i) {
    writer.write(*target, "two");
    EXPECT_TRUE(writer.drain(surely()));
    ::poll(nullptr, 0, 20);  // it is tried again once in Writer::kRetry
  }
  EXPECT_THAT(told.wait_for(2),
              ElementsAre(Pair(News::displaced, EISDIR), Pair(News::recovered, 0)));
}

TEST(WriterTest, LossesInARowAreOneLineAndNothingOvertakesIt) {
  auto const disk = std::make_shared<Disk>();
  std::atomic<bool> full = true;
  disk->answer = [&full](int, std::string_view bytes) -> ssize_t {
    if (full) errno = EAGAIN;
    return full ? -1 : static_cast<ssize_t>(bytes.size());
  };
  Fd const file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Writer writer(Disk::call_of(disk));
  auto const target = writer.add(file.get(), 1000);
  std::string expected;
  for (int i = 0; i < 9; ++i) {
    EXPECT_TRUE(writer.write(target, std::string(99, 'x')));
    expected += std::string(99, 'x') + "\n";
  }
  EXPECT_FALSE(writer.write(target, std::string(100, 'y')));
  // There is room for this one, but its place is behind the loss.
  EXPECT_FALSE(writer.write(target, "z"));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(writer.write(target, "z"));
  full = false;
  EXPECT_TRUE(writer.drain(surely()));
  EXPECT_TRUE(writer.write(target, "after"));
  EXPECT_TRUE(writer.drain(surely()));
  expected += "kportal-cpp: 1002 lines were lost here\nafter\n";
  std::lock_guard const lock(disk->mutex);
  EXPECT_EQ(disk->content, expected);
}

TEST(WriterTest, SmallBitesAndInterruptionsChangeNothing) {
  auto const disk = std::make_shared<Disk>();
  disk->answer = [](int call, std::string_view bytes) -> ssize_t {
    if (call % 5 == 4) errno = EINTR;
    return call % 5 == 4 ? -1 : std::min<ssize_t>(1 + call % 7, static_cast<ssize_t>(bytes.size()));
  };
  Fd const file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Writer writer(Disk::call_of(disk));
  auto const target = writer.add(file.get());
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    writer.write(target, "line " + std::to_string(i));
    expected += "line " + std::to_string(i) + "\n";
  }
  EXPECT_TRUE(writer.drain(surely()));
  std::lock_guard const lock(disk->mutex);
  EXPECT_EQ(disk->content, expected);
}

TEST(WriterTest, WritesWholeLinesOfAtMostOnePipeBuffer) {
  auto const disk = std::make_shared<Disk>();
  std::vector<std::string> pieces;
  disk->answer = [&pieces](int, std::string_view bytes) {
    pieces.emplace_back(bytes);
    return static_cast<ssize_t>(bytes.size());
  };
  Fd const file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Writer writer(Disk::call_of(disk));
  auto const target = writer.add(file.get());
  for (int i = 0; i < 200; ++i) writer.write(target, std::string(100, 'x'));
  writer.write(target, std::string(9000, 'y'));
  EXPECT_TRUE(writer.drain(surely()));
  std::lock_guard const lock(disk->mutex);
  for (auto const& piece : pieces) {
    EXPECT_LE(piece.size(), Writer::kMaxWrite);
    EXPECT_TRUE(piece[0] == 'y' || piece.size() % 101 == 0 || piece == "\n");
  }
}

TEST(WriterTest, AThreadStuckInAWriteDoesNotHoldUpTheExit) {
  auto const release = std::make_shared<std::promise<void>>();
  auto const stuck = std::make_shared<std::promise<void>>();
  auto const ended = std::make_shared<std::promise<void>>();
  Fd const file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  auto released = std::make_shared<std::future<void>>(release->get_future());
  TimePoint begin;
  {
    Writer writer([=](int, std::string_view bytes) {
      stuck->set_value();
      released->wait();
      ended->set_value();
      return static_cast<ssize_t>(bytes.size());
    });
    writer.write(writer.add(file.get()), "never");
    stuck->get_future().wait();
    begin = Clock::now();
  }
  EXPECT_LT(Clock::now() - begin, Writer::kExitGrace + 2s);
  release->set_value();
  ended->get_future().wait();
}

TEST(WriterTest, TheDestructorWritesWhatItCan) {
  Pipe pipe;
  {
    Writer writer;
    writer.write(writer.add(pipe.writing.get()), "last words");
  }
  EXPECT_EQ(read_some(pipe.reading.get()), "last words\n");
}

TEST(WriterTest, SeveralThreadsMayWrite) {
  Pipe pipe;
  Writer writer;
  auto const target = writer.add(pipe.writing.get());
  auto const write_many = [&writer, target](char name) {
    for (int i = 0; i < 1000; ++i) writer.write(target, name + std::to_string(i));
  };
  std::thread other(write_many, 'a');
  write_many('b');
  other.join();
  int next[2] = {0, 0};
  for (auto const& line : lines_of(read_all(writer, pipe.reading.get()))) {
    int& expected = next[line[0] - 'a'];
    EXPECT_EQ(line.substr(1), std::to_string(expected++));
  }
  EXPECT_EQ(next[0], 1000);
  EXPECT_EQ(next[1], 1000);
}

}  // namespace
}  // namespace kportal
