// SPDX-License-Identifier: MIT
// Program: the built program (or the one that $KPORTAL_PROGRAM names) as a process of its own,
// started with arguments, read by a thread so that no test has to drain pipes, and killed and
// reaped at the latest when the object goes. After a failed test it prints the end of what the
// program said.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "events/bus.h"
#include "tests/e2e/client.h"

namespace kportal::test {

struct ProgramOptions {
  std::string program;  // another one than the built one; empty = that
  std::vector<std::string>
      environment;                   // NAME=value, beside PATH, HOME and the sanitizers' options
  std::optional<std::string> input;  // what standard input holds; none = /dev/null
  std::string directory;             // to start in; empty = the test's
  std::vector<std::string> wrapper;  // a command line that ends in running what follows it
  bool read_output = true;           // false: standard output is a pipe that nobody reads
};

// A line of standard output. With --log-format json each is a delivery.
struct OutputLine {
  std::string text;
  TimePoint at;
  std::optional<events::Delivery> delivery;

  // The event; null if it is none.
  events::SharedEvent event() const;
};

class Program {
 public:
  explicit Program(std::vector<std::string> arguments, ProgramOptions options = {});
  ~Program();
  Program(Program const&) = delete;
  Program& operator=(Program const&) = delete;

  pid_t pid() const { return pid_; }

  // Lines of standard output so far; an index into them is a point in time to look from.
  std::size_t mark() const;
  std::vector<OutputLine> lines(std::size_t from = 0) const;
  // The first line from `from` on that `wanted` likes; nothing after `within`, or at the end of the
  // output.
  using Wanted = std::function<bool(OutputLine const&)>;
  std::optional<OutputLine> wait_for(Wanted const& wanted, std::size_t from = 0,
                                     Duration within = kPatience) const;
  std::optional<OutputLine> wait_for_line(std::string_view part, std::size_t from = 0,
                                          Duration within = kPatience) const;
  // The event of that type, of any forward if `forward` is empty; null after `within`.
  events::SharedEvent wait_for_event(std::string_view type, std::string_view forward = {},
                                     std::size_t from = 0, Duration within = kPatience) const;
  // Until the newest status of the forward is this one. Null after `within`.
  events::HealthStatusChanged const* wait_for_status(std::string_view forward,
                                                     events::Status status,
                                                     Duration within = kPatience);

  std::string errors() const;  // standard error so far
  bool wait_for_error_text(std::string_view part, Duration within = kPatience) const;

  void signal(int number) const;
  // The exit code, or minus the signal that ended it. Nothing after `within`: it still runs. All
  // its output has been read then.
  std::optional<int> wait(Duration within = kPatience);

  // Of /proc: a line of status such as "VmRSS", in KiB; the CPU time used so far.
  std::size_t memory_kib(std::string_view line) const;
  Duration cpu_time() const;
  std::size_t open_files() const;
  // With read_output = false: bytes that wait in the pipe, which holds 4 KiB.
  std::size_t unread() const;

 private:
  struct Streams;
  void spawn(std::vector<std::string> words, ProgramOptions const& options, Streams const& streams);
  void read_all(int output, int errors);
  void take_output(std::string_view text);
  bool wait_until(TimePoint deadline, std::function<bool()> const& holds) const;

  pid_t pid_ = -1;
  std::optional<int> code_;
  int unread_ = -1;  // the read end of a pipe that nobody reads
  int stop_[2] = {-1, -1};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<OutputLine> lines_;
  std::string rest_;  // an unfinished line
  std::string errors_;
  bool ended_ = false;
  events::SharedEvent status_;  // keeps what wait_for_status returned
  std::thread reader_;
};

}  // namespace kportal::test
