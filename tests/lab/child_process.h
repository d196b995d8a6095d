// SPDX-License-Identifier: MIT
// ChildProcess: a program that a test runs beside the loop, its standard output and error in one
// pipe that the loop reads. Killed and waited for at the latest when the object goes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/clock.h"
#include "base/task_group.h"

namespace kportal::test {

class ChildProcess {
 public:
  // argv[0] is the program's path; env is its whole environment, "NAME=value".
  ChildProcess(asio::any_io_executor executor, std::vector<std::string> argv,
               std::vector<std::string> env);
  ~ChildProcess();
  ChildProcess(ChildProcess const&) = delete;
  ChildProcess& operator=(ChildProcess const&) = delete;

  bool started() const { return pid_ > 0; }
  // Reads on until `text` has come; false at the end of the output.
  awaitable<bool> read_until(std::string_view text);
  // Reads to the end of the output; the exit status, or minus the signal that ended it.
  awaitable<int> wait();
  void terminate();
  std::string const& output() const { return output_; }

 private:
  awaitable<bool> read_more();

  asio::posix::stream_descriptor pipe_;
  pid_t pid_ = -1;
  std::string output_;
};

}  // namespace kportal::test
