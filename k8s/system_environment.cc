// SPDX-License-Identifier: MIT
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "k8s/kubeconfig.h"

namespace kportal::k8s {
namespace {

using FileText = boost::system::result<std::string>;

// How long a pipe may let us wait in all: "--kubeconfig <(command)".
constexpr Duration kMaxPipeWait = std::chrono::seconds(2);

error_code last_error() {
  return {errno, boost::system::system_category()};
}

class Descriptor {
 public:
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
  explicit Descriptor(std::string const& path)
      : value_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(Descriptor const&) = delete;
  Descriptor& operator=(Descriptor const&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

error_code make(boost::system::errc::errc_t code) {
  return make_error_code(code);
}

bool is_pipe(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode);
}

bool wait_readable(int descriptor, TimePoint deadline) {
  auto const left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd waited{descriptor, POLLIN, 0};
  return left > 0 && poll(&waited, 1, static_cast<int>(left)) > 0;
}

FileText read_whole_file(std::string const& path, std::size_t limit) {
  Descriptor const file(path);
  if (file.get() < 0) return last_error();
  TimePoint const deadline = Clock::now() + kMaxPipeWait;
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    ssize_t const n = read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (wait_readable(file.get(), deadline)) continue;
      return make(boost::system::errc::timed_out);
    }
    if (n < 0) return last_error();
    // What a pipe gave once is gone.
    if (n == 0 && text.empty() && is_pipe(file.get())) return make(boost::system::errc::no_message);
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > limit) return make(boost::system::errc::file_too_large);
  }
}

std::optional<std::string> read_variable(std::string const& name) {
  char const* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::vector<std::string> all_variables() {
  std::vector<std::string> all;
  for (char** each = environ; *each != nullptr; ++each) all.emplace_back(*each);
  return all;
}

}  // namespace

Environment system_environment() {
  std::error_code ignored;
  return {read_variable, read_whole_file, std::filesystem::current_path(ignored).string(),
          all_variables()};
}

}  // namespace kportal::k8s
