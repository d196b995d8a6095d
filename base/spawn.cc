// SPDX-License-Identifier: MIT
#include "base/spawn.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <string_view>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/wakeup.h"

namespace kportal {
namespace {

using asio::posix::stream_descriptor;
template <class T>
using SystemResult = boost::system::result<T>;

error_code system_error(int number) {
  return {number, boost::system::system_category()};
}

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

struct Pipe {
  Descriptor reader;
  Descriptor writer;
};

SystemResult<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error(errno);
  Pipe pipe{Descriptor(ends[0]), Descriptor(ends[1])};
  // Where this process was started without standard streams their numbers are free, and what the
  // child's are made of must not lie there.
  for (Descriptor* const end : {&pipe.reader, &pipe.writer}) {
    if (end->get() > STDERR_FILENO) continue;
    Descriptor higher(::fcntl(end->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (higher.get() < 0) return system_error(errno);
    *end = std::move(higher);
  }
  return pipe;
}

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(FileActions const&) = delete;
  FileActions& operator=(FileActions const&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  // A child inherits ignored signals and the mask of its parent's thread unless told otherwise.
  explicit Attributes(bool own_group) {
    ::posix_spawnattr_init(&attributes_);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (own_group) flags |= POSIX_SPAWN_SETPGROUP;
    ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(Attributes const&) = delete;
  Attributes& operator=(Attributes const&) = delete;
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

bool shows_errors(ChildCommand const& command) {
  return command.on_terminal && ::isatty(STDERR_FILENO) == 1;
}

SystemResult<pid_t> start(ChildCommand command, int output, int errors) {
  FileActions actions;
  if (!command.on_terminal) {
    ::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  ::posix_spawn_file_actions_adddup2(actions.get(), output, STDOUT_FILENO);
  bool const own_errors = !shows_errors(command);
  if (own_errors) ::posix_spawn_file_actions_adddup2(actions.get(), errors, STDERR_FILENO);
  ::posix_spawn_file_actions_addclosefrom_np(actions.get(), STDERR_FILENO + 1);
  Attributes attributes(!command.on_terminal);
  std::string const program = command.program;
  command.arguments.insert(command.arguments.begin(), program);
  auto const words = pointers(command.arguments);
  auto const variables = pointers(command.environment);
  pid_t pid = -1;
  int const failed = ::posix_spawn(&pid, program.c_str(), actions.get(), attributes.get(),
                                   words.data(), variables.data());
  if (failed != 0) return system_error(failed);
  if (command.descriptor_limit) {
    // posix_spawn cannot set it, and lowering our own meanwhile would hit other threads. It comes
    // before the child's main: the dynamic linker is at work. Of a set-user-ID child it is refused.
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(*command.descriptor_limit, limit.rlim_max);
    ::prlimit(pid, RLIMIT_NOFILE, &limit, nullptr);
  }
  return pid;
}

// Readable once the process has ended. By its number, because glibc 2.36 declares its own function
// without extern "C".
int open_exit_descriptor(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

}  // namespace

// One process, from its start until it is reaped. Shared by who waits for it and who looks after
// it, for the first may go.
class Spawner::Child {
 public:
  Child(asio::any_io_executor const& executor, pid_t pid, bool own_group, int exit, int output,
        int errors, std::function<void(std::string_view)> on_errors)
      : pid_(pid),
        own_group_(own_group),
        exit_(executor, exit),
        output_(executor, output),
        errors_(executor, errors),
        on_errors_(std::move(on_errors)),
        changed_(executor),
        done_(executor),
        tasks_(executor) {
    output_.native_non_blocking(true);
    errors_.native_non_blocking(true);
  }

  void abandon() {
    on_errors_ = nullptr;
    abandoned_ = true;
    changed_.set();
  }
  awaitable<void> done() { return done_.wait(); }
  ChildEnd take_end() { return std::move(end_); }

  awaitable<void> live(TimePoint deadline) {
    tasks_.spawn(follow_exit());
    tasks_.spawn(follow(output_, &Child::read_output));
    tasks_.spawn(follow(errors_, &Child::read_errors));
    bool timely = true;
    while (timely && !exited_ && !abandoned_ && !too_much_) {
      timely = co_await changed_.wait_until(deadline);
    }
    if (!exited_) {
      end_.how = timely ? ChildEnd::How::too_much_output : ChildEnd::How::timed_out;
      co_await end_it();
    }
    tasks_.cancel();
    co_await tasks_.join();
    finish();
  }

 private:
  using Read = bool (Child::*)();

  awaitable<void> end_it() {
    signal(SIGTERM);
    TimePoint const patience = Clock::now() + kGrace;
    bool timely = true;
    while (timely && !exited_) timely = co_await changed_.wait_until(patience);
    // Also where it has exited: its own children may not care for SIGTERM. Until it is reaped no
    // other group can get its number.
    signal(SIGKILL);
    while (!exited_) co_await changed_.wait();
    ended_ = true;
  }

  void signal(int number) const { ::kill(own_group_ ? -pid_ : pid_, number); }

  awaitable<void> follow_exit() {
    auto const [error] = co_await exit_.async_wait(stream_descriptor::wait_read,
                                                   asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    exited_ = true;
    changed_.set();
  }

  awaitable<void> follow(stream_descriptor& from, Read read) {
    bool more = true;
    while (more) {
      auto const [error] = co_await from.async_wait(stream_descriptor::wait_read,
                                                    asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      more = (this->*read)();
    }
  }

  // One read, so that a talkative child shares the loop. False at the end of the stream, and when
  // there is nothing left to read now.
  bool read_output() {
    std::string_view const bytes = read_from(output_);
    if (end_.output.size() + bytes.size() > kMaxOutput) return say_too_much();
    end_.output += bytes;
    return open_;
  }

  bool read_errors() {
    std::string_view const bytes = read_from(errors_);
    errors_seen_ += bytes.size();
    if (errors_seen_ > kMaxErrors) return say_too_much();
    end_.errors += bytes;
    if (on_errors_ && !bytes.empty()) on_errors_(bytes);
    if (end_.errors.size() > 2 * kKeptErrors) {
      end_.errors.erase(0, end_.errors.size() - kKeptErrors);
    }
    return open_;
  }

  bool say_too_much() {
    too_much_ = true;
    changed_.set();
    return false;
  }

  std::string_view read_from(stream_descriptor& from) {
    ssize_t n = 0;
    do {
      n = ::read(from.native_handle(), buffer_.data(), buffer_.size());
    } while (n < 0 && errno == EINTR);
    empty_ = n < 0;
    open_ = n > 0 || (n < 0 && errno == EAGAIN);
    return {buffer_.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
  }

  // What lies in the pipes, and no more: others may hold them open.
  void drain(Read read) {
    bool more = true;
    for (std::size_t i = 0; i < kMaxErrors / kBuffer && more; ++i)
      more = (this->*read)() && !empty_;
  }

  void finish() {
    if (!ended_) {
      drain(&Child::read_output);
      drain(&Child::read_errors);
    }
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    if (!ended_ && too_much_) end_.how = ChildEnd::How::too_much_output;
    if (end_.how == ChildEnd::How::exited && WIFSIGNALED(status)) {
      end_.how = ChildEnd::How::signalled;
    }
    end_.number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    if (end_.errors.size() > kKeptErrors) {
      end_.errors.erase(0, end_.errors.size() - kKeptErrors);
    }
    end_.took = Clock::now() - began_;
    done_.set();
  }

  static constexpr std::size_t kBuffer = 16 * 1024;

  pid_t pid_;
  bool own_group_;
  stream_descriptor exit_;
  stream_descriptor output_;
  stream_descriptor errors_;
  std::function<void(std::string_view)> on_errors_;
  TimePoint began_ = Clock::now();
  std::array<char, kBuffer> buffer_;
  bool open_ = true;  // the stream that was read last
  bool empty_ = false;
  std::size_t errors_seen_ = 0;
  bool exited_ = false;
  bool ended_ = false;  // by us
  bool abandoned_ = false;
  bool too_much_ = false;
  ChildEnd end_;
  Wakeup changed_;
  Wakeup done_;
  TaskGroup tasks_;  // one a descriptor
};

Spawner::Spawner(asio::any_io_executor executor) : executor_(executor), tasks_(executor) {}

Spawner::~Spawner() = default;

awaitable<boost::system::result<ChildEnd>> Spawner::run(ChildCommand command, TimePoint deadline) {
  auto output = make_pipe();
  if (!output) co_return output.error();
  auto errors = make_pipe();
  if (!errors) co_return errors.error();
  // For what looks after the child: one that is started and ended for want of it may have used up a
  // credential that is good for one time.
  Descriptor reserve(::fcntl(output->reader.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (reserve.get() < 0) co_return system_error(errno);
  bool const own_group = !command.on_terminal;
  bool const errors_shown = shows_errors(command);
  auto on_errors = std::move(command.on_errors);
  auto const pid = start(std::move(command), output->writer.get(), errors->writer.get());
  if (!pid) co_return pid.error();
  reserve = Descriptor();
  int const exit = open_exit_descriptor(*pid);
  if (exit < 0) {
    // No such call on this system, or another thread has the descriptor: nobody could look after
    // it.
    int const number = errno;
    ::kill(*pid, SIGKILL);
    ::waitpid(*pid, nullptr, 0);
    co_return system_error(number);
  }
  auto const child =
      std::make_shared<Child>(executor_, *pid, own_group, exit, output->reader.release(),
                              errors->reader.release(), std::move(on_errors));
  tasks_.spawn(look_after(child, deadline));
  struct Abandon {
    explicit Abandon(Child& c) : child(c) {}
    ~Abandon() { child.abandon(); }
    Child& child;
  } const abandon(*child);
  co_await child->done();
  ChildEnd end = child->take_end();
  end.errors_shown = errors_shown;
  co_return end;
}

awaitable<void> Spawner::look_after(std::shared_ptr<Child> child, TimePoint deadline) {
  co_await child->live(deadline);
}

awaitable<void> Spawner::stop() {
  co_await tasks_.join();
}

}  // namespace kportal
