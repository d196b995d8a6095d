// SPDX-License-Identifier: MIT
// Spawner: the one place that starts other programs: without a shell, with no descriptor but the
// three standard ones, and never on the loop's time. Each child runs until it exits, its time is
// up, it says too much or nobody waits for it any more; then it is ended and reaped. It looks for
// no program in PATH and does not judge what one says. Owned by who needs children; one loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/task_group.h"

namespace kportal {

struct ChildCommand {
  std::string program;                   // a path; not looked for
  std::vector<std::string> arguments;    // behind the program's name
  std::vector<std::string> environment;  // NAME=value, all of it
  // Standard input and, if it is a terminal too, standard error are this process's own, and the
  // child stays in its process group, for only the foreground group may read a terminal. Otherwise
  // it reads /dev/null and leads a group of its own, which is ended with it.
  bool on_terminal = false;
  // The soft RLIMIT_NOFILE of the child; nothing = that of this process. A process that raised its
  // own should say what it was, for there are programs that close or count all they may have.
  std::optional<std::uint64_t> descriptor_limit;
  // Told what it writes to standard error, as it comes, for as long as somebody waits in run().
  std::function<void(std::string_view)> on_errors;

  ChildCommand() = default;
};

struct ChildEnd {
  enum class How { exited, signalled, timed_out, too_much_output };
  How how = How::exited;
  int number = 0;             // the exit code or the signal
  std::string output;         // of an exited one all of it
  std::string errors;         // the last Spawner::kKeptErrors bytes of standard error
  bool errors_shown = false;  // standard error was the terminal: nothing of it is here
  Duration took{};

  ChildEnd() = default;
};

class Spawner {
 public:
  // Standard output of one child; more ends it.
  static constexpr std::size_t kMaxOutput = 1024 * 1024;
  // The same for standard error, of which the end is kept.
  static constexpr std::size_t kMaxErrors = 4 * 1024 * 1024;
  static constexpr std::size_t kKeptErrors = 4 * 1024;
  // Between SIGTERM and SIGKILL.
  static constexpr Duration kGrace = std::chrono::milliseconds(250);

  explicit Spawner(asio::any_io_executor executor);
  ~Spawner();

  // Runs it to its end; what it left running in the background may hold the pipes and is not waited
  // for. Cancelling ends the child, which is reaped behind the caller's back. The error is the
  // system's reason for not starting it, such as no_such_file_or_directory, permission_denied or
  // executable_format_error.
  awaitable<boost::system::result<ChildEnd>> run(ChildCommand command, TimePoint deadline);

  // Children that are not reaped yet.
  std::size_t size() const { return tasks_.size(); }
  // Returns when the last child is reaped. Before destruction, when nobody waits in run().
  awaitable<void> stop();

 private:
  class Child;
  static awaitable<void> look_after(std::shared_ptr<Child> child, TimePoint deadline);

  asio::any_io_executor executor_;
  TaskGroup tasks_;  // one a child
};

}  // namespace kportal
