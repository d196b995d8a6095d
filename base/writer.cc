// SPDX-License-Identifier: MIT
#include "base/writer.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/descriptors.h"

namespace kportal {
namespace {

using std::chrono::milliseconds;

// A descriptor that poll() called ready and that took nothing all the same is asked again this
// soon.
constexpr milliseconds kBusyRetry{10};
// Written bytes are cut off the front of a queue when there are this many: cheap, and rarely a
// copy.
constexpr std::size_t kCompactAt = 64 * 1024;

ssize_t write_now(int fd, std::string_view bytes) {
  ssize_t const sent = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  return ::write(fd, bytes.data(), bytes.size());
}

// A second, non-blocking way to a pipe or terminal, whose flags no other process shares; -1 where
// there is none (no /proc, another user's terminal, a pipe without reader): then the given one is
// used.
int open_unshared(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return -1;
  bool const terminal = S_ISCHR(status.st_mode) && ::isatty(fd) == 1;
  if (!terminal && !S_ISFIFO(status.st_mode)) return -1;
  std::string const path = fmt::format("/proc/self/fd/{}", fd);
  return ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

mode_t type_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_mode & S_IFMT : 0;
}

// O_NONBLOCK: a FIFO without a reader is an error, not a wait.
int open_to_append(std::string const& path) {
  int const flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  return ::open(path.c_str(), flags, 0600);
}

// The path leads to another file now, or to none.
bool moved_away(int fd, std::string const& path) {
  struct stat ours {};
  struct stat there {};
  if (::fstat(fd, &ours) != 0) return false;
  if (::stat(path.c_str(), &there) != 0) return errno == ENOENT;
  return ours.st_dev != there.st_dev || ours.st_ino != there.st_ino;
}

std::uint64_t count_lines(std::string_view text) {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// Whole lines of at most `limit` bytes, or the first bytes of a line that is longer.
std::string_view first_piece(std::string_view queued, std::size_t limit) {
  if (queued.size() <= limit) return queued;
  std::size_t const end = queued.substr(0, limit).rfind('\n');
  return queued.substr(0, end == std::string_view::npos ? limit : end + 1);
}

// One output and its queue. All of it under the Writer's lock.
struct Outlet {
  int fd = -1;
  bool owned = false;  // closed with the Writer
  std::string path;    // of a file that was opened by it
  mode_t type = 0;     // S_IFREG, ...
  bool dead = false;
  std::optional<Writer::News> trouble;  // that was told of and is not over
  TimePoint reopen_at{};                // not before
  std::size_t max_bytes = 0;
  Writer::LossLine loss_line;
  std::string queue;        // lines with their newlines
  std::size_t written = 0;  // of the queue's first bytes
  std::uint64_t lost = 0;   // refused since the last loss line; while there are any, more are
  std::uint64_t dropped = 0;
  TimePoint retry_at{};

  std::string_view pending() const { return std::string_view(queue).substr(written); }
  bool push(std::string_view line);
  void consume(std::size_t bytes);
  // A write failed. What is to be told of it, if anything.
  std::optional<Writer::News> fail(int error);
  void die();
  void say_what_was_lost();
};

bool Outlet::push(std::string_view line) {
  bool const fits = line.size() <= max_bytes && pending().size() <= max_bytes - line.size();
  if (!dead && lost == 0 && fits) {
    queue += line;
    return true;
  }
  lost += count_lines(line);
  dropped += count_lines(line);
  say_what_was_lost();
  return false;
}

void Outlet::consume(std::size_t bytes) {
  written += bytes;
  if (written == queue.size() || written >= kCompactAt) {
    queue.erase(0, written);
    written = 0;
  }
  say_what_was_lost();
}

void Outlet::say_what_was_lost() {
  if (dead || lost == 0 || pending().size() > max_bytes / 2) return;
  queue += loss_line(lost);
  queue += '\n';
  lost = 0;
}

std::optional<Writer::News> Outlet::fail(int error) {
  if (error == EINTR) return std::nullopt;
  if (error == EAGAIN) {
    retry_at = Clock::now() + kBusyRetry;
    return std::nullopt;
  }
  bool const passes = error == ENOSPC || error == EDQUOT || error == ENOBUFS || error == ENOMEM;
  if (passes || (type == S_IFREG && error != EBADF)) {
    retry_at = Clock::now() + Writer::kRetry;
    return Writer::News::failing;
  }
  die();
  return Writer::News::dead;
}

void Outlet::die() {
  dead = true;
  dropped += count_lines(pending());
  queue.clear();
  written = 0;
}

// A thread that takes no signal: they are the loop's.
std::thread start_without_signals(std::function<void()> run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(std::move(run));
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

struct Writer::State {
  explicit State(WriteCall call);
  ~State();

  Target add(Outlet outlet);
  Outlet& at(Target target);
  bool idle() const;
  void wake();  // the thread, if it sleeps

  void run();
  std::vector<Outlet*> wait_until_ready(std::unique_lock<std::mutex>& lock);
  void write_some(std::unique_lock<std::mutex>& lock, Outlet& outlet);
  void reopen_if_moved(std::unique_lock<std::mutex>& lock, Outlet& outlet);
  void tell(std::unique_lock<std::mutex>& lock, Outlet& outlet, News news, int error);

  WriteCall const write_call;
  Tell tell_news;
  int wake_pipe[2] = {-1, -1};

  std::mutex mutex;
  std::condition_variable changed;  // something was written, or the thread ended
  std::deque<Outlet> outlets;       // references stay good while it grows
  bool asleep = false;              // in poll() without a wake-up under way
  bool stopping = false;
  bool ended = false;
};

Writer::State::State(WriteCall call) : write_call(std::move(call)) {
  if (::pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::system_error(errno, std::generic_category(), "writer: pipe");
  }
}

Writer::State::~State() {
  for (Outlet const& outlet : outlets) {
    if (outlet.owned) ::close(outlet.fd);
  }
  ::close(wake_pipe[0]);
  ::close(wake_pipe[1]);
}

Writer::Target Writer::State::add(Outlet outlet) {
  outlet.type = type_of(outlet.fd);
  std::lock_guard const lock(mutex);
  outlets.push_back(std::move(outlet));
  wake();  // a pipe's end is watched from now on
  return Target{outlets.size() - 1};
}

Outlet& Writer::State::at(Target target) {
  auto const index = static_cast<std::size_t>(target);
  assert(index < outlets.size());
  return outlets[index];
}

bool Writer::State::idle() const {
  return std::all_of(outlets.begin(), outlets.end(),
                     [](Outlet const& outlet) { return outlet.pending().empty(); });
}

void Writer::State::wake() {
  if (!asleep) return;
  asleep = false;
  [[maybe_unused]] ssize_t const written = ::write(wake_pipe[1], "", 1);
}

void Writer::State::run() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    for (Outlet* outlet : wait_until_ready(lock)) write_some(lock, *outlet);
    changed.notify_all();
  }
  ended = true;
  changed.notify_all();
}

// Sleeps until an outlet with something to say can take it, or something was queued, or a retry is
// due.
std::vector<Outlet*> Writer::State::wait_until_ready(std::unique_lock<std::mutex>& lock) {
  std::vector<Outlet*> waiting;
  std::vector<pollfd> polled{{wake_pipe[0], POLLIN, 0}};
  TimePoint const now = Clock::now();
  TimePoint due = kNever;
  for (Outlet& outlet : outlets) {
    bool const idle = outlet.pending().empty();
    // A pipe says at any time that its reader is gone.
    bool const watched = outlet.type == S_IFIFO && !outlet.dead;
    if (idle && !watched) continue;
    if (!idle && outlet.retry_at > now) {
      due = std::min(due, outlet.retry_at);
      continue;
    }
    waiting.push_back(&outlet);
    polled.push_back({outlet.fd, static_cast<short>(idle ? 0 : POLLOUT), 0});
  }
  auto const wait = due == kNever ? milliseconds(-1) : std::chrono::ceil<milliseconds>(due - now);

  asleep = true;
  lock.unlock();
  int const count = ::poll(polled.data(), polled.size(), static_cast<int>(wait.count()));
  if (count < 0 && errno != EINTR) std::this_thread::sleep_for(kBusyRetry);  // no memory
  char bytes[16];
  while (::read(wake_pipe[0], bytes, sizeof bytes) > 0) {
  }
  lock.lock();
  asleep = false;

  std::vector<Outlet*> ready;
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    Outlet& outlet = *waiting[i];
    short const came = polled[i + 1].revents;
    bool const readerless = outlet.type == S_IFIFO && (came & POLLERR) != 0;
    if ((came & POLLNVAL) != 0 || readerless) {
      outlet.die();
      tell(lock, outlet, News::dead, readerless ? EPIPE : EBADF);
    } else if (came != 0) {
      ready.push_back(&outlet);
    }
  }
  return ready;
}

void Writer::State::write_some(std::unique_lock<std::mutex>& lock, Outlet& outlet) {
  if (!outlet.path.empty()) reopen_if_moved(lock, outlet);
  std::string const piece(first_piece(outlet.pending(), kMaxWrite));
  lock.unlock();
  ssize_t const written = write_call(outlet.fd, piece);
  int const error = written < 0 ? errno : EAGAIN;
  lock.lock();
  if (written > 0) {
    outlet.consume(static_cast<std::size_t>(written));
    if (outlet.trouble == News::failing) tell(lock, outlet, News::recovered, 0);
  } else {
    auto const news = outlet.fail(error);
    if (news && news != outlet.trouble) tell(lock, outlet, *news, error);
  }
}

void Writer::State::reopen_if_moved(std::unique_lock<std::mutex>& lock, Outlet& outlet) {
  if (outlet.reopen_at > Clock::now()) return;
  int const old = outlet.fd;
  lock.unlock();
  bool const moved = moved_away(old, outlet.path);
  int const fresh = moved ? open_to_append(outlet.path) : -1;
  int const error = errno;
  lock.lock();
  if (!moved) return;
  if (fresh < 0) {
    outlet.reopen_at = Clock::now() + kRetry;
    if (!outlet.trouble) tell(lock, outlet, News::displaced, error);
    return;
  }
  ::close(old);
  outlet.fd = fresh;
  outlet.type = type_of(fresh);
  if (outlet.trouble == News::displaced) tell(lock, outlet, News::recovered, 0);
}

void Writer::State::tell(std::unique_lock<std::mutex>& lock, Outlet& outlet, News news, int error) {
  outlet.trouble = news == News::recovered ? std::nullopt : std::optional(news);
  if (!tell_news || stopping) return;
  auto const at = std::find_if(outlets.begin(), outlets.end(),
                               [&](Outlet const& each) { return &each == &outlet; });
  Target const target{static_cast<std::size_t>(at - outlets.begin())};
  lock.unlock();
  tell_news(target, news, error);
  lock.lock();
}

Writer::Writer() : Writer(write_now) {}

Writer::Writer(WriteCall write_call)
    : state_(std::make_shared<State>(std::move(write_call))),
      thread_(start_without_signals([state = state_] { state->run(); })) {}

Writer::~Writer() {
  TimePoint const deadline = Clock::now() + kExitGrace;
  drain(deadline);
  bool ended = false;
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->wake();
    // A thread that only slept ends at once; the extra moment is for it.
    TimePoint const last = std::max(deadline, Clock::now() + kExitGrace / 10);
    ended = state_->changed.wait_until(lock, last, [this] { return state_->ended; });
  }
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

Writer::Target Writer::add(int fd, std::size_t max_bytes, LossLine loss_line) {
  Outlet outlet;
  int const own = open_unshared(fd);
  outlet.fd = own >= 0 ? own : fd;
  outlet.owned = own >= 0;
  outlet.max_bytes = max_bytes;
  outlet.loss_line = std::move(loss_line);
  return state_->add(std::move(outlet));
}

Result<Writer::Target> Writer::open_file(std::string const& path, std::size_t max_bytes,
                                         LossLine loss_line) {
  Outlet outlet;
  outlet.fd = open_to_append(path);
  if (outlet.fd < 0) {
    std::string const cause = cause_of(error_code(errno, boost::system::system_category()));
    return Error(Errc::local, fmt::format("{}: cannot open it for writing: {}", path, cause));
  }
  outlet.owned = true;
  outlet.path = path;
  outlet.max_bytes = max_bytes;
  outlet.loss_line = std::move(loss_line);
  return state_->add(std::move(outlet));
}

void Writer::on_news(Tell tell) {
  std::lock_guard const lock(state_->mutex);
  state_->tell_news = std::move(tell);
}

bool Writer::write(Target target, std::string line) {
  line += '\n';
  std::lock_guard const lock(state_->mutex);
  Outlet& outlet = state_->at(target);
  bool const was_idle = outlet.pending().empty();
  bool const taken = outlet.push(line);
  if (was_idle) state_->wake();
  return taken;
}

std::uint64_t Writer::dropped(Target target) const {
  std::lock_guard const lock(state_->mutex);
  return state_->at(target).dropped;
}

bool Writer::dead(Target target) const {
  std::lock_guard const lock(state_->mutex);
  return state_->at(target).dead;
}

bool Writer::drain(TimePoint deadline) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_until(lock, deadline, [this] { return state_->idle(); });
}

std::string Writer::default_loss_line(std::uint64_t count) {
  return fmt::format("kportal-cpp: {} {} lost here", count, count == 1 ? "line was" : "lines were");
}

}  // namespace kportal
