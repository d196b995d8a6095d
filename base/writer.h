// SPDX-License-Identifier: MIT
// Writer: the one thread that writes to stdout, stderr and files, so that a pipe nobody reads, a
// stopped terminal (Ctrl-S) or a slow disk never stops the loop. Lines are dropped whole and
// counted, and the reader is told where. Not for sockets of the data plane. Every function may be
// called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <thread>

#include "base/clock.h"
#include "base/error.h"

namespace kportal {

class Writer {
 public:
  // Names one output of one Writer, for as long as that lives.
  enum class Target : std::size_t {};
  // The line that stands where `count` lines are missing, without its newline. Called under the
  // Writer's lock, so it only makes a string.
  using LossLine = std::function<std::string(std::uint64_t count)>;
  // What became of an output. Each is told once, until the opposite was.
  enum class News {
    failing,    // what is written is not taken; it is tried again each kRetry
    recovered,  // after one of the others: it takes lines again, in its place
    displaced,  // the file was moved away and none can be opened in its place: lines go to the old
    dead        // see dead()
  };
  // `error` as in errno. Called from the Writer's thread, without its lock; it must not wait.
  using Tell = std::function<void(Target, News, int error)>;
  // write(2), or what a test puts in its place. Returns as that does, with errno. At most
  // kMaxWrite.
  using WriteCall = std::function<ssize_t(int fd, std::string_view bytes)>;

  // Some thousand lines: what a reader may be behind before it loses any.
  static constexpr std::size_t kMaxQueuedBytes = 1024 * 1024;
  // PIPE_BUF of Linux: a pipe that poll() calls ready takes this much at once and as one piece.
  static constexpr std::size_t kMaxWrite = 4096;
  // A full or failing disk is asked again this often, and a file that was moved away for another in
  // its place.
  static constexpr std::chrono::milliseconds kRetry{1000};
  // What the destructor waits at most, for what is queued and for the thread.
  static constexpr std::chrono::milliseconds kExitGrace{500};

  // Throws std::system_error when the system has no thread or descriptor left.
  Writer();
  explicit Writer(WriteCall write_call);
  // Writes what can be written within kExitGrace. A thread that is stuck inside write(2) is left
  // behind with what it uses, so that it cannot hold up the exit.
  ~Writer();
  Writer(Writer const&) = delete;
  Writer& operator=(Writer const&) = delete;

  // `fd` stays the caller's and must stay open while the Writer lives. Its flags are not touched,
  // for other processes may share them.
  Target add(int fd, std::size_t max_bytes = kMaxQueuedBytes,
             LossLine loss_line = default_loss_line);
  // Appends to the file, made with mode 0600 where there is none; symlinks are followed (rotation
  // setups use them). Errc::local with path and cause otherwise. A file that is moved away or
  // removed later (logrotate does so, and sends no signal that we would need) is opened anew at the
  // next line.
  Result<Target> open_file(std::string const& path, std::size_t max_bytes = kMaxQueuedBytes,
                           LossLine loss_line = default_loss_line);

  // Who is told of what becomes of the outputs. Before the first write().
  void on_news(Tell tell);

  // Queues a line, or several as one piece, without the last newline, which is added. Never blocks.
  // False = dropped and counted: the queue is full, has not yet fallen to half since it was full,
  // or the target is dead.
  bool write(Target target, std::string line);

  // How many lines were lost so far: refused, or still queued when the target died.
  std::uint64_t dropped(Target target) const;
  // Nobody can read it any more (EPIPE, a closed descriptor, a hung-up terminal). Final. A pipe's
  // is noticed at once, others' at the next line.
  bool dead(Target target) const;

  // Blocks the caller until all is written or the target that lacks is dead, at most until
  // `deadline`. False = something is still queued.
  bool drain(TimePoint deadline);

  // "kportal-cpp: 12 lines were lost here"
  static std::string default_loss_line(std::uint64_t count);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive the Writer
  std::thread thread_;
};

}  // namespace kportal
